"""Made-up people for the gallery's tests."""

from dataclasses import dataclass

import numpy as np

from hatcnn.attributes import NUM_ATTRIBUTES


@dataclass(frozen=True)
class People:
    vectors: np.ndarray
    attributes: np.ndarray | None
    names: tuple[str, ...]
    fingerprint: str | None = "model-a"

    def __getitem__(self, chosen):
        attributes = None if self.attributes is None else self.attributes[chosen]
        names = tuple(np.array(self.names)[chosen])
        return People(self.vectors[chosen], attributes, names, self.fingerprint)

    def __len__(self):
        return len(self.names)


def crowd(n, dimension=32, seed=0, **fields):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((n, dimension)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    attributes = random.random((n, NUM_ATTRIBUTES)).astype(np.float32)
    return People(vectors, attributes, tuple(f"{i:06}.jpg" for i in range(n)), **fields)


def stored(vectors):
    """As float16 keeps them, in float64 and of length 1: what the gallery can know."""
    rounded = np.asarray(vectors, np.float16).astype(np.float64)
    return rounded / np.linalg.norm(rounded, axis=-1, keepdims=True)


def files_with(folder, needle):
    return [p for p in folder.rglob("*") if p.is_file() and needle in p.read_bytes()]
