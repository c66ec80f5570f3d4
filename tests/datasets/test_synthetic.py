"""Synthetic people: equal seeds give equal bytes, labels are drawn, queries have matches."""

from __future__ import annotations

import colorsys
import dataclasses
import pickle

import numpy as np
import pytest
from PIL import Image

from hatcnn.attributes import ATTRIBUTES, LOWER_COLOURS, NAMES, UPPER_COLOURS, column
from hatcnn.datasets import DISTRACTOR, Dataset
from hatcnn.datasets.synthetic import Person, make_people, synthetic_people
from hatcnn.datasets.synthetic.figure import VIEWS, Pose, View, draw_person
from hatcnn.datasets.synthetic.people import LOWER, OTHER, UPPER
from hatcnn.errors import ConfigError, DataError
from hatcnn.images import decode

SIZE = (140, 256)
BACKGROUND = (150, 160, 150)


def tiny(seed: int = 0) -> Dataset:
    return synthetic_people(
        num_train_identities=4,
        num_test_identities=4,
        num_cameras=3,
        cameras_per_identity=2,
        pictures_per_camera=2,
        num_distractors=6,
        seed=seed,
    )


def names(dataset: Dataset) -> list[str]:
    return [name for split in dataset.splits().values() for name in split.names]


def plain_person(**changes: object) -> Person:
    """Somebody whom no bag, pattern or hair covers."""
    person = make_people(1, np.random.default_rng(0))[0]
    plain: dict[str, object] = {
        "backpack": False, "bag": False, "handbag": False, "pants": True, "short_lower": False,
        "short_sleeves": False, "long_hair": False, "hat": False, "female": False,
        "upper": "gray", "upper_rgb": UPPER["gray"], "lower": "gray", "lower_rgb": LOWER["gray"],
        "height": 1.0, "build": 1.0, "pattern": "plain", "skin": (215, 170, 135),
        "hair": (65, 42, 28), "luggage": (150, 35, 50), "hat_rgb": (45, 85, 185),
    }  # fmt: skip
    return dataclasses.replace(person, **{**plain, **changes})  # type: ignore[arg-type]


def drawn(person: Person, view: View = "front") -> np.ndarray:
    """The figure without any camera, on an even background."""
    figure = draw_person(person, Pose(view, 0.6), *SIZE)
    image = Image.new("RGB", SIZE, BACKGROUND)
    image.paste(figure, (0, 0), figure)
    return np.asarray(image).astype(int)


def changed(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.abs(a - b).max(axis=2) > 24


def flips() -> list[tuple[str, dict[str, object], dict[str, object]]]:
    """Of each attribute, what a person without and one with it differ in."""
    fields = {"clothes": "pants", "down": "short_lower", "up": "short_sleeves",
              "hair": "long_hair", "gender": "female"}  # fmt: skip
    cases: list[tuple[str, dict[str, object], dict[str, object]]] = []
    for attribute in ATTRIBUTES:
        if attribute.group == "binary":
            name = fields.get(attribute.name, attribute.name)
            cases.append((attribute.name, {name: False}, {name: True}))
            continue
        colours = UPPER if attribute.group == "upper" else LOWER
        colour = attribute.name.removeprefix("up").removeprefix("down")
        part = attribute.group
        cases.append(
            (
                attribute.name,
                {part: None, f"{part}_rgb": OTHER[0]},
                {part: colour, f"{part}_rgb": colours[colour]},
            )
        )
    return cases


class TestBytes:
    def test_equal_seeds_give_equal_bytes_in_any_order(self) -> None:
        first, second = tiny(), tiny()
        forwards = {name: first.store.read(name) for name in names(first)}
        backwards = {name: second.store.read(name) for name in reversed(names(second))}
        assert forwards == backwards

    def test_another_seed_gives_other_pictures(self) -> None:
        one, other = tiny(0), tiny(1)
        common = set(names(one)) & set(names(other))
        assert common
        assert all(one.store.read(n) != other.store.read(n) for n in common)

    def test_no_two_pictures_are_equal(self) -> None:
        dataset = tiny()
        assert len({dataset.store.read(n) for n in names(dataset)}) == len(names(dataset))

    def test_a_picture_is_64_x_128(self) -> None:
        dataset = tiny()
        for name in names(dataset):
            assert decode(dataset.store.read(name), name).shape == (128, 64, 3)

    @pytest.mark.parametrize("used", [False, True])
    def test_a_pickled_store_reads_the_same(self, used: bool) -> None:
        dataset = tiny()
        name = dataset.query.names[0]
        if used:
            dataset.store.read(name)
        copy = pickle.loads(pickle.dumps(dataset.store))
        assert copy.read(name) == dataset.store.read(name)

    @pytest.mark.parametrize(
        "name",
        ["", "x.png", "train/0099_c1_000.png", "train/0001_c9_000.png", "../0001_c1_000.png"],
    )
    def test_an_unknown_name_is_an_error(self, name: str) -> None:
        with pytest.raises(DataError, match="no synthetic picture"):
            tiny().store.read(name)


class TestProtocol:
    @pytest.mark.parametrize("make", [tiny, synthetic_people])
    def test_every_query_has_a_match_by_another_camera(self, make: type) -> None:
        dataset = make()
        gallery = dataset.gallery
        assert len(dataset.query)
        for sample in dataset.query:
            assert ((gallery.pids == sample.pid) & (gallery.camids != sample.camid)).any()

    def test_training_and_test_share_nobody(self) -> None:
        dataset = tiny()
        train = set(dataset.train.pids.tolist())
        assert not train & set(dataset.query.pids.tolist())
        assert not train & set(dataset.gallery.pids.tolist())
        assert DISTRACTOR not in train | set(dataset.query.pids.tolist())

    def test_names_are_unique(self) -> None:
        dataset = synthetic_people()
        assert len(set(names(dataset))) == len(names(dataset))

    def test_one_query_a_camera_and_identity(self) -> None:
        query = synthetic_people().query
        pairs = list(zip(query.pids.tolist(), query.camids.tolist(), strict=True))
        assert len(set(pairs)) == len(pairs)

    def test_distractors_are_unlabelled_and_in_the_gallery(self) -> None:
        gallery = tiny().gallery
        strangers = gallery.pids == DISTRACTOR
        assert strangers.sum() == 6
        assert not gallery.labelled[strangers].any()
        assert gallery.labelled[~strangers].all()

    def test_the_default_is_large_enough_to_train_on(self) -> None:
        assert 1500 <= len(names(synthetic_people())) <= 2000

    @pytest.mark.parametrize(
        "counts",
        [
            {"cameras_per_identity": 1},
            {"num_cameras": 2, "cameras_per_identity": 3},
            {"pictures_per_camera": 1},
        ],
    )
    def test_counts_that_leave_queries_alone_are_refused(self, counts: dict[str, int]) -> None:
        with pytest.raises(ConfigError, match="at least 2 cameras"):
            synthetic_people(**counts)


class TestLabels:
    def test_a_person_has_the_same_labels_in_every_picture(self) -> None:
        dataset = tiny()
        for split in dataset.splits().values():
            for pid in set(split.pids.tolist()) - {DISTRACTOR}:
                assert len(np.unique(split.attributes[split.pids == pid], axis=0)) == 1

    def test_at_most_one_colour_a_group(self) -> None:
        dataset = synthetic_people()
        for split in dataset.splits().values():
            known = split.attributes[split.labelled]
            assert set(np.unique(known)) <= {0, 1}
            for group in (UPPER_COLOURS, LOWER_COLOURS):
                assert (known[:, group].sum(axis=1) <= 1).all()

    @pytest.mark.parametrize("seed", range(3))
    def test_each_attribute_is_both_present_and_absent_in_both_halves(self, seed: int) -> None:
        dataset = synthetic_people(seed=seed)
        for split in (dataset.train, dataset.query):
            assert (split.attributes == 1).any(axis=0).all()
            assert (split.attributes == 0).any(axis=0).all()

    def test_some_colours_have_no_label(self) -> None:
        attributes = synthetic_people().train.attributes
        for group in (UPPER_COLOURS, LOWER_COLOURS):
            assert (attributes[:, group].sum(axis=1) == 0).any()

    def test_people_with_equal_labels_are_told_apart(self) -> None:
        people = make_people(300, np.random.default_rng(0))
        unlabelled = {(p.upper_rgb, p.lower_rgb, p.skin, p.hair, p.height, p.build) for p in people}
        assert len(unlabelled) == len(people)


class TestWhatIsDrawn:
    @pytest.mark.parametrize(("name", "without", "having"), flips())
    def test_an_attribute_shows(
        self, name: str, without: dict[str, object], having: dict[str, object]
    ) -> None:
        a, b = plain_person(**without), plain_person(**having)
        difference = np.array(b.labels) - np.array(a.labels)
        assert NAMES[int(difference.argmax())] == name
        assert np.abs(difference).sum() == 1
        for view in VIEWS:
            area = (np.abs(drawn(a, view) - BACKGROUND).max(axis=2) > 0).sum()
            assert changed(drawn(a, view), drawn(b, view)).sum() > 0.01 * area, view

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_hat_changes_the_head_only(self, view: View) -> None:
        rows = np.flatnonzero(
            changed(drawn(plain_person(), view), drawn(plain_person(hat=True), view)).any(axis=1)
        )
        assert rows.max() < 0.12 * SIZE[1]

    @pytest.mark.parametrize("view", VIEWS)
    def test_short_trousers_bare_the_lower_legs_only(self, view: View) -> None:
        short = drawn(plain_person(short_lower=True), view)
        rows = np.flatnonzero(changed(drawn(plain_person(), view), short).any(axis=1))
        assert rows.min() > 0.5 * SIZE[1]

    @pytest.mark.parametrize("view", VIEWS)
    def test_a_short_dress_ends_higher(self, view: View) -> None:
        long = drawn(plain_person(pants=False), view)
        short = drawn(plain_person(pants=False, short_lower=True), view)
        rows = np.flatnonzero(changed(long, short).any(axis=1))
        assert rows.max() > 0.85 * SIZE[1]
        assert len(rows) > 0.2 * SIZE[1]

    @pytest.mark.parametrize("build", [0.85, 1.2])
    def test_shoulders_are_wider_than_hips_in_men_only(self, build: float) -> None:
        """The convention by which gender shows, of the torso alone: red among gray."""
        ratios = []
        for female in (False, True):
            person = plain_person(female=female, build=build, upper="red", upper_rgb=UPPER["red"])
            seen = drawn(dataclasses.replace(person, short_sleeves=True), "back")
            exact = (seen == UPPER["red"]).all(axis=2)  # Sleeves are a shade darker.
            shoulders, hips = (exact[int(row * SIZE[1])].sum() for row in (0.23, 0.495))
            ratios.append(shoulders / hips)
        assert ratios[0] > 1.2
        assert ratios[1] < 0.95

    @pytest.mark.parametrize("part", ["upper", "lower"])
    def test_the_label_is_the_colour_that_is_seen(self, part: str) -> None:
        """Of the middle of the body, in a front view of every person of the default set."""
        group, colours = (UPPER_COLOURS, UPPER) if part == "upper" else (LOWER_COLOURS, LOWER)
        row = 0.345 if part == "upper" else 0.54
        y, x = int(row * SIZE[1]), SIZE[0] // 2
        people = make_people(120, np.random.default_rng(3))
        checked = 0
        for person in people:
            label = next((NAMES[c] for c in group if person.labels[c]), None)
            bare = dataclasses.replace(
                person, bag=False, backpack=False, long_hair=False, pattern="plain"
            )
            seen = drawn(bare)[y - 3 : y + 4, x - 3 : x + 4].reshape(-1, 3).mean(axis=0)
            if label is None:
                continue
            checked += 1
            assert _name_of(seen, tuple(colours)) == label.removeprefix("up").removeprefix("down")
        assert checked > 80


def _name_of(rgb: np.ndarray, among: tuple[str, ...]) -> str:
    """What people call a colour: by lightness where it is grey, else by hue; no table of ours."""
    hue, saturation, value = colorsys.rgb_to_hsv(*(rgb / 255))
    if saturation < 0.25:
        return "black" if value < 0.3 else "white" if value > 0.75 else "gray"
    if value < 0.25:
        return "black"
    degrees = hue * 360
    if "pink" in among and (degrees > 310 or degrees < 10) and value > 0.7:
        return "pink"
    if "brown" in among and 10 <= degrees < 45 and value < 0.6:
        return "brown"
    for limit, name in (
        (20, "red"),
        (70, "yellow"),
        (165, "green"),
        (250, "blue"),
        (310, "purple"),
    ):
        if degrees < limit:
            return name
    return "red"


def test_the_columns_are_those_of_the_package() -> None:
    labels = plain_person(hat=True, upper="red").labels
    assert labels[column("hat")] == labels[column("upred")] == labels[column("clothes")] == 1
    assert sum(labels) == 4  # and the gray lower body


class TestDifficulty:
    def test_raw_pixels_and_mean_colours_fail(self) -> None:
        dataset = synthetic_people()
        gallery, query = (
            np.stack([decode(dataset.store.read(n)) for n in split.names]).astype(np.float32)
            for split in (dataset.gallery, dataset.query)
        )
        own = (dataset.query.pids[:, None] == dataset.gallery.pids) & (
            dataset.query.camids[:, None] == dataset.gallery.camids
        )
        for describe in (
            lambda x: x[:, ::2, ::2].reshape(len(x), -1),
            lambda x: x.mean(axis=(1, 2)),
        ):
            q, g = describe(query), describe(gallery)
            distance = (q**2).sum(1)[:, None] + (g**2).sum(1) - 2 * q @ g.T
            nearest = np.where(own, np.inf, distance).argmin(axis=1)
            assert (dataset.gallery.pids[nearest] == dataset.query.pids).mean() < 0.3
