"""HAT-CNN: HA-CNN beside a network of its own for the attributes.

Source: section 3.2 and Figure 1 of the paper.
"""

from __future__ import annotations

from torch import Tensor, nn

from hatcnn.models.blocks import AttributeHead
from hatcnn.models.hacnn import HACNN, Output


class AttributeNetwork(AttributeHead):
    """From the raw picture to 26 logits, sharing nothing with the identity branches.

    Args:
        body: (N, 3, H, W) to (N, c, h, w).
        channels: channels of the body's output.
        width: length of the hidden vector.
        num_attributes: outputs.
    """

    def __init__(self, body: nn.Module, channels: int, width: int, num_attributes: int) -> None:
        super().__init__(channels, width, num_attributes)
        self.body = body

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, 26)."""
        return super().forward(self.body(images).mean(dim=(2, 3)))


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
