"""Draw the documentation's pictures anew: ``make demo``, then ``python docs/make_pictures.py``."""

from __future__ import annotations

import tempfile
import textwrap
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from hatcnn.attributes import ATTRIBUTES
from hatcnn.cli.main import run
from hatcnn.datasets import Sample
from hatcnn.datasets.synthetic import SyntheticStore, synthetic_people

ASSETS = Path(__file__).parent / "assets"
DEMO = Path(__file__).parent.parent / "demo"
EXPLAINED = ("query/0092_c2_000.png", "query/0092_c3_000.png")
SHOWN = (
    "explain-picture", "explain-pair", "why-wrong", "scores", "attributes", "cameras", "map",
    "training",
)  # fmt: skip
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


def explanations(folder: Path) -> None:
    """A picture explained, a pair, and the report of an evaluation, of the demo's network."""
    people = synthetic_people()
    assert isinstance(people.store, SyntheticStore)
    model = str(DEMO / "run" / "model")
    files = []
    for name in EXPLAINED:
        files.append(str(folder / Path(name).name))
        Path(files[-1]).write_bytes(people.store.read(name))
    run(["explain", files[0], "--model", model, "--out", str(folder / "explain-picture.png")])
    pair = ["--attribute-weight", "1", "--out", str(folder / "explain-pair.png")]
    run(["explain", *files, "--model", model, *pair])
    run(["evaluate", model, "--data", "synthetic", "--report", str(folder)])


def main() -> None:
    """Write every picture."""
    ASSETS.mkdir(exist_ok=True)
    sheet = contact_sheet().quantize(COLOURS, dither=Image.Dither.NONE)
    _save(sheet, ASSETS / "synthetic-people.png")
    if not (DEMO / "ranked.png").exists():
        return
    _copy(DEMO / "ranked.png", ASSETS, width=820)
    with tempfile.TemporaryDirectory() as folder:
        explanations(Path(folder))
        for name in SHOWN:
            _copy(Path(folder) / f"{name}.png", ASSETS)


def _copy(source: Path, folder: Path, *, width: int = 1100) -> None:
    """A smaller copy; dithered, as maps have more shades than a palette."""
    with Image.open(source) as picture:
        rgb = picture.convert("RGB")
    rgb.thumbnail((width, 10 * width))
    palette = rgb.quantize(COLOURS, method=Image.Quantize.FASTOCTREE)
    _save(rgb.quantize(palette=palette), folder / source.name)


def _save(sheet: Image.Image, target: Path) -> None:
    sheet.save(target, optimize=True)
    print(f"{target}: {sheet.width} x {sheet.height}, {target.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
