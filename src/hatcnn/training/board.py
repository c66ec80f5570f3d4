"""TensorBoard: curves, and the regions drawn on a few pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import nn

from hatcnn.images import Pixels
from hatcnn.models.hacnn import Output
from hatcnn.models.preprocessing import normalise
from hatcnn.visualize.regions import draw_regions


class Board:
    """Writes TensorBoard events; without TensorBoard installed it writes nothing.

    Args:
        folder: of the events.
        step: events from this step on, left by a killed run, are hidden.
        examples: (n, H, W, 3) uint8 pictures on which regions are drawn.
    """

    def __init__(self, folder: Path, step: int, examples: Pixels) -> None:
        self.examples = examples
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError:
            self.writer = None
        else:
            self.writer = SummaryWriter(str(folder), purge_step=step)

    def scalars(self, values: dict[str, float], step: int) -> None:
        """Write one point of each curve."""
        if self.writer:
            for name, value in values.items():
                self.writer.add_scalar(name, value, step)

    @torch.no_grad()
    def regions(self, network: nn.Module, step: int) -> None:
        """Draw the regions of every level on the examples; the network is in evaluation mode."""
        if not self.writer:
            return
        device = next(network.parameters()).device
        output: Output = network(
            normalise(torch.from_numpy(self.examples).to(device)), with_attention=True
        )
        centres = [level.centres.float().cpu().numpy() for level in output.attention]
        drawn = [
            np.hstack([draw_regions(picture, level[i]) for level in centres])
            for i, picture in enumerate(self.examples)
        ]
        self.writer.add_images("regions", np.stack(drawn), step, dataformats="NHWC")

    def close(self) -> None:
        """Flush what was written."""
        if self.writer:
            self.writer.close()
