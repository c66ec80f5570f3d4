"""Synthetic people: a seeded stand-in for a real data set, with exact labels.

Small drawn pedestrians whose 26 attributes show, seen by cameras that differ in light, colour,
blur, scale, noise, background, viewpoint, occlusion and crop. It is the embedded default of the
demo and the data of the tests; a score on it says that the machinery works, nothing about people.
"""

from __future__ import annotations

import io
import re
from functools import cached_property

import numpy as np
from PIL import Image

from hatcnn.datasets.samples import DISTRACTOR, Dataset, Sample, Split
from hatcnn.datasets.synthetic.cameras import Camera, make_cameras, take_picture
from hatcnn.datasets.synthetic.people import Person, make_people
from hatcnn.errors import ConfigError, DataError
from hatcnn.images import Pixels

__all__ = ["Person", "SyntheticStore", "make_people", "synthetic_people"]

_NAME = re.compile(r"(?:train|query|gallery)/(\d{4,})_c(\d+)_(\d+)\.png")


def synthetic_people(
    *,
    num_train_identities: int = 80,
    num_test_identities: int = 40,
    num_cameras: int = 6,
    cameras_per_identity: int = 4,
    pictures_per_camera: int = 3,
    num_distractors: int = 120,
    seed: int = 0,
) -> Dataset:
    """A data set of synthetic people; pictures are drawn when they are read.

    Of every test identity, the first picture of each camera is a query and the rest are gallery.

    Args:
        num_train_identities: people to train on.
        num_test_identities: other people to rank.
        num_cameras: cameras there are.
        cameras_per_identity: how many of them see each person, at least 2.
        pictures_per_camera: that each of those takes, at least 2.
        num_distractors: gallery pictures of yet other people, or of nobody.
        seed: equal seeds give equal bytes.

    Raises:
        ConfigError: for counts that leave queries without matches.
    """
    if not 2 <= cameras_per_identity <= num_cameras or pictures_per_camera < 2:
        raise ConfigError(
            "synthetic people need at least 2 cameras an identity, no more than there are, "
            "and 2 pictures a camera"
        )
    total = num_train_identities + num_test_identities
    store = SyntheticStore(num_train_identities, num_test_identities, num_cameras, seed)
    samples: dict[str, list[Sample]] = {"train": [], "query": [], "gallery": []}
    for pid in range(1, total + 1):
        random = np.random.default_rng((seed, 1, pid))
        labels = store.people[pid - 1].labels
        for camera in sorted(random.permutation(num_cameras)[:cameras_per_identity].tolist()):
            for number in range(pictures_per_camera):
                split = "query" if number == 0 else "gallery"
                split = "train" if pid <= num_train_identities else split
                name = f"{split}/{pid:04d}_c{camera + 1}_{number:03d}.png"
                samples[split].append(Sample(name, pid, camera + 1, labels))
    for number in range(num_distractors):
        camera = number % num_cameras + 1
        name = f"gallery/{DISTRACTOR:04d}_c{camera}_{number:03d}.png"
        samples["gallery"].append(Sample(name, DISTRACTOR, camera))
    splits = {split: Split.of(members) for split, members in samples.items()}
    return Dataset("synthetic people", store, splits["train"], splits["query"], splits["gallery"])


class SyntheticStore:
    """Draws a picture when it is read; each depends on its name and the seed alone.

    Args:
        num_train_identities, num_test_identities, num_cameras, seed: see `synthetic_people`.
    """

    def __init__(
        self, num_train_identities: int, num_test_identities: int, num_cameras: int, seed: int
    ) -> None:
        self.num_train_identities = num_train_identities
        self.num_test_identities = num_test_identities
        self.num_cameras = num_cameras
        self.seed = seed

    @cached_property
    def people(self) -> list[Person]:
        """Training identities, then test identities: person i has pid i + 1."""
        return [
            *make_people(self.num_train_identities, np.random.default_rng((self.seed, 2))),
            *make_people(self.num_test_identities, np.random.default_rng((self.seed, 3))),
        ]

    @cached_property
    def cameras(self) -> list[Camera]:
        """All cameras; camera i has camid i + 1."""
        return make_cameras(self.num_cameras, self.seed)

    @cached_property
    def strangers(self) -> list[Person]:
        """Who distractors and passers-by are."""
        return make_people(200, np.random.default_rng((self.seed, 4)))

    def render(self, name: str) -> Pixels:
        """The picture of that name, (128, 64, 3) uint8."""
        match = _NAME.fullmatch(name)
        if match is None:
            raise DataError(f"there is no synthetic picture {name}")
        pid, camid, number = map(int, match.groups())
        if pid > len(self.people) or not 1 <= camid <= self.num_cameras:
            raise DataError(f"there is no synthetic picture {name}")
        random = np.random.default_rng((self.seed, 5, pid, camid, number))
        first, second = random.integers(0, len(self.strangers), 2)
        person: Person | None
        if pid == DISTRACTOR:
            person = self.strangers[first] if random.random() < 0.75 else None
        else:
            person = self.people[pid - 1]
        return take_picture(person, self.cameras[camid - 1], random, self.strangers[second])

    def read(self, name: str) -> bytes:
        """The picture of that name as PNG."""
        buffer = io.BytesIO()
        Image.fromarray(self.render(name)).save(buffer, "PNG", compress_level=1)
        return buffer.getvalue()
