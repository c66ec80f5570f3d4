"""The map of a gallery: which entries, where, and how often it is drawn."""

import numpy as np
import pytest

from hatcnn.errors import ConfigError
from hatcnn.gallery import Gallery
from hatcnn.server import Settings, mapping
from hatcnn.visualize.arranging import arrange, principal_components
from tests.gallery.people import crowd
from tests.pictures import encoded
from tests.server.conftest import upload


@pytest.fixture
def drawn(monkeypatch):
    calls = []

    def count(vectors, **options):
        calls.append(len(vectors))
        return arrange(vectors, **options)

    monkeypatch.setattr(mapping, "arrange", count)
    return calls


def test_it_shows_every_entry_of_a_small_gallery_and_is_drawn_once(client, crops, drawn):
    ids = client.post("/v1/entries", files=upload(crops), data={"camera": "3"}).json()["ids"]
    found = client.get("/v1/map").json()
    assert (found["method"], found["note"], found["entries"]) == ("t-SNE", None, 8)
    assert {p["id"] for p in found["points"]} == set(ids)
    assert {p["camera"] for p in found["points"]} == {"3"}
    for axis in ("x", "y"):
        values = [p[axis] for p in found["points"]]
        assert (min(values), max(values)) == (0, 1)
    assert client.get("/v1/map").json() == found
    assert drawn == [8]
    client.delete(f"/v1/entries/{ids[0]}")
    client.post("/v1/entries", files=upload([crops[0]]))
    client.get("/v1/map")
    assert drawn == [8, 8]


def test_nothing_is_kept_of_who_was_forgotten(client, crops, monkeypatch):
    ids = client.post("/v1/entries", files=upload(crops)).json()["ids"]
    client.get("/v1/map")
    mapper = client.app.state.service.mapper
    assert ids[0] in {entry.id for entry in mapper._kept.entries}
    client.delete(f"/v1/entries/{ids[0]}")
    assert mapper._kept is None

    def forgetting(vectors, **options):
        # While the map is being drawn.
        mapper._gallery.forget(ids=[ids[1]])
        return arrange(vectors, **options)

    client.post("/v1/entries", files=upload([crops[0]]))
    monkeypatch.setattr(mapping, "arrange", forgetting)
    assert ids[1] in {entry.id for entry in mapper().entries}
    assert mapper._kept is None


def test_a_map_that_would_take_too_long_is_refused():
    with pytest.raises(ConfigError, match="at most 5,000"):
        Settings(map_pictures=5001)


def test_a_large_gallery_is_sampled(serve, crops, drawn):
    client = serve(map_pictures=8)
    client.post("/v1/entries", files=upload(crops))
    client.post("/v1/search/picture", files=upload(crops[:1]))
    random = np.random.default_rng(5)
    more = [np.asarray(random.integers(0, 255, (64, 32, 3)), np.uint8) for _ in range(4)]
    client.post("/v1/entries", files=upload([encoded(pixels) for pixels in more]))
    found = client.get("/v1/map").json()
    assert (found["entries"], len(found["points"]), drawn) == (12, 8, [8])


def test_too_few_entries_have_no_map(client, crops):
    empty = client.get("/v1/map").json()
    assert (empty["points"], empty["entries"], empty["method"]) == ([], 0, None)
    client.post("/v1/entries", files=upload(crops[:7]))
    found = client.get("/v1/map").json()
    assert (found["points"], found["entries"]) == ([], 7)
    assert "at least 8" in found["note"]


def test_without_scikit_learn_it_is_drawn_plainly_and_says_so(client, crops, monkeypatch):
    client.post("/v1/entries", files=upload(crops))
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    found = client.get("/v1/map").json()
    assert (found["method"], len(found["points"])) == ("PCA", 8)
    assert 'pip install "hatcnn[pictures]"' in found["note"]


def test_a_sample_is_of_what_is_inside(tmp_path):
    people = crowd(60)
    gallery = Gallery.open(tmp_path / "g", precision="float32")
    assert len(gallery.sample(10).entries) == 0
    before = gallery.version
    gallery.add(people)
    assert gallery.version > before
    sample = gallery.sample(20)
    assert (sample.of, len(sample.entries), sample.version) == (60, 20, gallery.version)
    rows = [people.names.index(entry.name) for entry in sample.entries]
    assert rows == sorted(set(rows))
    np.testing.assert_allclose(sample.vectors, people.vectors[rows], atol=1e-6)
    again = gallery.sample(20)
    assert [e.id for e in again.entries] == [e.id for e in sample.entries]
    assert [e.id for e in gallery.sample(20, seed=1).entries] != [e.id for e in sample.entries]
    assert len(gallery.sample(1000).entries) == 60


def test_principal_components_are_those_of_the_covariance():
    random = np.random.default_rng(0)
    vectors = random.standard_normal((50, 6)).astype(np.float32) * [9, 1, 1, 4, 1, 1]
    places = principal_components(vectors)
    values, axes = np.linalg.eigh(np.cov(vectors.T))
    expected = (vectors - vectors.mean(axis=0)) @ axes[:, [-1, -2]]
    for found, along in zip(places.T, expected.T, strict=True):
        assert abs(np.corrcoef(found, along)[0, 1]) == pytest.approx(1, abs=1e-5)
        assert found.std() == pytest.approx(along.std(), rel=1e-4)
        assert found[np.abs(found).argmax()] > 0
    assert values[-1] == pytest.approx(places[:, 0].var(ddof=1), rel=1e-4)
