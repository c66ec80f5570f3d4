"""Our 3x3 convolution against torch's own, in value and in gradient."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from hatcnn.benchmark.traffic import count_traffic
from hatcnn.models.blocks import InceptionA
from hatcnn.models.kernels import convolution, library
from hatcnn.models.kernels.convolution import convolve, usable

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler here")


def pictures(*shape, seed=0):
    """Channels last, with a mean."""
    generator = torch.Generator().manual_seed(seed)
    x = 1 + torch.randn(shape, generator=generator)
    return x.contiguous(memory_format=torch.channels_last).requires_grad_()


def agree(x, weight):
    """Values and gradients are those of float64, but for 1e-4 of the largest."""
    theirs = F.conv2d(x.double(), weight.double(), None, 1, 1)
    dy = pictures(*theirs.shape, seed=2).detach()
    expected = torch.autograd.grad(theirs, (x, weight), dy.double())
    ours = convolve(x, weight)
    assert ours.is_contiguous(memory_format=torch.channels_last)
    found = torch.autograd.grad(ours, (x, weight), dy)
    for a, b in zip((ours, *found), (theirs, *expected), strict=True):
        assert a.shape == b.shape
        assert float((a - b).detach().abs().max()) < 1e-4 * float(b.detach().abs().max())


@given(
    st.integers(1, 5), st.integers(1, 13), st.integers(1, 13), st.sampled_from([(32, 32), (64, 32)])
)
@settings(max_examples=40, deadline=None)
def test_any_size_of_picture(number, height, width, channels):
    agree(pictures(number, channels[0], height, width), pictures(*channels[::-1], 3, 3, seed=1))


def test_more_tiles_than_are_done_at_a_time_and_any_layout():
    x, weight = pictures(9, 32, 22, 17), pictures(96, 32, 3, 3, seed=1)
    agree(x, weight)
    agree(x.detach().contiguous().requires_grad_(), weight.detach().contiguous().requires_grad_())


def test_the_number_of_threads_changes_rounding_only():
    x, weight = pictures(8, 32, 9, 5), pictures(32, 32, 3, 3, seed=1)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            y = convolve(x, weight)
            results.append((y, *torch.autograd.grad(y.square().sum(), (x, weight))))
    finally:
        torch.set_num_threads(before)
    for one, three in zip(*results, strict=True):
        torch.testing.assert_close(one, three, rtol=1e-4, atol=1e-3)


def test_only_gradients_that_are_wanted():
    x, weight = pictures(1, 32, 4, 4), pictures(32, 32, 3, 3)
    weight.requires_grad_(False)
    convolve(x, weight).sum().backward()
    assert x.grad is not None
    assert weight.grad is None


def test_what_it_does_not_take():
    x, weight = pictures(1, 32, 8, 8), pictures(32, 32, 3, 3)
    assert usable(x, weight, (1, 1), (1, 1))
    assert not usable(x, weight, (2, 2), (1, 1))
    assert not usable(x, weight, (1, 1), (0, 0))
    assert not usable(x, pictures(32, 32, 1, 1), (1, 1), (1, 1))
    assert not usable(pictures(1, 3, 8, 8), pictures(32, 3, 3, 3), (1, 1), (1, 1))
    assert not usable(x.double(), weight.double(), (1, 1), (1, 1))
    with torch.autocast("cpu", torch.bfloat16):
        assert not usable(x, weight, (1, 1), (1, 1))


def test_blocks_take_it_and_its_arithmetic_is_counted(monkeypatch):
    block = InceptionA(32, 128).to(memory_format=torch.channels_last)
    x, taken = pictures(2, 32, 8, 8), []

    def flops():
        return count_traffic(lambda: block(x).sum().backward()).flops

    with monkeypatch.context() as patch:
        patch.setattr(convolution, "convolve", lambda *a: taken.append(a) or convolve(*a))
        ours = flops()
    assert len(taken) == 3
    monkeypatch.setattr(convolution, "usable", lambda *_: False)
    assert ours == flops() > 0
