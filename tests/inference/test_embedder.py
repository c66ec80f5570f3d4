import numpy as np
import pytest
import torch

import hatcnn
from hatcnn.datasets import Sample, Split, pack
from hatcnn.datasets.stores import FolderStore
from hatcnn.devices import make_fabric
from hatcnn.errors import ImageError
from hatcnn.inference.extraction import extract
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import load_model, save_model
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
    people = hatcnn.Embedder.load(folder / "model").embed(iter(paths))
    assert people.names == tuple(map(str, paths))
    np.testing.assert_allclose(np.linalg.norm(people.vectors, axis=1), 1, rtol=1e-5)

    network, config = load_model(folder / "model")
    split = Split.of([Sample(p.name, 1, 1) for p in paths])
    packed = pack(FolderStore(folder), split, config.height, config.width)
    features = extract(make_fabric(accelerator="cpu", devices=1), network, config, packed)
    np.testing.assert_allclose(people.vectors, features.vectors / np.sqrt(2), atol=1e-5)
    np.testing.assert_allclose(people.attributes, features.attribute_probabilities, atol=1e-5)


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
