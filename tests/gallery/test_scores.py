import json

import numpy as np
import pytest

from hatcnn.cli.main import run
from hatcnn.errors import EvaluationError, GalleryError
from hatcnn.evaluation.reranking import reranked_blocks
from hatcnn.evaluation.thresholds import Calibration
from hatcnn.gallery import Gallery, store
from tests.gallery.people import People, crowd

N = 300
CALIBRATION = Calibration(
    slope=8.0,
    intercept=-2.0,
    false_match_rates=(1e-1, 1e-3),
    thresholds=(0.2, 0.4),
    true_match_rates=(0.9, 0.5),
    same_pairs=100,
    different_pairs=100_000,
    data="made up",
    fingerprint="model-a",
)


def families(seed=0):
    """Sixty people with five pictures each, which are about 0.5 alike."""
    random = np.random.default_rng(seed)
    who = np.arange(N) % 60
    vectors = random.standard_normal((60, 32))[who] + random.standard_normal((N, 32))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    return People(vectors, None, tuple(f"{i:03}.jpg" for i in range(N)))


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    people = families()
    path = tmp_path_factory.mktemp("town") / "gallery"
    gallery = Gallery.open(path, precision="float32")
    gallery.add(people, identity=[f"p{i % 60}" for i in range(N)])
    return gallery, people, path


def test_a_match_has_the_probability_of_its_score(town):
    gallery, people, _ = town
    found = gallery.search(people.vectors[3], calibration=CALIBRATION)
    scores = np.array([m.score for m in found])
    expected = 1 / (1 + np.exp(2.0 - 8.0 * scores))
    np.testing.assert_allclose([m.probability for m in found], expected, atol=1e-6)
    lines = str(found).splitlines()
    assert lines[0].split()[:3] == ["rank", "score", "probability"]
    assert lines[1].split()[:3] == ["1", "1.0000", "0.998"]
    assert found.to_json()["matches"][0]["probability"] == pytest.approx(0.99753, abs=1e-5)
    plain = gallery.search(people.vectors[3])
    assert [m.probability for m in plain] == [None] * 10
    assert "probability" not in str(plain)
    assert "probability" not in plain.rows()[0]


@pytest.mark.parametrize(("rate", "lowest"), [(1e-1, 0.2), (1e-2, 0.3), (1e-3, 0.4)])
def test_a_false_match_rate_cuts_off_what_is_too_little_alike(town, rate, lowest):
    gallery, people, _ = town
    scores = people.vectors @ people.vectors[3]
    expected = {people.names[i] for i in np.flatnonzero(scores >= lowest)}
    assert 1 < len(expected) < 100
    ask = {"top_k": 100, "calibration": CALIBRATION, "false_match_rate": rate}
    found = gallery.search(people.vectors[3], **ask)
    assert {m.entry.name for m in found} == expected
    grouped = gallery.search(people.vectors[3], group_by="identity", **ask)
    assert len(grouped) == len({int(name[:3]) % 60 for name in expected})


def test_refuses_rates_that_mean_nothing(town):
    gallery, people, _ = town
    query = people.vectors[0]
    with pytest.raises(GalleryError, match="needs a calibration"):
        gallery.search(query, false_match_rate=1e-3)
    with pytest.raises(EvaluationError, match="1e-06 was not measured"):
        gallery.search(query, calibration=CALIBRATION, false_match_rate=1e-6)
    other = Calibration(**{**CALIBRATION.to_json(), "fingerprint": "model-b"})
    with pytest.raises(GalleryError, match="calibration is of the model model-b"):
        gallery.search(query, calibration=other)
    rate = {"calibration": CALIBRATION, "false_match_rate": 1e-2}
    with pytest.raises(GalleryError, match="not both"):
        gallery.forget(person=query, threshold=0.5, **rate)
    with pytest.raises(GalleryError, match="give both the person and"):
        gallery.forget(tag="x", **rate)


def test_forgets_by_a_false_match_rate(town):
    gallery, people, _ = town
    scores = people.vectors @ people.vectors[3]
    found = gallery.forget(
        person=people.vectors[3], calibration=CALIBRATION, false_match_rate=1e-2, dry_run=True
    )
    assert len(found.ids) == (scores >= 0.3).sum()


@pytest.mark.parametrize("limit", [store.EXACT_BYTES, 0])
def test_reranks_the_nearest_as_the_evaluation_does(town, monkeypatch, limit):
    # In memory, and from disk.
    monkeypatch.setattr(store, "EXACT_BYTES", limit)
    gallery, people, _ = town
    query = families(seed=0).vectors[3] + 0.15 * crowd(1, seed=4).vectors[0] * np.sqrt(32)
    query = (query / np.linalg.norm(query)).astype(np.float32)
    scores = people.vectors @ query
    nearest = np.argsort(-scores)
    chosen = nearest[:80]
    ((_, distances),) = reranked_blocks(query[None], people.vectors[np.sort(chosen)])
    expected = np.sort(chosen)[np.argsort(distances[0])]
    found = gallery.search(query, top_k=100, rerank=80)
    names = [m.entry.name for m in found]
    assert names[:80] == [people.names[i] for i in expected]
    assert names[:80] != [people.names[i] for i in chosen]
    assert names[80:] == [people.names[i] for i in nearest[80:100]]
    np.testing.assert_allclose(
        [m.score for m in found], scores[[int(n[:3]) for n in names]], atol=1e-6
    )
    # A page of it is a page of the same order.
    assert gallery.search(query, top_k=5, offset=3, rerank=80).rows() == found.rows()[3:8]
    assert "the nearest 80 re-ranked" in str(found)
    # A false match rate takes entries out and leaves the others' order.
    alike = gallery.search(
        query, top_k=100, rerank=80, calibration=CALIBRATION, false_match_rate=1e-2
    )
    assert [m.entry.name for m in alike] == [m.entry.name for m in found if m.score >= 0.3]
    assert 1 < len(alike) < 80


def test_refuses_to_rerank_nothing_or_too_much(town):
    gallery, people, _ = town
    for count in (0, -1, 10_001):
        with pytest.raises(GalleryError, match="expected 1 to 10,000"):
            gallery.search(people.vectors[0], rerank=count)


def test_the_command_takes_a_calibration(town, tmp_path, capsys):
    _, people, path = town
    CALIBRATION.save(tmp_path / "calibration.json")
    np.savez(tmp_path / "one.npz", vectors=people.vectors[3:4], names=np.array(["3"]))
    search = ["gallery", "search", str(path), str(tmp_path / "one.npz"), "--json", "-"]
    scores = people.vectors @ people.vectors[3]
    # The file by its name, the model's folder, and the model that embeds.
    for named in (
        ("--calibration", str(tmp_path / "calibration.json")),
        ("--calibration", str(tmp_path)),
        ("--model", str(tmp_path)),
    ):
        run([*search, *named, "--false-match-rate", "1e-2", "--rerank", "20"])
        found = json.loads(capsys.readouterr().out)
        assert len(found["matches"]) == min(10, (scores >= 0.3).sum())
        assert found["reranked"] == 20
        for match in found["matches"]:
            expected = 1 / (1 + np.exp(2.0 - 8.0 * match["score"]))
            assert match["probability"] == pytest.approx(expected, abs=1e-6)
