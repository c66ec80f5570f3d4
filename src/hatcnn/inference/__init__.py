"""Pictures in, embeddings and attributes out."""

from hatcnn.inference.embedder import Embedder, Embeddings

__all__ = ["Embedder", "Embeddings"]
