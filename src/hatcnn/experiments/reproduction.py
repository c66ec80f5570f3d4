"""The paper's Table 1 and findings from finished runs. Figures are in `visualize.curves`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from hatcnn.errors import ExperimentError
from hatcnn.experiments import published
from hatcnn.experiments.results import spread
from hatcnn.experiments.runs import Run
from hatcnn.training.recipe import differences, resolved
from hatcnn.training.recipes import recipe_named

DATASET = "Market-1501"
Score = Literal["rank_1", "mAP"]
IDENTITY, JOINT = "identity", "with attributes"

_METHODS = (
    ("hacnn-paper", IDENTITY, "HA-CNN"),
    ("hatcnn-paper", IDENTITY, "HAT-CNN, ranked without attributes"),
    ("hatcnn-paper", JOINT, "HAT-CNN, ranked with attributes"),
    ("hatcnn-local-joint", IDENTITY, "local branch predicts attributes too"),
    ("hatcnn-local-attributes", IDENTITY, "local branch predicts attributes only"),
    ("hatcnn-plus", IDENTITY, "hatcnn-plus, ranked without attributes"),
    ("hatcnn-plus", JOINT, "hatcnn-plus, ranked with attributes"),
)

_RECIPES = frozenset(recipe for recipe, _, _ in _METHODS)
_FREE = frozenset(
    ("epochs", "seed", "start_from", "model.num_identities", "precision", "compile",
     "evaluate_every", "checkpoint_every")
)  # fmt: skip
"""Fields that leave a recipe what it is; captions name the first three by themselves."""


@dataclass(frozen=True)
class Series:
    """Runs of one recipe, length and every other field included, that differ by their seed.

    Attributes:
        runs: at least one, finished, by seed.
    """

    runs: tuple[Run, ...]

    @property
    def epochs(self) -> int:
        """Length of the schedule."""
        return int(self.runs[0].recipe["epochs"])

    @property
    def length(self) -> str:
        """Its epochs in words, and whether they were all that the weights have seen."""
        start = self.runs[0].recipe.get("start_from")
        return f"{self.epochs} epochs{' more, from trained weights' if start else ''}"

    @property
    def changes(self) -> dict[str, Any]:
        """Fields in which the runs are not what their recipe's name says."""
        recipe = self.runs[0].recipe
        found = differences(recipe, recipe_named(recipe["name"]))
        return {field: value for field, (value, _) in found.items() if field not in _FREE}

    @property
    def changed(self) -> str:
        """`changes` in words."""
        return ", ".join(f"{field} {value}" for field, value in self.changes.items())

    @property
    def label(self) -> str:
        """Length, changed fields, seeds and commits, for captions."""
        seeds = ", ".join(str(run.recipe["seed"]) for run in self.runs)
        commits = ", ".join(sorted({str(run.environment["commit"]) for run in self.runs}))
        devices = ", ".join(sorted({run.device for run in self.runs}))
        changes = f", {self.changed}" if self.changes else ""
        return f"{self.length}{changes}, seed {seeds}, {devices}, commit {commits}"

    def curve(self, ranking: str, score: Score) -> tuple[list[int], list[list[float]]]:
        """Epochs at which every run was evaluated, and the runs' scores at each."""
        epochs = sorted(set.intersection(*(set(run.evaluations) for run in self.runs)))
        return epochs, [[self._score(run, e, ranking, score) for run in self.runs] for e in epochs]

    def final(self, ranking: str, score: Score) -> list[float]:
        """The runs' scores at the end."""
        return [self._score(run, self.epochs, ranking, score) for run in self.runs]

    @staticmethod
    def _score(run: Run, epoch: int, ranking: str, score: Score) -> float:
        return float(run.evaluations[epoch]["rankings"][ranking][score])


def series_by_recipe(runs: Sequence[Run]) -> dict[str, Series]:
    """For each recipe in the table its longest finished schedule on Market-1501's test set.

    Where several variants are as long, the unchanged recipe counts, and then the one with the most
    seeds. What predicts other attributes, or none, is another method.

    Raises:
        ExperimentError: when no run qualifies.
    """
    usable = [
        run for run in runs
        if run.name in _RECIPES and run.finished and run.dataset == DATASET
    ]  # fmt: skip
    if not usable:
        raise ExperimentError(
            f"none of the {len(runs)} runs is finished and evaluated on {DATASET}'s test set: "
            "run the source tree's benchmarks/plans/paper.toml with 'hatcnn experiments' first"
        )
    chosen = {}
    for name in sorted({run.name for run in usable}):
        variants: dict[str, dict[int, Run]] = {}
        for run in (run for run in usable if run.name == name):
            fields = {k: v for k, v in resolved(run.recipe).items() if k != "seed"}
            by_seed = variants.setdefault(json.dumps(fields, sort_keys=True), {})
            by_seed[run.recipe["seed"]] = run
        series = [Series(tuple(v[seed] for seed in sorted(v))) for v in variants.values()]
        if same := [s for s in series if "model.attributes" not in s.changes]:
            chosen[name] = max(same, key=lambda s: (s.epochs, not s.changes, len(s.runs)))
    if not chosen:
        raise ExperimentError(f"each of the {len(usable)} runs predicts other attributes")
    return chosen


def table_1(found: dict[str, Series]) -> str:
    """Table 1 as Markdown: the published rows, then ours."""
    lines = [
        "| method | Rank-1 | mAP | where from |",
        "| --- | --- | --- | --- |",
        *(f"| {row.method} | {row.rank_1} | {row.mAP} | the paper |" for row in published.TABLE_1),
    ]
    for recipe, ranking, method in _METHODS:
        if series := found.get(recipe):
            scores = (spread(series.final(ranking, s)) for s in ("rank_1", "mAP"))
            lines.append(f"| {method} | {' | '.join(scores)} | ours: {series.label} |")
    return "\n".join(lines)


def findings(found: dict[str, Series]) -> list[str]:
    """The paper's three findings, and what our runs say of each."""
    hat, plain = found.get("hatcnn-paper"), found.get("hacnn-paper")
    joint, plus = found.get("hatcnn-local-joint"), found.get("hatcnn-plus")
    words = [
        _attributes_early(hat),
        _compare(
            "a network of its own for the attributes beats learning them in the local branch, by "
            "about 5 points of mAP.",
            ("the network of its own", hat),
            ("the local branch", joint),
            expected=published.WITHOUT_ATTRIBUTES.mAP - published.LOCAL_JOINT.mAP,
        ),
        _compare(
            "HAT-CNN improves HA-CNN's mAP, by 1.0 as printed, by 0.9 without and 0.5 with "
            "attributes at the ends of its own curves.",
            ("HAT-CNN", hat),
            ("HA-CNN", plain),
            expected=published.WITHOUT_ATTRIBUTES.mAP - published.TABLE_1[3].mAP,
        )
        + " The attribute network shares no layer with the rest: ranked by identity the two are "
        "one network, and with one seed and the same arithmetic they give the same numbers. A "
        "difference here lies between runs, not between methods.",
    ]
    if plus:
        ours, paper = mean(plus.final(IDENTITY, "mAP")), published.WITHOUT_ATTRIBUTES.mAP
        words.append(
            f"**hatcnn-plus beside the paper.** {ours:.1f} mAP after {plus.length}, "
            f"{abs(ours - paper):.1f} {'above' if ours > paper else 'below'} the paper's HAT-CNN "
            f"after {published.EPOCHS}."
        )
    words += [
        f"**{name} was changed** in the runs that are told of here: {series.changed}."
        for name, series in found.items()
        if series.changes
    ]
    return words


def _attributes_early(hat: Series | None) -> str:
    claim = (
        "**The paper: attributes in the ranking help early and not at the end** "
        "(epoch 240: Rank-1 +0.4, mAP -0.4)."
    )
    if hat is None:
        return f"{claim} Not measured: no finished run of hatcnn-paper."
    epochs, without = hat.curve(IDENTITY, "mAP")
    _, joint = hat.curve(JOINT, "mAP")
    gains = [mean(w) - mean(o) for w, o in zip(joint, without, strict=True)]
    first, last = gains[0], gains[-1]
    began = "1 epoch" if epochs[0] == 1 else f"{epochs[0]} epochs"
    verdict = "we find the same" if last <= 0 < first else "we find otherwise"
    if hat.epochs < published.EPOCHS:
        verdict = (
            f"after {hat.epochs} of {published.EPOCHS} epochs this is still the early part, which "
            f"{'agrees' if first > 0 else 'differs'}, and says nothing of the end"
        )
    then = f", {last:+.1f} after {epochs[-1]}" if len(epochs) > 1 else ""
    return f"{claim} Ours: {first:+.1f} mAP after {began}{then}; {verdict}."


def _compare(
    claim: str, a: tuple[str, Series | None], b: tuple[str, Series | None], *, expected: float
) -> str:
    """Two recipes' final mAP beside the difference that the paper reports."""
    claim = f"**The paper: {claim}**"
    (name, ours), (other, theirs) = a, b
    if ours is None or theirs is None:
        missing = " and ".join(n for n, series in (a, b) if series is None)
        return f"{claim} Not measured: no finished run of {missing}."
    if ours.epochs != theirs.epochs:
        return f"{claim} Not comparable: {ours.epochs} epochs beside {theirs.epochs}."
    difference = mean(ours.final(IDENTITY, "mAP")) - mean(theirs.final(IDENTITY, "mAP"))
    if round(difference, 1) == 0:
        same = "no difference"
    else:
        same = "the same direction" if difference * expected > 0 else "the other direction"
    seeds = min(len(ours.runs), len(theirs.runs))
    caution = "; one seed each, and mAP moves by 1.3 from checkpoint to checkpoint"
    return (
        f"{claim} Ours, ranked by identity after {ours.epochs} epochs: {name} {difference:+.1f} "
        f"beside {other} (the paper {expected:+.1f}), {same}{caution if seeds == 1 else ''}."
    )
