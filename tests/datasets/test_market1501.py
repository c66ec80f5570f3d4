import os
import zipfile

import numpy as np
import pytest
from scipy.io import savemat

from hatcnn.attributes import NAMES, UNKNOWN, column
from hatcnn.datasets import DISTRACTOR, open_dataset
from hatcnn.datasets.inspection import inspect_dataset
from hatcnn.datasets.stores import ZipStore
from hatcnn.errors import DataError
from tests.pictures import encoded

FILES = (
    "bounding_box_train/0002_c1s1_000451_03.jpg",
    "bounding_box_train/0002_c2s1_000451_03.jpg",
    "bounding_box_train/0007_c3s2_000451_03.jpg",
    "bounding_box_train/Thumbs.db",
    "query/1488_c4s6_000001_00.jpg.jpg",
    "bounding_box_test/1488_c5s6_000001_01.jpg.jpg",
    "bounding_box_test/0000_c1s1_000151_01.jpg",
    "bounding_box_test/0000_c1s1_000151_02.jpg.jpg",
    "bounding_box_test/-1_c1s1_000401_03.jpg",
    "bounding_box_test/-1_c1s1_000401_04.jpg.jpg",
    "bounding_box_test/Thumbs.db",
)


def labels_file(path):
    """As published: values 1 and 2, another order of fields in test than in train."""

    def part(pids, names, has):
        fields = {name: np.array([2 if name in has[p] else 1 for p in pids]) for name in names}
        return {"age": np.ones(len(pids)), **fields, "image_index": np.array(pids, dtype=object)}

    train = part(["0002", "0007"], NAMES, {"0002": {"backpack", "upred"}, "0007": {"hat"}})
    test = part(["1488"], NAMES[::-1], {"1488": {"downblue", "gender"}})
    savemat(path, {"market_attribute": {"train": train, "test": test}})


@pytest.fixture
def root(tmp_path):
    root = tmp_path / "data" / "Market-1501-v15.09.15"
    for i, name in enumerate(FILES):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((128, 64, 3), 10 * i, np.uint8)
        (root / name).write_bytes(b"db" if "Thumbs" in name else encoded(pixels, kind="JPEG"))
    labels_file(tmp_path / "data" / "market_attribute.mat")
    return root


@pytest.fixture(params=["the folder itself", "a folder that holds it", "a zip"])
def any_root(request, root):
    if request.param == "the folder itself":
        return root
    if request.param == "a folder that holds it":
        return root.parent
    path = root.parent / "Market.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in FILES:
            file.write(root / name, f"Market-1501-v15.09.15/{name}")
    return path


def test_every_pitfall_of_the_files(any_root):
    data = open_dataset(any_root)
    assert data.train.pids.tolist() == [2, 2, 7]
    assert data.train.camids.tolist() == [1, 2, 3]
    assert data.query.pids.tolist() == [1488]
    assert sorted(data.gallery.pids.tolist()) == [DISTRACTOR, DISTRACTOR, 1488]
    assert data.left_out == {"junk": 2}
    assert data.store.read(data.query.names[0])[:2] == b"\xff\xd8"


def test_labels_go_by_name(any_root):
    data = open_dataset(any_root)
    carrying = {NAMES[i] for i in np.flatnonzero(data.train.attributes[0] == 1)}
    assert carrying == {"backpack", "upred"}
    queried = {NAMES[i] for i in np.flatnonzero(data.query.attributes[0] == 1)}
    assert queried == {"downblue", "gender"}
    distractor = data.gallery.attributes[data.gallery.pids == DISTRACTOR]
    assert (distractor == UNKNOWN).all()


def test_labels_are_optional(root):
    (root.parent / "market_attribute.mat").unlink()
    data = open_dataset(root)
    assert not data.train.labelled.any()
    kinds = [p.kind for p in inspect_dataset(data).problems]
    assert "no attribute labels in train" in kinds


def test_a_missing_folder_is_named(root):
    for file in (root / "query").iterdir():
        file.unlink()
    with pytest.raises(DataError, match=r"query not found under .*pass the folder that holds it"):
        open_dataset(root)


def test_a_zip_cut_short(root, tmp_path):
    path = tmp_path / "cut.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.write(root / FILES[0], FILES[0])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(DataError, match="no complete zip file"):
        open_dataset(path)


def test_a_damaged_member_is_named(tmp_path):
    path = tmp_path / "damaged.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.jpg", bytes(range(256)) * 40)
    content = bytearray(path.read_bytes())
    start = content.index(b"a.jpg") + len("a.jpg")
    content[start] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"a\.jpg in .* is damaged"):
        ZipStore(path).read("a.jpg")


def test_other_label_files_are_refused(root):
    savemat(root.parent / "market_attribute.mat", {"something": np.ones(3)})
    with pytest.raises(DataError, match="is not the published"):
        open_dataset(root)
    (root.parent / "market_attribute.mat").write_bytes(b"no matlab")
    with pytest.raises(DataError, match=r"market_attribute\.mat"):
        open_dataset(root)


@pytest.mark.market1501
def test_the_published_counts():
    data = open_dataset(os.environ["HATCNN_MARKET1501"])
    found = inspect_dataset(data)
    counts = {s.name: (s.pictures, s.identities, s.distractors) for s in found.splits}
    assert counts == {
        "train": (12936, 751, 0),
        "query": (3368, 750, 0),
        "gallery": (15913, 750, 2798),
    }
    assert found.left_out == {"junk": 3819}
    assert found.sizes == (((64, 128), 32217),)
    assert not [p for p in found.problems if not p.harmless]
    test = {a.name: a.identities for a in found.attributes["test"]}
    assert (test["downpurple"], test["downyellow"]) == (0, 1)
    assert (data.train.attributes[:, column("hat")] >= 0).all()
