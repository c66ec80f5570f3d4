"""Results as tables on the terminal."""

from __future__ import annotations

import sys

import numpy as np
from rich.console import Console
from rich.table import Table

from hatcnn.evaluation import AttributeScores, Evaluation, Group

# Where the output is no terminal there is no width to keep to.
console = Console(width=None if sys.stdout.isatty() else 120)


def table(title: str, *columns: str) -> Table:
    """An empty table whose columns after the first are aligned to the right."""
    made = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        made.add_column(column, justify="right" if i else "left", no_wrap=True)
    return made


def percent(value: float | None, *, undefined: str = "undefined") -> str:
    """A share as per cent with one digit."""
    return undefined if value is None or np.isnan(value) else f"{100 * value:.1f}"


def print_evaluation(result: Evaluation, *, title: str) -> None:
    """Rankings, attributes, cameras and groups."""
    ranks = (1, 5, 10, 20)
    rankings = table(title, "ranking", *(f"Rank-{k}" for k in ranks), "mAP", "mINP", "queries")
    for name, ranking in result.rankings.items():
        scores = (*(ranking.rank(k) for k in ranks), ranking.mAP, ranking.mINP)
        rankings.add_row(name, *map(percent, scores), str(ranking.matched.sum()))
    console.print(rankings)
    if result.attributes:
        console.print(attribute_table(result.attributes))
    if result.by_camera:
        console.print(_groups("by camera, query → gallery", result.by_camera))
    if result.by_attribute:
        console.print(_groups("how well, for whom", result.by_attribute))


def attribute_table(scores: AttributeScores) -> Table:
    """Every attribute and the means."""
    fields = ("accuracy", "majority", "balanced_accuracy", "f1", "average_precision")
    made = table("attributes", "attribute", "positive", "accuracy", "majority", "mA", "F1", "AP")
    for attribute in scores.attributes:
        values = (percent(getattr(attribute, field)) for field in fields)
        made.add_row(attribute.name, str(attribute.positives), *values)
    made.add_section()
    means = [scores.mean(field) for field in fields]
    made.add_row("mean of the defined", "", *(percent(mean) for mean, _ in means))
    made.add_row("defined for", "", *(str(count) for _, count in means))
    return made


def _groups(title: str, groups: tuple[Group, ...]) -> Table:
    made = table(title, "group", "queries", "people", "Rank-1", "mAP")
    for group in groups:
        made.add_row(
            group.name,
            str(group.queries),
            str(group.identities),
            percent(group.ranking.rank(1)),
            percent(group.ranking.mAP),
        )
    return made
