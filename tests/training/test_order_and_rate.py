import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatcnn.errors import ConfigError, DataError
from hatcnn.models.preprocessing import normalise
from hatcnn.training.augmentation import Augment
from hatcnn.training.averaging import WeightAverage
from hatcnn.training.recipe import Augmentation, Loss, Optimiser, Recipe, Sampling
from hatcnn.training.recipes import RECIPES, hatcnn_paper, recipe_named
from hatcnn.training.sampler import Orders, epoch_batches
from hatcnn.training.schedule import learning_rate


@given(
    st.lists(st.integers(1, 9), min_size=8, max_size=15),
    st.integers(0, 3),
    st.sampled_from([(8, 2), (12, 3), (8, 4)]),
)
@settings(max_examples=80, deadline=None)
def test_identity_batches(counts, epoch, shape):
    size, per_identity = shape
    pids = np.repeat(np.arange(len(counts)) * 7, counts)
    sampling = Sampling(batch_size=size, pictures_per_identity=per_identity)
    if len(pids) < size:
        return
    batches = epoch_batches(pids, sampling, seed=1, epoch=epoch)
    assert len(batches) == len(pids) // size
    times = np.zeros(len(counts), int)
    for batch in batches:
        groups = pids[batch].reshape(-1, per_identity)
        assert (groups == groups[:, :1]).all()
        assert len(np.unique(groups[:, 0])) == size // per_identity, "nobody twice in a batch"
        times[groups[:, 0] // 7] += 1
        for group in batch.reshape(-1, per_identity):
            if counts[pids[group[0]] // 7] >= per_identity:
                assert len(set(group)) == per_identity or times.max() > 1
    assert times.max() - times.min() <= 1, "everybody gets a turn"


def test_order_depends_on_seed_and_epoch_alone():
    pids = np.repeat(np.arange(10), 5)
    for k in (0, 2):
        sampling = Sampling(batch_size=10, pictures_per_identity=k)

        def order(seed, epoch, sampling=sampling):
            return np.concatenate(epoch_batches(pids, sampling, seed=seed, epoch=epoch)).tolist()

        assert order(0, 0) == order(0, 0)
        assert len({tuple(order(s, e)) for s in (0, 1) for e in (0, 1)}) == 4
    free = epoch_batches(pids, Sampling(batch_size=16), seed=0, epoch=0)
    assert len(np.unique(np.concatenate(free))) == 48


def test_an_epoch_drawn_ahead_is_the_one_drawn_when_due():
    pids = np.repeat(np.arange(8), 5)
    sampling = Sampling(batch_size=8, pictures_per_identity=2)
    orders = Orders(pids, sampling, seed=3)
    for epoch in (0, 1, 2, 7, 8, 0):
        expected = epoch_batches(pids, sampling, seed=3, epoch=epoch)
        np.testing.assert_array_equal(orders(epoch), expected)


def test_too_little_data_is_named():
    pids = np.repeat(np.arange(3), 5)
    with pytest.raises(DataError, match="fewer than one batch"):
        epoch_batches(pids, Sampling(batch_size=16), seed=0, epoch=0)
    with pytest.raises(DataError, match="3 training identities are fewer than the 4"):
        epoch_batches(pids, Sampling(batch_size=8, pictures_per_identity=2), seed=0, epoch=0)


def test_the_published_rate_drops_at_150_and_225_of_240():
    optimiser = hatcnn_paper().optimiser
    rates = [learning_rate(optimiser, epoch * 808, 240 * 808) for epoch in range(240)]
    assert rates[:150] == [0.03] * 150
    assert rates[150:225] == pytest.approx([0.003] * 75)
    assert rates[225:] == pytest.approx([0.0003] * 15)


def test_warm_up_and_cosine():
    optimiser = Optimiser(lr=0.1, schedule="cosine", warmup=0.1)
    rates = [learning_rate(optimiser, step, 1000) for step in range(1000)]
    assert rates[0] < 0.002
    assert max(rates) == pytest.approx(0.1)
    assert np.argmax(rates) in range(98, 103)
    assert all(np.diff(rates[:100]) > 0)
    assert all(np.diff(rates[101:]) < 0)
    assert rates[550] == pytest.approx(0.05, rel=1e-6)
    assert rates[-1] < 1e-5


EVERYTHING = Augmentation(flip=0.5, shift=(4, 3), erase=0.5)


def pictures(count=32):
    return torch.randint(0, 256, (count, 32, 16, 3), dtype=torch.uint8)


def test_nothing_switched_on_changes_nothing():
    images = pictures()
    out = Augment(Augmentation(), seed=0)(images, 5, rows=slice(0, 32), batch_size=32)
    torch.testing.assert_close(out, normalise(images))
    expected = (images[3, 7, 9, 1].float() / 255 - 0.456) / 0.224
    torch.testing.assert_close(out[3, 1, 7, 9], expected, atol=1e-5, rtol=1e-5)


def test_a_process_gets_its_rows_of_the_whole_batch():
    images, augment = pictures(), Augment(EVERYTHING, seed=3)
    whole = augment(images, 7, rows=slice(0, 32), batch_size=32)
    halves = [augment(images[r], 7, rows=r, batch_size=32) for r in (slice(0, 16), slice(16, 32))]
    torch.testing.assert_close(torch.cat(halves), whole, rtol=0, atol=0)
    assert not torch.equal(augment(images, 8, rows=slice(0, 32), batch_size=32), whole)


def test_every_picture_is_a_shift_and_flip_of_itself():
    images = pictures(64)
    config = Augmentation(flip=0.5, shift=(4, 3))
    out = Augment(config, seed=1)(images, 0, rows=slice(0, 64), batch_size=64)
    padded = torch.nn.functional.pad(images, (0, 0, 3, 3, 4, 4))
    seen = set()
    for i in range(64):
        found = [
            (flip, y, x)
            for flip in (False, True)
            for y in range(9)
            for x in range(7)
            if torch.equal(
                normalise((padded[i].flip(1) if flip else padded[i])[None, y : y + 32, x : x + 16])[
                    0
                ],
                out[i],
            )
        ]
        assert len(found) == 1
        seen.add(found[0])
    assert len(seen) > 40
    assert {flip for flip, _, _ in seen} == {False, True}


def test_erasing_takes_one_rectangle_of_the_promised_size():
    images = torch.full((200, 32, 16, 3), 255, dtype=torch.uint8)
    config = Augmentation(erase=0.5, erase_area=(0.1, 0.3))
    out = Augment(config, seed=1)(images, 0, rows=slice(0, 200), batch_size=200)
    erased = (out == 0).all(dim=1)
    chosen = erased.flatten(1).any(dim=1)
    assert 70 < chosen.sum() < 130
    for mask in erased[chosen]:
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        box = (rows.max() - rows.min() + 1) * (columns.max() - columns.min() + 1)
        assert mask.sum() == box, "a full rectangle"
        assert 0.05 < mask.float().mean() < 0.4


def test_the_average_follows_the_weights():
    network = torch.nn.Sequential(torch.nn.Linear(1, 1), torch.nn.BatchNorm1d(1))
    average = WeightAverage(network, decay=0.9)
    expected = network[0].weight.detach().clone()
    for step in range(200):
        with torch.no_grad():
            network[0].weight.fill_(float(step))
            network[1].running_mean.fill_(float(step))
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
    torch.testing.assert_close(average.network[0].weight.detach(), expected)
    assert float(average.network[1].running_mean) == pytest.approx(float(expected), rel=1e-3)


def test_recipes_by_name():
    for name in RECIPES:
        assert recipe_named(name).name == name
    with pytest.raises(ConfigError, match="did you mean 'hatcnn-plus'"):
        recipe_named("hatcnn-plas")
    assert recipe_named("hatcnn-paper").optimiser.lr == 0.03


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"epochs": 0}, "epochs must be at least 1"),
        ({"sampling": Sampling(batch_size=10, pictures_per_identity=4)}, "no multiple"),
        ({"loss": Loss(triplet_weight=1.0)}, "needs sampling.pictures_per_identity"),
        ({"averaging": 1.0}, "below 1"),
    ],
)
def test_impossible_recipes_are_refused(fields, words):
    with pytest.raises(ConfigError, match=words):
        Recipe(name="x", **fields)
