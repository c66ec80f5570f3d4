import numpy as np
import pytest

from hatcnn.inference.backends import load_backend
from hatcnn.inference.flipping import FlipAveraged
from tests.inference.models import pixels, save_fixed


@pytest.fixture(scope="module")
def backend(tmp_path_factory):
    folder = save_fixed(tmp_path_factory.mktemp("fixed") / "model")
    return load_backend(folder, backend="torch", precision="fp32")


def test_mirror_images_get_the_same_vector_and_logits(backend):
    both = FlipAveraged(backend)
    images = pixels(4)
    vectors, logits = both(images)
    mirrored, mirrored_logits = both(images[:, :, ::-1])
    np.testing.assert_allclose(vectors, mirrored, atol=1e-6)
    np.testing.assert_allclose(logits, mirrored_logits, rtol=1e-5, atol=1e-4)
    assert np.abs(vectors - backend(images)[0]).max() > 1e-3


def test_both_halves_keep_their_length(backend):
    vectors, _ = FlipAveraged(backend)(pixels(4))
    halves = vectors.reshape(4, 2, -1)
    np.testing.assert_allclose(np.linalg.norm(halves, axis=2), 1, atol=1e-5)


def test_it_is_the_mean_of_both_sides(backend):
    images = pixels(3)
    sides = [backend(images)[0], backend(images[:, :, ::-1])[0]]
    halves = np.mean(sides, axis=0).reshape(3, 2, -1)
    expected = halves / np.linalg.norm(halves, axis=2, keepdims=True)
    np.testing.assert_allclose(FlipAveraged(backend)(images)[0], expected.reshape(3, -1), atol=1e-6)
