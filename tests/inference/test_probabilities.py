import numpy as np
import pytest
import torch

from hatcnn.attributes import BINARY, LOWER_COLOURS, UPPER_COLOURS, column
from hatcnn.inference.probabilities import attribute_probabilities


@pytest.mark.parametrize("scale", [1, 30])
def test_exclusive_colours_share_one_probability(scale):
    logits = scale * torch.randn(6, 26, generator=torch.manual_seed(0))
    independent = attribute_probabilities(logits.numpy(), "independent")
    exclusive = attribute_probabilities(logits.numpy(), "exclusive")
    assert independent.dtype == exclusive.dtype == np.float32
    np.testing.assert_allclose(independent, torch.sigmoid(logits), rtol=1e-5)
    np.testing.assert_array_equal(exclusive[:, BINARY], independent[:, BINARY])
    for group in (UPPER_COLOURS, LOWER_COLOURS):
        odds = logits[:, group].double().exp()
        expected = odds / (1 + odds.sum(dim=1, keepdim=True))
        np.testing.assert_allclose(exclusive[:, group], expected, rtol=1e-5, atol=1e-37)


def test_extreme_logits_overflow_nowhere():
    logits = np.zeros((2, 26), np.float32)
    logits[0], logits[1] = -300, 300
    with np.errstate(over="raise", invalid="raise"):
        low, high = attribute_probabilities(logits, "exclusive")
    assert low.max() < 1e-30
    assert high[column("hat")] == 1
    np.testing.assert_allclose(high[list(UPPER_COLOURS)], 1 / len(UPPER_COLOURS), rtol=1e-6)
