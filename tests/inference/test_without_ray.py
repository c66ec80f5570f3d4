import sys

import pytest

from hatcnn.errors import ConfigError
from hatcnn.inference.distributed import connect


def test_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ConfigError, match=r"hatcnn\[distributed\]"):
        connect("auto")
