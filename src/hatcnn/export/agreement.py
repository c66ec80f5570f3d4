"""Whether an exported network says what torch says."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hatcnn.errors import ExportError
from hatcnn.inference.backends import BATCH_SIZE, Backend, Floats, Pixels
from hatcnn.inference.forms import FormPrecision
from hatcnn.inference.probabilities import attribute_probabilities


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The least agreement with which an export is kept.

    Attributes:
        cosine: lowest cosine similarity of a picture's two vectors.
        attribute: largest difference of a probability.
    """

    cosine: float
    attribute: float


LIMITS: dict[FormPrecision, Limits] = {
    "fp32": Limits(cosine=0.99999, attribute=0.001),
    "fp16": Limits(cosine=0.9999, attribute=0.01),
    "bf16": Limits(cosine=0.998, attribute=0.1),
    "int8": Limits(cosine=0.9, attribute=0.3),
}
"""By precision: wider than what was measured (docs/guides/export.md), narrower than what a wrong
graph gives."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How near an export is to torch in float32 over the same pictures.

    Attributes:
        pictures: compared.
        source: where they came from.
        cosine_min, cosine_mean: cosine similarity of the two vectors of a picture.
        attribute_max, attribute_mean: absolute difference of attribute probabilities; none where
            there are none.
    """

    pictures: int
    source: str
    cosine_min: float
    cosine_mean: float
    attribute_max: float | None
    attribute_mean: float | None

    def to_json(self) -> dict[str, Any]:
        """All of it."""
        return asdict(self)

    def check(self, precision: FormPrecision) -> None:
        """Refuse an export that is further from torch than its precision explains.

        Raises:
            ExportError: with what was measured and what is allowed.
        """
        limits = LIMITS[precision]
        # Turned around, NaN would pass.
        vectors_agree = self.cosine_min >= limits.cosine
        attributes_agree = self.attribute_max is None or self.attribute_max <= limits.attribute
        if not (vectors_agree and attributes_agree):
            raise ExportError(
                f"the exported network disagrees with torch on {self.pictures} pictures "
                f"({self.source}), so nothing was written. {self.words()}; {precision} allows "
                f"{limits.cosine} and {limits.attribute}"
            )

    def words(self) -> str:
        """One line for people."""
        line = (
            f"cosine similarity {self.cosine_min:.6f} at least, {self.cosine_mean:.6f} on average"
        )
        if self.attribute_max is None:
            return line
        return (
            f"{line}; attribute probabilities differ by {self.attribute_max:.6f} at most, "
            f"{self.attribute_mean:.6f} on average"
        )


def compare(exported: Backend, reference: Backend, pixels: Pixels, source: str) -> Agreement:
    """Run both over the same pictures, in full batches and a rest, and the first one alone.

    Args:
        exported: to judge.
        reference: torch in float32.
        pixels: (n, H, W, 3) of the network's input size, n at least 1.
        source: where they came from, in words.
    """
    ours, our_logits = _run(exported, pixels)
    theirs, their_logits = _run(reference, pixels)
    # A graph that fits one batch size only would fail here or disagree.
    alone, _ = exported(pixels[:1])
    cosines = np.append((ours * theirs).sum(axis=1) / 2, (alone * theirs[:1]).sum() / 2)
    differences = None
    if our_logits is not None and their_logits is not None:
        colours = exported.config.colours
        differences = np.abs(
            attribute_probabilities(our_logits, colours)
            - attribute_probabilities(their_logits, colours)
        )
    return Agreement(
        pictures=len(pixels),
        source=source,
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        attribute_max=None if differences is None else float(differences.max()),
        attribute_mean=None if differences is None else float(differences.mean()),
    )


def _run(backend: Backend, pixels: Pixels) -> tuple[Floats, Floats | None]:
    outputs = [backend(pixels[i : i + BATCH_SIZE]) for i in range(0, len(pixels), BATCH_SIZE)]
    logits = [of_batch for _, of_batch in outputs if of_batch is not None]
    vectors = np.concatenate([of_batch for of_batch, _ in outputs])
    return vectors, np.concatenate(logits) if logits else None
