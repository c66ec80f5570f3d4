"""All back ends say what torch says, which is what the plain network says."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from hatcnn.errors import CheckpointError, ConfigError
from hatcnn.inference.backends import load_backend
from hatcnn.inference.forms import find_form
from hatcnn.models.checkpoint import load_model, save_model
from hatcnn.models.embedding import identity_vector
from hatcnn.models.folder import fingerprint, stored_tensors
from hatcnn.models.preprocessing import normalise
from tests.inference.models import export_fixed, fixed_state, pixels, save_fixed
from tests.models.test_network import NARROW
from tests.oracles.network import build_plain

FINGERPRINT = "e4fb1fe622a626f0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder with both exported forms beside its weights."""
    folder = save_fixed(tmp_path_factory.mktemp("fixed") / "model")
    for to in ("onnx", "openvino"):
        export_fixed(folder, to=to)
    return folder


def plain(images):
    network = build_plain(NARROW)
    network.load_state_dict(fixed_state())
    with torch.no_grad():
        output = network.eval()(normalise(torch.from_numpy(images)))
    return identity_vector(output).numpy(), output.attribute_logits.numpy()


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
@pytest.mark.parametrize("count", [1, 5, 33])
def test_every_back_end_says_what_the_plain_network_says(folder, backend, count):
    images = pixels(count)
    vectors, logits = load_backend(folder, backend=backend, precision="fp32")(images)
    expected, expected_logits = plain(images)
    np.testing.assert_allclose(vectors, expected, atol=2e-5)
    np.testing.assert_allclose(logits, expected_logits, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_canonical_vectors_do_not_change(folder, backend):
    """Gallery vectors outlive versions of this package: these numbers must stay."""
    vectors, logits = load_backend(folder, backend=backend, precision="fp32")(pixels(3))
    np.testing.assert_allclose(vectors[0, 1:6], CANONICAL[0], atol=1e-5)
    np.testing.assert_allclose(vectors[1, 24:28], CANONICAL[1], atol=1e-5)
    np.testing.assert_allclose(logits[2, 20:], CANONICAL[2], atol=1e-3)


CANONICAL = (
    [0.151385, 0.242558, 0.0, 0.0, 0.048333],
    [0.473010, 0.0, 0.117171, 0.183337],
    [-12.9554, 10.9707, 2.3666, 6.7781, 14.7793, -6.6018],
)
"""By the plain network of the oracles."""


def test_openvino_reads_the_onnx_form_too(folder, tmp_path):
    for name in ("config.json", "model.safetensors", "model.onnx", "onnx.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    images = pixels(4)
    vectors, _ = load_backend(tmp_path, backend="openvino", precision="fp32")(images)
    np.testing.assert_allclose(vectors, plain(images)[0], atol=2e-5)


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_a_folder_of_links_is_read(folder, tmp_path, backend):
    """As caches of downloaded models have it."""
    for name in ("config.json", "model.safetensors", "model.onnx", "onnx.json"):
        (tmp_path / name).symlink_to(folder / name)
    vectors, _ = load_backend(tmp_path, backend=backend, precision="fp32")(pixels(4))
    np.testing.assert_allclose(vectors, plain(pixels(4))[0], atol=2e-5)


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_attributes_that_nobody_wants_are_not_given(folder, backend):
    backend = load_backend(folder, backend=backend, precision="fp32", attributes=False)
    vectors, logits = backend(pixels(2))
    assert logits is None
    assert backend.config == replace(NARROW, num_identities=0, attributes="none")
    np.testing.assert_allclose(vectors, plain(pixels(2))[0], atol=2e-5)


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_a_fingerprint_says_which_model_it_is(folder, backend):
    assert load_backend(folder, backend=backend).fingerprint == fingerprint(folder, NARROW)


def test_fingerprints_follow_weights_and_arithmetic_and_nothing_else(tmp_path):
    def of(config=NARROW, state=None, **options):
        save_model(tmp_path, config, state or fixed_state(config), card="", **options)
        return fingerprint(tmp_path, load_model(tmp_path)[1])

    first = of()
    assert first == of() == of(classifiers=True) == FINGERPRINT
    others = [of(half=True), of(replace(NARROW, norm_epsilon=1e-6))]
    changed = fixed_state()
    changed["identity.stem.conv.weight"][0, 0, 0, 0] += 1e-6
    others.append(of(state=changed))
    assert len({first, *others}) == 4


def test_where_stored_tensors_lie(folder):
    path = folder / "model.safetensors"
    state, content = fixed_state(), path.read_bytes()
    for name, place in stored_tensors(path).items():
        values = np.frombuffer(content[place.start : place.start + place.length], "<f4")
        np.testing.assert_array_equal(values.reshape(place.shape), state[name])
    path = folder / "broken.safetensors"
    for broken in (b"", b"\xff" * 20, content[:100]):
        path.write_bytes(broken)
        with pytest.raises(CheckpointError, match="is broken"):
            stored_tensors(path)


def test_weights_that_changed_leave_the_exported_form_behind(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    state = fixed_state()
    state["identity.stem.conv.weight"] *= -1
    save_model(tmp_path, NARROW, state, card="")
    for runtime in ("onnx", "openvino"):
        words = rf"model\.safetensors is not the file that {runtime}\.json"
        with pytest.raises(CheckpointError, match=words):
            find_form(tmp_path, runtime)
    # With torch at hand nobody has to export again before each evaluation of a run that goes on.
    automatic, by_torch = (
        load_backend(tmp_path, backend=b, precision="fp32") for b in ("auto", "torch")
    )
    ours, theirs = automatic(pixels(2))[0], by_torch(pixels(2))[0]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    assert np.abs(ours - plain(pixels(2))[0]).max() > 0.01


@pytest.mark.parametrize("change", ["graph", "hash", "precision", "no json", "no graph"])
def test_forms_that_were_changed_are_refused(folder, tmp_path, change):
    for name in ("config.json", "model.safetensors", "model.onnx", "onnx.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    description = json.loads((tmp_path / "onnx.json").read_text())
    graph = tmp_path / "model.onnx"
    if change == "graph":
        content = bytearray(graph.read_bytes())
        content[len(content) // 2] ^= 1
        graph.write_bytes(content)
    elif change == "hash":
        graph.write_bytes(b"no graph")
        description["files"]["model.onnx"] = hashlib.sha256(b"no graph").hexdigest()
    elif change == "precision":
        description["precision"] = "fp8"
    elif change == "no graph":
        graph.unlink()
    (tmp_path / "onnx.json").write_text("[]" if change == "no json" else json.dumps(description))
    with pytest.raises(CheckpointError, match=r"model\.onnx|onnx\.json"):
        load_backend(tmp_path, backend="onnx")


def test_folders_that_hold_nothing_to_run_say_what_to_do(tmp_path, monkeypatch, folder):
    save_fixed(tmp_path)
    with pytest.raises(ConfigError, match=r"hatcnn export .* --to onnx"):
        load_backend(tmp_path, backend="onnx")
    for precision, backend in (("fp16", "torch"), ("int8", "openvino")):
        with pytest.raises(ConfigError, match="hatcnn export"):
            load_backend(tmp_path, backend=backend, precision=precision)
    for backend in ("onnx", "openvino"):
        with pytest.raises(ConfigError, match="was exported in fp32, not int8"):
            load_backend(folder, backend=backend, precision="int8")
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    for backend, extra in (("torch", "train"), ("openvino", "openvino")):
        with pytest.raises(ConfigError, match=rf'pip install "hatcnn\[{extra}\]"'):
            load_backend(folder, backend=backend)
    with pytest.raises(ConfigError, match=r"hatcnn export .* --to onnx"):
        load_backend(tmp_path)
    # What is installed decides: without torch and OpenVINO, ONNX Runtime.
    assert type(load_backend(folder)).__name__ == "ONNXBackend"


def test_torch_runs_what_openvino_was_exported_for_and_is_not_there(folder, tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors", "model.xml", "model.bin", "openvino.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    monkeypatch.setattr("hatcnn.inference.backends._installed", lambda name: name == "torch")
    assert type(load_backend(tmp_path)).__name__ == "TorchBackend"


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_threads_are_as_many_as_asked_for(folder, backend):
    loaded = load_backend(folder, backend=backend, precision="fp32", threads=1)
    images = pixels(3)
    np.testing.assert_allclose(loaded(images)[0], plain(images)[0], atol=2e-5)
    if backend == "onnx":
        assert loaded.session.get_session_options().intra_op_num_threads == 1
    else:
        assert loaded._settings["INFERENCE_NUM_THREADS"] == "1"
