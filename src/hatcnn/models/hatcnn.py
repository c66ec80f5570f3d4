"""HAT-CNN: HA-CNN beside a network of its own for the attributes.

Source: section 3.2 and Figure 1 of the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hatcnn.models.hacnn import HACNN, Output


class AttributeNetwork(nn.Module):
    """From the raw picture to 26 logits, sharing nothing with the identity branches.

    Args:
        body: (N, 3, H, W) to (N, c, h, w).
        channels: channels of the body's output.
        width: length of the hidden vector.
        num_attributes: outputs.
    """

    def __init__(self, body: nn.Module, channels: int, width: int, num_attributes: int) -> None:
        super().__init__()
        self.body = body
        self.linear = nn.Linear(channels, width)
        self.norm = nn.BatchNorm1d(width)
        self.classifier = nn.Linear(width, num_attributes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, 26)."""
        hidden = torch.relu(self.norm(self.linear(self.body(images).mean(dim=(2, 3)))))
        logits: Tensor = self.classifier(hidden)
        return logits


class HATCNN(nn.Module):
    """Harmonious Attention Attribute CNN: `HACNN` for identities, `AttributeNetwork` beside it."""

    def __init__(self, identity: HACNN, attributes: AttributeNetwork) -> None:
        super().__init__()
        self.identity = identity
        self.attributes = attributes

    def forward(self, images: Tensor, *, with_attention: bool = False) -> Output:
        """Normalised images (N, 3, H, W) to an `Output`."""
        output: Output = self.identity(images, with_attention=with_attention)
        return output._replace(attribute_logits=self.attributes(images))
