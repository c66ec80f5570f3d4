"""hatcnn: person re-identification with harmonious attention and attributes.

Names that need an extra are imported when they are first used, so that ``import hatcnn`` is quick
and works without torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hatcnn.gallery import Gallery
    from hatcnn.inference import Embedder, Embeddings

__version__ = "0.1.0"

__all__ = ["Embedder", "Embeddings", "Gallery", "__version__"]


def __getattr__(name: str) -> Any:
    if name in ("Embedder", "Embeddings"):
        from hatcnn import inference

        return getattr(inference, name)
    if name == "Gallery":
        from hatcnn.gallery import Gallery

        return Gallery
    raise AttributeError(f"module 'hatcnn' has no attribute {name!r}")
