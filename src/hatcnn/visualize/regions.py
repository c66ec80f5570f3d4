"""The four regions of hard attention as boxes on the picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hatcnn.images import Pixels

# Okabe and Ito's palette: told apart by colour-blind eyes.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))


def draw_regions(picture: Pixels, centres: npt.NDArray[np.float32]) -> Pixels:
    """Draw the regions of one level.

    Args:
        picture: (H, W, 3) uint8.
        centres: (4, 2) centres (x, y) in [-1, 1], see `hatcnn.models.attention`.

    Returns:
        A copy with one frame a region; what lies outside the picture is not drawn.
    """
    height, width = picture.shape[:2]
    image = Image.fromarray(picture)
    draw = ImageDraw.Draw(image)
    for (x, y), colour in zip(centres, COLOURS, strict=True):
        # All of the width, a quarter of the height (s_w = 1, s_h = 0.25).
        left, top = x * width / 2, (y + 0.75) * height / 2
        draw.rectangle((left, top, left + width - 1, top + height / 4 - 1), outline=colour)
    return np.asarray(image)
