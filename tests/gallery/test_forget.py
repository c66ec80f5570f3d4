import json
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from hatcnn.errors import EntryError, FilterError, GalleryError
from hatcnn.gallery import Gallery, forgetting, store
from tests.gallery.people import crowd, files_with, stored

N = 400


def town(folder, **options):
    people = crowd(N)
    small = [np.random.default_rng(i).bytes(60) for i in range(N)]
    gallery = Gallery.open(folder, **options)
    ids = gallery.add(
        people,
        camera=[i % 4 for i in range(N)],
        seen_at=[datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=i) for i in range(N)],
        tags=[["visitor"] if i % 50 == 0 else [] for i in range(N)],
        thumbnails=small,
        batch_size=150,
    ).ids
    return gallery, people, small, ids


def needles(people, small, row, kind=np.float16):
    return people.vectors[row].astype(kind).tobytes(), small[row]


def assert_gone(folder, people, small, rows):
    """The forgotten have left the disk; of everybody else the bytes are still there."""
    for row in range(0, N, 7):
        for needle in needles(people, small, row):
            if row not in rows:
                assert files_with(folder, needle)
    for row in rows:
        for needle in needles(people, small, row):
            assert not files_with(folder, needle)


def test_no_byte_of_the_forgotten_is_left(tmp_path):
    folder = tmp_path / "town.gallery"
    gallery, people, small, ids = town(folder)
    before = files_with(folder, small[203])
    assert before
    done = gallery.forget(ids=[ids[203]])
    assert done.gone
    assert done.ids == (ids[203],)
    assert_gone(folder, people, small, {203})
    assert len(gallery) == N - 1
    names = {e.name for e in gallery.entries(limit=N)}
    assert names == set(people.names) - {people.names[203]}
    # What stays is whole: vectors, thumbnails, and all else.
    for row in (0, 202, 204, 399):
        match = gallery.search(people.vectors[row])[0]
        assert match.entry.id == ids[row]
        assert match.entry.camera == str(row % 4)
        assert gallery.thumbnail(ids[row]) == small[row]
    # It may come back, as a new entry.
    assert gallery.add(people[slice(200, 210)]).added == 1


@pytest.mark.parametrize(
    ("criterion", "expected"),
    [
        ({"where": "camera = 1 and seen_at < '2026-03-01'"}, {i for i in range(59) if i % 4 == 1}),
        ({"tag": "visitor"}, set(range(0, N, 50))),
        ({"since": "2026-01-11", "until": "2026-01-21"}, set(range(10, 20))),
        ({"tag": "visitor", "where": "camera = 2"}, {50, 150, 250, 350}),
        ({"where": "camera is known"}, set(range(N))),
        ({"where": "camera = 9"}, set()),
    ],
)
def test_forgets_what_fits_and_nothing_else(tmp_path, criterion, expected):
    folder = tmp_path / "town.gallery"
    gallery, people, small, ids = town(folder)
    shown = gallery.forget(**criterion, dry_run=True)
    assert not shown.gone
    assert set(shown.ids) == {ids[i] for i in expected}
    assert len(gallery) == N
    done = gallery.forget(**criterion)
    assert set(done.ids) == set(shown.ids)
    assert len(gallery) == N - len(expected)
    assert_gone(folder, people, small, expected)


def test_forgets_a_person_by_their_look(tmp_path):
    folder = tmp_path / "town.gallery"
    gallery, people, small, ids = town(folder)
    scores = stored(people.vectors) @ people.vectors[5].astype(np.float64)
    alike = {int(i) for i in np.flatnonzero(scores >= 0.35)}
    assert len(alike) > 3
    done = gallery.forget(person=people.vectors[5], threshold=0.35)
    assert set(done.ids) == {ids[i] for i in alike}
    assert_gone(folder, people, small, alike)


def test_an_index_keeps_nothing_either(tmp_path, monkeypatch):
    monkeypatch.setattr(store, "EXACT_BYTES", 0)
    folder = tmp_path / "town.gallery"
    gallery, people, small, ids = town(folder)
    assert gallery.stats().index == "IVF_RQ"
    indices = folder / "people.lance" / "_indices"
    old = {p.name for p in indices.iterdir()}
    gallery.forget(ids=ids[100:110])
    assert_gone(folder, people, small, set(range(100, 110)))
    assert gallery.stats().indexed == N - 10
    # The index was made anew from what stays; the old one's files are gone.
    assert not old & {p.name for p in indices.iterdir()}
    assert gallery.search(people.vectors[111])[0].entry.id == ids[111]


def test_retention_counts_from_the_last_sight_or_else_from_adding(tmp_path):
    gallery = Gallery.open(tmp_path / "gallery")
    now = datetime.now(UTC)
    people = crowd(3)
    gallery.add(people, seen_at=[now - timedelta(days=40), now - timedelta(days=20), None])
    assert [e.name for e in gallery.forget(keep_days=30).examples] == [people.names[0]]
    assert len(gallery.forget(keep_days=0, dry_run=True).ids) == 2


def test_asks_before_it_acts(tmp_path):
    gallery, *_ = town(tmp_path / "gallery")
    asked = []
    done = gallery.forget(tag="visitor", confirm=lambda found: asked.append(found) or False)
    assert not done.gone
    assert len(asked[0].ids) == 8
    assert len(gallery) == N
    assert gallery.forget(tag="visitor", confirm=lambda _: True).gone
    assert len(gallery) == N - 8


def test_cleaning_goes_on_where_it_was_cut_off(tmp_path, monkeypatch):
    folder = tmp_path / "town.gallery"
    gallery, people, small, _ = town(folder)

    def cut(*_args, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as context:
        context.setattr(forgetting, "clean", cut)
        with pytest.raises(KeyboardInterrupt):
            gallery.forget(tag="visitor")
    assert len(gallery) == N - 8
    assert files_with(folder, small[50])
    # The same call finds nothing any more, and still finishes the work.
    assert gallery.forget(tag="visitor").ids == ()
    assert_gone(folder, people, small, set(range(0, N, 50)))


def test_unfinished_moves_lose_nothing(tmp_path, monkeypatch):
    folder = tmp_path / "town.gallery"
    gallery, people, small, _ = town(folder)
    monkeypatch.setattr(forgetting, "MOVED_AT_ONCE", 40)
    moves = iter([None, None])
    move = forgetting._move_others

    def cut(*arguments):
        next(moves)
        move(*arguments)

    with monkeypatch.context() as context:
        context.setattr(forgetting, "_move_others", cut)
        with pytest.raises(StopIteration):
            gallery.forget(where="camera = 2")
    assert {e.name for e in gallery.entries(limit=N + 1)} == set(people.names)
    gallery.forget(where="camera = 2")
    assert_gone(folder, people, small, set(range(2, N, 4)))


def test_compacting_keeps_entries_and_drops_versions(tmp_path):
    folder = tmp_path / "gallery"
    gallery = Gallery.open(folder)
    people = crowd(N)
    gallery.add(people, batch_size=10)
    versions = folder / "people.lance" / "_versions"
    data = folder / "people.lance" / "data"
    assert len(list(data.iterdir())) == 40
    gallery.compact()
    assert len(list(data.iterdir())) == 1
    assert len(list(versions.glob("*.manifest"))) == 1
    assert [e.name for e in gallery.entries(limit=N)] == list(people.names)


def test_the_log_says_who_did_what(tmp_path):
    folder = tmp_path / "gallery"
    gallery, people, _, ids = town(folder, who="carol")
    gallery.search(people.vectors[0], where="camera = 1")
    gallery.search([ids[1], ids[2]])
    gallery.describe("woman")
    gallery.forget(tag="visitor", until=datetime(2026, 3, 1, tzinfo=UTC))
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == [
        "search", "search", "describe", "forget", "forgotten"
    ]  # fmt: skip
    assert {line["who"] for line in lines} == {"carol"}
    assert [line.get("query") for line in lines[:3]] == [
        "1 vectors", f"{ids[1]} {ids[2]}", "woman"
    ]  # fmt: skip
    assert lines[0]["where"] == "camera = 1"
    assert lines[3]["what"] == {"tag": "visitor", "until": "2026-03-01 00:00:00+00:00"}
    assert lines[3]["entries"] == lines[4]["entries"] == 2
    assert all(datetime.fromisoformat(line["at"]).tzinfo for line in lines)


def test_whoever_is_shown_people_has_searched(tmp_path):
    folder = tmp_path / "gallery"
    gallery, people, _, ids = town(folder, who="carol")
    gallery.entries()
    gallery.entry(ids[3])
    assert not (folder / "audit.jsonl").exists(), "nobody in particular was looked for"
    gallery.forget(person=people.vectors[5], threshold=0.35, dry_run=True)
    gallery.forget(person=ids[5], threshold=0.9, confirm=lambda _: False)
    gallery.entries(where="camera = 1", limit=7)
    lines = [json.loads(line) for line in (folder / "audit.jsonl").read_text().splitlines()]
    assert [line["action"] for line in lines] == ["find to forget", "find to forget", "list"]
    assert lines[0]["what"] == {"person": "1 vectors", "threshold": 0.35}
    assert lines[1]["what"] == {"person": ids[5], "threshold": 0.9}
    assert (lines[2]["where"], lines[2]["matches"]) == ("camera = 1", 7)
    assert len(gallery) == N


@pytest.mark.parametrize("at", ["a deletion", "cleaning"])
def test_forgetting_by_an_entry_that_is_forgotten_too_goes_on(tmp_path, monkeypatch, at):
    folder = tmp_path / "town.gallery"
    gallery, people, small, ids = town(folder)
    scores = stored(people.vectors) @ people.vectors[205].astype(np.float64)
    alike = {int(i) for i in np.flatnonzero(scores >= 0.35)}
    assert len(alike) > 3
    monkeypatch.setattr(forgetting, "DELETED_AT_ONCE", 2)
    deletions, delete = iter([None]), forgetting._delete

    def cut(*arguments):
        next(deletions)
        delete(*arguments)

    with monkeypatch.context() as context:
        context.setattr(forgetting, *(("_delete", cut) if at == "a deletion" else ("clean", None)))
        with pytest.raises((StopIteration, TypeError)):
            gallery.forget(person=ids[205][:12], threshold=0.35)
    if at == "a deletion":
        assert len(gallery) == N - 2
        assert len(gallery.forget(person=ids[205], threshold=0.35).ids) == len(alike) - 2
    else:
        assert len(gallery) == N - len(alike)
        with pytest.raises(EntryError, match="was it forgotten"):
            gallery.forget(person=ids[205], threshold=0.35)
    assert_gone(folder, people, small, alike)


def test_refuses_to_forget_by_accident(tmp_path):
    gallery, people, *_ = town(tmp_path / "gallery")
    for nothing in ({}, {"ids": []}, {"where": ""}, {"tag": ""}):
        with pytest.raises(GalleryError, match="say what to forget"):
            gallery.forget(**nothing)
    with pytest.raises(GalleryError, match="both the person and a threshold"):
        gallery.forget(person=people.vectors[0])
    with pytest.raises(GalleryError, match="both the person and a threshold"):
        gallery.forget(tag="x", threshold=0.5)
    with pytest.raises(GalleryError, match="from -1 to 1"):
        gallery.forget(person=people.vectors[0], threshold=50)
    for days in (-1, 1e6, float("nan")):
        with pytest.raises(GalleryError, match="from 0 to"):
            gallery.forget(keep_days=days)
    with pytest.raises(FilterError):
        gallery.forget(where="camera = 1; drop")
    with pytest.raises(GalleryError, match="is no time"):
        gallery.forget(until="soon")
    assert len(gallery) == N
