"""``hatcnn experiments PLAN --data ROOT --out RUNS``: run what a plan asks for, and tabulate it."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from hatcnn.cli.output import check_writable
from hatcnn.cli.source import Source
from hatcnn.cli.tables import console, table
from hatcnn.datasets import Dataset, hold_out
from hatcnn.errors import ExperimentError, HatcnnError
from hatcnn.experiments.plan import Plan, read_plan
from hatcnn.experiments.results import Outcome, outcomes, results_json, results_markdown
from hatcnn.experiments.runs import read_run
from hatcnn.files import write_json, write_text
from hatcnn.training.training import Machine, train


@dataclass(frozen=True, kw_only=True)
class ExperimentsOptions:
    """Run a plan's experiments one after the other. The same command goes on where it stopped."""

    plan: Annotated[Path, tyro.conf.Positional]
    """TOML file; benchmarks/plans in the source tree holds ours."""
    out: Path
    """Folder of the runs: OUT/NAME/seed-N."""
    data: str | None = None
    """Data set; none only tabulates what is finished."""
    source: Annotated[Source, tyro.conf.arg(name="")] = field(default_factory=Source)
    """How the data set is read."""
    results: Path | None = None
    """Write the results to this .json file and, as a table, to the .md file beside it. What the
    file says of runs whose folders are gone is kept, and they are not run again."""
    max_minutes: float | None = None
    """Stop cleanly after so many minutes; the same command goes on."""
    machine: Annotated[Machine, tyro.conf.arg(name="")] = field(default_factory=Machine)
    """Devices and machines."""


def main(arguments: list[str]) -> None:
    """Run the plan that the first argument names."""
    options = tyro.cli(ExperimentsOptions, prog="hatcnn experiments", args=arguments)
    plan = read_plan(options.plan)
    earlier = None
    if options.results:
        check_writable(options.results)
        earlier = _read_results(options.results)
    dataset = None
    if options.data:
        dataset = options.source.open(options.data)
        if plan.hold_out:
            dataset = hold_out(dataset, plan.hold_out)

    def finished() -> list[list[Outcome]]:
        name = dataset.name if dataset else None
        return [outcomes(plan, e, options.out, earlier, dataset=name) for e in plan.experiments]

    failed = _run(plan, options, dataset, finished()) if dataset else []
    found = finished()
    _print_states(plan, options.out, found)
    if options.results:
        write_json(options.results, results_json(plan, found))
        write_text(options.results.with_suffix(".md"), results_markdown(plan, found))
    if failed:
        raise ExperimentError("; ".join(failed))


def _read_results(path: Path) -> dict[str, Any] | None:
    """What the results file says so far; runs whose folders are gone live on in it."""
    if path.suffix != ".json":
        raise ExperimentError(
            f"{path}: name a .json file; the table goes to the .md file beside it"
        )
    if not path.exists():
        return None
    try:
        results: dict[str, Any] = json.loads(path.read_text())
        results["experiments"], results["evaluated_on"]
        return results
    except (ValueError, TypeError, KeyError) as error:
        raise ExperimentError(f"{path} is no results file ({error!r}): move it away") from None


def _run(
    plan: Plan,
    options: ExperimentsOptions,
    dataset: Dataset,
    finished: Sequence[Sequence[Outcome]],
) -> list[str]:
    """Train what neither its folder nor the results file says is finished.

    What failed is said at the end and does not stop the others.
    """
    started = time.monotonic()
    failed: list[str] = []
    for experiment, done in zip(plan.experiments, finished, strict=True):
        known = {o.seed for o in done}
        for folder, recipe in experiment.runs(options.out):
            if recipe.seed in known:
                continue
            left = None
            if options.max_minutes is not None:
                left = options.max_minutes - (time.monotonic() - started) / 60
                if left <= 0:
                    return failed
            print(f"{experiment.name}, seed {recipe.seed}: {folder}", flush=True)
            try:
                _check_data(folder, dataset.name)
                complete = train(
                    recipe,
                    dataset,
                    folder,
                    resume=True,
                    max_minutes=left,
                    machine=options.machine,
                )
            except HatcnnError as error:
                failed.append(f"{experiment.name}, seed {recipe.seed}: {error}")
                continue
            if not complete:
                return failed
    return failed


def _check_data(folder: Path, dataset: str) -> None:
    """Raise `ExperimentError` when the folder's run, if there is one, saw other data."""
    if not (folder / "recipe.json").exists():
        return
    seen = read_run(folder).dataset
    if seen not in (None, dataset):
        raise ExperimentError(f"the run saw {seen}, not {dataset}: name another --out")


def _print_states(plan: Plan, root: Path, finished: Sequence[Sequence[Outcome]]) -> None:
    states = table(plan.title, "experiment", "seed", "state")
    for experiment, done in zip(plan.experiments, finished, strict=True):
        known = {o.seed for o in done}
        for folder, recipe in experiment.runs(root):
            state = "finished" if recipe.seed in known else _state(folder)
            states.add_row(experiment.name, str(recipe.seed), state)
    console.print(states)


def _state(folder: Path) -> str:
    if not (folder / "recipe.json").exists():
        return "waiting"
    run = read_run(folder)
    return f"{len(run.epochs)} of {run.recipe['epochs']} epochs"
