"""Pictures in, embeddings and attributes out."""
