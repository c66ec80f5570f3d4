import numpy as np
import pytest

from hatcnn.inference import Embedder, Embeddings
from hatcnn.inference.quality import QualityLimits, quality_flags
from tests.inference.test_pictures import Colours


def picture(height, width, low=60, high=200):
    """A light half and a dark one: mean luminance between them, deviation half their distance."""
    pixels = np.full((height, width, 3), low, np.uint8)
    pixels[: height // 2] = high
    return pixels


@pytest.mark.parametrize(
    ("pixels", "flags"),
    [
        (picture(128, 64), ()),
        (picture(48, 20), ()),
        (picture(46, 20), ("small",)),
        (picture(48, 18), ("small",)),
        (picture(128, 64, 0, 58), ("dark",)),
        (picture(128, 64, 0, 62), ()),
        (picture(128, 64, 100, 118), ("uniform",)),
        (picture(128, 64, 100, 122), ()),
        (picture(64, 54), ("aspect",)),
        (picture(102, 20), ("aspect",)),
        (picture(20, 40, 3, 3), ("small", "dark", "uniform", "aspect")),
    ],
)
def test_each_flag_at_its_limit(pixels, flags):
    assert quality_flags(*pixels.shape[:2], pixels, QualityLimits()) == flags


def test_luminance_weighs_colours_as_eyes_do():
    """Pure blue at full strength is darker than pure green at half."""
    blue, green = np.zeros((2, 64, 32, 3), np.uint8)
    blue[..., 2], green[..., 1] = 255, 128
    limits = QualityLimits(min_contrast=0)
    assert quality_flags(64, 32, blue, limits) == ("dark",)
    assert quality_flags(64, 32, green, limits) == ()


def test_flags_stay_with_their_pictures(tmp_path):
    pictures = [picture(128, 64), b"no picture", picture(128, 64, 0, 30), picture(40, 40)]
    people = Embedder(Colours()).embed(pictures, quality=True)
    assert people.flags == ((), ("dark",), ("small", "aspect"))
    assert people[1].flags == (("dark",),)
    people.save(tmp_path / "people.npz")
    assert Embeddings.load(tmp_path / "people.npz").flags == people.flags
    own = Embedder(Colours()).embed(pictures, quality=QualityLimits(min_height=130))
    assert own.flags[0] == ("small",)
    assert Embedder(Colours()).embed(pictures).flags is None
