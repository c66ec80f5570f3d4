"""``hatcnn experiments PLAN --data ROOT --out RUNS``: run what a plan asks for, and tabulate it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import tyro

from hatcnn.cli.output import check_writable
from hatcnn.cli.tables import console, table
from hatcnn.datasets import hold_out, open_dataset
from hatcnn.errors import ExperimentError, TrainingError
from hatcnn.experiments.plan import Plan, read_plan
from hatcnn.experiments.results import outcomes, results_json, results_markdown
from hatcnn.experiments.runs import read_run
from hatcnn.files import write_json, write_text
from hatcnn.training.training import Machine, train


@dataclass(frozen=True, kw_only=True)
class ExperimentsOptions:
    """Run a plan's experiments one after the other. The same command goes on where it stopped."""

    plan: Annotated[Path, tyro.conf.Positional]
    """TOML file; benchmarks/plans holds ours."""
    out: Path
    """Folder of the runs: OUT/NAME/seed-N."""
    data: str | None = None
    """Data set; none only tabulates what is finished."""
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
    failed = _run(plan, options, earlier) if options.data else []
    _print_states(plan, options.out, earlier)
    if options.results:
        found = [outcomes(experiment, options.out, earlier) for experiment in plan.experiments]
        write_json(options.results, results_json(plan, found))
        write_text(options.results.with_suffix(".md"), results_markdown(plan, found))
    if failed:
        raise ExperimentError("; ".join(failed))


def _read_results(path: Path) -> dict[str, Any] | None:
    """What the results file says so far; runs whose folders are gone live on in it."""
    if not path.exists():
        return None
    try:
        results: dict[str, Any] = json.loads(path.read_text())
        return results
    except ValueError as error:
        raise ExperimentError(f"{path} is no results file ({error}): move it away") from None


def _run(plan: Plan, options: ExperimentsOptions, earlier: Mapping[str, Any] | None) -> list[str]:
    """Train what neither its folder nor the results file says is finished.

    What failed is said at the end and does not stop the others.
    """
    assert options.data
    dataset = open_dataset(options.data)
    if plan.hold_out:
        dataset = hold_out(dataset, plan.hold_out)
    started = time.monotonic()
    failed: list[str] = []
    for experiment in plan.experiments:
        known = {o.seed for o in outcomes(experiment, options.out, earlier)}
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
                finished = train(
                    recipe,
                    dataset,
                    folder,
                    resume=True,
                    max_minutes=left,
                    machine=options.machine,
                )
            except TrainingError as error:
                failed.append(f"{experiment.name}, seed {recipe.seed}: {error}")
                continue
            if not finished:
                return failed
    return failed


def _print_states(plan: Plan, root: Path, earlier: Mapping[str, Any] | None) -> None:
    states = table(plan.title, "experiment", "seed", "state")
    for experiment in plan.experiments:
        known = {o.seed for o in outcomes(experiment, root, earlier)}
        for folder, recipe in experiment.runs(root):
            state = "finished" if recipe.seed in known else _state(folder)
            states.add_row(experiment.name, str(recipe.seed), state)
    console.print(states)


def _state(folder: Path) -> str:
    if not (folder / "recipe.json").exists():
        return "waiting"
    run = read_run(folder)
    return f"{len(run.epochs)} of {run.recipe['epochs']} epochs"
