"""``hatcnn explain`` and ``hatcnn evaluate --report`` as they are typed."""

import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from hatcnn.cli.main import run
from hatcnn.datasets.manifest import write_dataset
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.inference.embedder import Embedder
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from hatcnn.models.folder import CALIBRATION, find_model
from tests.cli.test_commands import fails
from tests.models.test_network import NARROW
from tests.paths import ROOT


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    people = synthetic_people(
        num_train_identities=2, num_test_identities=4, num_distractors=4, pictures_per_camera=2
    )
    return write_dataset(people, tmp_path_factory.mktemp("data") / "crowd").parent


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    for scheme in ("separate", "none"):
        torch.manual_seed(0)
        config = replace(NARROW, attributes=scheme)
        save_model(folder / scheme, config, build_model(config).state_dict(), card="")
    return folder


@pytest.fixture(scope="module")
def two(crowd):
    return sorted((crowd / "query").iterdir())[:2]


def test_one_picture_is_explained(capsys, tmp_path, models, two):
    out = tmp_path / "deep" / "one.png"
    run(["explain", str(two[0]), "--model", str(models / "separate"), "--out", str(out),
         "--attributes", "backpack", "upred", "--json", "-"])  # fmt: skip
    report = json.loads(capsys.readouterr().out)
    with Image.open(out) as picture:
        assert min(picture.size) > 500
    probabilities = Embedder.load(models / "separate", backend="torch", precision="fp32").embed(two)
    assert list(report["attributes"].values()) == pytest.approx(
        probabilities.attributes[0].tolist(), abs=1e-5
    )
    assert len(report["levels"]) == 3


def test_a_pair_is_explained_by_shares_of_the_similarity_that_a_search_shows(
    capsys, tmp_path, models, two
):
    out = tmp_path / "two.svg"
    command = ["explain", *map(str, two), "--model", str(models / "separate"), "--out", str(out)]
    run([*command, "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    people = Embedder.load(models / "separate", backend="torch", precision="fp32").embed(two)
    assert report["similarity"] == pytest.approx(float(np.dot(*people.vectors)), abs=1e-5)
    assert sum(report["shares"].values()) == pytest.approx(report["similarity"], abs=1e-5)
    run([*command, "--attribute-weight", "1"])
    printed = capsys.readouterr().out
    assert "attributes  +" in printed
    assert f"drawn: {out}" in printed
    first = out.read_bytes()
    run([*command, "--attribute-weight", "1"])
    assert out.read_bytes() == first


def test_a_network_without_attributes_is_explained_too(capsys, tmp_path, models, two):
    model = str(models / "none")
    run(["explain", str(two[0]), "--model", model, "--out", str(tmp_path / "one.png")])
    run(["explain", *map(str, two), "--model", model, "--out", str(tmp_path / "two.png")])
    assert "similarity" in capsys.readouterr().out
    assert (tmp_path / "two.png").stat().st_size > 10_000


def test_odd_names_and_shapes_are_drawn(capsys, tmp_path, models):
    wide = tmp_path / "$x^$ <b> ä.png"
    Image.fromarray(np.full((30, 1500, 3), 90, np.uint8)).save(wide)
    out = tmp_path / "odd.svg"
    run(["explain", str(wide), str(wide), "--model", str(models / "none"), "--out", str(out)])
    assert "similarity 1.000" in capsys.readouterr().out
    assert xml.etree.ElementTree.parse(out).getroot().tag.endswith("svg")


@pytest.mark.parametrize("size", [(4096, 8), (8, 4096)])
def test_the_most_extreme_shapes_are_drawn(tmp_path, models, size):
    thin = tmp_path / "thin.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (*size[::-1], 3), np.uint8)).save(
        thin
    )
    out = tmp_path / "thin-why.png"
    run(["explain", str(thin), str(thin), "--model", str(models / "none"), "--out", str(out)])
    with Image.open(out) as picture:
        assert min(picture.size) > 100


def test_a_report_of_a_reduced_model_leaves_reasons_out(capsys, tmp_path, crowd):
    config = replace(NARROW, reduced_dim=6)
    state = build_model(config).state_dict()
    torch.nn.init.orthogonal_(state["identity.reduction.weight"])
    save_model(tmp_path / "short", config, state, card="")
    out = tmp_path / "report"
    run(["evaluate", str(tmp_path / "short"), "--data", str(crowd), "--report", str(out)])
    assert "the report will not say why: reduced vectors" in capsys.readouterr().err
    assert "<h2>Why</h2>" not in (out / "report.html").read_text()


def test_mistakes_are_named(capsys, monkeypatch, tmp_path, models, two):
    def said(*arguments, model="separate", out="out.png"):
        return fails(
            capsys, monkeypatch, "explain", *arguments, "--model", models / model,
            "--out", tmp_path / out,
        )  # fmt: skip

    (tmp_path / "text.jpg").write_text("this is text")
    assert "No such file" in said(tmp_path / "missing.jpg")
    assert "is no picture" in said(tmp_path / "text.jpg")
    assert "one picture or two, not 3" in said(*two, two[0])
    assert "in one picture, not in two" in said(*two, "--attributes", "bag")
    assert "of two pictures" in said(two[0], "--attribute-weight", "1")
    assert "must end in .png or .svg" in said(two[0], out="out.gif")
    (tmp_path / "folder.png").mkdir()
    assert "it is a folder" in said(two[0], out="folder.png")
    assert "cannot write" in said(two[0], out="text.jpg/out.png")
    assert "no model folder" in said(two[0], model="missing")
    assert "did you mean 'backpack'" in said(two[0], "--attributes", "bakpack")
    assert "predicts no attributes" in said(two[0], "--attributes", "bag", model="none")
    assert "compare with weight 0" in said(*two, "--attribute-weight", "1", model="none")
    assert not (tmp_path / "out.png").exists()


def test_a_report_is_drawn_without_torch():
    code = "import sys; sys.modules['torch'] = None\nimport hatcnn.visualize.report"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@pytest.mark.parametrize("missing", ["torch", "matplotlib"])
def test_what_is_not_installed_is_named(missing):
    code = (
        f"import sys; sys.modules[{missing!r}] = None\n"
        "sys.argv = ['hatcnn', 'explain', 'a.jpg', '--model', 'm', '--out', 'a.png']\n"
        "from hatcnn.cli.main import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert f"'hatcnn explain' needs {missing}" in done.stderr
    assert 'pip install "hatcnn[train]"' in done.stderr


def test_an_evaluation_is_reported_with_the_training_that_led_to_it(
    capsys, monkeypatch, tmp_path, models, crowd
):
    out, model = tmp_path / "report", tmp_path / "run" / "model"
    shutil.copytree(models / "separate", model)
    (model.parent / "recipe.json").write_text('{"recipe": {"name": "x", "epochs": 2}}')
    (model.parent / "environment.json").write_text("{}")
    lines = [{"epoch": e, "loss/total": 5.0 - e} for e in (1, 2)]
    (model.parent / "metrics.jsonl").write_text("\n".join(map(json.dumps, lines)))
    # Of other weights: what is fitted no longer holds after more training.
    shutil.copy(find_model("hatcnn-plus") / CALIBRATION, model)
    run(["evaluate", str(model), "--data", str(crowd), "--report", str(out), "--json", "-"])
    printed = capsys.readouterr()
    assert "was fitted to other weights and is left out" in printed.err
    report = json.loads(printed.out)
    assert report["report"] == str(out / "report.html")
    names = {path.stem for path in out.glob("*.svg")}
    assert {"attributes", "cameras", "map", "ranked-best", "scores", "training"} <= names
    assert {"why-right", "why-wrong"} & names
    page = (out / "report.html").read_text()
    rank_1 = report["rankings"]["identity"]["rank_1"]
    assert f"Of 100 searches, {rank_1:.0f} put" in page
    assert page.count("<img") == len(names)
    (tmp_path / "file").write_text("")
    message = fails(
        capsys, monkeypatch, "evaluate", model, "--data", crowd, "--report", tmp_path / "file"
    )
    assert "cannot write" in message
