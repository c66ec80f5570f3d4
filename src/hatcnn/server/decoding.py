"""From an uploaded file's bytes to what the network takes; only pictures get through."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from hatcnn import images
from hatcnn.errors import ImageError
from hatcnn.gallery.thumbnails import thumbnail_of
from hatcnn.images import Pixels

TOGETHER = 8
"""Pictures that one call of a thread decodes: handing work over has a price of its own."""
LONGEST_NAME = 100
"""Characters that are kept of a file's name."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file as it came.

    Attributes:
        name: the last part of the name that the client gave it; a label, never a path.
        data: its bytes.
    """

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Decoded:
    """A picture.

    Attributes:
        pixels: (H, W, 3) of the network's input size.
        thumbnail: a small JPEG, where one was wanted.
    """

    pixels: Pixels
    thumbnail: bytes | None


def label(name: str | None, number: int) -> str:
    """A name for a file that may stand in lists and logs: no folder, no control characters."""
    last = re.split(r"[/\\]", name or "")[-1]
    clean = "".join(c for c in last if c.isprintable()).strip()[-LONGEST_NAME:]
    return clean if clean.strip(".") else f"picture {number}"


def decode(
    upload: Upload, *, height: int, width: int, max_pixels: int, with_thumbnail: bool = False
) -> Decoded:
    """Decode a picture and resize it for the network.

    Raises:
        ImageError: when it is none, is damaged, or has too many pixels.
    """
    try:
        full = images.decode(upload.data, upload.name, max_pixels=max_pixels)
        small = thumbnail_of(full) if with_thumbnail else None
        return Decoded(images.resize(full, height, width), small)
    except ImageError:
        raise
    except Exception as error:
        # Whatever else a decoder trips over, it is the file: one bad picture is no fault of ours.
        raise ImageError(f"{upload.name} is damaged ({type(error).__name__})") from error


def decode_each(
    uploads: Sequence[Upload], decode_one: Callable[[Upload], Decoded]
) -> list[Decoded | ImageError]:
    """Decode pictures one after the other; what is wrong with one stands in its place."""
    found: list[Decoded | ImageError] = []
    for upload in uploads:
        try:
            found.append(decode_one(upload))
        except ImageError as error:
            found.append(error)
    return found
