import numpy as np
import pytest

from hatcnn.errors import DataError
from hatcnn.inference import Embeddings


@pytest.fixture
def people():
    random = np.random.default_rng(0)
    return Embeddings(
        vectors=random.normal(size=(5, 8)).astype(np.float32),
        attributes=random.random((5, 26)).astype(np.float32),
        names=tuple("abcde"),
        skipped=(("x", "it is empty"),),
        fingerprint="0123456789abcdef",
    )


MASK = np.array([True, False, True, False, True])


@pytest.mark.parametrize("rows", [0, -1, slice(1, 3), slice(None, None, -2), [4, 0, 4], MASK])
def test_a_selection_is_embeddings_of_those_pictures(people, rows):
    expected = np.atleast_1d(np.arange(5)[rows])
    chosen = people[rows]
    np.testing.assert_array_equal(chosen.vectors, people.vectors[expected])
    np.testing.assert_array_equal(chosen.attributes, people.attributes[expected])
    assert chosen.names == tuple("abcde"[i] for i in expected)
    assert len(chosen) == len(expected)
    assert chosen.fingerprint == people.fingerprint
    assert chosen.skipped == ()


def test_iterating_gives_one_picture_at_a_time(people):
    assert [one.names for one in people] == [("a",), ("b",), ("c",), ("d",), ("e",)]
    assert all(one.vectors.shape == (1, 8) for one in people)
    with pytest.raises(IndexError):
        people[5]


def test_what_is_saved_is_loaded(people, tmp_path):
    path = tmp_path / "people.npz"
    for saved in (people, people[[]], Embeddings(people.vectors, None, people.names)):
        saved.save(path)
        loaded = Embeddings.load(path)
        np.testing.assert_array_equal(loaded.vectors, saved.vectors)
        assert (loaded.attributes is None) == (saved.attributes is None)
        assert loaded.attributes is None or np.array_equal(loaded.attributes, saved.attributes)
        for field in ("names", "flags", "skipped", "fingerprint"):
            assert getattr(loaded, field) == getattr(saved, field)


def test_files_that_are_no_embeddings_are_refused(people, tmp_path):
    path = tmp_path / "people.npz"
    with pytest.raises(DataError, match="no embeddings at"):
        Embeddings.load(path)
    for content in (b"", b"PK\x03\x04 cut short", b"text"):
        path.write_bytes(content)
        with pytest.raises(DataError, match="holds no embeddings"):
            Embeddings.load(path)
    np.savez(path, vectors=people.vectors, names=np.array(list("abc")))
    with pytest.raises(DataError, match="do not fit together"):
        Embeddings.load(path)
    np.savez(path, vectors=people.vectors)
    with pytest.raises(DataError, match="names"):
        Embeddings.load(path)
