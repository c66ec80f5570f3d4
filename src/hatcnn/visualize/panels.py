"""One picture on one axes: plain, under a heat map, or with the four regions on it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.patches import Rectangle
from PIL import Image

from hatcnn.images import Pixels, resize
from hatcnn.visualize.figures import BLUE, ORANGE
from hatcnn.visualize.regions import BOX_COLOURS, region_box

Floats = npt.NDArray[np.float32]
_FINE = 256
"""Rows that a coarse map is interpolated to."""
_MOST = 512
"""Longest side that a picture is shown with."""
_DASHES = ("-", (0, (5, 2)), (0, (1, 1)), (0, (5, 2, 1, 2)))


def picture(axes: Axes, pixels: Pixels, title: str = "", *, note: str = "") -> None:
    """Show a picture, with a title above and a note below, and no ticks."""
    axes.imshow(pixels, interpolation="bicubic", extent=(0, 1, 1, 0), aspect=aspect(pixels))
    axes.set(xlim=(0, 1), ylim=(1, 0), xticks=[], yticks=[])
    axes.set_title(title, fontsize=8, pad=3)
    axes.set_xlabel(note, fontsize=7, labelpad=3)
    for spine in axes.spines.values():
        spine.set_linewidth(0.5)


def heat(axes: Axes, pixels: Pixels, values: Floats, title: str = "") -> None:
    """Show weights over the picture, which turns grey so that colours mean weights alone.

    The colours span the lowest and the highest weight, which a note below names.

    Args:
        axes: to draw on.
        pixels: (H, W, 3) uint8.
        values: (h, w) over the whole picture.
        title: above.
    """
    low, high = float(values.min()), float(values.max())
    same = f"{low:.2f}" == f"{high:.2f}"
    picture(
        axes, _grey(pixels), title,
        note=f"{low:.2f} everywhere" if same else f"dark {low:.2f}, light {high:.2f}",
    )  # fmt: skip
    # Colours would blow differences up that the note's two digits do not show.
    spread = max(high - low, 0.01)
    axes.imshow(
        values, cmap="viridis", vmin=low, vmax=low + spread, alpha=0.6,
        interpolation="bilinear", extent=(0, 1, 1, 0), aspect=aspect(pixels),
    )  # fmt: skip


def signed_heat(
    axes: Axes, pixels: Pixels, values: Floats, title: str = "", *, note: str = "", largest: float
) -> None:
    """Show what speaks for and against, by colour and by lines.

    Blue, inside a solid line, is more than a third of `largest`; orange, inside a dashed line,
    less than minus a third. The lines stay when the print has no colour. What says nothing shows
    the picture.

    Args:
        axes: to draw on.
        pixels: (H, W, 3) uint8.
        values: (h, w) over the whole picture.
        title, note: above and below.
        largest: magnitude of the full colour.
    """
    picture(axes, _grey(pixels), title, note=note)
    # Bounded, whatever shape somebody's picture has; it is drawn at its own.
    height, width = _FINE, min(4 * _FINE, max(2, round(_FINE / aspect(pixels))))
    fine = np.asarray(Image.fromarray(values).resize((width, height), Image.Resampling.BILINEAR))
    share = np.clip(fine / (largest or 1.0), -1, 1)
    overlay = np.empty((height, width, 4))
    overlay[share >= 0, :3], overlay[share < 0, :3] = to_rgb(BLUE), to_rgb(ORANGE)
    overlay[..., 3] = 0.8 * np.abs(share)
    axes.imshow(overlay, extent=(0, 1, 1, 0), aspect=aspect(pixels))
    x, y = (np.arange(width) + 0.5) / width, (np.arange(height) + 0.5) / height
    for level, style in ((1 / 3, "solid"), (-1 / 3, "dashed")):
        if share.min() < level < share.max():
            axes.contour(
                x, y, share, levels=[level], colors="black", linewidths=0.9, linestyles=style
            )


def regions(
    axes: Axes, pixels: Pixels, centres: Floats, title: str = "", *, note: str = ""
) -> None:
    """Show the four regions as numbered boxes, cut off where the picture ends.

    Args:
        axes: to draw on.
        pixels: (H, W, 3) uint8.
        centres: (4, 2) centres (x, y) in [-1, 1].
        title, note: above and below.
    """
    picture(axes, pixels, title, note=note)
    height, width = pixels.shape[:2]
    for k, (centre, colour) in enumerate(zip(centres, BOX_COLOURS, strict=True)):
        left, top, right, bottom = region_box(centre)
        left, right = np.clip((left, right), 0, 1)
        top, bottom = np.clip((top, bottom), 0, 1)
        # Boxes that coincide stay visible: each lies a little inside the one before.
        inset_x, inset_y = 0.012 * (k + 1), 0.012 * (k + 1) * width / height
        box_width, box_height = right - left - 2 * inset_x, bottom - top - 2 * inset_y
        corner = left + inset_x, top + inset_y
        for line, edge, dash in ((2.6, "white", "-"), (1.4, colour, _DASHES[k])):
            axes.add_patch(
                Rectangle(corner, box_width, box_height, fill=False, ec=edge, lw=line, ls=dash)
            )
        # The numbers go side by side, so that those of boxes in one place do not collide.
        axes.text(
            left + (right - left) * (0.17 + 0.22 * k), (top + bottom) / 2, str(k + 1), fontsize=6.5,
            color="black", ha="center", va="center", zorder=5,
            bbox={"boxstyle": "circle,pad=0.15", "fc": colour, "ec": "white", "lw": 0.6},
        )  # fmt: skip


def shrunk(pixels: Pixels) -> Pixels:
    """The picture, no larger than can be seen in a panel."""
    height, width = pixels.shape[:2]
    scale = min(1.0, _MOST / max(height, width))
    return resize(pixels, max(1, round(scale * height)), max(1, round(scale * width)))


def aspect(pixels: Pixels) -> float:
    """Height by width; of axes from 0 to 1 on which the picture keeps its shape."""
    return pixels.shape[0] / pixels.shape[1]


def _grey(pixels: Pixels) -> Pixels:
    luma = pixels @ np.array([0.299, 0.587, 0.114])
    return np.repeat(luma[:, :, None], 3, axis=2).round().astype(np.uint8)
