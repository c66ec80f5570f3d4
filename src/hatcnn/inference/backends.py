"""What runs the network: torch, or a runtime made for inference. All answer alike."""

from __future__ import annotations

import importlib.util
from dataclasses import replace
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from hatcnn.devices import Fabric, make_fabric
from hatcnn.errors import ConfigError
from hatcnn.models.blocks import folded
from hatcnn.models.build import ModelConfig
from hatcnn.models.checkpoint import load_model
from hatcnn.models.embedding import identity_vector
from hatcnn.models.hacnn import Output
from hatcnn.models.hatcnn import HATCNN
from hatcnn.models.preprocessing import normalise

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
BATCH_SIZE = 32
"""Pictures in a full batch; more are no faster on a CPU."""

BackendName = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16"]


class Backend(Protocol):
    """A network that can be called.

    Attributes:
        config: of the network; its attributes are "none" where none are wanted of it.
    """

    config: ModelConfig

    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """Embed one batch.

        Args:
            images: (n, H, W, 3) RGB of the network's input size.

        Returns:
            Identity vectors (n, 2 d), both halves of length 1, and, where the network predicts
            attributes, their logits (n, 26).
        """
        ...


class InferenceGraph(nn.Module):
    """Pixels to identity vectors and attribute logits: what a runtime is given to run.

    Args:
        network: from `build_model`; it is copied.
        config: it was built from.
        attributes: False leaves out the attribute network, two fifths of the arithmetic.
    """

    def __init__(self, network: nn.Module, config: ModelConfig, *, attributes: bool = True) -> None:
        super().__init__()
        if not attributes and isinstance(network, HATCNN):
            network = network.identity
        self.network = folded(network)
        self.epsilon, self.attributes = config.norm_epsilon, attributes

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """(n, H, W, 3) uint8 to (n, 2 d) and, where there are attributes, (n, 26)."""
        output: Output = self.network(normalise(images))
        vectors = identity_vector(output, self.epsilon)
        logits = output.attribute_logits
        return (vectors, logits.float()) if self.attributes and logits is not None else (vectors,)


class TorchBackend:
    """Runs a network by torch itself, on any of its devices.

    Args:
        network: from `build_model`; it is copied.
        config: it was built from.
        fabric: device and, unless `bfloat16` says more, precision.
        bfloat16: multiply in bfloat16.
        attributes: whether attributes are wanted.
    """

    def __init__(
        self,
        network: nn.Module,
        config: ModelConfig,
        fabric: Fabric,
        *,
        bfloat16: bool = False,
        attributes: bool = True,
    ) -> None:
        self.config = config if attributes else replace(config, attributes="none")
        self.fabric, self.bfloat16 = fabric, bfloat16
        graph = InferenceGraph(network, config, attributes=attributes)
        self.graph = graph.to(fabric.device).eval()

    @torch.inference_mode()
    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """See `Backend`."""
        # The copy takes the rows out of a memory-mapped file, which may be read-only.
        pixels = torch.from_numpy(np.array(images)).to(self.fabric.device, non_blocking=True)
        autocast = (
            torch.autocast(self.fabric.device.type, torch.bfloat16)
            if self.bfloat16
            else self.fabric.autocast()
        )
        with autocast:
            vectors, *logits = self.graph(pixels)
        return vectors.cpu().numpy(), logits[0].cpu().numpy() if logits else None


def load_backend(
    folder: str | Path,
    *,
    backend: BackendName = "auto",
    precision: Precision = "auto",
    attributes: bool = True,
    fabric: Fabric | None = None,
) -> Backend:
    """A model folder, ready to run.

    Args:
        folder: such as ``RUN/model``.
        backend: ``"auto"`` is torch where there is a GPU, else OpenVINO where it is installed,
            which is faster on CPUs.
        precision: ``"auto"`` is bfloat16 where the hardware multiplies it, which moves an
            embedding by less than 0.001 in cosine similarity, else float32.
        attributes: whether attributes are wanted; without them a HAT-CNN is nearly twice as fast.
        fabric: device; none chooses one.

    Raises:
        CheckpointError: when the folder is missing or broken.
        ConfigError: when the back end is not installed.
    """
    network, config = load_model(folder)
    fabric = fabric or make_fabric(devices=1)
    on_gpu = fabric.device.type != "cpu"
    installed = importlib.util.find_spec("openvino") is not None
    if backend == "auto":
        backend = "openvino" if installed and not on_gpu else "torch"
    if backend == "openvino":
        if not installed:
            raise ConfigError('OpenVINO is not installed: pip install "hatcnn[openvino]"')
        from hatcnn.inference.openvino_backend import OpenVINOBackend

        return OpenVINOBackend(network, config, precision, attributes=attributes)
    if precision == "auto":
        precision = "bf16" if _multiplies_bfloat16(fabric.device) else "fp32"
    return TorchBackend(
        network, config, fabric, bfloat16=precision == "bf16", attributes=attributes
    )


def _multiplies_bfloat16(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        return torch.cpu._is_avx512_bf16_supported()
    return False
