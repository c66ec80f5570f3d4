from dataclasses import replace

import numpy as np
import pytest

from hatcnn.errors import EvaluationError
from hatcnn.evaluation import (
    Features,
    distance_blocks,
    embedding,
    evaluate,
    load_features,
    rank,
    save_features,
)


def crowd(count, seed, lowest_pid):
    random = np.random.default_rng(seed)
    vectors = random.standard_normal((count, 12)).astype(np.float32)
    logits = random.standard_normal((count, 26)).astype(np.float32)
    return Features(
        vectors / np.linalg.norm(vectors, axis=1, keepdims=True),
        random.integers(lowest_pid, 6, count),
        random.integers(1, 4, count),
        np.array([f"{seed}/{i}.jpg" for i in range(count)]),
        logits,
        1 / (1 + np.exp(-logits)),
        (random.random((count, 26)) < 0.4).astype(np.int8),
    )


@pytest.fixture
def sides():
    return crowd(30, 1, 1), crowd(90, 2, 0)


@pytest.mark.parametrize("weight", [0.25, 1.0, 3.0])
def test_the_weight_is_the_attributes_share_of_the_squared_distance(sides, weight):
    query, gallery = sides
    ours = next(distance_blocks(embedding(query, weight), embedding(gallery, weight)))[1]

    def squared(a, b):
        return ((a[:, None] - b[None]) ** 2).sum(axis=2)

    def unit(a):
        return a / np.linalg.norm(a, axis=1, keepdims=True)

    expected = squared(query.vectors, gallery.vectors) + weight * squared(
        unit(query.attribute_logits), unit(gallery.attribute_logits)
    )
    np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-5)


def test_weight_zero_is_identity_alone(sides):
    query, _ = sides
    assert embedding(query, 0) is query.vectors


def test_impossible_weights_are_refused(sides):
    query, _ = sides
    with pytest.raises(EvaluationError, match="at least 0"):
        embedding(query, -1)
    alone = Features(query.vectors, query.pids, query.camids, query.names)
    with pytest.raises(EvaluationError, match="predicts no attributes"):
        embedding(alone, 1)


def test_features_survive_the_disk(sides, tmp_path):
    save_features(tmp_path / "f.npz", *sides)
    for before, after in zip(sides, load_features(tmp_path / "f.npz"), strict=True):
        for name in vars(before):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
    assert evaluate(*load_features(tmp_path / "f.npz")).to_json() == evaluate(*sides).to_json()
    assert "query_camid" in np.load(tmp_path / "f.npz").files


def test_broken_features_are_refused(tmp_path):
    (tmp_path / "f.npz").write_bytes(b"PK\x03\x04 not really")
    for name in ("f.npz", "missing.npz"):
        with pytest.raises(EvaluationError, match="no features file"):
            load_features(tmp_path / name)


def test_camera_pairs_are_the_protocol_on_two_cameras(sides):
    query, gallery = sides
    groups = {g.name: g for g in evaluate(query, gallery).by_camera}
    assert set(groups) == {f"{a} → {b}" for a in (1, 2, 3) for b in (1, 2, 3) if a != b}
    seen, there = query.take(query.camids == 1), gallery.take(gallery.camids == 3)
    expected = rank(distance_blocks(seen.vectors, there.vectors), seen, there)
    assert groups["1 → 3"].ranking.mAP == pytest.approx(expected.mAP)
    assert groups["1 → 3"].queries == expected.matched.sum()


def test_pictures_without_known_cameras_make_no_pairs(sides):
    query, gallery = sides
    alone = replace(gallery, camids=np.arange(100, 100 + len(gallery)))
    assert evaluate(query, alone).by_camera == ()


def test_attribute_groups_divide_the_queries(sides):
    query, gallery = sides
    result = evaluate(query, gallery)
    groups = {g.name: g for g in result.by_attribute}
    overall = result.rankings["identity"]
    with_, without = groups["backpack"], groups["no backpack"]
    assert with_.queries + without.queries == overall.matched.sum()
    total = with_.ranking.mAP * with_.queries + without.ranking.mAP * without.queries
    assert total / overall.matched.sum() == pytest.approx(overall.mAP)


def test_rankings_that_were_asked_for(sides):
    names = list(evaluate(*sides, rerank=True).rankings)
    assert names == [
        "identity", "identity, re-ranked", "with attributes", "with attributes, re-ranked",
    ]  # fmt: skip
    assert list(evaluate(*sides, attribute_weight=0).rankings) == ["identity"]
    with pytest.raises(EvaluationError, match="Euclidean"):
        evaluate(*sides, rerank=True, distance="cosine")
