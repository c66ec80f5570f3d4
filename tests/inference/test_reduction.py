"""Shorter vectors keep what they can of the inner products, through every back end."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hatcnn.errors import ConfigError, EvaluationError
from hatcnn.export import export_model
from hatcnn.inference.backends import load_backend
from hatcnn.inference.explanation import Explainer
from hatcnn.inference.reduction import fit_reduction
from hatcnn.models.checkpoint import load_model, save_model
from tests.inference.models import pixels, save_fixed
from tests.models.test_network import NARROW


def unit(count, length, seed):
    vectors = np.random.default_rng(seed).standard_normal((count, length), np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@settings(deadline=None)
@given(seed=st.integers(0, 1000), dim=st.integers(1, 11))
def test_no_other_projection_keeps_more_of_the_length(seed, dim):
    vectors = unit(40, 12, seed) + np.float32(0.5)
    rows, kept = fit_reduction(vectors, dim)
    np.testing.assert_allclose(rows @ rows.T, np.eye(dim), atol=1e-5)
    length = np.square(vectors).sum()
    assert kept == pytest.approx(np.square(vectors @ rows.T).sum() / length, abs=1e-5)
    random, _ = np.linalg.qr(np.random.default_rng(seed + 1).standard_normal((12, dim)))
    assert np.square(vectors @ random).sum() / length <= kept + 1e-6


def test_vectors_in_a_subspace_lose_nothing():
    low = unit(50, 4, 0) @ unit(4, 20, 1)
    rows, kept = fit_reduction(low, 4)
    assert kept == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose((low @ rows.T) @ (low @ rows.T).T, low @ low.T, atol=1e-5)


@pytest.mark.parametrize(("count", "dim"), [(40, 0), (40, 12), (40, 99), (5, 6)])
def test_impossible_lengths_are_refused(count, dim):
    with pytest.raises(ConfigError):
        fit_reduction(unit(count, 12, 0), dim)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A model and what it reduces to, with random rows for the projection."""
    root = tmp_path_factory.mktemp("reduced")
    full = save_fixed(root / "full")
    network, config = load_model(full)
    rows, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((2 * config.feature_dim, 10)))
    state = {
        **network.state_dict(),
        "identity.reduction.weight": torch.from_numpy(rows.T.astype(np.float32)),
    }
    save_model(root / "short", replace(config, reduced_dim=10), state, card="")
    export_model(root / "short", to="onnx")
    return full, root / "short", rows.astype(np.float32)


@pytest.mark.parametrize("backend", ["torch", "onnx", "openvino"])
def test_every_back_end_projects_and_keeps_the_length(folders, backend):
    full, short, rows = folders
    vectors, logits = load_backend(full, backend="torch", precision="fp32")(pixels(5))
    expected = vectors @ rows
    expected *= np.sqrt(2) / np.linalg.norm(expected, axis=1, keepdims=True)
    reduced, same_logits = load_backend(short, backend=backend, precision="fp32")(pixels(5))
    np.testing.assert_allclose(reduced, expected, atol=5e-5)
    np.testing.assert_allclose(same_logits, logits, rtol=1e-3, atol=2e-3)


def test_a_reduced_model_is_another_model(folders):
    full, short, _ = folders
    prints = {load_backend(f, backend="torch").fingerprint for f in (full, short)}
    assert len(prints) == 2


def test_reduced_vectors_have_no_parts_to_explain(folders):
    with pytest.raises(EvaluationError, match="reduced from"):
        Explainer.load(folders[1])


def test_a_length_beyond_the_features_is_no_config():
    with pytest.raises(ConfigError, match="reduced_dim"):
        replace(NARROW, reduced_dim=2 * NARROW.feature_dim + 1)
