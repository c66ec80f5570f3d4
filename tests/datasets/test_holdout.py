import numpy as np
import pytest

from hatcnn.datasets import hold_out
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.errors import DataError

PEOPLE = synthetic_people(
    num_train_identities=12, num_test_identities=4, num_distractors=3, pictures_per_camera=2
)


def test_people_are_moved_whole_and_nobody_is_lost():
    held = hold_out(PEOPLE, 5)
    parts = (held.train, held.query, held.gallery)
    assert sorted(n for part in parts for n in part.names) == sorted(PEOPLE.train.names)
    evaluated = set(held.query.pids) | set(held.gallery.pids)
    assert len(evaluated) == 5
    assert not evaluated & set(held.train.pids)
    assert not set(PEOPLE.query.names) & set(held.query.names)
    for part in parts:
        for name, pid, labels in zip(part.names, part.pids, part.attributes, strict=True):
            row = PEOPLE.train.names.index(name)
            assert pid == PEOPLE.train.pids[row]
            assert (labels == PEOPLE.train.attributes[row]).all()


def test_every_query_has_a_match_by_another_camera():
    held = hold_out(PEOPLE, 5)
    assert len(held.query)
    for pid, camera in zip(held.query.pids, held.query.camids, strict=True):
        others = held.gallery.camids[held.gallery.pids == pid]
        assert (others != camera).any()


def test_the_choice_is_by_seed():
    first, again, other = (set(hold_out(PEOPLE, 5, seed=s).query.pids) for s in (0, 0, 1))
    assert first == again != other


@pytest.mark.parametrize("count", [-1, 0, 11, 12])
def test_impossible_numbers_are_refused(count):
    with pytest.raises(DataError, match="choose between 1 and 10"):
        hold_out(PEOPLE, count)
    assert len(np.unique(PEOPLE.train.pids)) == 12
