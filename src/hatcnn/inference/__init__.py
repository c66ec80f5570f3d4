"""Pictures in, embeddings and attributes out; nothing here needs torch until torch is chosen."""

from hatcnn.inference.embedder import Embedder
from hatcnn.inference.embeddings import Embeddings

__all__ = ["Embedder", "Embeddings"]
