"""The four regions of hard attention as boxes on the picture."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from hatcnn.images import Pixels

# Okabe and Ito's palette: told apart by colour-blind eyes.
COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (204, 121, 167))
BOX_COLOURS = tuple("#{:02X}{:02X}{:02X}".format(*colour) for colour in COLOURS)
"""The same, as figures want them."""


def region_box(centre: npt.NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Left, top, right and bottom of a region, as shares of the picture's width and height.

    A region is as wide as the picture and a quarter as high (s_w = 1, s_h = 0.25), so one that is
    not in the middle lies partly outside: below 0 or above 1.

    Args:
        centre: (2,) centre (x, y) in [-1, 1], see `hatcnn.models.attention`.
    """
    x, y = (float(c) for c in centre)
    return x / 2, (y + 0.75) / 2, x / 2 + 1, (y + 1.25) / 2


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
    for centre, colour in zip(centres, COLOURS, strict=True):
        left, top, right, bottom = region_box(centre)
        box = (left * width, top * height, right * width - 1, bottom * height - 1)
        draw.rectangle(box, outline=colour)
    return np.asarray(image)
