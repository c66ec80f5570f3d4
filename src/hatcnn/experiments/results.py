"""What came of a plan: one line an experiment, as data and as a table."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, stdev
from typing import Any

from hatcnn.datasets.holdout import holds_out
from hatcnn.errors import ExperimentError
from hatcnn.experiments.plan import Experiment, Plan
from hatcnn.experiments.runs import Run, read_run
from hatcnn.training.recipe import differences, with_identities


@dataclass(frozen=True)
class Outcome:
    """One finished run.

    Attributes:
        seed, epochs: of its recipe.
        rank_1, mAP: ranked by identity, per cent.
        attributes_rank_1, attributes_mAP: ranked with attributes, where there are any.
        balanced_accuracy, f1: means over the attributes, per cent; likewise.
        minutes: in training steps.
        device: it ran on, and in what arithmetic.
        commit: of the code.
        dataset: trained and evaluated on; none in results that do not say.
    """

    seed: int
    epochs: int
    rank_1: float
    mAP: float
    attributes_rank_1: float | None
    attributes_mAP: float | None
    balanced_accuracy: float | None
    f1: float | None
    minutes: float
    device: str
    commit: str | None
    dataset: str | None = None


def outcome(run: Run) -> Outcome:
    """The scores of a run's last evaluation.

    Raises:
        ExperimentError: when it has none.
    """
    if not run.evaluations:
        raise ExperimentError(f"the run in {run.path} was not evaluated yet")
    identity = run.last["rankings"]["identity"]
    joint = run.last["rankings"].get("with attributes")
    scores = run.last["attributes"]
    means = scores["means"] if scores else {}
    return Outcome(
        seed=run.recipe["seed"],
        epochs=run.recipe["epochs"],
        rank_1=identity["rank_1"],
        mAP=identity["mAP"],
        attributes_rank_1=joint["rank_1"] if joint else None,
        attributes_mAP=joint["mAP"] if joint else None,
        balanced_accuracy=_percent(means.get("balanced_accuracy")),
        f1=_percent(means.get("f1")),
        minutes=run.seconds / 60,
        device=run.device,
        commit=run.environment["commit"],
        dataset=run.dataset,
    )


def _percent(score: dict[str, Any] | None) -> float | None:
    """None also where no attribute's score is defined."""
    return 100 * score["mean"] if score and score["mean"] is not None else None


def outcomes(
    plan: Plan,
    experiment: Experiment,
    root: Path,
    earlier: Mapping[str, Any] | None = None,
    *,
    dataset: str | None = None,
) -> list[Outcome]:
    """Those of the experiment's seeds that are finished, as plan and experiment are now.

    Args:
        plan: says what its runs are evaluated on.
        experiment: of the plan.
        root: folder of the plan's runs.
        earlier: what `results_json` said before. What it says of a seed counts where the run is
            no longer there and the experiment is still the same.
        dataset: name of the one that the runs must have seen; none where any will do that has
            as many identities held out as the plan says.

    Raises:
        ExperimentError: when what was said before is of another data set.
    """

    def same_data(seen: str | None) -> bool:
        if seen is None:  # written before runs said it
            return True
        return holds_out(seen, plan.hold_out) and dataset in (None, seen)

    kept: dict[int, Outcome] = {}
    if earlier and earlier["evaluated_on"] == evaluated_on(plan):
        for entry in earlier["experiments"]:
            if (entry["name"], entry["recipe"], entry["flags"]) == _identity(experiment):
                kept = {o["seed"]: Outcome(**o) for o in entry["finished"]}
    for one in kept.values():
        if not same_data(one.dataset):
            raise ExperimentError(
                f"the results so far are of {one.dataset}, not of {dataset}: name another --results"
            )
    found = []
    for folder, recipe in experiment.runs(root):
        if (folder / "recipe.json").exists():
            run = read_run(folder)
            asked = with_identities(recipe, run.recipe["model"]["num_identities"])
            if run.finished and same_data(run.dataset) and not differences(run.recipe, asked):
                found.append(outcome(run))
        elif kept.get(recipe.seed) and kept[recipe.seed].epochs == recipe.epochs:
            found.append(kept[recipe.seed])
    return found


def _identity(experiment: Experiment) -> tuple[str, str, str]:
    return experiment.name, experiment.recipe.name, experiment.flags


def results_json(plan: Plan, found: Sequence[Sequence[Outcome]]) -> dict[str, Any]:
    """Every finished run of a plan, seed by seed; `found` has one list an experiment."""
    return {
        "title": plan.title,
        "evaluated_on": evaluated_on(plan),
        "experiments": [
            {
                "name": experiment.name,
                "words": experiment.words,
                "recipe": experiment.recipe.name,
                "flags": experiment.flags,
                "seeds": list(experiment.seeds),
                "finished": [asdict(o) for o in finished],
            }
            for experiment, finished in zip(plan.experiments, found, strict=True)
        ],
    }


def evaluated_on(plan: Plan) -> str:
    """In words, for tables."""
    return f"{plan.hold_out} held-out training identities" if plan.hold_out else "the test set"


_COLUMNS: tuple[tuple[str, Callable[[Outcome], float | None]], ...] = (
    ("Rank-1", lambda o: o.rank_1),
    ("mAP", lambda o: o.mAP),
    ("with attributes", lambda o: o.attributes_mAP),
    ("mA", lambda o: o.balanced_accuracy),
    ("F1", lambda o: o.f1),
)


def results_markdown(plan: Plan, found: Sequence[Sequence[Outcome]]) -> str:
    """A table of what is finished: means over the seeds, with their standard deviation."""
    head = ("experiment", "seeds", "epochs", *(name for name, _ in _COLUMNS), "minutes", "device")
    lines = [
        f"# {plan.title}",
        "",
        f"Evaluated on {evaluated_on(plan)}, single query. *with attributes* is the mAP of the "
        "ranking with attributes; several seeds are a mean ± their standard deviation; minutes "
        "are those of one run's training steps.",
        "",
        _row(head),
        _row(["---"] * len(head)),
    ]
    for experiment, finished in zip(plan.experiments, found, strict=True):
        label = f"**{experiment.name}** {experiment.words}".strip()
        if not finished:
            lines.append(_row((label, f"0 of {len(experiment.seeds)}", *[""] * (len(head) - 2))))
            continue
        done = ", ".join(str(o.seed) for o in finished)
        values = [spread([column(o) for o in finished]) for _, column in _COLUMNS]
        minutes = f"{mean(o.minutes for o in finished):.0f}"
        devices = ", ".join(sorted({o.device for o in finished}))
        lines.append(_row((label, done, str(finished[0].epochs), *values, minutes, devices)))
    return "\n".join(lines) + "\n"


def spread(values: Sequence[float | None]) -> str:
    """Mean and standard deviation, one digit each; one value alone; nothing for none."""
    known = [value for value in values if value is not None]
    if not known:
        return ""
    deviation = f" ± {stdev(known):.1f}" if len(known) > 1 else ""
    return f"{mean(known):.1f}{deviation}"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
