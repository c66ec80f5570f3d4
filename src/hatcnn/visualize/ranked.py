"""Ranked sheets: a query and what was found for it, right and wrong told apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from hatcnn.images import Pixels, resize

RIGHT = (0, 114, 178)
"""Blue, and a whole frame. With the orange below, colour-blind eyes tell them apart."""
WRONG = (213, 94, 0)
"""Orange, and a broken frame, so that print without colour shows it too."""

_HEIGHT, _WIDTH = 160, 80
_GAP, _FRAME, _TEXT = 10, 4, 18


@dataclass(frozen=True, eq=False)
class RankedRow:
    """One query and its results.

    Attributes:
        query: (h, w, 3) uint8.
        results: pictures of any size, nearest first.
        correct: whether each shows the query's person.
        captions: one a result, short.
        caption: of the query.
    """

    query: Pixels
    results: Sequence[Pixels]
    correct: Sequence[bool]
    captions: Sequence[str]
    caption: str = "query"


def ranked_sheet(rows: Sequence[RankedRow]) -> Image.Image:
    """Draw queries below each other, each with its results to the right, nearest first."""
    columns = max(len(row.results) for row in rows)
    cell_width, cell_height = _WIDTH + _GAP, _HEIGHT + _TEXT + _GAP
    legend = 26
    sheet = Image.new(
        "RGB",
        ((columns + 1) * cell_width + 3 * _GAP, len(rows) * cell_height + _GAP + legend),
        "white",
    )
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(size=12)
    for r, row in enumerate(rows):
        y = _GAP + r * cell_height
        _put(sheet, row.query, _GAP, y)
        pen.text((_GAP, y + _HEIGHT + 2), row.caption, fill="black", font=font)
        for c, (picture, right, caption) in enumerate(
            zip(row.results, row.correct, row.captions, strict=True)
        ):
            x = 3 * _GAP + (c + 1) * cell_width
            _put(sheet, picture, x, y)
            _frame(pen, x, y, right=right)
            pen.text((x, y + _HEIGHT + 2), caption, fill="black", font=font)
    y = sheet.height - legend + 4
    _frame(pen, _GAP, y, right=True, width=22, height=14)
    pen.text((_GAP + 30, y), "same person", fill="black", font=font)
    _frame(pen, _GAP + 130, y, right=False, width=22, height=14)
    pen.text((_GAP + 160, y), "somebody else", fill="black", font=font)
    return sheet


def _put(sheet: Image.Image, picture: Pixels, x: int, y: int) -> None:
    sheet.paste(Image.fromarray(np.ascontiguousarray(resize(picture, _HEIGHT, _WIDTH))), (x, y))


def _frame(
    pen: ImageDraw.ImageDraw,
    x: int,
    y: int,
    *,
    right: bool,
    width: int = _WIDTH,
    height: int = _HEIGHT,
) -> None:
    box = (x, y, x + width - 1, y + height - 1)
    if right:
        pen.rectangle(box, outline=RIGHT, width=_FRAME)
        return
    dash = 9 if height > 40 else 4
    for start in range(0, width, 2 * dash):
        end = min(start + dash, width) - 1
        for edge in (y, y + height - _FRAME):
            pen.rectangle((x + start, edge, x + end, edge + _FRAME - 1), fill=WRONG)
    for start in range(0, height, 2 * dash):
        end = min(start + dash, height) - 1
        for edge in (x, x + width - _FRAME):
            pen.rectangle((edge, y + start, edge + _FRAME - 1, y + end), fill=WRONG)
