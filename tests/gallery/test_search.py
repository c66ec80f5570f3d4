import json

import numpy as np
import pytest

from hatcnn.attributes import NAMES
from hatcnn.errors import FilterError, GalleryError
from hatcnn.gallery import Gallery, indexing, searching, store
from tests.gallery.people import People, crowd, stored

N = 500


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    people = crowd(N)
    gallery = Gallery.open(tmp_path_factory.mktemp("town") / "gallery")
    ids = gallery.add(
        people,
        camera=[i % 6 if i % 7 else None for i in range(N)],
        identity=[f"p{i % 40}" if i % 3 else None for i in range(N)],
        batch_size=90,
    ).ids
    return gallery, people, np.array(ids)


def oracle(people, query, keep=None):
    """Rows and cosine similarities, best first."""
    scores = stored(people.vectors) @ (query / np.linalg.norm(query))
    rows = np.argsort(-scores, kind="stable")
    rows = rows if keep is None else rows[keep[rows]]
    return rows, scores[rows]


def test_finds_what_plain_numpy_finds(town):
    gallery, people, ids = town
    query = crowd(1, seed=9).vectors[0].astype(np.float64)
    rows, scores = oracle(people, query)
    found = gallery.search(query * 3, top_k=20)
    assert [m.entry.id for m in found] == ids[rows[:20]].tolist()
    assert [m.entry.name for m in found] == [people.names[i] for i in rows[:20]]
    assert [m.rank for m in found] == list(range(1, 21))
    np.testing.assert_allclose([m.score for m in found], scores[:20], atol=1e-6)
    assert found.exact
    assert found.searched == N


def test_pages_join_without_a_seam(town):
    gallery, _, _ = town
    query = crowd(1, seed=9).vectors[0]
    whole = gallery.search(query, top_k=30).rows()
    pages = [
        row for at in range(0, 30, 7) for row in gallery.search(query, top_k=7, offset=at).rows()
    ]
    assert pages[:30] == whole
    assert len(gallery.search(query, top_k=10_000)) == N
    assert not gallery.search(query, offset=N)


def test_filter_and_camera_rule_agree_with_numpy(town):
    gallery, people, ids = town
    query = crowd(1, seed=9).vectors[0].astype(np.float64)
    backpack = people.attributes[:, NAMES.index("backpack")] > 0.5
    camera = np.array([i % 6 if i % 7 else -1 for i in range(N)])
    # An unknown camera is not known to be the excluded one, and stays.
    rows, _ = oracle(people, query, backpack & (camera != 3))
    found = gallery.search(query, where="backpack", exclude_camera=3)
    assert [m.entry.id for m in found] == ids[rows[:10]].tolist()
    rows, _ = oracle(people, query, ~np.isin(camera, [3, 4]))
    found = gallery.search(query, exclude_camera=[3, "4"])
    assert [m.entry.id for m in found] == ids[rows[:10]].tolist()


def test_several_pictures_are_one_person(town):
    gallery, people, ids = town
    three = People(people.vectors[:3], None, people.names[:3])
    rows, scores = oracle(people, people.vectors[:3].astype(np.float64).mean(axis=0))
    found = gallery.search(three)
    assert [m.entry.id for m in found] == ids[rows[:10]].tolist()
    np.testing.assert_allclose([m.score for m in found], scores[:10], atol=1e-5)


def test_an_entry_looks_for_others_like_it(town):
    gallery, people, ids = town
    others = np.arange(N) != 8
    rows, _ = oracle(people, stored(people.vectors[8]), others)
    for name in (ids[8], ids[8][:12], ids[8].upper()):
        assert [m.entry.id for m in gallery.search(name)] == ids[rows[:10]].tolist()
    camera = np.array([str(i % 6) if i % 7 else None for i in range(N)])
    rows, _ = oracle(people, stored(people.vectors[8]), others & (camera != "2"))
    found = gallery.search(ids[8], exclude_camera=True)
    assert [m.entry.id for m in found] == ids[rows[:10]].tolist()


def test_groups_show_their_best(town):
    gallery, people, ids = town
    query = crowd(1, seed=9).vectors[0].astype(np.float64)
    rows, _ = oracle(people, query)
    expected, seen = [], set()
    for row in rows:
        group = f"p{row % 40}" if row % 3 else None
        if group is None or group not in seen:
            expected.append(ids[row])
            seen.add(group)
    assert [m.entry.id for m in gallery.search(query, top_k=60, group_by="identity")] == expected[
        :60
    ]
    page = gallery.search(query, top_k=10, offset=10, group_by="identity")
    assert [m.entry.id for m in page] == expected[10:20]
    assert len(gallery.search(query, top_k=1000, group_by="identity")) == len(expected)


def test_descriptions_multiply_probabilities(town):
    gallery, people, ids = town
    p = {name: people.attributes[:, i].astype(np.float64) for i, name in enumerate(NAMES)}
    score = p["gender"] * p["upred"] * p["backpack"] * (1 - p["hat"])
    rows = np.argsort(-score)
    found = gallery.describe("A woman in a red top with backpack, without a hat", top_k=15)
    assert [m.entry.id for m in found] == ids[rows[:15]].tolist()
    np.testing.assert_allclose([m.score for m in found], score[rows[:15]], rtol=1e-5)
    rows = rows[(p["backpack"] <= 0.5)[rows]]
    found = gallery.describe("woman, red top, backpack, no hat", where="no backpack")
    assert [m.entry.id for m in found] == ids[rows[:10]].tolist()


def test_descriptions_say_what_they_do_not_understand(town):
    gallery, _, _ = town
    with pytest.raises(FilterError, match="no attribute tells 'umbrela'"):
        gallery.describe("woman, umbrela")
    with pytest.raises(FilterError, match="did you mean 'red top'"):
        gallery.describe("redd top")
    with pytest.raises(FilterError, match="contradicts"):
        gallery.describe("woman, man")
    with pytest.raises(FilterError, match="empty"):
        gallery.describe(" , ")


def test_matches_print_and_turn_into_json(town):
    gallery, people, ids = town
    found = gallery.search(people.vectors[3], top_k=2)
    lines = str(found).splitlines()
    assert lines[0].split() == ["rank", "score", "id", "camera", "person", "name"]
    assert lines[1].split() == ["1", "1.0000", ids[3][:12], "3", "000003.jpg"]
    said = json.loads(json.dumps(found.to_json()))
    assert said["matches"][0]["id"] == ids[3]
    assert said["matches"][0]["camera"] == "3"


def test_a_large_gallery_is_read_block_by_block(town, monkeypatch):
    gallery, people, ids = town
    monkeypatch.setattr(store, "EXACT_BYTES", 0)
    query = crowd(1, seed=9).vectors[0].astype(np.float64)
    rows, scores = oracle(people, query, people.attributes[:, NAMES.index("hat")] > 0.5)
    found = gallery.search(query, where="hat", top_k=50)
    assert [m.entry.id for m in found] == ids[rows[:50]].tolist()
    np.testing.assert_allclose([m.score for m in found], scores[:50], atol=1e-6)


def test_the_index_finds_nearly_the_same(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "EXACT_BYTES", 0)
    gallery = Gallery.open(tmp_path / "gallery")
    people = crowd(3000, dimension=256)
    gallery.add(people, camera=[i % 10 for i in range(3000)])
    query = people.vectors[7]
    found, exact = gallery.search(query), gallery.search(query, exact=True)
    assert not found.exact
    assert exact.exact
    assert found[0] == exact[0]
    said = gallery.stats()
    assert said.index == "IVF_RQ"
    assert said.indexed == 3000
    assert said.recall_at_10 > 0.9
    # The share that stats reports is the share that an oracle counts.
    snapshot = gallery._store.snapshot()
    shares = []
    for row in np.linspace(0, 2999, 50).astype(int):
        nearest, _ = oracle(people, stored(people.vectors[row]))
        got, _ = indexing.ask_index(snapshot, stored(people.vectors[row]).astype("f"), 10, None)
        names = {entry["name"] for entry in snapshot.take(got, ["name"])}
        shares.append(len(names & {people.names[i] for i in nearest[:10]}) / 10)
    assert said.recall_at_10 == pytest.approx(np.mean(shares))
    # What is filtered is filtered before the nearest are chosen.
    tenth = gallery.search(query, where="camera = 4", top_k=20)
    assert [m.entry.camera for m in tenth] == ["4"] * 20
    both = {m.entry.id for m in tenth} & {
        m.entry.id for m in gallery.search(query, where="camera = 4", top_k=20, exact=True)
    }
    assert len(both) >= 18
    # A filter that leaves few is answered in full, wherever in the index they are.
    few = "name in ('000010.jpg', '001500.jpg', '002990.jpg')"
    rare = gallery.search(query, where=few)
    everyone = gallery.search(query, where=few, exact=True)
    assert [m.entry for m in rare] == [m.entry for m in everyone]
    assert len(rare) == 3
    # New entries are found before the index holds them.
    late = crowd(5, dimension=256, seed=3)
    gallery.add(late)
    assert gallery.search(late.vectors[2])[0].entry.name == late.names[2]


def test_dimensions_that_cannot_be_indexed_are_searched_exactly(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "EXACT_BYTES", 0)
    gallery = Gallery.open(tmp_path / "gallery")
    people = crowd(50, dimension=30)
    gallery.add(people)
    found = gallery.search(people.vectors[4])
    assert found.exact
    assert found[0].entry.name == people.names[4]
    assert gallery.stats().index == "exact"


def test_refuses_impossible_questions(town):
    gallery, people, _ = town
    query = people.vectors[0]
    for k in (0, -1, 1_000_000):
        with pytest.raises(GalleryError, match=r"expected 1 to 10,000"):
            gallery.search(query, top_k=k)
    with pytest.raises(GalleryError, match="offset is -1"):
        gallery.search(query, offset=-1)
    with pytest.raises(GalleryError, match="vector 0 of 1 holds NaN"):
        gallery.search(np.full(32, np.nan))
    with pytest.raises(GalleryError, match="vectors of 31 numbers"):
        gallery.search(query[:31])
    with pytest.raises(GalleryError, match="model model-b"):
        gallery.search(crowd(1, fingerprint="model-b"))
    with pytest.raises(GalleryError, match="no entry has the id"):
        gallery.search("0" * 32)
    with pytest.raises(GalleryError, match="is no id"):
        gallery.search("' or 1=1")
    with pytest.raises(GalleryError, match="nothing in common"):
        gallery.search(np.stack([query, -query]))
    with pytest.raises(GalleryError, match="camera is not known"):
        gallery.search(query, exclude_camera=True)
    with pytest.raises(GalleryError, match=r"expected \(n, d\) numbers"):
        gallery.search([])
    with pytest.raises(GalleryError, match="no vectors"):
        gallery.search(np.empty((0, 32)))


def test_an_entry_can_be_named_by_a_few_digits(town):
    gallery, _, ids = town
    snapshot = gallery._store.snapshot()
    assert searching.full_ids(snapshot, [ids[0][:10]]) == [ids[0]]


def test_many_people_are_ranked_in_turn(town):
    gallery, people, ids = town
    queries = crowd(3, seed=9).vectors
    camera = np.array([i % 6 if i % 7 else -1 for i in range(N)])
    where = ["camera = 2", None, "not (camera = 3 and identity = 'p1')"]
    identity = np.array([i % 40 if i % 3 else -1 for i in range(N)])
    # Of an unknown camera or identity "not" is known only where the other is known to differ.
    other = np.where(camera < 0, (identity >= 0) & (identity != 1), camera != 3)
    other |= (camera == 3) & (identity >= 0) & (identity != 1)
    keep = [camera == 2, np.ones(N, bool), other]
    answers = list(gallery.search_many(queries, where=where))
    assert len(answers) == 3
    for query, kept, answer in zip(queries, keep, answers, strict=True):
        rows, scores = oracle(people, query.astype(np.float64), kept)
        assert answer.ids.tolist() == ids[rows].tolist()
        np.testing.assert_allclose(answer.scores, scores, atol=1e-6)
        assert answer.exact
    (first, *_) = gallery.search_many(queries, where="camera = 2", top_k=4)
    assert first.ids.tolist() == answers[0].ids[:4].tolist()
    with pytest.raises(GalleryError, match="expected 3 values"):
        gallery.search_many(queries, where=["camera = 2"])
    with pytest.raises(GalleryError, match="expected 1 or more"):
        gallery.search_many(queries, top_k=0)
    with pytest.raises(FilterError):
        gallery.search_many(queries, where="camera = ")
    with pytest.raises(GalleryError, match="model model-b"):
        gallery.search_many(crowd(3, fingerprint="model-b"))
