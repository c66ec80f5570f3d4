"""Pictures that can be read and yet say little of a person: small, dark, uniform, of odd shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hatcnn.images import Pixels

LUMINANCE = (0.299, 0.587, 0.114)
"""Weights of red, green and blue (ITU-R BT.601)."""


@dataclass(frozen=True, kw_only=True)
class QualityLimits:
    """When a picture is flagged. What is flagged is embedded all the same."""

    min_height: int = 48
    """Pixels; below, "small": a third of what the network sees is then made up."""
    min_width: int = 20
    """Pixels; below, "small"."""
    min_brightness: float = 30.0
    """Mean luminance in [0, 255]; below, "dark"."""
    min_contrast: float = 10.0
    """Standard deviation of luminance in [0, 255]; below, "uniform"."""
    min_aspect: float = 1.2
    """Height over width; below, "aspect": wider than a person who stands or walks."""
    max_aspect: float = 5.0
    """Height over width; above, "aspect"."""


def quality_flags(
    height: int, width: int, pixels: Pixels, limits: QualityLimits
) -> tuple[str, ...]:
    """What is wrong with a picture, in the order small, dark, uniform, aspect.

    Args:
        height, width: of the picture as it came.
        pixels: (h, w, 3) of the picture, which may have been resized.
        limits: see there.
    """
    luminance = pixels @ np.array(LUMINANCE, np.float32)
    aspect = height / width
    found = {
        "small": height < limits.min_height or width < limits.min_width,
        "dark": luminance.mean() < limits.min_brightness,
        "uniform": luminance.std() < limits.min_contrast,
        "aspect": not limits.min_aspect <= aspect <= limits.max_aspect,
    }
    return tuple(name for name, holds in found.items() if holds)
