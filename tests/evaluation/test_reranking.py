import numpy as np
import pytest

from hatcnn.evaluation import reranked_blocks
from tests.oracles.reranking import rerank


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize(("k1", "k2"), [(20, 6), (6, 3), (4, 1)])
def test_agrees_with_the_oracle(seed, k1, k2):
    random = np.random.default_rng(seed)
    centres = random.standard_normal((6, 5))
    vectors = centres[random.integers(0, 6, 60)] + 0.4 * random.standard_normal((60, 5))
    query, gallery = vectors[:15].astype(np.float32), vectors[15:].astype(np.float32)
    ours = np.concatenate([b for _, b in reranked_blocks(query, gallery, k1=k1, k2=k2)])
    np.testing.assert_allclose(ours, rerank(query, gallery, k1, k2, 0.3), atol=2e-5)


def test_more_equal_pictures_than_neighbours():
    """Ties decide who is whose neighbour, so that only what is far apart can be told."""
    random = np.random.default_rng(0)
    gallery = random.standard_normal((65, 8)).astype(np.float32)
    gallery[25:] = gallery[25]
    (_, distances), *rest = reranked_blocks(gallery[[3, 25]], gallery)
    assert not rest
    assert np.isfinite(distances).all()
    assert distances[0].argmin() == 3
    assert distances[1, 25:].max() < distances[1, :25].min()


def test_fewer_pictures_than_neighbours():
    random = np.random.default_rng(0)
    query, gallery = (random.standard_normal((n, 3)).astype(np.float32) for n in (2, 4))
    ours = np.concatenate([b for _, b in reranked_blocks(query, gallery)])
    np.testing.assert_allclose(ours, rerank(query, gallery, 5, 6, 0.3), atol=2e-5)
