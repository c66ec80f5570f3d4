import json
import shutil
from dataclasses import asdict, replace

import pytest

from hatcnn.cli.main import run
from hatcnn.errors import ExperimentError
from hatcnn.experiments.reproduction import findings, series_by_recipe
from hatcnn.experiments.runs import find_runs, read_run
from hatcnn.training.recipes import recipe_named

METRICS = {"epoch": 1, "seconds": 60.0}


@pytest.fixture
def make(tmp_path):
    """Write a run folder whose scores are given: {epoch: (rank_1, mAP, with attributes, …)}."""

    def write(name, scores, *, seed=0, epochs=None, dataset="Market-1501", folder=None, absent=(),
              **fields):  # fmt: skip
        path = tmp_path / "runs" / (folder or f"{name}-{seed}")
        path.mkdir(parents=True)
        recipe = replace(recipe_named(name), seed=seed, epochs=epochs or max(scores), **fields)
        recipe = {k: v for k, v in asdict(recipe).items() if k not in absent}
        (path / "recipe.json").write_text(json.dumps({"recipe": recipe, "dataset": dataset}))
        (path / "environment.json").write_text(json.dumps({"device": "cpu", "commit": "abc"}))
        lines = [METRICS]
        for epoch, (rank_1, mAP, *joint) in scores.items():
            rankings = {"identity": {"rank_1": rank_1, "mAP": mAP}}
            if joint:
                rankings["with attributes"] = {"rank_1": joint[0], "mAP": joint[1]}
            lines.append({"epoch": epoch, "evaluation": {"rankings": rankings}})
        (path / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
        return path

    write.root = tmp_path / "runs"
    return write


def test_table_figures_and_words_come_from_the_runs(make, tmp_path, capsys):
    make("hatcnn-paper", {20: (50, 30, 54, 33), 240: (90, 74, 90.5, 73)}, seed=0)
    make("hatcnn-paper", {20: (52, 32, 55, 34), 240: (91, 76, 91.5, 75)}, seed=1)
    make("hacnn-paper", {240: (91, 76)})
    make("hatcnn-local-joint", {20: (40, 20, 41, 21), 240: (85, 65, 86, 66)})
    out = tmp_path / "out"
    run(["reproduce", str(make.root), "--out", str(out)])
    report = (out / "README.md").read_text()
    assert "| HA-CNN | 91.2 | 75.7 | the paper |" in report
    assert "| HAT-CNN, ranked without attributes | 90.5 ± 0.7 | 75.0 ± 1.4 | ours: " in report
    assert "| HAT-CNN, ranked with attributes | 91.0 ± 0.7 | 74.0 ± 1.4 | ours: " in report
    assert "240 epochs, seed 0, 1, cpu, commit abc" in report
    assert "+2.5 mAP after 20 epochs, -1.0 after 240; we find the same" in report
    assert "the network of its own +10.0 beside the local branch (the paper +4.3)" in report
    assert "HAT-CNN -1.0 beside HA-CNN (the paper +0.9), the other direction" in report
    assert "4 of 4 runs used" in capsys.readouterr().out
    for figure in ("figure-2", "figure-3", "figure-4"):
        assert (out / f"{figure}.png").read_bytes().startswith(b"\x89PNG")
        assert b"</svg>" in (out / f"{figure}.svg").read_bytes()
        assert f"({figure}.png)" in report
    first = (out / "figure-2.svg").read_bytes()
    run(["reproduce", str(make.root), "--out", str(out)])
    assert (out / "figure-2.svg").read_bytes() == first


def test_short_schedules_and_missing_runs_are_said(make, tmp_path):
    make("hatcnn-paper", {2: (20, 10, 26, 14), 4: (30, 20, 34, 23)})
    make("hacnn-paper", {3: (30, 21)})
    run(["reproduce", str(make.root), "--out", str(tmp_path / "out")])
    report = (tmp_path / "out" / "README.md").read_text()
    assert "after 4 of 240 epochs this is still the early part, which agrees" in report
    assert "Not comparable: 4 epochs beside 3." in report
    assert "Not drawn: no finished run of hatcnn-local-joint" in report
    make("hacnn-paper", {4: (30, 20)}, seed=1)
    run(["reproduce", str(make.root), "--out", str(tmp_path / "out")])
    report = (tmp_path / "out" / "README.md").read_text()
    assert "HAT-CNN +0.0 beside HA-CNN (the paper +0.9), no difference; one seed" in report
    assert not (tmp_path / "out" / "figure-4.png").exists()


def test_only_finished_runs_on_the_test_set_count_and_the_longest_wins(make):
    make("hatcnn-paper", {2: (20, 10, 26, 14)}, epochs=4, folder="unfinished")
    make("hatcnn-paper", {9: (99, 99, 99, 99)}, dataset="Market-1501, 9 held out", folder="held")
    with pytest.raises(ExperimentError, match="none of the 2 runs is finished"):
        series_by_recipe(find_runs(make.root))
    make("hatcnn-paper", {2: (20, 10, 26, 14)}, folder="short")
    make("hatcnn-paper", {3: (21, 11, 27, 15)}, folder="long")
    (series,) = series_by_recipe(find_runs(make.root)).values()
    assert [r.path.name for r in series.runs] == ["long"]
    assert findings({})[0].endswith("Not measured: no finished run of hatcnn-paper.")


def test_runs_of_different_fields_are_no_seeds_of_one_another(make):
    ours = {"start_from": "hatcnn-plus"}
    make("hatcnn-plus", {8: (80, 60, 81, 61)}, absent=["freeze_batch_norm"], **ours)
    make("hatcnn-plus", {8: (82, 62, 83, 63)}, seed=1, **ours)
    make("hatcnn-plus", {8: (30, 20, 31, 21)}, seed=2, start_from="")
    found = series_by_recipe(find_runs(make.root))
    assert [run.recipe["seed"] for run in found["hatcnn-plus"].runs] == [0, 1]
    assert found["hatcnn-plus"].label.startswith("8 epochs more, from trained weights, seed 0, 1")
    assert "61.0 mAP after 8 epochs more, from trained weights" in findings(found)[-1]


def test_a_changed_recipe_is_said_to_be_one_and_another_method_is_none(make):
    without = replace(recipe_named("hatcnn-plus").loss, triplet_weight=0.0)
    make("hatcnn-plus", {8: (30, 20, 31, 21)}, loss=without)
    make("hatcnn-plus", {8: (31, 21, 32, 22)}, seed=1, loss=without)
    (series,) = series_by_recipe(find_runs(make.root)).values()
    assert series.label.startswith("8 epochs, loss.triplet_weight 0.0, seed 0, 1,")
    said = findings({"hatcnn-plus": series})[-1]
    assert said.startswith("**hatcnn-plus was changed**")
    assert said.endswith("loss.triplet_weight 0.0.")
    make("hatcnn-plus", {8: (80, 60, 81, 61)}, seed=2)
    (series,) = series_by_recipe(find_runs(make.root)).values()
    assert series.label.startswith("8 epochs, seed 2,"), "the recipe itself goes first"
    no_attributes = replace(recipe_named("hatcnn-plus").model, attributes="none")
    make("hatcnn-plus", {9: (90, 70)}, seed=3, model=no_attributes)
    (series,) = series_by_recipe(find_runs(make.root)).values()
    assert series.epochs == 8


def test_broken_runs_are_named(make):
    path = make("hatcnn-paper", {2: (20, 10)})
    (path / "metrics.jsonl").write_text('{"epoch"')
    with pytest.raises(ExperimentError, match="cannot read the run"):
        find_runs(make.root)
    (path / "environment.json").unlink()
    with pytest.raises(ExperimentError, match=r"environment\.json is missing"):
        read_run(path)
    shutil.rmtree(make.root)
    with pytest.raises(ExperimentError, match="is no folder"):
        find_runs(make.root)
