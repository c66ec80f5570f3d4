"""Bytes to pixels: the one decoder of training, evaluation and serving.

Whatever can go wrong with a picture is caught here and raised as `ImageError`, which names the
picture and the reason. Nothing is allocated before the header has passed.
"""

from __future__ import annotations

import contextlib
import io
import struct
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from hatcnn.errors import ImageError

Pixels = npt.NDArray[np.uint8]

MEAN = (0.485, 0.456, 0.406)
"""Mean of red, green and blue in ImageNet, for values in [0, 1]."""
STD = (0.229, 0.224, 0.225)
"""Their standard deviation."""

MIN_SIDE = 8
"""Shortest side in pixels that can show a person at all."""
MAX_PIXELS = 64_000_000
"""Largest width x height that is decoded; a camera's whole frame fits, a bomb does not."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif")
"""Endings of file names that are taken for pictures, in lower case."""


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by its orientation tag."""


def decode(data: bytes, name: str = "picture", *, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode one picture.

    Grey, palette, CMYK and 16-bit pictures are converted to 8-bit RGB; transparent parts are put
    on white; the camera's orientation tag is applied.

    Args:
        data: the file's bytes: JPEG, PNG, WebP, BMP, TIFF or GIF.
        name: for messages.
        max_pixels: width x height that is decoded, at most `MAX_PIXELS`.

    Returns:
        (height, width, 3) uint8, RGB.

    Raises:
        ImageError: empty, no picture, cut short, several frames, smaller than `MIN_SIDE`, or
            more than `max_pixels` pixels.
    """
    if not data:
        raise ImageError(f"{name} is empty")
    with _complaints(name), warnings.catch_warnings():
        # The limits below are ours; Pillow's warning about large pictures adds nothing.
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            _check_header(picture, name, max_pixels)
            return _to_rgb(picture)


def from_pillow(picture: Image.Image, name: str = "picture") -> Pixels:
    """Convert a Pillow picture as `decode` does a file, under the same guards."""
    with _complaints(name):
        _check_header(picture, name)
        return _to_rgb(picture)


def from_array(array: npt.NDArray[np.generic], name: str = "picture") -> Pixels:
    """Check an array of pixels: (height, width, 3) uint8 RGB, of a size that `decode` allows.

    Raises:
        ImageError: for any other array.
    """
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3:
        raise ImageError(
            f"{name} is an array {array.shape} of {array.dtype}; "
            "expected (height, width, 3) of uint8, RGB"
        )
    _check_size(array.shape[1], array.shape[0], name)
    return array.astype(np.uint8, copy=False)


def load(path: str | Path) -> Pixels:
    """Decode the picture file at `path`; see `decode`."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise ImageError(f"cannot read {path}: {error.strerror}") from None
    return decode(data, str(path))


def resize(rgb: Pixels, height: int, width: int) -> Pixels:
    """Bilinear resize with antialiasing, (h, w, 3) to (height, width, 3)."""
    if rgb.shape[:2] == (height, width):
        return rgb
    return np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BILINEAR))


_DAMAGED = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, KeyError, TypeError, struct.error
)  # fmt: skip
"""What Pillow's decoders raise on damaged files."""


@contextlib.contextmanager
def _complaints(name: str) -> Iterator[None]:
    """Turn what Pillow raises into `ImageError`."""
    try:
        yield
    except UnidentifiedImageError:
        raise ImageError(
            f"{name} is no picture in a format we read ({', '.join(FORMATS)})"
        ) from None
    except Image.DecompressionBombError:
        raise ImageError(f"{name} has more than the {MAX_PIXELS:,} pixels allowed") from None
    except _DAMAGED as error:
        raise ImageError(f"{name} is damaged or cut short ({error})") from None


def _check_header(picture: Image.Image, name: str, max_pixels: int = MAX_PIXELS) -> None:
    _check_size(*picture.size, name, max_pixels)
    frames = getattr(picture, "n_frames", 1)
    if frames > 1:
        raise ImageError(f"{name} has {frames} frames: save the one you mean as a picture")


def _check_size(width: int, height: int, name: str, max_pixels: int = MAX_PIXELS) -> None:
    most = min(max_pixels, MAX_PIXELS)
    if width * height > most:
        raise ImageError(
            f"{name} is {width} x {height}, more than the {most:,} pixels allowed: "
            "crop the person out of it first"
        )
    if min(width, height) < MIN_SIDE:
        raise ImageError(
            f"{name} is {width} x {height}; a person cannot be seen below {MIN_SIDE} pixels"
        )


def _to_rgb(picture: Image.Image) -> Pixels:
    if picture.mode.startswith("I;16") or picture.mode in ("I", "F"):
        # Pillow would clip 16-bit values at 255; keep their high byte instead.
        values = np.asarray(picture, dtype=np.float64)
        grey = np.clip(values / 257.0 + 0.5, 0, 255).astype(np.uint8)
        picture = Image.fromarray(grey)
    # Pillow turns a TIFF while it loads, and takes the tag away.
    picture.load()
    # Its exif_transpose would write the tags again, which fails where one of them is odd.
    turn = _TURNS.get(picture.getexif().get(ExifTags.Base.Orientation, 1))
    upright = picture if turn is None else picture.transpose(turn)
    if upright.mode in ("RGBA", "LA", "PA") or "transparency" in upright.info:
        transparent = upright.convert("RGBA")
        white = Image.new("RGBA", transparent.size, "white")
        upright = Image.alpha_composite(white, transparent)
    # A copy: the decoder's buffer dies with the picture.
    return np.array(upright.convert("RGB"))
