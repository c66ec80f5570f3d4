import numpy as np
import pytest
import torch

import hatcnn
from hatcnn.datasets import Sample, Split, pack
from hatcnn.datasets.stores import FolderStore
from hatcnn.errors import ConfigError, ImageError
from hatcnn.inference.backends import load_backend
from hatcnn.inference.extraction import extract
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from tests.models.test_network import NARROW
from tests.pictures import encoded


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_model(tmp_path / "model", NARROW, build_model(NARROW).state_dict(), card="")
    random = np.random.default_rng(0)
    for i in range(70):
        data = encoded(random.integers(0, 255, (50 + i, 25, 3), np.uint8))
        (tmp_path / f"{i:02d}.png").write_bytes(data)
    return tmp_path


def test_it_says_what_evaluation_says(folder):
    paths = sorted(folder.glob("*.png"), reverse=True)
    embedder = hatcnn.Embedder.load(folder / "model", backend="torch", precision="fp32")
    people = embedder.embed(iter(paths))
    assert people.names == tuple(map(str, paths))
    np.testing.assert_allclose(np.linalg.norm(people.vectors, axis=1), 1, rtol=1e-5)

    split = Split.of([Sample(p.name, 1, 1) for p in paths])
    packed = pack(FolderStore(folder), split, NARROW.height, NARROW.width)
    features = extract(load_backend(folder / "model", precision="fp32"), packed)
    np.testing.assert_allclose(people.vectors, features.vectors / np.sqrt(2), atol=1e-5)
    np.testing.assert_allclose(people.attributes, features.attribute_probabilities, atol=1e-5)


@pytest.mark.parametrize("backend", ["torch", "openvino"])
@pytest.mark.parametrize(("precision", "distance"), [("fp32", 1e-6), ("bf16", 1e-3)])
def test_every_back_end_sees_the_same(folder, backend, precision, distance):
    pixels = np.random.default_rng(1).integers(0, 255, (5, 64, 32, 3), np.uint8)
    expected, expected_logits = load_backend(folder / "model", backend="torch", precision="fp32")(
        pixels
    )
    vectors, logits = load_backend(folder / "model", backend=backend, precision=precision)(pixels)
    # Both halves of a vector have length 1.
    assert 1 - (vectors * expected).sum(axis=1).min() / 2 < distance
    assert np.abs(logits - expected_logits).max() < 100 * distance


@pytest.mark.parametrize("backend", ["torch", "openvino"])
def test_attributes_that_nobody_wants_are_not_computed(folder, backend):
    paths = sorted(folder.glob("*.png"))[:3]
    both, alone = (
        hatcnn.Embedder.load(
            folder / "model", backend=backend, precision="fp32", attributes=wanted
        ).embed(paths)
        for wanted in (True, False)
    )
    assert both.attributes.shape == (3, 26)
    assert alone.attributes is None
    np.testing.assert_allclose(alone.vectors, both.vectors, atol=1e-6)


def test_a_back_end_that_is_not_installed_is_named(folder, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    with pytest.raises(ConfigError, match=r"pip install \"hatcnn\[openvino\]"):
        load_backend(folder / "model", backend="openvino")


def test_embeddings_are_saved_whole_or_not_at_all(folder):
    paths = sorted(folder.glob("*.png"))[:3]
    people = hatcnn.Embedder.load(folder / "model").embed(paths)
    people.save(folder / "out" / "people.npz")
    with np.load(folder / "out" / "people.npz") as saved:
        assert saved["names"].tolist() == [str(p) for p in paths]
        np.testing.assert_array_equal(saved["vectors"], people.vectors)
        np.testing.assert_array_equal(saved["attributes"], people.attributes)
    assert [p.name for p in (folder / "out").iterdir()] == ["people.npz"]


def test_bad_pictures_are_skipped_and_named_or_stop_it(folder):
    (folder / "bad.png").write_text("text")
    embedder = hatcnn.Embedder.load(folder / "model")
    people = embedder.embed([folder / "00.png", folder / "bad.png", folder / "01.png"])
    assert [name[-6:] for name in people.names] == ["00.png", "01.png"]
    assert people.skipped[0][0].endswith("bad.png")
    assert len(embedder.embed([])) == 0
    assert embedder.embed([]).vectors.shape == (0, 48)
    with pytest.raises(ImageError, match=r"bad\.png"):
        embedder.embed([folder / "bad.png"], strict=True)
