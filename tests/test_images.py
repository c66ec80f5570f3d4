import io
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from hatcnn.errors import ImageError
from hatcnn.images import decode, load, resize
from tests.pictures import animated, bomb, encoded


def test_pixels_come_back_as_they_were():
    pixels = np.random.default_rng(0).integers(0, 256, (20, 12, 3), np.uint8)
    np.testing.assert_array_equal(decode(encoded(pixels)), pixels)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"this is a text file, not a picture", "is no picture in a format we read"),
        (encoded()[:60], "damaged or cut short"),
        (encoded(kind="JPEG")[:300], "damaged or cut short"),
        (encoded(np.zeros((1, 1, 3), np.uint8)), "1 x 1"),
        (encoded(np.zeros((200, 3, 3), np.uint8)), "3 x 200"),
        (animated(), "2 frames"),
        (bomb(), "50000 x 50000|more than the 64,000,000"),
        (bomb(9_000), "9000 x 9000, more than the 64,000,000"),
    ],
)
def test_bad_pictures_are_named_with_the_reason(data, words):
    with pytest.raises(ImageError, match=words) as caught:
        decode(data, "cam3/0007.jpg")
    assert "cam3/0007.jpg" in str(caught.value)


def test_a_bomb_is_refused_before_anything_is_allocated():
    tracemalloc.start()
    with pytest.raises(ImageError):
        decode(bomb())
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.array([[0, 257 * 100, 65535] * 4] * 12, np.uint16)
    buffer = io.BytesIO()
    Image.fromarray(deep).save(buffer, "PNG")
    assert decode(buffer.getvalue())[0, :3, 0].tolist() == [0, 100, 255]


@pytest.mark.parametrize("mode", ["CMYK", "L", "1", "YCbCr"])
def test_other_colour_spaces_become_rgb(mode):
    red = np.zeros((16, 16, 3), np.uint8)
    red[..., 0] = 200
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    pixels = decode(encoded(red, kind=kind, mode=mode))
    expected = np.asarray(Image.fromarray(red).convert(mode).convert("RGB"))
    assert pixels.shape == (16, 16, 3)
    assert np.abs(pixels.astype(int) - expected).max() <= 2


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_put_on_white(mode):
    clear = np.zeros((16, 16, 4), np.uint8)
    assert (decode(encoded(clear, mode=mode)) == 255).all()


def test_transparent_palette_is_put_on_white():
    image = Image.new("P", (16, 16), 0)
    image.putpalette([0, 0, 0] * 256)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=0)
    assert (decode(buffer.getvalue()) == 255).all()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("tag", range(1, 9))
def test_every_orientation_is_pillows(tag, kind):
    exif = Image.Exif()
    exif[0x0112] = tag
    pixels = np.random.default_rng(tag).integers(0, 256, (24, 16, 3), np.uint8)
    data = encoded(pixels, kind=kind, exif=exif)
    with Image.open(io.BytesIO(data)) as picture:
        expected = np.asarray(ImageOps.exif_transpose(picture))
    np.testing.assert_array_equal(decode(data), expected)


def test_an_odd_tag_beside_the_orientation_does_no_harm():
    exif = Image.Exif()
    exif[0x0112], exif[0x0128] = 6, 2
    content = encoded(np.zeros((24, 16, 3), np.uint8), kind="JPEG", exif=exif)
    start = content.index(b"\x01\x28\x00\x03")  # ResolutionUnit, a number ...
    odd = content[: start + 3] + b"\x02" + content[start + 4 :]  # ... said to be text
    with Image.open(io.BytesIO(odd)) as picture, pytest.raises(Exception, match="argument"):
        ImageOps.exif_transpose(picture)
    assert decode(odd).shape == (16, 24, 3)


def test_the_orientation_tag_is_applied():
    pixels = np.zeros((20, 12, 3), np.uint8)
    pixels[:10] = 255
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    turned = decode(encoded(pixels, kind="JPEG", exif=exif, quality=95))
    assert turned[:8].mean() < 20
    assert turned[12:].mean() > 235


@given(st.binary(max_size=200), st.integers(0, 400), st.integers(0, 255))
@settings(max_examples=150, deadline=None)
def test_damage_anywhere_is_an_image_error_or_a_picture(noise, position, byte):
    data = bytearray(encoded(kind="JPEG"))
    data[position % len(data)] = byte
    for candidate in (bytes(data), noise, bytes(data[:position])):
        try:
            pixels = decode(candidate)
        except ImageError:
            continue
        assert pixels.dtype == np.uint8
        assert pixels.ndim == 3


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ImageError, match=r"cannot read .*nobody\.jpg"):
        load(tmp_path / "nobody.jpg")


def test_resizing_averages_what_it_drops():
    board = (np.indices((64, 64)).sum(axis=0) % 2 * 255).astype(np.uint8)
    small = resize(np.repeat(board[..., None], 3, axis=2), 16, 16)
    assert small.shape == (16, 16, 3)
    assert np.abs(small.astype(int) - 127).max() <= 12
