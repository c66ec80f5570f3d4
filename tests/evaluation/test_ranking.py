import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import average_precision_score

from hatcnn.errors import EvaluationError
from hatcnn.evaluation import Features, distance_blocks, evaluate, rank, top_k
from hatcnn.evaluation import distances as distances_module
from tests.oracles import ranking as oracle


def features(vectors, pids, camids):
    return Features(
        np.asarray(vectors, np.float32),
        np.asarray(pids, np.int64),
        np.asarray(camids, np.int64),
        np.array([str(i) for i in range(len(pids))]),
    )


@st.composite
def crowds(draw):
    """Vectors of few small integers, so that distances tie exactly; few people and cameras."""

    def side(smallest, lowest_pid):
        count = draw(st.integers(smallest, 14))
        vectors = draw(hnp.arrays(np.float32, (count, 2), elements=st.integers(0, 2)))
        pids = draw(hnp.arrays(np.int64, count, elements=st.integers(lowest_pid, 4)))
        camids = draw(hnp.arrays(np.int64, count, elements=st.integers(1, 3)))
        return features(vectors, pids, camids)

    return side(1, 1), side(0, 0)


def squared(query, gallery):
    return ((query.vectors[:, None] - gallery.vectors[None]) ** 2).sum(axis=2)


@given(crowds(), st.sampled_from([1, 40, 10**9]))
@settings(max_examples=300, deadline=None)
def test_agrees_with_the_oracle_whatever_the_block_size(crowd, block_bytes):
    query, gallery = crowd
    old, distances_module._BLOCK_BYTES = distances_module._BLOCK_BYTES, block_bytes
    try:
        ranking = rank(distance_blocks(query.vectors, gallery.vectors), query, gallery)
    finally:
        distances_module._BLOCK_BYTES = old
    expected = oracle.rank(
        squared(query, gallery), query.pids, query.camids, gallery.pids, gallery.camids
    )
    for i, (first, ap, inp) in enumerate(expected):
        assert ranking.first[i] == first
        if first:
            assert ranking.ap[i] == pytest.approx(ap)
            assert ranking.inp[i] == pytest.approx(inp)
        else:
            assert np.isnan(ranking.ap[i])
            assert np.isnan(ranking.inp[i])
    firsts = [first for first, _, _ in expected if first]
    if firsts:
        for k in (1, 5, 10, 20):
            assert ranking.rank(k) == pytest.approx(np.mean([f <= k for f in firsts]))
        assert ranking.mAP == pytest.approx(np.mean([ap for f, ap, _ in expected if f]))
    else:
        assert np.isnan(ranking.mAP)
        assert ranking.to_json()["mAP"] is None
        assert "undefined" in str(ranking)


@given(crowds(), st.integers(1, 6))
@settings(max_examples=100, deadline=None)
def test_top_k_are_the_first_of_the_same_ranking(crowd, k):
    query, gallery = crowd
    nearest, values = top_k(distance_blocks(query.vectors, gallery.vectors), query, gallery, k)
    for i, row in enumerate(squared(query, gallery)):
        kept = [
            (d, j)
            for j, d in enumerate(row)
            if (gallery.pids[j], gallery.camids[j]) != (query.pids[i], query.camids[i])
        ]
        expected = sorted(kept)[:k]
        assert nearest[i].tolist() == [j for _, j in expected] + [-1] * (k - len(expected))
        assert np.isinf(values[i, len(expected) :]).all()


def test_average_precision_is_scikit_learns_where_nothing_ties():
    random = np.random.default_rng(0)
    query = features(random.standard_normal((20, 8)), random.integers(1, 6, 20), [1] * 20)
    gallery = features(random.standard_normal((200, 8)), random.integers(0, 6, 200), [2] * 200)
    ranking = rank(distance_blocks(query.vectors, gallery.vectors), query, gallery)
    for i, row in enumerate(squared(query, gallery)):
        expected = average_precision_score(gallery.pids == query.pids[i], -row)
        assert ranking.ap[i] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("distance", "metric"),
    [
        ("euclidean", "sqeuclidean"),
        ("cosine", "cosine"),
        ("manhattan", "cityblock"),
        ("chebyshev", "chebyshev"),
    ],
)
def test_distances_are_scipys(distance, metric):
    from scipy.spatial.distance import cdist

    random = np.random.default_rng(1)
    query, gallery = (random.standard_normal((n, 9)).astype(np.float32) for n in (7, 11))
    ours = np.concatenate([block for _, block in distance_blocks(query, gallery, distance)])
    np.testing.assert_allclose(ours, cdist(query, gallery, metric), rtol=1e-5, atol=1e-5)


def test_a_camera_alone_has_no_matches():
    query = features([[0, 0]], [1], [1])
    gallery = features([[0, 0], [1, 1]], [1, 2], [1, 1])
    ranking = rank(distance_blocks(query.vectors, gallery.vectors), query, gallery)
    assert ranking.to_json() == {
        "rank_1": None, "rank_5": None, "rank_10": None, "rank_20": None,
        "mAP": None, "mINP": None, "queries": 0, "queries_without_match": 1,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("query", "gallery", "words"),
    [
        (np.zeros((1, 2)), np.zeros((1, 3)), "as many columns"),
        (np.array([[0.0, np.nan]]), np.zeros((1, 2)), "query vector 0 is not finite"),
        (np.zeros((1, 2)), np.array([[0.0, 0], [np.inf, 0]]), "gallery vector 1 is not finite"),
    ],
)
def test_bad_vectors_are_named(query, gallery, words):
    with pytest.raises(EvaluationError, match=words):
        next(distance_blocks(query.astype(np.float32), gallery.astype(np.float32)))


def test_unknown_distance_names_the_nearest():
    with pytest.raises(EvaluationError, match="euclidean"):
        next(distance_blocks(np.zeros((1, 2)), np.zeros((1, 2)), "euclidian"))


def test_empty_sides_are_refused():
    some, none = features([[0, 0]], [1], [1]), features(np.zeros((0, 2)), [], [])
    with pytest.raises(EvaluationError, match="gallery holds no pictures"):
        evaluate(some, none)
    with pytest.raises(EvaluationError, match="query holds no pictures"):
        evaluate(none, some)
