"""What an environment has that holds the base package alone."""

import subprocess
import sys

import numpy as np

from hatcnn.inference import Embedder, Embeddings
from tests.inference.models import export_fixed, pixels, save_fixed
from tests.pictures import encoded

BLOCK = """
import sys
from importlib.machinery import PathFinder

class Base(PathFinder):
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        hidden = name.split(".")[0] in ("torch", "lightning_fabric", "openvino", "onnx", "scipy")
        return None if hidden else super().find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Base
"""


def run_without(code, *arguments):
    command = [sys.executable, "-c", BLOCK + code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def hatcnn(*arguments):
    return run_without("from hatcnn.cli.main import main\nmain()", *arguments)


def test_pictures_are_embedded_end_to_end(tmp_path):
    model = save_fixed(tmp_path / "model")
    export_fixed(model, to="onnx")
    (tmp_path / "crops").mkdir()
    for i, picture in enumerate(pixels(40)):
        (tmp_path / "crops" / f"{i:02d}.png").write_bytes(encoded(picture))
    out = tmp_path / "people.npz"
    done = hatcnn("embed", tmp_path / "crops", "--model", model, "--out", out)
    assert (done.returncode, done.stderr) == (0, "")
    people = Embeddings.load(out)
    expected = Embedder.load(model, backend="torch", precision="fp32").embed(tmp_path / "crops")
    assert people.names == expected.names
    assert people.fingerprint == expected.fingerprint
    np.testing.assert_allclose(people.vectors, expected.vectors, atol=2e-5)
    np.testing.assert_allclose(people.attributes, expected.attributes, atol=1e-4)


def test_the_model_of_the_package_runs_there():
    done = run_without(
        "import numpy as np, hatcnn\n"
        "people = hatcnn.Embedder.load('hatcnn-plus').embed(np.eye(64, dtype=np.uint8)"
        "[None, :, :, None].repeat(3, 3))\n"
        "print(people.vectors.shape, people.attributes.shape, 'torch' in sys.modules)"
    )
    assert done.stdout == "(1, 1024) (1, 26) False\n", done.stderr


def test_what_needs_more_says_what_to_install(tmp_path):
    model = save_fixed(tmp_path / "model")
    out = ("--model", model, "--out", tmp_path / "out.npz")
    (tmp_path / "a.png").write_bytes(encoded(pixels(1)[0]))
    for arguments, words in {
        ("embed", tmp_path / "a.png", *out): "holds no ONNX form: run 'hatcnn export",
        ("embed", tmp_path / "a.png", *out, "--backend", "torch"): 'pip install "hatcnn[train]"',
        ("embed", tmp_path / "a.png", *out, "--backend", "openvino"): '"hatcnn[openvino]"',
        ("export", model, "--to", "onnx"): 'pip install "hatcnn[export]"',
    }.items():
        done = hatcnn(*arguments)
        assert done.returncode == 2, done.stderr
        assert words in done.stderr
        assert "Traceback" not in done.stderr
