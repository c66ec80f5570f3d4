"""The network's fast form against the plain one, in value and in gradient."""

from dataclasses import replace

import pytest
import torch

from hatcnn.models.build import ModelConfig, build_model
from tests.oracles.network import build_plain

NARROW = ModelConfig(
    num_identities=5, channels=(16, 32, 48), stem_channels=8, feature_dim=24, attribute_dim=12,
    height=64, width=32,
)  # fmt: skip
PLUS = replace(
    NARROW,
    direct_sampling=True,
    shared_region_statistics=True,
    bn_neck=True,
    tiling_regions=True,
    suppressing_attention=True,
)
CONFIGS = {
    "published": NARROW,
    "plus": PLUS,
    "direct sampling": replace(NARROW, direct_sampling=True),
    "local joint": replace(NARROW, attributes="local-joint"),
    "shared head": replace(NARROW, attributes="shared"),
    "anchored": replace(PLUS, region_reach=0.2, attributes="shared"),
    "gated": replace(PLUS, region_reach=0.2, attributes="shared", attribute_gate=True),
    "odd grid": replace(NARROW, height=80, width=48),
}
FIELDS = ("global_feature", "local_feature", "attribute_logits", "global_metric", "local_metric")


@pytest.fixture(params=CONFIGS.values(), ids=CONFIGS.keys())
def pair(request):
    """Fast and plain network of the same weights, in float64, their statistics not the initial."""
    torch.manual_seed(0)
    plain = build_plain(request.param).double()
    images = torch.randn(6, 3, request.param.height, request.param.width, dtype=torch.float64)
    with torch.no_grad():
        for name, weights in plain.named_parameters():
            if "norm" in name or "hard.linear" in name:
                weights.add_(0.2 * torch.randn_like(weights))
        for _ in range(3):
            plain(images + torch.randn_like(images))
    fast = build_model(request.param).double()
    fast.load_state_dict(plain.state_dict())
    return fast, plain, images


def loss(output):
    """A number that depends on all outputs, and on none of them linearly."""
    terms = [getattr(output, f) for f in (*FIELDS, "global_logits", "local_logits")]
    return sum(torch.tanh(t).square().mean() + t.sin().mean() for t in terms if t is not None)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_training_agrees_in_value_gradient_and_running_statistics(pair, layout):
    fast, plain, images = pair
    fast.to(memory_format=layout).train()
    ours, theirs = fast(images.contiguous(memory_format=layout)), plain.train()(images)
    loss(ours).backward()
    loss(theirs).backward()
    for field in FIELDS:
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), msg=field)
    expected = dict(plain.named_parameters())
    for name, weights in fast.named_parameters():
        gradient = expected[name].grad
        # Behind a batch mean the gradient of a bias is zero; the plain form has its rounding.
        torch.testing.assert_close(weights.grad, gradient, atol=1e-11, rtol=1e-6, msg=name)
    statistics = dict(plain.named_buffers())
    for name, buffer in fast.named_buffers():
        if "num_batches" not in name and "anchors" not in name:
            torch.testing.assert_close(buffer, statistics[name], msg=name)


def test_evaluation_agrees(pair):
    fast, plain, images = pair
    with torch.no_grad():
        ours, theirs = fast.eval()(images), plain.eval()(images)
    for field in FIELDS:
        torch.testing.assert_close(getattr(ours, field), getattr(theirs, field), msg=field)


def test_frozen_batch_norm_agrees_in_gradient(pair):
    fast, plain, images = pair
    for network in (fast, plain):
        network.train()
        for module in network.modules():
            if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
                module.eval()
        loss(network(images)).backward()
    expected = dict(plain.named_parameters())
    for name, weights in fast.named_parameters():
        torch.testing.assert_close(weights.grad, expected[name].grad, msg=name)


def test_training_is_one_graph_to_the_compiler():
    """Wherever it has to go back to Python, a GPU waits."""
    network = build_model(CONFIGS["anchored"]).train()
    compiled = torch.compile(network, backend="eager", fullgraph=True)
    output = compiled(torch.randn(4, 3, 64, 32))
    assert output.local_logits.shape == (4, 5)
