"""Small pictures to show beside a match."""

from __future__ import annotations

import io

from PIL import Image

from hatcnn import images

HEIGHT = 128
"""Pixels; smaller pictures keep their size."""
QUALITY = 85


def thumbnail(data: bytes, name: str = "picture") -> bytes:
    """A JPEG of at most `HEIGHT` pixels from a picture file's bytes.

    Raises:
        ImageError: when it cannot be read; see `hatcnn.images.decode`.
    """
    return thumbnail_of(images.decode(data, name))


def thumbnail_of(pixels: images.Pixels) -> bytes:
    """The same of a picture (height, width, 3) that was decoded already."""
    height, width = pixels.shape[:2]
    if height > HEIGHT:
        pixels = images.resize(pixels, HEIGHT, max(1, round(width * HEIGHT / height)))
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
