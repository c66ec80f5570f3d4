"""The tests' environment: the CPU, an empty cache of their own, and real data only where it is
named."""

import os

# A GPU rounds otherwise. The processes that tests start see none of NVIDIA's either.
os.environ["CUDA_VISIBLE_DEVICES"] = ""

import pytest
import torch

torch.backends.mps.is_available = torch.accelerator.is_available = lambda: False


@pytest.fixture(autouse=True, scope="session")
def _own_cache(tmp_path_factory):
    os.environ["HATCNN_CACHE"] = str(tmp_path_factory.mktemp("cache"))


@pytest.fixture(autouse=True, scope="session")
def _deterministic():
    torch.use_deterministic_algorithms(True)
    # Networks this small only wait for each other's threads.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def market1501_features():
    """Query, gallery and fingerprint of a quarter of the real data's test people by the shipped
    weights, embedded once. `hatcnn evaluate` takes four times as long for all of them."""
    from benchmarks.gallery_market1501 import embedded

    return embedded(os.environ["HATCNN_MARKET1501"], "hatcnn-plus", whole=False)


def pytest_collection_modifyitems(items):
    if "HATCNN_MARKET1501" not in os.environ:
        skip = pytest.mark.skip(reason="HATCNN_MARKET1501 does not name the data")
        for item in items:
            if "market1501" in item.keywords:
                item.add_marker(skip)
