"""Two processes over gloo, started by torchrun, against one process on the same global batch."""

import json

import pytest
import torch

from hatcnn.datasets.manifest import write_dataset
from tests.training.runs import crowd, hatcnn

FLAGS = (
    "--model.channels", "16", "32", "32", "--model.stem-channels", "8", "--model.feature-dim", "16",
    "--model.height", "48", "--model.width", "32", "--sampling.batch-size", "40",
    "--epochs", "1", "--freeze-batch-norm", "--accelerator", "cpu", "--averaging", "0",
    # Fresh features behind a ReLU are nearly parallel, and their distances mostly rounding.
    "--model.bn-neck",
)  # fmt: skip


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("distributed")
    data = write_dataset(crowd(), folder / "crowd").parent
    # Some people without labels: the processes then hold unequal numbers of labelled pictures.
    manifest = data / "manifest.csv"
    header, *rows = manifest.read_text().splitlines()
    rows = [r if int(r.split(",")[1]) % 3 else ",".join(r.split(",")[:4]) + "," * 26 for r in rows]
    manifest.write_text("\n".join([header, *rows]) + "\n")
    outputs = {}
    for name, options in (
        ("one", {}), ("two", {"processes": 2}),
    ):  # fmt: skip
        process = hatcnn(
            "train", "smoke", "--data", data, "--out", folder / name, *FLAGS, **options
        )
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        outputs[name] = output
    return folder, data, outputs


def checkpoint(folder, name):
    return torch.load(folder / name / "last.ckpt", weights_only=True)


def test_two_processes_step_like_one(runs):
    """Identity, triplet (mined across the processes) and attribute loss: the same weights."""
    folder, _, _ = runs
    one, two = (checkpoint(folder, name) for name in ("one", "two"))
    assert one["progress"]["step"] == two["progress"]["step"] == 2
    environment = json.loads((folder / "two" / "environment.json").read_text())
    assert environment["processes"] == 2
    for name, tensor in one["network"].items():
        torch.testing.assert_close(two["network"][name], tensor, atol=1e-5, rtol=1e-4, msg=name)


def test_two_processes_report_the_losses_of_one(runs):
    folder, _, _ = runs
    one, two = (
        json.loads((folder / name / "metrics.jsonl").read_text().splitlines()[0])
        for name in ("one", "two")
    )
    for name in ("loss/identity", "loss/triplet", "loss/attributes", "loss/total"):
        assert two[name] == pytest.approx(one[name], rel=1e-4)


def test_two_processes_evaluate_like_one(runs):
    folder, data, _ = runs
    reports = {}
    for name, options in (("one", {}), ("two", {"processes": 2})):
        path = folder / f"{name}.json"
        process = hatcnn(
            "evaluate", folder / "one" / "model", "--data", data, "--accelerator", "cpu",
            "--json", path, **options,
        )  # fmt: skip
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        reports[name] = json.loads(path.read_text())
    assert reports["one"] == reports["two"]
    assert reports["one"]["rankings"]["identity"]["queries"] == 20
