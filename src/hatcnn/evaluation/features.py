"""What the network said of a split, and who is really in the pictures."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hatcnn.errors import EvaluationError
from hatcnn.files import atomic_path

Floats = npt.NDArray[np.float32]
Integers = npt.NDArray[np.int64]

_ARRAYS = {
    "vectors": "vectors",
    "pid": "pids",
    "camid": "camids",
    "name": "names",
    "attribute_logits": "attribute_logits",
    "attribute_probabilities": "attribute_probabilities",
    "attribute_labels": "attribute_labels",
}


@dataclass(frozen=True, eq=False)
class Features:
    """Query or gallery, one row a picture.

    Attributes:
        vectors: (n, d) float32 identity vectors: global and local part, each of length 1.
        pids: (n,) identities, >= 1, or 0 for a distractor.
        camids: (n,) cameras.
        names: (n,) names of the pictures.
        attribute_logits: (n, 26) float32; none for a network without attributes.
        attribute_probabilities: (n, 26) float32 in [0, 1]; likewise.
        attribute_labels: (n, 26) int8: 0, 1, or -1 where not known; none when nothing is.
    """

    vectors: Floats
    pids: Integers
    camids: Integers
    names: npt.NDArray[np.str_]
    attribute_logits: Floats | None = None
    attribute_probabilities: Floats | None = None
    attribute_labels: npt.NDArray[np.int8] | None = None

    def __len__(self) -> int:
        return len(self.pids)

    def take(self, chosen: npt.NDArray[np.bool_] | Integers) -> Features:
        """The chosen rows."""
        logits, probabilities = self.attribute_logits, self.attribute_probabilities
        labels = self.attribute_labels
        return Features(
            self.vectors[chosen],
            self.pids[chosen],
            self.camids[chosen],
            self.names[chosen],
            None if logits is None else logits[chosen],
            None if probabilities is None else probabilities[chosen],
            None if labels is None else labels[chosen],
        )


def embedding(features: Features, attribute_weight: float) -> Floats:
    """Vectors to rank by: identity parts and, with a weight, the attribute logits.

    The logits are divided by their L2 norm and multiplied by the square root of the weight, so
    that the weight is the attributes' factor in the squared Euclidean distance and in the inner
    product. Weight 0 leaves them out; weight 1 is the published embedding.

    Returns:
        (n, d) or (n, d + 26) float32.

    Raises:
        EvaluationError: for a negative weight, or a weight without attributes.
    """
    if attribute_weight < 0:
        raise EvaluationError(f"the attribute weight must be at least 0, not {attribute_weight}")
    if attribute_weight == 0:
        return features.vectors
    logits = features.attribute_logits
    if logits is None:
        raise EvaluationError("this network predicts no attributes: rank with weight 0")
    # A tiny floor: logits that are all zero say nothing, and so add nothing.
    norms = np.maximum(np.linalg.norm(logits, axis=1, keepdims=True), 1e-12)
    return np.hstack((features.vectors, np.float32(attribute_weight**0.5) * logits / norms))


def save_features(path: str | Path, query: Features, gallery: Features) -> None:
    """Write everything a ranking needs to one ``.npz``, atomically.

    Keys are ``query_vectors``, ``query_pid``, ``query_camid``, ``query_name``,
    ``query_attribute_logits``, ``query_attribute_probabilities``, ``query_attribute_labels`` and
    the same with ``gallery_``; arrays that there are none of are left out.
    """
    arrays = {
        f"{side}_{key}": getattr(features, attribute)
        for side, features in (("query", query), ("gallery", gallery))
        for key, attribute in _ARRAYS.items()
        if getattr(features, attribute) is not None
    }
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def load_features(path: str | Path) -> tuple[Features, Features]:
    """Read query and gallery back from `save_features`' file.

    Raises:
        EvaluationError: when the file is missing or no such file.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in file.files}
        query, gallery = (
            Features(
                **{
                    attribute: arrays[f"{side}_{key}"]
                    for key, attribute in _ARRAYS.items()
                    if f"{side}_{key}" in arrays
                }
            )
            for side in ("query", "gallery")
        )
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile) as error:
        raise EvaluationError(f"{path} is no features file: {error}") from None
    return query, gallery
