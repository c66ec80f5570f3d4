"""What runs the network: ONNX Runtime, OpenVINO or torch. All answer alike."""

from __future__ import annotations

import ctypes
import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol, get_args

import numpy as np
import numpy.typing as npt

from hatcnn.errors import CheckpointError, ConfigError
from hatcnn.inference.forms import Runtime, find_form
from hatcnn.models.config import ModelConfig
from hatcnn.models.folder import WEIGHTS, find_model, fingerprint

if TYPE_CHECKING:
    from hatcnn.devices import Fabric

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]
BATCH_SIZE = 32
"""Pictures in a full batch; more are no faster on a CPU."""

BackendName = Literal["auto", "onnx", "openvino", "torch"]
Precision = Literal["auto", "fp32", "fp16", "bf16", "int8"]


class Backend(Protocol):
    """A network that can be called.

    Attributes:
        config: of the network; its attributes are "none" where none are wanted of it.
        fingerprint: of the model, see `hatcnn.models.folder.fingerprint`; empty for a network
            that comes from no model folder.
    """

    config: ModelConfig
    fingerprint: str

    def __call__(self, images: Pixels) -> tuple[Floats, Floats | None]:
        """Embed one batch.

        Args:
            images: (n, H, W, 3) RGB of the network's input size.

        Returns:
            Identity vectors (n, `config.vector_dim`) of length sqrt(2), each half of length 1 where
            they are not reduced, and, where the network predicts attributes, their logits (n, 26).
        """
        ...


def load_backend(
    folder: str | Path,
    *,
    backend: BackendName = "auto",
    precision: Precision = "auto",
    attributes: bool = True,
    fabric: Fabric | None = None,
    threads: int = 0,
) -> Backend:
    """A model folder, ready to run.

    ONNX Runtime runs what ``hatcnn export`` made; so does OpenVINO, which also takes the weights
    themselves where torch is installed to read them.

    Args:
        folder: such as ``RUN/model``, or the name of a model that comes with the package.
        backend: ``"auto"`` is torch where there is a GPU, else OpenVINO where it is installed,
            which multiplies in bfloat16, else ONNX Runtime, else torch.
        precision: ``"auto"`` is what the export was made for, else bfloat16 where the back end
            and the hardware multiply it, which moves an embedding by less than 0.001 in cosine
            similarity, else float32.
        attributes: whether attributes are wanted; without them a HAT-CNN is nearly twice as fast
            by torch, and by OpenVINO.
        fabric: device for torch; none chooses one.
        threads: of ONNX Runtime and OpenVINO, at most so many; 0 takes all cores. Torch's are set
            for the whole process, by ``OMP_NUM_THREADS`` or `torch.set_num_threads`.

    Raises:
        CheckpointError: when the folder is missing or broken.
        ConfigError: when the back end is not installed, or the folder holds nothing it can run.
    """
    folder = find_model(folder)
    if backend == "auto":
        backend = _fastest(folder)
    if backend == "torch":
        return _load_torch(folder, precision, attributes, fabric)
    if backend == "openvino":
        return _load_openvino(folder, precision, attributes, threads)
    form = find_form(folder, "onnx")
    if form is None:
        raise ConfigError(
            f"{folder} holds no ONNX form: run 'hatcnn export {folder} --to onnx', "
            'which needs pip install "hatcnn[export]"'
        )
    from hatcnn.inference.onnx_backend import ONNXBackend

    return ONNXBackend.from_form(form, precision, attributes=attributes, threads=threads)


def _fastest(folder: Path) -> BackendName:
    if _trainable(folder) and _sees_gpu():
        return "torch"
    if _installed("openvino") and (_trainable(folder) or _fitting_form(folder)):
        return "openvino"
    if _trainable(folder) and not _fitting_form(folder, "onnx"):
        return "torch"
    return "onnx"


def _trainable(folder: Path) -> bool:
    """Whether the weights are there, and torch to read them."""
    return _installed("torch") and (folder / WEIGHTS).exists()


def _fitting_form(folder: Path, *runtimes: Runtime) -> bool:
    """Whether there is an exported form that is up to date; training replaces weights."""
    try:
        return any(find_form(folder, runtime) for runtime in runtimes or get_args(Runtime))
    except CheckpointError:
        return False


def _load_torch(
    folder: Path, precision: Precision, attributes: bool, fabric: Fabric | None
) -> Backend:
    _require("torch", "train")
    from hatcnn.devices import make_fabric, multiplies_bfloat16
    from hatcnn.inference.torch_backend import TorchBackend
    from hatcnn.models.checkpoint import load_model

    if precision in ("fp16", "int8"):
        raise ConfigError(f"torch runs fp32 or bf16, not {precision}: see 'hatcnn export'")
    network, config = load_model(folder)
    fabric = fabric or make_fabric(devices=1)
    if precision == "auto":
        precision = "bf16" if multiplies_bfloat16(fabric.device) else "fp32"
    return TorchBackend(
        network,
        config,
        fabric,
        bfloat16=precision == "bf16",
        attributes=attributes,
        fingerprint=fingerprint(folder, config),
    )


def _load_openvino(folder: Path, precision: Precision, attributes: bool, threads: int) -> Backend:
    _require("openvino", "openvino")
    from hatcnn.inference.openvino_backend import OpenVINOBackend

    try:
        form = find_form(folder, "openvino") or find_form(folder, "onnx")
        if form:
            return OpenVINOBackend.from_form(
                form, precision, attributes=attributes, threads=threads
            )
    except CheckpointError:
        # Out of date, or in a cache of links, which OpenVINO does not follow to the weights.
        if not _trainable(folder):
            raise
    _require("torch", "train")
    from hatcnn.models.checkpoint import load_model

    network, config = load_model(folder)
    return OpenVINOBackend.from_network(
        network,
        config,
        precision,
        attributes=attributes,
        threads=threads,
        fingerprint=fingerprint(folder, config),
    )


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(package: str, extra: str) -> None:
    if not _installed(package):
        title = {"openvino": "OpenVINO"}.get(package, package)
        raise ConfigError(f'{title} is not installed: pip install "hatcnn[{extra}]"')


def _sees_gpu() -> bool:
    """Whether torch has a GPU; it is imported only where there may be one."""
    if sys.platform != "darwin":
        try:
            ctypes.CDLL("libcuda.so.1")
        except OSError:
            return False
    import torch

    return torch.cuda.is_available() or torch.backends.mps.is_available()
