import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from hatcnn.cli.main import COMMANDS, main, run
from hatcnn.evaluation import evaluate, load_features
from hatcnn.inference import Embeddings
from hatcnn.models.folder import fingerprint
from tests.models.test_network import NARROW
from tests.paths import GOLDEN
from tests.pictures import bomb, encoded


def fails(capsys, monkeypatch, *arguments):
    """Run a command that must exit with 2 and return its one-line message."""
    monkeypatch.setattr(sys, "argv", ["hatcnn", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert "Traceback" not in message
    return message


def test_mistakes_exit_with_2_and_say_what_to_do(capsys, monkeypatch, tmp_path, data, model):
    def said(*arguments):
        return fails(capsys, monkeypatch, *arguments)

    missing, out = tmp_path / "missing", tmp_path / "out"
    assert "did you mean 'evaluate'" in said("evalute", model)
    assert "did you mean 'inspect'" in said("data", "inspct", data)
    assert f"no data at {missing}" in said("data", "inspect", missing)
    assert f"no data at {missing}" in said("evaluate", model, "--data", missing)
    assert f"no model folder at {missing}" in said("evaluate", missing, "--data", data)
    message = said("train", "hatcnn-paper2", "--data", data, "--out", out)
    assert "did you mean 'hatcnn-paper'" in message
    message = said("train", "smoke", "--data", data, "--out", out, "--optimiser.lrr", "1")
    assert "--optimiser.lrr" in message
    assert "--optimiser.lr" in message.replace("--optimiser.lrr", "")
    message = said("train", "smoke", "--data", data, "--out", out, "--epochs", "0")
    assert "epochs must be at least 1" in message
    message = said("train", "smoke", "--data", data, "--out", out, "--model.height", "50")
    assert "multiples of 16" in message
    message = said("train", "smoke", "--data", data, "--out", out, "--sampling.batch-size", "400")
    assert "batch" in message
    message = said("evaluate", model, "--data", data, "--distance", "euclid")
    assert "euclidean" in message
    assert not (out / "last.ckpt").exists()


def test_evaluate_prints_and_writes_everything(capsys, tmp_path, data, model):
    report, features = tmp_path / "r.json", tmp_path / "f.npz"
    run(["evaluate", str(model), "--data", str(data), "--rerank", "--attribute-weight", "0.5",
         "--json", str(report), "--features", str(features)])  # fmt: skip
    printed = capsys.readouterr().out
    for words in ("Rank-1", "mINP", "re-ranked", "majority", "how well, for whom", "→"):
        assert words in printed
    written = json.loads(report.read_text())
    again = evaluate(*load_features(features), attribute_weight=0.5, rerank=True).to_json()
    assert {k: written[k] for k in again} == again
    run(["evaluate", str(model), "--data", str(data), "--json", "-"])
    assert json.loads(capsys.readouterr().out)["data"] == "crowd"


@pytest.mark.parametrize("flag", ["--json", "--features"])
def test_evaluate_looks_where_it_will_write_before_it_works(
    capsys, monkeypatch, tmp_path, model, flag
):
    (tmp_path / "file").write_text("")
    message = fails(
        capsys, monkeypatch, "evaluate", model, "--data", "nowhere", flag, tmp_path / "file" / "out"
    )
    assert "cannot write" in message


def test_evaluate_skips_counts_and_names_bad_pictures(capsys, tmp_path, data, model):
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    broken = sorted((copy / "gallery").iterdir())[:2]
    broken[0].write_text("this is text")
    broken[1].write_bytes(bomb())
    run(["evaluate", str(model), "--data", str(copy)])
    printed = capsys.readouterr().out
    assert printed.count("skipped gallery/") == 2
    assert "is no picture" in printed


def test_strict_stops_at_the_first_bad_picture(capsys, monkeypatch, tmp_path, data, model):
    copy = tmp_path / "copy"
    shutil.copytree(data, copy)
    sorted((copy / "query").iterdir())[0].write_text("this is text")
    assert "is no picture" in fails(
        capsys, monkeypatch, "evaluate", model, "--data", copy, "--strict"
    )


def test_inspect_and_pack_report(capsys, data):
    run(["data", "inspect", str(data), "--json", "-"])
    found = json.loads(capsys.readouterr().out)
    assert [s["pictures"] for s in found["splits"]] == [48, 16, 20]
    run(["data", "inspect", str(data)])
    assert "pictures by camera" in capsys.readouterr().out
    run(["data", "pack", str(data), "--height", "48", "--width", "32", "--json", "-"])
    packed = json.loads(capsys.readouterr().out)
    assert np.load(packed["query"]["path"], mmap_mode="r").shape == (16, 48, 32, 3)


def test_synthesize_writes_a_data_set(capsys, monkeypatch, tmp_path):
    run(["data", "synthesize", str(tmp_path / "people"), "--seed", "5"])
    assert (tmp_path / "people" / "manifest.csv").exists()
    message = fails(capsys, monkeypatch, "data", "synthesize", tmp_path / "people")
    assert "is no empty folder" in message
    (tmp_path / "file").write_text("")
    message = fails(capsys, monkeypatch, "data", "synthesize", tmp_path / "file")
    assert "is no empty folder" in message


def test_convert_makes_a_model_that_evaluates(capsys, monkeypatch, tmp_path, data):
    out = tmp_path / "converted"
    run(["convert", str(GOLDEN / "reference.pth.tar"), str(out)])
    assert "HAT-CNN" in capsys.readouterr().out
    run(["evaluate", str(out), "--data", str(data), "--json", "-"])
    assert json.loads(capsys.readouterr().out)["rankings"]["with attributes"]["queries"] == 16
    again = fails(capsys, monkeypatch, "convert", GOLDEN / "reference.pth.tar", out)
    assert "already holds a model" in again


def test_a_run_is_not_overwritten(capsys, monkeypatch, tmp_path, data):
    (tmp_path / "last.ckpt").write_bytes(b"")
    message = fails(capsys, monkeypatch, "train", "smoke", "--data", data, "--out", tmp_path)
    assert "add --resume" in message


def test_help_of_every_command(capsys):
    run(["--help"])
    printed = capsys.readouterr().out
    for command in COMMANDS:
        assert command in printed
        if command not in ("data", "gallery", "train"):
            with pytest.raises(SystemExit) as stop:
                run([command, "--help"])
            assert stop.value.code == 0
    with pytest.raises(SystemExit):
        run(["train", "smoke", "--help"])
    assert "--optimiser.lr" in capsys.readouterr().out


def test_light_commands_do_not_import_torch():
    code = (
        "import sys, hatcnn, hatcnn.datasets, hatcnn.evaluation, hatcnn.images, hatcnn.cli.data\n"
        "import hatcnn.cli.embed, hatcnn.inference.extraction, hatcnn.inference.onnx_backend\n"
        "assert 'torch' not in sys.modules, 'torch was imported'\n"
        "assert 'scipy' not in sys.modules, 'scipy was imported'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_odd_but_good_pictures_are_read(capsys, tmp_path, model):
    """CMYK, 16 bits, transparency: converted, not refused."""
    random = np.random.default_rng(0)
    for pid in (1, 2):
        for camera, (mode, kind) in enumerate((("CMYK", "tiff"), ("I;16", "png"), ("RGBA", "png"))):
            pixels = random.integers(0, 255, (64, 32, 3), np.uint8)
            path = tmp_path / f"test/{pid}/c{camera}.{kind}"
            path.parent.mkdir(parents=True, exist_ok=True)
            if mode == "I;16":
                deep = random.integers(0, 65535, (64, 32)).astype(np.uint16)
                Image.fromarray(deep).save(path)
            else:
                path.write_bytes(encoded(pixels, kind=kind.upper(), mode=mode))
    run(["evaluate", str(model), "--data", str(tmp_path), "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert report["skipped"] == []
    assert report["pictures"] == {"query": 2, "gallery": 4}


def test_embed_writes_what_it_read_and_names_what_it_could_not(
    capsys, monkeypatch, tmp_path, data, model
):
    (data / "cut.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    out = tmp_path / "people.npz"
    try:
        run(["embed", str(data), "--model", str(model), "--out", str(out), "--json", "-"])
        report = json.loads(capsys.readouterr().out)
        assert [row["name"] for row in report["skipped"]] == [str(data / "cut.jpg")]
        with np.load(out) as saved:
            assert len(saved["vectors"]) == len(saved["names"]) == report["pictures"] > 20
            assert saved["names"].tolist() == sorted(saved["names"])
            assert saved["attributes"].shape == (report["pictures"], 26)

        def said(*arguments):
            return fails(capsys, monkeypatch, "embed", *arguments, "--model", model)

        assert "cut.jpg is damaged" in said(data, "--out", out, "--strict")
        assert "no picture at" in said(tmp_path / "nowhere", "--out", out)
        (tmp_path / "empty").mkdir()
        assert "no pictures in" in said(tmp_path / "empty", "--out", out)
        assert "it is a folder" in said(data, "--out", tmp_path)
    finally:
        (data / "cut.jpg").unlink()


def test_embed_takes_names_and_patterns_and_flags_odd_pictures(
    capsys, monkeypatch, tmp_path, model
):
    (tmp_path / "night.png").write_bytes(encoded(np.full((128, 64, 3), 3, np.uint8)))
    (tmp_path / "day.png").write_bytes(
        encoded(np.arange(128 * 64 * 3).reshape(128, 64, 3).astype(np.uint8))
    )
    out = tmp_path / "people.npz"
    arguments = [str(tmp_path / "*.png"), "--model", str(model), "--out", str(out), "--quality"]
    run(["embed", *arguments, "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    night = str(tmp_path / "night.png")
    assert report["flagged"] == [{"name": night, "flags": ["dark", "uniform"]}]
    people = Embeddings.load(out)
    assert people.flags == ((), ("dark", "uniform"))
    assert people.fingerprint == report["fingerprint"] == fingerprint(model, NARROW)
    run(["embed", *arguments])
    assert f"flagged {night}: dark, uniform" in capsys.readouterr().out
    missing = str(tmp_path / "*.jpg")
    assert "no pictures match" in fails(
        capsys, monkeypatch, "embed", missing, "--model", model, "--out", out
    )


def test_export_says_how_near_torch_it_is_or_what_to_do(capsys, monkeypatch, tmp_path, model):
    run(["export", str(model), "--to", "onnx", "--out", str(tmp_path / "a"), "--json", "-"])
    report = json.loads(capsys.readouterr().out)
    assert report["agreement"]["cosine_min"] > 0.99999
    assert report["out"] == str(tmp_path / "a" / "model.onnx")
    assert report["precision"] == "fp32"

    def said(*arguments):
        return fails(capsys, monkeypatch, "export", *arguments)

    assert "no model folder at" in said(tmp_path / "nowhere", "--to", "onnx")
    assert "--calibrate" in said(model, "--to", "onnx", "--precision", "int8")
    assert "--to openvino" in said(model, "--to", "onnx", "--precision", "bf16")
    assert "no pictures in" in said(
        model, "--to", "onnx", "--calibrate", tmp_path / "a", "--out", tmp_path / "b"
    )
    (tmp_path / "file").write_text("")
    assert "cannot write" in said(model, "--to", "onnx", "--out", tmp_path / "file")
    assert "openvino" in said(model, "--to", "tensorrt")


def test_bfloat16_becomes_float32_where_it_is_emulated(capsys, monkeypatch, tmp_path, data):
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    out = ["--out", str(tmp_path), "--max-minutes", "0.001", "--accelerator", "cpu"]
    recipe = ["--precision", "bf16-mixed", "--sampling.batch-size", "16"]
    run(["train", "smoke", "--data", str(data), *out, *recipe])
    assert "training in float32" in capsys.readouterr().out
    assert json.loads((tmp_path / "environment.json").read_text())["precision"] == "32-true"
