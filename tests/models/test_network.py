from dataclasses import replace

import pytest
import torch

from hatcnn.errors import ConfigError
from hatcnn.models.attention import sample_regions
from hatcnn.models.build import ModelConfig, build_model
from hatcnn.models.embedding import identity_vector
from hatcnn.models.hacnn import Output
from tests.oracles.network import build_plain

NARROW = ModelConfig(
    num_identities=5, channels=(16, 32, 48), stem_channels=8, feature_dim=24, attribute_dim=12,
    height=64, width=32,
)  # fmt: skip


def images(count=3, config=NARROW):
    return torch.randn(count, 3, config.height, config.width, generator=torch.manual_seed(0))


@pytest.mark.parametrize(("scheme", "millions"), [("none", 2.93), ("separate", 4.12)])
def test_parameters_at_test_time_are_the_published_ones(scheme, millions):
    model = build_model(ModelConfig(attributes=scheme))
    assert sum(p.numel() for p in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.005)


@pytest.mark.parametrize(("scheme", "billions"), [("none", 0.54), ("separate", 0.93)])
def test_multiplications_are_the_published_ones(scheme, billions):
    from torch.utils.flop_counter import FlopCounterMode

    def count(model):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            model.eval()(torch.zeros(1, 3, 160, 64))
        return counter.get_total_flops() / 2e9

    config = ModelConfig(attributes=scheme)
    assert count(build_plain(config)) == pytest.approx(billions, abs=0.005)
    assert count(build_model(config)) < count(build_plain(config))


def test_region_sizes_are_the_published_ones():
    assert ModelConfig().region_sizes == ((24, 28), (12, 14), (6, 7))


@pytest.mark.parametrize(
    ("scheme", "local_identities", "attributes"),
    [("none", True, False), ("separate", True, True), ("local-joint", True, True),
     ("local-only", False, True)],
)  # fmt: skip
def test_who_predicts_what(scheme, local_identities, attributes):
    model = build_model(replace(NARROW, attributes=scheme))
    output = model(images())
    assert output.global_logits.shape == (3, 5)
    assert (output.local_logits is not None) == local_identities
    assert (output.attribute_logits is not None) == attributes
    with torch.no_grad():
        tested = model.eval()(images())
    assert tested.global_logits is None
    assert tested.local_logits is None


def test_local_schemes_have_no_second_network():
    joint, separate = (
        sum(p.numel() for p in build_model(replace(NARROW, attributes=s)).parameters())
        for s in ("local-joint", "separate")
    )
    plain = sum(p.numel() for p in build_model(replace(NARROW, attributes="none")).parameters())
    assert joint == plain + 26 * (NARROW.feature_dim + 1)
    assert separate > joint


def attention(config):
    torch.manual_seed(0)
    model = build_model(config).train()
    return model(images(), with_attention=True).attention


def test_published_attention_halves_at_most_and_the_option_suppresses():
    published = attention(NARROW)
    free = attention(replace(NARROW, suppressing_attention=True))
    assert min(a.soft.min() for a in published) >= 0.5
    assert min(a.soft.min() for a in free) < 0.4


def test_regions_start_as_published_or_tile_the_image():
    published = attention(NARROW)[0].centres[:, :, 1]
    expected = torch.tensor([-0.6351, -0.2449, 0.2449, 0.6351]).expand(3, 4)
    torch.testing.assert_close(published, expected, atol=1e-4, rtol=0)
    tiling = attention(replace(NARROW, tiling_regions=True))[0].centres[:, :, 1]
    expected = torch.tensor([-0.75, -0.25, 0.25, 0.75]).expand(3, 4)
    torch.testing.assert_close(tiling, expected, atol=1e-6, rtol=0)


def test_regions_with_a_reach_start_at_their_strip_and_stay_near_it():
    torch.manual_seed(0)
    network = build_model(replace(NARROW, attributes="none", region_reach=0.2)).eval()
    images = torch.randn(3, 3, 160, 64)
    strips = torch.tensor([[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]])
    for level in network(images, with_attention=True).attention:
        torch.testing.assert_close(level.centres, strips.expand(3, 4, 2))
    for level in network.levels:
        torch.nn.init.normal_(level.hard.linear.bias, std=100)
    for level in network(images, with_attention=True).attention:
        moved = (level.centres - strips).abs()
        assert moved.max() <= 0.2 + 1e-6
        assert moved.max() > 0.19
    with pytest.raises(ConfigError, match="region_reach"):
        replace(NARROW, region_reach=2)


@pytest.mark.parametrize("direct", [False, True])
def test_tiling_regions_read_their_quarter(direct):
    # Row r of the picture holds r, so a region's mean says where it was cut.
    rows = torch.arange(80.0)[None, None, :, None].expand(1, 1, 80, 32)
    centres = torch.tensor([[[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]]])
    regions = sample_regions(rows, centres, (24, 28), direct=direct)
    assert regions.shape == (1, 4, 1, 24, 28)
    middle = regions[:, :, :, :, 2:-2].mean(dim=(2, 3, 4))
    # The outermost row lies half outside, where there is zero: a tolerance of little over a row.
    torch.testing.assert_close(middle, torch.tensor([[9.5, 29.5, 49.5, 69.5]]), atol=1.5, rtol=0)


def test_direct_sampling_is_one_interpolation_of_the_same_places():
    smooth = torch.linspace(-1, 1, 80)[None, None, :, None] * torch.linspace(-1, 1, 32)
    centres = torch.tensor([[[0.0, -0.6], [0.1, -0.2], [-0.1, 0.3], [0.0, 0.5]]])
    twice, once = (sample_regions(smooth, centres, (24, 28), direct=d) for d in (False, True))
    inside = (..., slice(2, -2), slice(4, -4))
    torch.testing.assert_close(once[inside], twice[inside], atol=0.01, rtol=0)
    assert not torch.equal(once, twice)


def test_shared_statistics_change_training_only():
    torch.manual_seed(0)
    published = build_model(NARROW)
    shared = build_model(replace(NARROW, shared_region_statistics=True))
    shared.load_state_dict(published.state_dict())
    assert not torch.allclose(published(images()).local_logits, shared(images()).local_logits)
    shared.load_state_dict(published.state_dict())
    with torch.no_grad():
        a, b = published.eval()(images()), shared.eval()(images())
    torch.testing.assert_close(a.local_feature, b.local_feature)


def test_bn_neck_separates_metric_and_ranking_features():
    output = build_model(replace(NARROW, bn_neck=True))(images())
    assert not torch.equal(output.global_feature, output.global_metric)
    assert output.global_feature.min() < 0
    published = build_model(NARROW)(images())
    assert torch.equal(published.global_feature, published.global_metric)
    assert published.global_feature.min() == 0


def test_an_all_zero_feature_is_nan_unless_epsilon_forbids():
    zero, one = torch.zeros(1, 4), torch.ones(1, 4)
    output = Output(zero, one, None, zero, one, None, None, ())
    assert torch.isnan(identity_vector(output)[0, :4]).all()
    guarded = identity_vector(output, epsilon=1e-12)
    torch.testing.assert_close(guarded, torch.tensor([[0.0] * 4 + [0.5] * 4]))


@pytest.mark.parametrize("bad", [{"channels": (100, 256, 384)}, {"height": 100}, {"width": 16}])
def test_impossible_sizes_are_refused(bad):
    with pytest.raises(ConfigError, match="multiples of 16"):
        replace(NARROW, **bad)


def test_other_input_sizes_work():
    config = replace(NARROW, height=256, width=128)
    with torch.no_grad():
        output = build_model(config).eval()(images(2, config))
    assert output.local_feature.shape == (2, 24)
