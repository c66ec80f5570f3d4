"""Our network against values that the published code computed (see tests/golden/README.md)."""

import pytest
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

from hatcnn.models.build import build_model
from hatcnn.models.conversion import convert_checkpoint
from hatcnn.models.embedding import identity_vector
from tests.paths import GOLDEN

# Their name of a weight: ours.
GRADIENTS = {
    "conv.conv.weight": "identity.stem.conv.weight",
    "local_conv1.stream1.0.conv.weight": "identity.levels.0.local.block.stream1.0.conv.weight",
    "ha1.hard_attn.fc.weight": "identity.levels.0.hard.linear.weight",
    "att.0.conv.weight": "attributes.body.0.conv.weight",
}


@pytest.fixture(scope="module")
def golden():
    return load_file(GOLDEN / "reference_io.safetensors")


@pytest.fixture
def network():
    config, state = convert_checkpoint(GOLDEN / "reference.pth.tar")
    model = build_model(config)
    model.load_state_dict(state)
    return model


def test_every_golden_value_is_compared(golden):
    compared = {"input", "train.pid", "train.attributes", "train.loss_id", "train.loss_attribute"}
    compared |= {f"eval.{k}" for k in ("embedding", "feature_global", "feature_local")}
    compared |= {"eval.attribute_logits"}
    compared |= {f"eval.ha{i}.{k}" for i in (1, 2, 3) for k in ("soft_attention", "theta")}
    compared |= {f"train.logits_{k}" for k in ("global", "local", "attribute")}
    compared |= {f"train.grad_norm.{k}" for k in GRADIENTS}
    assert compared == set(golden)


def test_evaluation_agrees(golden, network):
    with torch.no_grad():
        output = network.eval()(golden["input"], with_attention=True)
    logits = output.attribute_logits
    embedding = torch.cat((identity_vector(output), logits / logits.norm(dim=1, keepdim=True)), 1)
    close = {
        "embedding": embedding,
        "feature_global": output.global_feature,
        "feature_local": output.local_feature,
        "attribute_logits": logits,
    }
    for level, attention in enumerate(output.attention, start=1):
        close[f"ha{level}.soft_attention"] = attention.soft
        close[f"ha{level}.theta"] = attention.centres
    for name, value in close.items():
        torch.testing.assert_close(value, golden[f"eval.{name}"], atol=1e-5, rtol=0, msg=name)


def losses(output, golden):
    def cross_entropy(logits):
        return F.cross_entropy(logits, golden["train.pid"], label_smoothing=0.1)

    loss_id = (cross_entropy(output.global_logits) + cross_entropy(output.local_logits)) / 2
    loss_attribute = F.binary_cross_entropy_with_logits(
        output.attribute_logits, golden["train.attributes"].to(output.attribute_logits)
    )
    return loss_id, loss_attribute


def test_training_agrees(golden, network):
    output = network.train()(golden["input"])
    for name in ("global", "local", "attribute"):
        ours = getattr(output, f"{name}_logits")
        # Batch statistics of five pictures amplify float32 rounding; the losses below do not.
        torch.testing.assert_close(ours, golden[f"train.logits_{name}"], atol=2e-4, rtol=0)
    loss_id, loss_attribute = losses(output, golden)
    torch.testing.assert_close(loss_id, golden["train.loss_id"], atol=1e-5, rtol=0)
    torch.testing.assert_close(loss_attribute, golden["train.loss_attribute"], atol=1e-5, rtol=0)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_gradients_agree(golden, network, layout):
    """In float64: the gradient of a sampled position jumps where the position crosses a pixel, so
    in float32 it depends on the order of summation, and with it on the number of threads."""
    network = network.train().to(torch.float64).to(memory_format=layout)
    images = golden["input"].double().contiguous(memory_format=layout)
    sum(losses(network(images), golden)).backward()
    weights = dict(network.named_parameters())
    for theirs, ours in GRADIENTS.items():
        norm = weights[ours].grad.norm().float()
        expected = golden[f"train.grad_norm.{theirs}"]
        torch.testing.assert_close(norm, expected, rtol=1e-3, atol=0, msg=theirs)
