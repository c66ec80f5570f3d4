"""A drawn crowd and an untrained network for the commands."""

import pytest
import torch

from hatcnn.datasets.manifest import write_dataset
from hatcnn.datasets.synthetic import synthetic_people
from hatcnn.models.build import build_model
from hatcnn.models.checkpoint import save_model
from tests.models.test_network import NARROW


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    crowd = synthetic_people(
        num_train_identities=6, num_test_identities=4, num_distractors=4, pictures_per_camera=2
    )
    return write_dataset(crowd, tmp_path_factory.mktemp("data") / "crowd").parent


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / "narrow"
    torch.manual_seed(0)
    save_model(folder, NARROW, build_model(NARROW).state_dict(), card="")
    return folder
