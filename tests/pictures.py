"""Small encoded pictures for tests."""

import io
import struct
import zlib

import numpy as np
from PIL import Image


def encoded(pixels=None, kind="PNG", mode=None, **options):
    """Encode an array (or a grey 20 x 12 default) in memory."""
    if pixels is None:
        pixels = np.full((20, 12, 3), 120, np.uint8)
    image = Image.fromarray(np.asarray(pixels))
    buffer = io.BytesIO()
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def bomb(side=50_000):
    """A PNG whose header promises side x side pixels, in a few dozen bytes."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )  # fmt: skip

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"0"))
        + (chunk(b"IEND", b""))
    )


def animated():
    """A PNG of two frames."""
    frames = [Image.fromarray(np.full((20, 12, 3), v, np.uint8)) for v in (10, 200)]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()
