import pytest

from hatcnn.errors import GalleryError
from hatcnn.gallery import Gallery, searching, store
from tests.gallery.people import crowd


@pytest.fixture(params=["in memory", "on disk"])
def gallery(tmp_path, monkeypatch, request):
    if request.param == "on disk":
        monkeypatch.setattr(store, "IDS_IN_MEMORY", 0)
    gallery = Gallery.open(tmp_path / "g")
    for seed in (1, 2):
        thumbnails = [f"{seed}-{i}".encode() for i in range(50)]
        gallery.add(crowd(50, seed=seed), camera=seed, thumbnails=thumbnails)
    return gallery


def test_an_id_leads_to_its_own_entry(gallery):
    entries = gallery.entries()
    assert [e.name for e in entries] == [f"{i:06}.jpg" for i in range(50)] * 2
    for i in (0, 7, 49, 50, 99):
        expected = f"{i // 50 + 1}-{i % 50}".encode()
        assert gallery.thumbnail(entries[i].id) == expected
        assert gallery.thumbnail(entries[i].id[:9].upper()) == expected
    assert [e.id for e in gallery.entries(limit=10, offset=45)] == [e.id for e in entries[45:55]]


def test_several_ids_give_each_entry_once(gallery):
    snapshot = gallery._store.snapshot()
    entries = gallery.entries()
    asked = [entries[80].id, entries[3].id, entries[80].id, entries[3].id[:10]]
    rows = searching.find_ids(snapshot, asked)
    assert [row["id"] for row in snapshot.take(rows, ["id"])] == [entries[3].id, entries[80].id]


@pytest.mark.parametrize("missing", ["0" * 32, "f" * 32, "80" * 16])
def test_what_is_not_inside_is_named(gallery, missing):
    known = gallery.entries()[0].id
    with pytest.raises(GalleryError, match=f"no entry has the id {missing}"):
        gallery.search([known, missing])


def test_what_was_forgotten_and_added_since_is_known(gallery):
    first, second, *_ = gallery.entries()
    assert gallery.thumbnail(first.id) is not None
    gallery.forget(ids=[first.id])
    with pytest.raises(GalleryError, match="no entry has the id"):
        gallery.thumbnail(first.id)
    assert gallery.thumbnail(second.id) is not None
    (new,) = gallery.add(crowd(1, seed=3), thumbnails=[b"new"]).ids
    assert gallery.thumbnail(new) == b"new"
