"""``hatcnn explain IMAGE [IMAGE2]``: what the network saw, or what made two pictures alike."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import numpy.typing as npt
import tyro

from hatcnn import images
from hatcnn.attributes import ATTRIBUTES, NAMES, column
from hatcnn.cli.output import check_writable, write_report
from hatcnn.errors import ConfigError
from hatcnn.inference.explanation import Comparison, Explainer, Explanation
from hatcnn.visualize.explained import comparison_figure, explanation_figure, likely_attributes
from hatcnn.visualize.figures import check_suffix, save


@dataclass(frozen=True, kw_only=True)
class ExplainOptions:
    """Draw where the network looked in one picture, or what made two pictures alike."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional]
    """One picture, or two."""
    model: Path
    """Model folder, such as RUN/model, or the name of one that comes with the package."""
    out: Path
    """The .png or .svg file to draw."""
    attributes: tuple[str, ...] = ()
    """Of one picture: attributes to look for; without them those that it is said to have."""
    attribute_weight: float = 0.0
    """Of two pictures: factor of the attributes in the similarity; 0 compares as a gallery does."""
    json: Path | None = None
    """Write the numbers to this file; - for standard output."""


def main(arguments: list[str]) -> None:
    """Explain the pictures that the first arguments name."""
    options = tyro.cli(ExplainOptions, prog="hatcnn explain", args=arguments)
    if len(options.images) not in (1, 2):
        raise ConfigError(f"explain takes one picture or two, not {len(options.images)}")
    if len(options.images) == 2 and options.attributes:
        raise ConfigError("--attributes looks for attributes in one picture, not in two")
    if len(options.images) == 1 and options.attribute_weight:
        raise ConfigError("--attribute-weight is of the similarity of two pictures")
    check_suffix(options.out)
    check_writable(options.out)
    columns = [column(name) for name in options.attributes]
    pictures = [images.load(path) for path in options.images]
    explainer = Explainer.load(options.model)
    if columns and explainer.config.attributes == "none":
        raise ConfigError(f"{options.model} predicts no attributes: leave out --attributes")
    names = [path.name for path in options.images]
    if len(pictures) == 1:
        explanation = explainer.explain(pictures[0])
        figure = explanation_figure(explanation, title=names[0], attributes=columns or None)
        numbers, words = _of_one(explanation)
    else:
        comparison = explainer.compare(*pictures, attribute_weight=options.attribute_weight)
        figure = comparison_figure(comparison, captions=(names[0], names[1]))
        numbers, words = _of_two(comparison)
    save(figure, options.out)
    report = {
        "images": [str(path) for path in options.images],
        "model": str(options.model),
        "out": str(options.out),
        **numbers,
    }
    if write_report(report, options.json):
        return
    print(words)
    print(f"drawn: {options.out}")


def _of_one(explanation: Explanation) -> tuple[dict[str, Any], str]:
    numbers = {
        "levels": [
            {
                "attention": {
                    "lowest": float(level.soft.min()),
                    "highest": float(level.soft.max()),
                },
                "region_centres": level.centres.tolist(),
            }
            for level in explanation.levels
        ],
        "attributes": _by_name(explanation.probabilities),
    }
    said = [ATTRIBUTES[i].present for i in likely_attributes(explanation)]
    return numbers, f"said to have: {', '.join(said) or 'nothing'}"


def _of_two(comparison: Comparison) -> tuple[dict[str, Any], str]:
    numbers = {
        "similarity": comparison.similarity,
        "attribute_weight": comparison.attribute_weight,
        "shares": comparison.shares,
        "attribute_shares": _by_name(comparison.attribute_shares),
        "attributes": [_by_name(e.probabilities) for e in (comparison.first, comparison.second)],
    }
    # Adding zero turns "-0.000" into "+0.000".
    rows = [f"  {name:<12}{round(x, 3) + 0.0:+.3f}" for name, x in comparison.shares.items()]
    return numbers, "\n".join([f"similarity {comparison.similarity:.3f}, made of", *rows])


def _by_name(values: npt.NDArray[np.float32] | None) -> dict[str, float] | None:
    return None if values is None else dict(zip(NAMES, values.tolist(), strict=True))
