"""torch itself, on any of its devices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import nn

from hatcnn.devices import Fabric
from hatcnn.inference.backends import Floats, Pixels
from hatcnn.inference.graph import InferenceGraph
from hatcnn.models.config import ModelConfig


class TorchBackend:
    """Runs a network by torch itself, on any of its devices.

    Args:
        network: from `build_model`; it is copied.
        config: it was built from.
        fabric: device and, unless `bfloat16` says more, precision.
        bfloat16: multiply in bfloat16.
        attributes: whether attributes are wanted.
        fingerprint: of the model folder it comes from.
    """

    def __init__(
        self,
        network: nn.Module,
        config: ModelConfig,
        fabric: Fabric,
        *,
        bfloat16: bool = False,
        attributes: bool = True,
        fingerprint: str = "",
    ) -> None:
        self.config = config if attributes else replace(config, attributes="none")
        self.fingerprint = fingerprint
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
