"""Draw the documentation's pictures anew: ``make demo``, then ``python docs/make_pictures.py``."""

from __future__ import annotations

import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hatcnn.attributes import ATTRIBUTES
from hatcnn.datasets import Sample
from hatcnn.datasets.synthetic import SyntheticStore, synthetic_people

ASSETS = Path(__file__).parent / "assets"
DEMO = Path(__file__).parent.parent / "demo" / "ranked.png"
IDENTITIES = 6
CAMERAS = 5
SEED = 16  # Among these six: a hat, a dress, each kind of bag.

WIDTH, HEIGHT = 64, 128
GAP = 4
CAPTION = 190
HEADER = 20
COLOURS = 256
"""In the file's palette: the cameras' noise would make a file of all colours large."""


def contact_sheet() -> Image.Image:
    """Identities by cameras: the first picture of each by each, and the labels."""
    people = synthetic_people(
        num_train_identities=IDENTITIES,
        num_test_identities=1,
        num_cameras=CAMERAS,
        cameras_per_identity=CAMERAS,
        pictures_per_camera=2,
        num_distractors=0,
        seed=SEED,
    )
    column = WIDTH + GAP
    sheet = Image.new("RGB", (CAPTION + CAMERAS * column, HEADER + IDENTITIES * (HEIGHT + GAP)))
    sheet.paste("white", (0, 0, *sheet.size))
    pen = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(12)
    for camera in range(CAMERAS):
        pen.text((CAPTION + camera * column, 3), f"camera {camera + 1}", "black", font)
    assert isinstance(people.store, SyntheticStore)
    for sample in people.train:
        if not sample.name.endswith("_000.png"):
            continue
        x = CAPTION + (sample.camid - 1) * column
        y = HEADER + (sample.pid - 1) * (HEIGHT + GAP)
        sheet.paste(Image.fromarray(people.store.render(sample.name)), (x, y))
        if sample.camid == 1:
            pen.multiline_text((2, y + 2), _caption(sample), "black", font, spacing=2)
    return sheet


def _caption(sample: Sample) -> str:
    """The labels in words; of what is absent, only what is no mere lack."""
    words = []
    for attribute, label in zip(ATTRIBUTES, sample.attributes, strict=True):
        if label == 1:
            words.append(attribute.present)
        elif attribute.absent and not attribute.absent.startswith("no "):
            words.append(attribute.absent)
    return f"person {sample.pid}\n" + textwrap.fill(", ".join(words), 27)


def main() -> None:
    """Write every picture."""
    ASSETS.mkdir(exist_ok=True)
    _save(contact_sheet(), ASSETS / "synthetic-people.png")
    if DEMO.exists():
        with Image.open(DEMO) as ranked:
            _save(ranked.convert("RGB"), ASSETS / "ranked.png")


def _save(sheet: Image.Image, target: Path) -> None:
    sheet.quantize(COLOURS, dither=Image.Dither.NONE).save(target, optimize=True)
    print(f"{target}: {sheet.width} x {sheet.height}, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
