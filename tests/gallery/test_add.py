import subprocess
import sys
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest

from hatcnn.errors import GalleryError
from hatcnn.gallery import Gallery
from tests.gallery.people import People, crowd
from tests.paths import ROOT


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "town.gallery"


def test_adding_again_changes_nothing(folder):
    people = crowd(50)
    gallery = Gallery.open(folder)
    first = gallery.add(people, camera=1, batch_size=20)
    assert (first.added, first.present) == (50, 0)
    # Another name, camera and order, and half of it new: only the new half comes in.
    mixed = crowd(75)[np.random.default_rng(0).permutation(75)]
    again = gallery.add(mixed, camera=2)
    expected = crowd(75).vectors
    inside = sum(any((v == p).all() for p in people.vectors) for v in expected)
    assert (again.added, again.present) == (75 - inside, inside)
    assert len(gallery) == 125 - inside
    assert [e.camera for e in gallery.entries(limit=50)] == ["1"] * 50


def test_the_same_twice_in_one_batch_is_one_entry(folder):
    people = crowd(4)
    twice = People(people.vectors[[0, 1, 0, 2, 1]], None, ("a", "b", "c", "d", "e"))
    done = Gallery.open(folder).add(twice)
    assert (done.added, done.present) == (3, 2)
    assert done.ids[0] == done.ids[2]
    assert [e.name for e in Gallery.open(folder).entries()] == ["a", "b", "d"]


def test_a_picture_is_known_by_its_bytes(folder):
    people = crowd(2)
    gallery = Gallery.open(folder)
    first = gallery.add(people, pictures=[b"one", b"two"])
    # Another back end moves the last bits of a vector.
    nearly = People(people.vectors + np.float32(1e-3), None, people.names)
    assert gallery.add(nearly, pictures=[b"one", b"other"]).added == 1
    assert gallery.add(people).added == 2
    assert first.ids[0] != first.ids[1]
    assert all(len(entry) == 32 for entry in first.ids)


def test_keeps_what_it_is_told(folder):
    gallery = Gallery.open(folder)
    zone = timezone(timedelta(hours=2))
    done = gallery.add(
        crowd(3),
        camera=["north", None, 7],
        seen_at=["2026-01-31 17:05", datetime(2026, 1, 31, 17, tzinfo=zone), 0],
        identity=["anna", "", None],
        tracklet="t1",
        tags=[["b", "a"], [], None],
        thumbnails=[b"small", None, b"other"],
    )
    a, b, c = Gallery.open(folder, create=False).entries()
    assert (a.camera, b.camera, c.camera) == ("north", None, "7")
    assert a.seen_at == datetime(2026, 1, 31, 17, 5, tzinfo=UTC)
    assert b.seen_at == datetime(2026, 1, 31, 15, tzinfo=UTC)
    assert c.seen_at == datetime(1970, 1, 1, tzinfo=UTC)
    assert (a.identity, b.identity, c.identity) == ("anna", None, None)
    assert {e.tracklet for e in (a, b, c)} == {"t1"}
    assert (a.tags, b.tags, c.tags) == (("a", "b"), (), ())
    assert [gallery.thumbnail(entry) for entry in done.ids] == [b"small", None, b"other"]
    assert abs(a.added_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_another_models_vectors_are_refused(folder):
    gallery = Gallery.open(folder)
    gallery.add(crowd(3))
    assert gallery.model == "model-a"
    with pytest.raises(GalleryError, match=r"model model-b: this gallery holds those of model-a"):
        gallery.add(crowd(3, seed=1, fingerprint="model-b"))
    with pytest.raises(
        GalleryError, match="vectors of 16 numbers: this gallery holds vectors of 32"
    ):
        gallery.add(crowd(3, dimension=16))
    assert len(gallery) == 3


def test_precision_is_the_gallerys(folder):
    gallery = Gallery.open(folder, precision="float32")
    people = crowd(20)
    gallery.add(people)
    assert gallery.stats().precision == "float32"
    wanted = people.vectors[0].astype(np.float64) @ people.vectors[1].astype(np.float64)
    scores = {m.entry.name: m.score for m in gallery.search(people.vectors[0], top_k=20)}
    assert scores[people.names[1]] == pytest.approx(wanted, abs=1e-7)
    assert Gallery.open(folder).add(people).added == 0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"camera": [1, 2]}, "camera: expected 3 values, one a picture, got 2"),
        ({"seen_at": ["2026-01-01", "soon", None]}, "'soon' is no time"),
        ({"tags": [["a"], ["b"]]}, "tags: expected 3 values"),
        ({"thumbnails": [b"x"]}, "thumbnails: expected 3 values"),
    ],
)
def test_what_does_not_fit_together_is_refused_whole(folder, change, words):
    gallery = Gallery.open(folder)
    with pytest.raises(GalleryError, match=words):
        gallery.add(crowd(3), **change)
    assert len(gallery) == 0


@pytest.mark.parametrize("value", [np.nan, np.inf, 0])
def test_a_vector_that_is_none_is_refused_before_anything_is_written(folder, value):
    people = crowd(5)
    people.vectors[3] = value
    gallery = Gallery.open(folder)
    with pytest.raises(GalleryError, match=r"vector 3 of 5 .* nothing was done"):
        gallery.add(people, batch_size=1)
    assert len(gallery) == 0


def test_probabilities_are_checked(folder):
    gallery = Gallery.open(folder)
    people = crowd(3)
    with pytest.raises(GalleryError, match=r"expected the shape \(3, 26\)"):
        gallery.add(People(people.vectors, people.attributes[:, :5], people.names))
    with pytest.raises(GalleryError, match="from 0 to 1"):
        gallery.add(People(people.vectors, people.attributes * 3, people.names))


WRITER = """
import sys
from hatcnn.gallery import Gallery
from tests.gallery.people import crowd
folder, seed = sys.argv[1], int(sys.argv[2])
sys.stdin.readline()
gallery = Gallery.open(folder)
people, shared = crowd(200, seed=seed), crowd(100, seed=77)
for at in range(0, 200, 20):
    gallery.add(people[slice(at, at + 20)], camera=seed)
    gallery.add(shared[slice(at // 2, at // 2 + 10)])
"""


def test_two_writers_lose_and_double_nothing(folder):
    Gallery.open(folder)
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, str(folder), str(seed)],
            stdin=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for seed in (1, 2)
    ]
    for writer in writers:
        writer.stdin.write("go\n")
        writer.stdin.close()
    # Readers go on meanwhile, and never see half a batch.
    seen = []
    while any(writer.poll() is None for writer in writers):
        seen.append(len(Gallery.open(folder)))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert seen == sorted(seen)
    assert all(count % 10 == 0 for count in seen)
    entries = Gallery.open(folder).entries(limit=1000)
    assert len({e.id for e in entries}) == len(entries) == 500
    assert sum(e.camera == "1" for e in entries) == sum(e.camera == "2" for e in entries) == 200
    for seed in (1, 2, 77):
        people = crowd(200 if seed < 3 else 100, seed=seed)
        assert Gallery.open(folder).add(people).added == 0


def test_works_without_torch(folder):
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from hatcnn import Gallery\n"
        "from tests.gallery.people import crowd\n"
        "gallery = Gallery.open(sys.argv[1]); gallery.add(crowd(5))\n"
        "assert gallery.search(crowd(5).vectors[2])[0].entry.name == crowd(5).names[2]\n"
        "gallery.forget(where='hat or no hat'); assert len(gallery) == 0\n"
    )
    subprocess.run([sys.executable, "-c", script, str(folder)], cwd=ROOT, check=True)


def test_one_picture_file_does_not_stand_for_several(folder):
    with pytest.raises(GalleryError, match="pictures: expected 3 values"):
        Gallery.open(folder).add(crowd(3), pictures=b"one")
    assert Gallery.open(folder).add(crowd(1), pictures=b"one", camera=np.int64(3)).added == 1
    assert Gallery.open(folder).entries()[0].camera == "3"
