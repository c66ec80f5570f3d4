import socket
import sys
import time

import pytest

from hatcnn.errors import ConfigError
from hatcnn.inference.distributed import connect


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"hatcnn\[distributed\]"):
        connect("auto")


def closed_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_nobody_answers_for_is_said_at_once(scheme):
    pytest.importorskip("ray.data")
    start = time.monotonic()
    with pytest.raises(ConfigError, match=r"cannot join the Ray cluster at .* refused; is it runn"):
        connect(f"{scheme}127.0.0.1:{closed_port()}")
    assert time.monotonic() - start < 10


@pytest.mark.parametrize("address", ["nonsense", "127.0.0.1:port", ":6379", "10.0.0.1:99999"])
def test_what_is_no_address_is_said(address):
    pytest.importorskip("ray.data")
    with pytest.raises(ConfigError, match="is no address of a Ray cluster; expected such as"):
        connect(address)
