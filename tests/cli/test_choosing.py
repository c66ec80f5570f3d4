"""`hatcnn tune`, `hatcnn reduce` and averaging over flips, on drawn people."""

import json

import numpy as np
import pytest

from hatcnn.cli.main import run
from hatcnn.datasets import hold_out, open_dataset
from hatcnn.errors import ConfigError
from hatcnn.evaluation import evaluate, load_features
from hatcnn.inference.backends import load_backend
from tests.inference.models import pixels


def test_tune_ranks_with_every_weight_and_names_the_best(capsys, tmp_path, data, model):
    out = tmp_path / "weights.json"
    arguments = ["--data", str(data), "--hold-out", "3", "--weights", "0.5", "1"]
    run(["tune", str(model), *arguments, "--json", str(out)])
    report = json.loads(out.read_text())
    assert [row["weight"] for row in report["weights"]] == [0, 0.5, 1]
    best = max(report["weights"], key=lambda row: row["mAP"])
    assert report["best"] == best["weight"]
    held = hold_out(open_dataset(str(data)), 3)
    assert report["pictures"] == {"query": len(held.query), "gallery": len(held.gallery)}
    assert f"best by mAP: {best['weight']:g}" in capsys.readouterr().out


def test_tune_refuses_weights_and_people_that_choose_nothing(tmp_path, data, model):
    with pytest.raises(ConfigError, match="above 0"):
        run(["tune", str(model), "--data", str(data), "--hold-out", "3", "--weights", "0"])
    trained = tmp_path / "run"
    (trained / "model").mkdir(parents=True)
    for name, content in (
        ("recipe.json", {"recipe": {"name": "smoke"}, "dataset": "somebody else"}),
        ("environment.json", {}),
    ):
        (trained / name).write_text(json.dumps(content))
    with pytest.raises(ConfigError, match="trained on somebody else"):
        run(["tune", str(trained / "model"), "--data", str(data), "--hold-out", "3"])


def test_reduce_writes_a_model_and_says_what_it_costs(capsys, tmp_path, data, model):
    out = tmp_path / "short"
    report = tmp_path / "cost.json"
    arguments = [str(model), str(out), "--data", str(data), "--dim", "12"]
    run(["reduce", *arguments, "--json", str(report)])
    costs = json.loads(report.read_text())
    assert costs["dimensions"]["after"] == 12
    assert 0 < costs["kept"] <= 1
    assert "of the squared length kept" in capsys.readouterr().out
    vectors, _ = load_backend(out, backend="torch")(pixels(2))
    assert vectors.shape == (2, 12)
    assert "12 numbers" in (out / "README.md").read_text()
    run(["evaluate", str(out), "--data", str(data), "--json", str(tmp_path / "scores.json")])
    scores = json.loads((tmp_path / "scores.json").read_text())
    assert scores["rankings"]["identity"]["mAP"] == pytest.approx(
        costs["after"]["rankings"]["identity"]["mAP"], abs=1e-3
    )
    with pytest.raises(ConfigError, match="already holds a model"):
        run(["reduce", *arguments])
    with pytest.raises(ConfigError, match="reduced already"):
        run(["reduce", str(out), str(tmp_path / "shorter"), "--data", str(data), "--dim", "4"])


def test_flip_averaging_is_reported_and_changes_the_vectors(capsys, tmp_path, data, model):
    files = []
    for name, flags in (("once", []), ("twice", ["--flip-averaging"])):
        features, scores = tmp_path / f"{name}.npz", tmp_path / f"{name}.json"
        run(["evaluate", str(model), "--data", str(data), "--features", str(features),
             "--json", str(scores), *flags])  # fmt: skip
        assert json.loads(scores.read_text())["flip_averaging"] == bool(flags)
        files.append(load_features(features))
    (once, _), twice = files
    assert np.abs(once.vectors - twice[0].vectors).max() > 1e-3
    assert evaluate(*twice).rankings["identity"].mAP > 0
    # A long path breaks the title into lines.
    assert "averaged over flips" in " ".join(capsys.readouterr().out.split())
