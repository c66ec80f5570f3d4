"""The compiled kernels against torch's own operations, in value and in gradient."""

import logging

import pytest
import torch
from torch.nn import functional as F

from hatcnn.models.attention import SoftWeights
from hatcnn.models.kernels import functions as kernels
from hatcnn.models.kernels import library
from hatcnn.models.kernels.tensors import usable

pytestmark = pytest.mark.skipif(library.library() is None, reason="no C++ compiler here")

# What float32 sums of some hundred terms may differ by, and one rounding to eight bits.
TOLERANCE = {
    torch.float64: {"atol": 1e-10, "rtol": 1e-10},
    torch.float32: {"atol": 2e-5, "rtol": 2e-5},
    torch.bfloat16: {"atol": 2e-2, "rtol": 1.6e-2},
}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


def pixels(*shape, dtype, seed=0):
    """A leaf tensor, channels last, whose mean is far from zero."""
    generator = torch.Generator().manual_seed(seed)
    x = 3 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    return x.to(dtype).contiguous(memory_format=torch.channels_last).requires_grad_()


def parameters(sizes, dtype):
    real = torch.promote_types(dtype, torch.float32)
    generator = torch.Generator().manual_seed(7)

    def make():
        return [
            torch.randn(c, generator=generator, dtype=real).requires_grad_() for c in sizes
        ]  # fmt: skip

    return kernels.Norms(make(), make(), make())


def reference(streams, norms, *, relu, groups):
    """Batch norm and cut-off of each stream, computed in float64."""
    outputs = []
    for x, weight, bias in zip(streams, norms.weights, norms.biases, strict=True):
        parts = [
            F.batch_norm(p.double(), None, None, weight.double(), bias.double(), True, eps=1e-5)
            for p in x.chunk(groups)
        ]
        y = torch.cat(parts)
        outputs.append(F.relu(y) if relu else y)
    return outputs


def agree(ours, theirs, leaves, dtype):
    """Values and gradients, of a sum that weighs every output differently."""
    tolerance = TOLERANCE[dtype]
    weights = [torch.linspace(-1, 1, y.numel(), dtype=torch.float64).view(y.shape) for y in theirs]
    found = torch.autograd.grad(
        sum((y.double() * w).sum() for y, w in zip(ours, weights, strict=True)),
        leaves, allow_unused=True,
    )  # fmt: skip
    expected = torch.autograd.grad(
        sum((y * w).sum() for y, w in zip(theirs, weights, strict=True)),
        leaves, allow_unused=True,
    )  # fmt: skip
    for y, z in zip(ours, theirs, strict=True):
        torch.testing.assert_close(y.double(), z, **tolerance)
    for a, b in zip(found, expected, strict=True):
        b = torch.zeros_like(a) if b is None else b
        scale = max(1.0, float(b.abs().max()))
        torch.testing.assert_close(a.double() / scale, b.double() / scale, **tolerance)


@DTYPES
@pytest.mark.parametrize("relu", [True, False])
@pytest.mark.parametrize("groups", [1, 3])
def test_streams_that_come_apart_leave_joined(dtype, relu, groups):
    sizes = (32, 8, 40)
    inputs = [pixels(6, c, 5, 7, dtype=dtype, seed=c) for c in sizes]
    norms = parameters(sizes, dtype)
    (joined,), mean, inverse = kernels.norm_relu(inputs, norms, 1e-5, relu=relu, groups=groups)
    assert joined.is_contiguous(memory_format=torch.channels_last)
    expected = torch.cat(reference(inputs, norms, relu=relu, groups=groups), dim=1)
    agree([joined], [expected], [*inputs, *norms.weights, *norms.biases, *norms.hidden], dtype)
    chunks = torch.cat(inputs, dim=1).double().chunk(groups)
    means = torch.stack([c.mean(dim=(0, 2, 3)) for c in chunks])
    variances = torch.stack([c.var(dim=(0, 2, 3), correction=0) for c in chunks])
    torch.testing.assert_close(mean.double(), means, **TOLERANCE[dtype])
    torch.testing.assert_close(inverse.double(), (variances + 1e-5).rsqrt(), **TOLERANCE[dtype])


@DTYPES
@pytest.mark.parametrize("rest", [0, 24])
def test_streams_that_come_joined_leave_apart_and_what_is_left_averaged(dtype, rest):
    sizes = (16, 40)
    x = pixels(4, sum(sizes) + rest, 6, 5, dtype=dtype)
    norms = parameters(sizes, dtype)
    outputs, _, _ = kernels.norm_relu([x], norms, 1e-5, groups=2, joined=False)
    parts = x.double().split([*sizes, rest], dim=1)
    expected = reference(parts[:2], norms, relu=True, groups=2)
    if rest:
        expected.append(F.avg_pool2d(parts[2], 3, 1, 1))
    assert len(outputs) == len(expected)
    agree(outputs, expected, [x, *norms.weights, *norms.biases], dtype)


@DTYPES
@pytest.mark.parametrize("shape", [(3, 40, 8, 6), (2, 9, 5, 7), (1, 64, 1, 1)])
def test_maxima(dtype, shape):
    x = pixels(*shape, dtype=dtype)
    agree([kernels.max_pool(x)], [F.max_pool2d(x.double(), 3, 2, 1)], [x], dtype)


def test_the_first_of_equals_wins_and_what_is_no_number_wins_over_all():
    x = torch.zeros(1, 8, 4, 4).contiguous(memory_format=torch.channels_last).requires_grad_()
    ours, theirs = kernels.max_pool(x), F.max_pool2d(x, 3, 2, 1)
    for y in (ours, theirs):
        y.sum().backward()
    (gradient,) = torch.autograd.grad(F.max_pool2d(x, 3, 2, 1).sum(), x)
    torch.testing.assert_close(x.grad, 2 * gradient)
    with torch.no_grad():
        x[0, 0, 1, 1] = torch.nan
        x[0, 1, 1, 1] = -torch.inf
    torch.testing.assert_close(kernels.max_pool(x), F.max_pool2d(x, 3, 2, 1), equal_nan=True)


@DTYPES
@pytest.mark.parametrize("relu", [True, False])
def test_attention(dtype, relu):
    x, spatial = pixels(3, 40, 4, 5, dtype=dtype), pixels(3, 1, 4, 5, dtype=dtype, seed=1)
    real = torch.promote_types(dtype, torch.float32)
    channel = pixels(3, 40, 1, 1, dtype=real, seed=2).detach().flatten(1).sub(3).requires_grad_()
    shift = (channel[0].detach() * 0.5).clone().requires_grad_()
    doubles = [t.double() for t in (x, spatial, channel, shift)]
    expected = doubles[0] * SoftWeights(*doubles[1:], relu).map()
    ours = kernels.attend(x, spatial, channel, shift, relu=relu)
    agree([ours], [expected], [x, spatial, channel, shift], dtype)


def test_sigmoid_of_extremes_is_no_nan():
    x = torch.ones(1, 8, 1, 4).contiguous(memory_format=torch.channels_last)
    spatial = torch.tensor([-1e4, 1e4, -30.0, 0.0]).view(1, 1, 1, 4)
    ours = kernels.attend(x, spatial, torch.ones(1, 8), torch.zeros(8), relu=False)
    expected = torch.tensor([0.0, 1.0, 9.4e-14, 0.5]).expand(8, 4)
    torch.testing.assert_close(ours[0, :, 0], expected, atol=1e-9, rtol=1e-6)


def test_the_number_of_threads_changes_rounding_only():
    inputs, norms = [pixels(8, 32, 9, 5, dtype=torch.float64)], parameters((32,), torch.float64)
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 3):
            torch.set_num_threads(threads)
            results.append(kernels.norm_relu(inputs, norms, 1e-5)[0][0])
    finally:
        torch.set_num_threads(before)
    torch.testing.assert_close(*results, rtol=1e-12, atol=1e-12)


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """The library as a new machine meets it: nothing compiled, nothing loaded."""
    monkeypatch.setenv("HATCNN_CACHE", str(tmp_path))
    library.library.cache_clear()
    yield monkeypatch
    library.library.cache_clear()


def test_a_broken_compiler_is_said_and_training_goes_on(fresh, caplog):
    fresh.setenv("CXX", "false")
    with caplog.at_level(logging.WARNING):
        assert library.library() is None
    assert "without its own kernels" in caplog.text
    assert not usable(torch.zeros(1))


def test_with_fewer_threads_than_torch_they_are_not_used(monkeypatch):
    threads = library.library().kernel_threads()
    for more in (0, 1):
        monkeypatch.setattr(torch, "get_num_threads", lambda more=more: threads + more)
        assert usable(torch.zeros(1)) == (more == 0)


def test_they_can_be_switched_off(fresh, tmp_path):
    fresh.setenv("HATCNN_KERNELS", "off")
    assert library.library() is None
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("fresh")
def test_they_are_compiled_once(tmp_path):
    assert library.library() is not None
    (compiled,) = (tmp_path / "kernels").iterdir()
    before = compiled.stat().st_mtime_ns
    library.library.cache_clear()
    assert library.library() is not None
    assert compiled.stat().st_mtime_ns == before
