import json
import os
import pickle
from dataclasses import asdict, replace

import pytest
import torch

from hatcnn.errors import CheckpointError
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import load_model, save_model
from hatcnn.models.conversion import convert_checkpoint
from tests.models.test_network import NARROW, images
from tests.paths import GOLDEN


@pytest.fixture
def folder(tmp_path):
    torch.manual_seed(0)
    save_model(tmp_path / "m", NARROW, build_model(NARROW).state_dict(), card="# card")
    return tmp_path / "m"


def test_a_folder_comes_back_without_classifiers(folder):
    torch.manual_seed(0)
    original = build_model(NARROW).eval()
    loaded, config = load_model(folder)
    assert config.num_identities == 0
    with torch.no_grad():
        a, b = original(images()), loaded(images())
    assert torch.equal(a.local_feature, b.local_feature)
    assert torch.equal(a.attribute_logits, b.attribute_logits)
    assert (folder / "README.md").read_text() == "# card"


def test_the_attributes_classifier_is_no_identity_classifier(tmp_path):
    config = replace(NARROW, attributes="shared")
    original = build_model(config).eval()
    save_model(tmp_path / "m", config, original.state_dict(), card="")
    loaded, _ = load_model(tmp_path / "m")
    with torch.no_grad():
        a, b = original(images()), loaded(images())
    assert torch.equal(a.attribute_logits, b.attribute_logits)


def change(folder, **values):
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


def test_broken_folders_are_named(folder, tmp_path):
    with pytest.raises(CheckpointError, match="no model folder"):
        load_model(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_model(tmp_path)
    change(folder, feature_dim=32)
    with pytest.raises(CheckpointError, match=r"linear.weight is \(24, 48\), expected \(32, 48\)"):
        load_model(folder)
    change(folder, feature_dim=24, chanels=[16])
    with pytest.raises(CheckpointError, match="unknown field 'chanels'; did you mean 'channels'"):
        load_model(folder)


def test_weights_cut_short_are_named(folder):
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match="is broken"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(CheckpointError, match=r"holds no model\.safetensors"):
        load_model(folder)


def test_the_config_is_all_that_the_network_needs(folder):
    values = json.loads((folder / "config.json").read_text())
    assert values.pop("model_type") == "hatcnn"
    assert set(values) == set(asdict(NARROW))


def test_conversion_reads_the_sizes_off_the_weights():
    config, state = convert_checkpoint(GOLDEN / "reference.pth.tar")
    assert (config.channels, config.feature_dim, config.num_identities) == ((32, 64, 96), 48, 6)
    assert config.attributes == "separate"
    expected = set(build_model(config).state_dict())
    assert set(state) == expected


def test_a_plain_hacnn_converts_too(tmp_path):
    state = torch.load(GOLDEN / "reference.pth.tar", weights_only=True)["state_dict"]
    plain = {
        k.removeprefix("module."): v
        for k, v in state.items()
        if not any(part in k for part in ("module.att.", "fc_att", "classifier_att"))
    }
    torch.save(plain, tmp_path / "hacnn.pth")
    config, _ = convert_checkpoint(tmp_path / "hacnn.pth")
    assert config.attributes == "none"


class Trap:
    def __reduce__(self):
        return os.system, ("touch was-here",)


def test_a_checkpoint_that_would_run_code_is_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "trap.pth").write_bytes(pickle.dumps({"state_dict": Trap()}))
    torch.save({"state_dict": {"conv.conv.weight": Trap()}}, tmp_path / "trap2.pth")
    for name in ("trap.pth", "trap2.pth"):
        with pytest.raises(CheckpointError, match="was refused"):
            convert_checkpoint(tmp_path / name)
    assert not (tmp_path / "was-here").exists()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda p: p.write_bytes((GOLDEN / "reference.pth.tar").read_bytes()[:5000]), "cut short"),
        (lambda p: p.write_text("hello"), "was refused|no checkpoint"),
        (lambda p: torch.save({"layer.weight": torch.ones(2)}, p), "no HA-CNN or HAT-CNN"),
        (lambda p: torch.save([1, 2], p), "holds no state dict"),
        (lambda p: p.mkdir(), "is a folder"),
        (lambda _p: None, "no checkpoint at"),
    ],
)
def test_other_files_are_named(tmp_path, make, words):
    make(tmp_path / "x.pth")
    with pytest.raises(CheckpointError, match=words):
        convert_checkpoint(tmp_path / "x.pth")


def test_a_checkpoint_of_another_shape_is_named(tmp_path):
    content = torch.load(GOLDEN / "reference.pth.tar", weights_only=True)
    content["state_dict"]["module.local_conv2.stream1.0.conv.weight"] = torch.ones(3, 3, 1, 1)
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"is \(3, 3, 1, 1\), expected \(16, 32, 1, 1\)"):
        convert_checkpoint(tmp_path / "other.pth")


def test_a_model_that_comes_with_the_package_is_found_by_its_name(folder, monkeypatch):
    monkeypatch.setattr("hatcnn.models.folder.SHIPPED", folder.parent)
    by_name, config = load_model("m")
    assert config == load_model(folder)[1]
    assert torch.equal(
        by_name.identity.stem.conv.weight, load_model(folder)[0].identity.stem.conv.weight
    )
    with pytest.raises(CheckpointError, match="or one of: m"):
        load_model("n")


def test_half_precision_weights_stay_close_and_statistics_exact(folder, tmp_path):
    network, config = load_model(folder)
    for name, buffer in network.named_buffers():
        if "running_var" in name:
            buffer.fill_(1e-7)
    save_model(tmp_path / "half", config, network.state_dict(), card="", half=True)
    sizes = [(f / "model.safetensors").stat().st_size for f in (tmp_path / "half", folder)]
    assert sizes[0] < 0.7 * sizes[1]
    loaded = load_model(tmp_path / "half")[0].state_dict()
    for name, tensor in network.state_dict().items():
        if tensor.ndim > 1:
            torch.testing.assert_close(loaded[name], tensor, rtol=1e-3, atol=1e-6)
        elif "num_batches" not in name:
            assert torch.equal(loaded[name], tensor)
