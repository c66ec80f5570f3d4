"""Explanations are held to the layers' own weights, written out, and to constructed networks."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from hatcnn.errors import EvaluationError
from hatcnn.inference.contributions import place_regions
from hatcnn.inference.explanation import Explainer
from hatcnn.models.attention import sample_regions
from hatcnn.models.blocks import AttributeGate
from hatcnn.models.build import build_model
from hatcnn.models.embedding import identity_vector
from hatcnn.models.hatcnn import HATCNN, AttributeNetwork
from hatcnn.models.preprocessing import normalise
from hatcnn.visualize.regions import region_box
from tests.models.test_network import NARROW

CONFIGS = {
    "separate": NARROW,
    "shared": replace(NARROW, attributes="shared"),
    "local": replace(NARROW, attributes="local-joint"),
    "none": replace(NARROW, attributes="none"),
    "gated": replace(NARROW, attributes="shared", attribute_gate=True),
    "neck": replace(NARROW, attributes="shared", bn_neck=True, colours="exclusive"),
}


def explainer(config):
    """With statistics, factors and biases that are not those that batch norm begins with."""
    torch.manual_seed(0)
    network = build_model(config)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d):
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.uniform_(-0.2, 0.5)
            module.running_mean.uniform_(-0.1, 0.3)
            module.running_var.uniform_(0.5, 1.5)
        if isinstance(module, AttributeGate):
            module.linear.weight.data.uniform_(-1, 1)
    return Explainer(network, config)


def pictures(count=2, height=64, width=32):
    return np.random.default_rng(0).integers(0, 256, (count, height, width, 3), np.uint8)


def outputs(explain, images):
    with torch.no_grad():
        return explain.network(normalise(torch.from_numpy(images)))


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("weight", [0.0, 0.3])
def test_shares_add_up_to_the_similarity_that_ranks(name, weight):
    explain, images = explainer(CONFIGS[name]), pictures()
    if name == "none":
        weight = 0.0
    comparison = explain.compare(*images, attribute_weight=weight)
    output = outputs(explain, images)
    parts = [identity_vector(output)]
    if weight:
        logits = output.attribute_logits
        parts.append(weight**0.5 * logits / logits.norm(dim=1, keepdim=True))
    vectors = torch.cat(parts, dim=1)
    expected = torch.cosine_similarity(vectors[0], vectors[1], dim=0).item()
    assert comparison.similarity == pytest.approx(expected, abs=1e-5)
    assert sum(comparison.shares.values()) == pytest.approx(expected, abs=1e-5)
    assert ("attributes" in comparison.shares) == bool(weight)


def test_attribute_shares_add_up_to_their_cosine():
    explain, images = explainer(NARROW), pictures()
    shares = explain.compare(*images).attribute_shares
    logits = outputs(explain, images).attribute_logits
    expected = torch.cosine_similarity(logits[0], logits[1], dim=0).item()
    assert shares.sum() == pytest.approx(expected, abs=1e-5)
    agree = (logits[0] > 0) == (logits[1] > 0)
    assert ((torch.from_numpy(shares) > 0) == agree).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_maps_add_up_to_their_branch_share(name):
    comparison = explainer(CONFIGS[name]).compare(*pictures())
    of_global = [side.global_map.sum() for side in comparison.sides]
    assert np.mean(of_global) == pytest.approx(comparison.shares["global"], abs=1e-5)
    by_region = np.mean([side.region_maps.sum(axis=(1, 2)) for side in comparison.sides], axis=0)
    expected = [comparison.shares[f"region {k}"] for k in (1, 2, 3, 4)]
    assert by_region == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["separate", "neck"])
def test_a_region_adds_what_its_slice_of_the_linear_layer_gives(name):
    """The definition, with the layers' own numbers."""
    explain, images = explainer(CONFIGS[name]), pictures()
    network = explain.network.identity if name == "separate" else explain.network
    kept = []
    hook = network.levels[-1].register_forward_hook(lambda *call: kept.append(call[2][1]))
    output = outputs(explain, images)
    hook.remove()
    feature = output.local_feature
    pooled = kept[0].mean(dim=(3, 4))
    linear, norm = network.local_head.linear, network.local_head.norm
    factor = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
    mask = torch.ones_like(feature) if explain.config.bn_neck else (feature > 0).float()
    unit = feature / feature.norm(dim=1, keepdim=True)
    channels = pooled.shape[2]
    comparison = explain.compare(*images)
    for side in range(2):
        for k in range(4):
            weights = linear.weight[:, k * channels : (k + 1) * channels]
            average = (linear.bias - norm.running_mean) / 4
            part = mask[side] * factor * (weights @ pooled[side, k] + average)
            expected = (part @ unit[1 - side] / feature[side].norm() / 2).item()
            found = comparison.sides[side].region_maps[k].sum()
            assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("name", ["separate", "shared", "local"])
def test_attribute_maps_add_up_to_the_logit_without_its_constant(name):
    config = replace(CONFIGS[name], tiling_regions=True)
    explain, image = explainer(config), pictures(1)
    network = explain.network
    hard = (network.identity if name == "separate" else network).levels[-1].hard
    # Regions that lie on whole pixels lose nothing where they are placed.
    assert not hard.linear.weight.any()
    logits = outputs(explain, image).attribute_logits[0]
    maps = explain.explain(image[0]).attribute_maps
    seen = []
    if name == "local":
        head, classifier = network.local_head, network.attribute_classifier
    else:
        head = network.attributes if name == "separate" else network.attribute_head
        classifier = head.classifier
    hook = head.norm.register_forward_hook(lambda *call: seen.append(call[2]))
    outputs(explain, image)
    hook.remove()
    mask = (seen[0][0] > 0).float()
    constant = classifier.weight @ (mask * head.norm.bias) + classifier.bias
    expected = (logits - constant).detach().numpy()
    # A region's map is 2 x 2, its place 16 x 32: whole multiples, so that its sum is kept.
    assert maps.sum(axis=(1, 2)) == pytest.approx(expected, abs=1e-4)


def test_an_attribute_is_seen_where_its_signal_is():
    """A network that calls red things backpacks, and nothing else, is seen to look at the red."""
    body = nn.AvgPool2d(16)
    attributes = AttributeNetwork(body, channels=3, width=2, num_attributes=26)
    for parameter in attributes.parameters():
        nn.init.zeros_(parameter)
    nn.init.ones_(attributes.norm.weight)
    attributes.linear.weight.data[0] = torch.tensor([1.0, -0.5, -0.5])
    attributes.classifier.weight.data[0, 0] = 1.0
    identity = build_model(replace(NARROW, attributes="none"))
    explain = Explainer(HATCNN(identity, attributes), NARROW)
    picture = np.full((64, 32, 3), 128, np.uint8)
    picture[32:48, 16:] = (255, 0, 0)
    maps = explain.explain(picture).attribute_maps
    row, column = np.unravel_index(maps[0].argmax(), maps[0].shape)
    assert 32 <= row < 48
    assert 16 <= column < 32
    assert maps[0][32:48, 16:].mean() > 4 * np.abs(maps[0][:16]).mean()
    assert not maps[1:].any()


def test_placed_regions_lie_in_their_boxes():
    centres = torch.tensor([[[0.0, -0.75], [0.5, -0.25], [-0.5, 0.25], [0.0, 0.75]]])
    for k in range(4):
        maps = torch.zeros(1, 4, 2, 2)
        maps[0, k] = 1
        placed = place_regions(maps, centres, 64, 32)[0].numpy()
        left, top, right, bottom = region_box(centres[0, k].numpy())
        expected = np.zeros((64, 32), bool)
        columns = slice(max(0, round(32 * left)), round(32 * right))
        expected[round(64 * top) : round(64 * bottom), columns] = True
        assert ((placed > 0) == expected).all()
    # Of the first, all inside the picture, the sum is kept.
    maps = torch.rand(1, 4, 2, 2) * torch.tensor([1.0, 0, 0, 0])[:, None, None]
    assert place_regions(maps, centres, 64, 32).sum() == pytest.approx(maps.sum().item(), rel=1e-5)


def test_boxes_are_where_regions_are_cut_out():
    """Pixels that hold their own place, cut out by the network's own sampling."""
    rows = torch.linspace(0.5, 63.5, 64)[:, None].expand(64, 32) / 64
    columns = torch.linspace(0.5, 31.5, 32).expand(64, 32) / 32
    centres = torch.tensor([[[0.0, -0.6], [0.0, -0.1], [0.0, 0.3], [0.0, 0.7]]])
    cut = sample_regions(torch.stack((columns, rows))[None], centres, (8, 8), direct=True)
    for k in range(4):
        left, top, right, bottom = region_box(centres[0, k].numpy())
        x, y = cut[0, k, 0].mean().item(), cut[0, k, 1].mean().item()
        assert x == pytest.approx((left + right) / 2, abs=0.01)
        assert y == pytest.approx((top + bottom) / 2, abs=0.01)
        assert cut[0, k, 1].min() == pytest.approx(top, abs=0.01)
        assert cut[0, k, 1].max() == pytest.approx(bottom, abs=0.01)


def test_pictures_of_any_size_are_explained_as_they_are_embedded():
    large = pictures(1, 200, 90)[0]
    explanation = explainer(NARROW).explain(large)
    assert explanation.picture is large
    assert len(explanation.levels) == 3
    assert explanation.attribute_maps.shape == (26, 64, 32)
    for level in explanation.levels:
        assert 0 < level.soft.min() <= level.soft.max() < 1


def test_impossible_comparisons_are_refused():
    images = pictures()
    with pytest.raises(EvaluationError, match="predicts no attributes: compare with weight 0"):
        explainer(CONFIGS["none"]).compare(*images, attribute_weight=1)
    with pytest.raises(EvaluationError, match="at least 0"):
        explainer(NARROW).compare(*images, attribute_weight=-1)
    explain = explainer(NARROW)
    explain.network.identity.global_head.norm.bias.data.fill_(-100)
    with pytest.raises(EvaluationError, match="first picture is all zero"):
        explain.compare(*images)
