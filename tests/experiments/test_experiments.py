import json
import shutil

import pytest

from hatcnn.cli.main import run
from hatcnn.datasets.manifest import write_dataset
from hatcnn.errors import ExperimentError
from tests.training.runs import crowd

PLAN = """
title = "Tiny"
hold_out = 4
flags = '''--epochs 2 --evaluate-every 1 --model.channels 16 32 32 --model.stem-channels 8
    --model.height 48 --model.width 32 --model.feature-dim 16 --sampling.batch-size 16'''
seeds = [0, 1]
[[experiment]]
name = "shared"
words = "one head"
recipe = "smoke"
[[experiment]]
name = "none"
recipe = "smoke"
flags = "--model.attributes none"
seeds = [3]
"""


@pytest.fixture
def command(tmp_path):
    data = write_dataset(crowd(), tmp_path / "crowd").parent
    plan = tmp_path / "plan.toml"
    plan.write_text(PLAN)
    runs, results = tmp_path / "runs", tmp_path / "results.json"

    def go(*flags, train=True):
        training = ["--data", str(data), "--accelerator", "cpu"] if train else []
        run(["experiments", str(plan), "--out", str(runs), "--results", str(results), *training,
             *map(str, flags)])  # fmt: skip
        return json.loads(results.read_text())["experiments"]

    go.runs, go.plan, go.table = runs, plan, results.with_suffix(".md")
    return go


def test_a_plan_runs_resumes_and_reports_what_the_runs_measured(command):
    waiting = command(train=False)
    assert [e["finished"] for e in waiting] == [[], []]

    shared, none = command("--max-minutes", 0.0001)
    assert not shared["finished"], "stopped in the first run"
    assert (command.runs / "shared/seed-0/last.ckpt").exists()
    assert not none["finished"]

    shared, none = command()
    assert [o["seed"] for o in shared["finished"]] == [0, 1]
    assert [o["seed"] for o in none["finished"]] == [3]
    metrics = (command.runs / "shared/seed-1/metrics.jsonl").read_text().splitlines()
    last = json.loads(metrics[-1])["evaluation"]
    found = shared["finished"][1]
    assert found["mAP"] == last["rankings"]["identity"]["mAP"]
    assert found["attributes_rank_1"] == last["rankings"]["with attributes"]["rank_1"]
    assert none["finished"][0]["attributes_mAP"] is None
    asked = json.loads((command.runs / "none/seed-3/recipe.json").read_text())
    assert asked["dataset"].endswith("4 training identities held out")

    table = command.table.read_text()
    mean = sum(o["mAP"] for o in shared["finished"]) / 2
    assert "| **shared** one head | 0, 1 | 2 |" in table
    assert f"| {mean:.1f} ± " in table

    before = {p: p.stat().st_mtime_ns for p in command.runs.rglob("metrics.jsonl")}
    command()
    assert before == {p: p.stat().st_mtime_ns for p in command.runs.rglob("metrics.jsonl")}


def test_results_outlive_the_runs_they_came_from(command):
    before = command()
    shutil.rmtree(command.runs / "shared/seed-0")
    after = command(train=False)
    assert after == before
    assert command() == before
    assert not (command.runs / "shared/seed-0").exists(), "what is known is not run again"
    command.plan.write_text(PLAN.replace("--model.attributes none", "--model.attributes separate"))
    shutil.rmtree(command.runs)
    shared, none = command(train=False)
    assert [o["seed"] for o in shared["finished"]] == [0, 1]
    assert none["finished"] == [], "what was measured was another experiment"
    command.plan.write_text(PLAN.replace("--epochs 2", "--epochs 3"))
    assert [e["finished"] for e in command(train=False)] == [[], []]


def test_a_plan_that_changed_is_not_answered_by_the_runs_of_before(command):
    command.plan.write_text(PLAN.replace("[0, 1]", "[0]"))
    command()
    command.plan.write_text(PLAN.replace("[0, 1]", "[0]").replace("--epochs 2", "--epochs 3"))
    assert [e["finished"] for e in command(train=False)] == [[], []]
    assert [o["epochs"] for e in command() for o in e["finished"]] == [3, 3], "they went on"
    command.plan.write_text(
        command.plan.read_text().replace("attributes none", "attributes shared")
    )
    shared, none = command(train=False)
    assert len(shared["finished"]) == 1
    assert none["finished"] == [], "what was measured was another experiment"
    with pytest.raises(ExperimentError, match=r"model\.attributes was none, now shared"):
        command()
    command.plan.write_text(command.plan.read_text().replace("hold_out = 4", "hold_out = 3"))
    assert [e["finished"] for e in command(train=False)] == [[], []], "of other people"


def test_what_was_measured_on_other_data_does_not_count(command, tmp_path):
    command.plan.write_text(PLAN.replace("[0, 1]", "[0]"))
    command()
    other = shutil.copytree(tmp_path / "crowd", tmp_path / "others")
    results = command.table.with_suffix(".json")
    before = results.read_text()
    with pytest.raises(ExperimentError, match=r"are of crowd, 4 training .* not of others, 4"):
        command("--data", other)
    assert results.read_text() == before, "what was measured is not lost"
    words = r"shared, seed 0: the run saw crowd, 4 training .* not others, 4 training"
    with pytest.raises(ExperimentError, match=words):
        command("--data", other, "--results", tmp_path / "others.json")
    assert (tmp_path / "others.md").read_text().count("0 of 1") == 2


def test_results_are_written_over_no_other_file(command, tmp_path):
    table = tmp_path / "results.md"
    with pytest.raises(ExperimentError, match=r"name a \.json file"):
        command("--results", table, train=False)
    other = tmp_path / "other.json"
    other.write_text('{"mine": 1}')
    with pytest.raises(ExperimentError, match="is no results file"):
        command("--results", other, train=False)
    assert other.read_text() == '{"mine": 1}'


def test_a_mean_that_is_not_defined_is_left_empty(command):
    command.plan.write_text(PLAN.replace("[0, 1]", "[0]"))
    before = command()
    metrics = command.runs / "shared/seed-0/metrics.jsonl"
    lines = [json.loads(line) for line in metrics.read_text().splitlines()]
    lines[-1]["evaluation"]["attributes"]["means"]["f1"]["mean"] = None
    metrics.write_text("\n".join(map(json.dumps, lines)))
    after = command(train=False)
    assert before[0]["finished"][0]["f1"] is not None
    assert after[0]["finished"][0] == {**before[0]["finished"][0], "f1": None}


def test_a_run_that_fails_is_named_and_the_others_go_on(command):
    command.plan.write_text(
        PLAN.replace('words = "one head"', 'flags = "--optimiser.lr 1e30"').replace("[0, 1]", "[0]")
    )
    with pytest.raises(ExperimentError, match="shared, seed 0: the loss is not finite"):
        command()
    (_, none) = json.loads(command.table.with_suffix(".json").read_text())["experiments"]
    assert len(none["finished"]) == 1
