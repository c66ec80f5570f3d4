import multiprocessing

import numpy as np
import pytest

from hatcnn.datasets import Sample, Split, open_dataset, pack
from hatcnn.datasets.inspection import inspect_dataset
from hatcnn.datasets.stores import FolderStore
from hatcnn.errors import DataError, ImageError
from hatcnn.images import decode, resize
from tests.pictures import bomb, encoded


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("HATCNN_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "packs"


@pytest.fixture
def store(tmp_path):
    random = np.random.default_rng(0)
    for i in range(5):
        (tmp_path / f"{i}.png").write_bytes(encoded(random.integers(0, 255, (40, 20, 3), np.uint8)))
    return FolderStore(tmp_path)


def split_of(*names):
    return Split.of([Sample(name, i + 1, 1) for i, name in enumerate(names)])


def test_rows_are_the_decoded_and_resized_pictures(store):
    split = split_of("2.png", "0.png", "4.png")
    packed = pack(store, split, 32, 16)
    assert isinstance(packed.images, np.memmap)
    for row, name in zip(packed.images, split.names, strict=True):
        np.testing.assert_array_equal(row, resize(decode(store.read(name)), 32, 16))


def test_a_pack_is_reused_until_content_order_or_size_change(store, cache):
    first = pack(store, split_of("0.png", "1.png"), 32, 16)
    stamp = first.path.stat().st_mtime_ns
    assert pack(store, split_of("0.png", "1.png"), 32, 16).path.stat().st_mtime_ns == stamp
    assert pack(store, split_of("1.png", "0.png"), 32, 16).path != first.path
    assert pack(store, split_of("0.png", "1.png"), 16, 16).path != first.path
    (store.root / "1.png").write_bytes(encoded())
    assert pack(store, split_of("0.png", "1.png"), 32, 16).path != first.path
    assert not list(cache.glob("*.tmp*"))


def test_a_damaged_pack_is_made_again(store):
    split = split_of("0.png", "1.png")
    path = pack(store, split, 32, 16).path
    good = path.read_bytes()
    path.write_bytes(good[:-7])
    assert pack(store, split, 32, 16).path.read_bytes() == good


def test_bad_pictures_are_skipped_counted_and_named(store):
    (store.root / "text.jpg").write_text("hello")
    (store.root / "bomb.png").write_bytes(bomb())
    split = split_of("0.png", "text.jpg", "1.png", "bomb.png", "gone.png")
    packed = pack(store, split, 32, 16)
    assert packed.split.names == ("0.png", "1.png")
    assert packed.split.pids.tolist() == [1, 3]
    assert len(packed.images) == 2
    assert [name for name, _ in packed.skipped] == ["text.jpg", "bomb.png", "gone.png"]
    with pytest.raises(ImageError, match=r"text\.jpg"):
        pack(store, split, 32, 16, strict=True)
    with pytest.raises(DataError, match="none of 1 pictures can be read"):
        pack(store, split_of("text.jpg"), 32, 16)


def _pack_elsewhere(root):
    return pack(FolderStore(root), split_of("0.png", "1.png"), 32, 16).images.sum()


def test_two_processes_may_pack_at_once(store):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        sums = pool.map(_pack_elsewhere, [store.root] * 4)
    assert len(set(sums)) == 1


def test_a_cache_that_cannot_be_written_is_named(store, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("HATCNN_CACHE", str(tmp_path / "file"))
    with pytest.raises(DataError, match="set HATCNN_CACHE"):
        pack(store, split_of("0.png"), 32, 16)


def test_inspection_names_every_problem(tmp_path):
    random = np.random.default_rng(1)
    for name in ("train/1/a", "train/2/b", "query/8/c", "query/9/d", "gallery/8/e", "gallery/1/f"):
        path = tmp_path / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(encoded(random.integers(0, 255, (30, 14, 3), np.uint8)))
    (tmp_path / "train/1/copy.png").write_bytes((tmp_path / "gallery/1/f.png").read_bytes())
    (tmp_path / "train/2/broken.png").write_bytes(b"broken")
    found = inspect_dataset(open_dataset(tmp_path))
    problems = {p.kind: p for p in found.problems if not p.harmless}
    assert problems["unreadable pictures"].examples[0].startswith("train/2/broken.png")
    assert problems["identities in both train and test"].examples == ("1",)
    unmatched = problems["queries without a match by another camera in the gallery"]
    assert unmatched.examples == ("query/9/d.png",)
    twice = problems["pictures whose bytes occur in several splits"]
    assert twice.examples == ("train/1/copy.png = gallery/1/f.png",)
    assert len(problems) == 4
    assert found.sizes == (((14, 30), 7),)
