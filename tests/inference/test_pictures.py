"""Every kind of input, by a back end that answers with the colour it is shown."""

import io

import numpy as np
import pytest
from PIL import Image

from hatcnn.errors import ConfigError, ImageError
from hatcnn.inference import Embedder
from hatcnn.inference.backends import BATCH_SIZE
from hatcnn.inference.pictures import expand
from tests.models.test_network import NARROW
from tests.pictures import encoded

COLOURS = np.array([[200, 10, 10], [10, 200, 10], [10, 10, 200], [90, 90, 90]], np.uint8)


class Colours:
    """The mean colour in the first three numbers of a vector."""

    config, fingerprint = NARROW, "c0ffee"

    def __init__(self):
        self.batches = []

    def __call__(self, images):
        assert images.shape[1:] == (NARROW.height, NARROW.width, 3)
        self.batches.append(len(images))
        vectors = np.zeros((len(images), 2 * NARROW.feature_dim), np.float32)
        vectors[:, :3] = images.mean(axis=(1, 2)) * np.sqrt(2)
        return vectors, np.zeros((len(images), 26), np.float32)


def seen(people):
    return np.round(people.vectors[:, :3]).astype(int).tolist()


def of_colour(i, height=40, width=20):
    return np.full((height, width, 3), COLOURS[i], np.uint8)


@pytest.fixture
def files(tmp_path):
    (tmp_path / "crops" / "deep").mkdir(parents=True)
    for i, name in enumerate(("a.png", "b.png", "deep/c.png", "d.bmp")):
        (tmp_path / "crops" / name).write_bytes(encoded(of_colour(i), name[-3:].upper()))
    (tmp_path / "crops" / "notes.txt").write_text("not a picture")
    return tmp_path / "crops"


@pytest.fixture
def embedder():
    return Embedder(Colours(), workers=3)


def test_all_kinds_at_once_keep_their_order_and_have_names(embedder, files):
    buffer = io.BytesIO()
    Image.fromarray(of_colour(1)).save(buffer, "PNG")
    people = embedder.embed(
        [
            of_colour(2),
            str(files / "a.png"),
            buffer.getvalue(),
            Image.fromarray(of_colour(3)),
            ("Ada", of_colour(0)),
            files / "deep" / "c.png",
        ]
    )
    assert seen(people) == COLOURS[[2, 0, 1, 3, 0, 2]].tolist()
    assert people.names == (
        "picture 0", str(files / "a.png"), "picture 2", "picture 3", "Ada",
        str(files / "deep" / "c.png"),
    )  # fmt: skip
    assert people.fingerprint == "c0ffee"


def test_folders_and_patterns_are_taken_apart_by_name(embedder, files):
    inside = [files / name for name in ("a.png", "b.png", "d.bmp", "deep/c.png")]
    assert embedder.embed(files).names == tuple(map(str, inside))
    assert embedder.embed(str(files / "*.png")).names == tuple(map(str, inside[:2]))
    everywhere = embedder.embed([str(files / "**" / "*.png"), files / "d.bmp"])
    assert everywhere.names == tuple(str(inside[i]) for i in (0, 1, 3, 2))
    assert seen(everywhere) == COLOURS[[0, 1, 2, 3]].tolist()


def test_a_file_whose_name_looks_like_a_pattern_is_a_file(embedder, files):
    odd = files / "person[1].png"
    odd.write_bytes(encoded(of_colour(3)))
    assert seen(embedder.embed(odd)) == [COLOURS[3].tolist()]


@pytest.mark.parametrize("one", [of_colour(1), encoded(of_colour(1)),
                                 Image.fromarray(of_colour(1))])  # fmt: skip
def test_one_picture_needs_no_list(embedder, one):
    assert seen(embedder.embed(one)) == [COLOURS[1].tolist()]


def test_an_array_of_pictures_is_many(embedder):
    many = np.stack([of_colour(i) for i in (3, 0)])
    assert seen(embedder.embed(many)) == COLOURS[[3, 0]].tolist()


def test_pillow_pictures_are_converted_as_files_are(embedder):
    grey = Image.new("L", (20, 40), 77)
    clear = Image.new("RGBA", (20, 40), (0, 0, 0, 0))
    assert seen(embedder.embed([grey, clear])) == [[77, 77, 77], [255, 255, 255]]


def test_batches_are_filled_across_bad_pictures_and_generators_read_as_needed(embedder):
    taken = []

    def endless():
        for i in range(10**9):
            taken.append(i)
            if i == 2 * BATCH_SIZE + 3:
                raise KeyboardInterrupt
            yield b"no picture" if i % 2 else of_colour(i % 4)

    with pytest.raises(KeyboardInterrupt):
        embedder.embed(endless())
    assert len(taken) == 2 * BATCH_SIZE + 4
    kinds = [b"no picture" if i % 5 == 4 else of_colour(i % 4) for i in range(100)]
    people = embedder.embed(iter(kinds))
    assert embedder.backend.batches == [32, 32, 16]
    good = [i for i in range(100) if i % 5 != 4]
    assert people.names == tuple(f"picture {i}" for i in good)
    assert seen(people) == COLOURS[[i % 4 for i in good]].tolist()
    assert [name for name, _ in people.skipped] == [f"picture {i}" for i in range(4, 100, 5)]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (np.zeros((40, 20, 3), np.float32), "array .* of float32; expected"),
        (np.zeros((40, 20, 4), np.uint8), r"expected \(height, width, 3\) of uint8"),
        (np.zeros((40, 20), np.uint8), "expected"),
        (np.zeros((40, 4, 3), np.uint8), "4 x 40"),
        (Image.new("RGB", (4, 40)), "4 x 40"),
        (b"", "is empty"),
        ("nowhere.png", "cannot read nowhere.png"),
    ],
)
def test_bad_pictures_are_skipped_with_the_reason_or_stop_it(embedder, bad, words):
    people = embedder.embed([of_colour(0), bad, of_colour(1)])
    assert seen(people) == COLOURS[:2].tolist()
    with pytest.raises(ImageError, match=words):
        raise ImageError(people.skipped[0][1])
    with pytest.raises(ImageError, match=words):
        embedder.embed([bad], strict=True)


def test_what_can_hold_no_picture_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="no pictures in"):
        list(expand(tmp_path))
    with pytest.raises(ConfigError, match="no pictures match"):
        list(expand(tmp_path / "*.jpg"))
    with pytest.raises(ConfigError, match="picture 1 is a int"):
        list(expand([of_colour(0), 5]))
