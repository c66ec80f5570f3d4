"""The network from pixels to vectors: what a runtime is given to run."""

from __future__ import annotations

from torch import Tensor, nn

from hatcnn.models.blocks import folded
from hatcnn.models.config import ModelConfig
from hatcnn.models.embedding import Reduction, identity_vector
from hatcnn.models.hacnn import Output
from hatcnn.models.hatcnn import HATCNN
from hatcnn.models.preprocessing import normalise


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
        """(n, H, W, 3) uint8 to vectors and, where there are attributes, logits; see `Backend`."""
        output: Output = self.network(normalise(images))
        vectors = identity_vector(output, self.epsilon)
        network = self.network
        reduction = (network.identity if isinstance(network, HATCNN) else network).reduction
        if isinstance(reduction, Reduction):
            vectors = reduction(vectors)
        logits = output.attribute_logits
        return (vectors, logits.float()) if self.attributes and logits is not None else (vectors,)
