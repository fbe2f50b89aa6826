from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import Image

from kalamos.errors import CorruptImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images import decode_grey
from kalamos.images.grey import upright
from kalamos.images.jpeg import inspect_jpeg


def read_header(data):
    return inspect_jpeg(data, "a.jpg").header


def frame_at(data):
    return next(data.index(bytes((0xFF, code))) for code in (0xC0, 0xC2) if bytes((0xFF, code)) in data)


def patched(data, offset, value):
    mutant = bytearray(data)
    mutant[frame_at(data) + offset] = value
    return bytes(mutant)


@pytest.mark.parametrize("name", ["jpeg grey", "jpeg progressive", "jpeg cmyk"])
def test_header(samples, name):
    header = read_header(samples[name])
    assert (header.format, header.width, header.height, header.orientation) == ("JPEG", 20, 12, 1)


def test_ycck(encode, picture):
    """Nothing here writes YCCK, but only the Adobe transform byte says so; Pillow is the judge."""
    data = encode(Image.fromarray(picture).convert("RGB").convert("CMYK"), "JPEG", quality=95)
    marker = data.index(b"Adobe")
    ycck = data[: marker + 11] + b"\2" + data[marker + 12 :]
    expected = np.asarray(Image.open(io.BytesIO(ycck)).convert("L")).astype(int)
    assert np.abs(decode_grey(ycck) - expected).max() <= 3


@pytest.mark.parametrize(
    ("offset", "value", "words"),
    [(1, 0xC3, "lossless"), (1, 0xC5, "lossless"), (4, 12, "12-bit"), (9, 2, "2 components")],
)
def test_unusual_kinds_are_refused(samples, offset, value, words):
    with pytest.raises(UnsupportedImageError, match=words):
        decode_grey(patched(samples["jpeg grey"], offset, value))


def test_no_size(samples):
    with pytest.raises(CorruptImageError, match="20 x 0"):
        decode_grey(patched(samples["jpeg grey"], 6, 0))


def test_without_end_marker(samples):
    data = samples["jpeg grey"]
    with pytest.raises(CorruptImageError, match="end marker"):
        read_header(data[: data.rindex(b"\xff\xd9")])


def test_the_end_marker_of_a_thumbnail_does_not_count(samples):
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + len(samples["jpeg grey"])) + samples["jpeg grey"]
    data = samples["jpeg grey"][:2] + thumbnail + samples["jpeg grey"][2:]
    assert np.array_equal(decode_grey(data), decode_grey(samples["jpeg grey"]))
    with pytest.raises(CorruptImageError):
        read_header(data[:-30])


def test_without_a_picture():
    with pytest.raises(CorruptImageError, match="no picture"):
        read_header(b"\xff\xd8\xff\xd9")


def test_restart_markers_and_fill_bytes(picture, encode):
    data = encode(Image.fromarray(picture), "JPEG", quality=95, restart_marker_blocks=1)
    assert b"\xff\xd0" in data
    filled = data.replace(b"\xff\xdb", b"\xff\xff\xff\xdb", 1)
    assert np.abs(decode_grey(filled).astype(int) - picture).max() <= 12


def photograph(height=300, width=401, *, mode="RGB", saturated=False, seed=0, **options):
    """A smooth picture with a dark stroke as JPEG bytes."""
    y, x = np.mgrid[:height, :width].astype(np.float64)
    page = np.stack([150 + 40 * np.sin(x / 70 + c) + 30 * np.cos(y / 50) for c in range(3)], axis=-1)
    if saturated:
        page[..., 0] *= 2
        page[..., 2] /= 8
    page[height // 4 : height // 2, width // 3 : width // 2] *= 0.2
    page += np.random.default_rng(seed).normal(0, 3, page.shape)
    image = Image.fromarray(page.clip(0, 255).astype(np.uint8)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", **{"quality": 85} | options)
    return buffer.getvalue()


def by_colours(data):
    """As OpenCV decodes the colours and makes them grey."""
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)


def means(image, factor):
    """Of blocks of `factor` x `factor` px, those at the border filled up with the border's pixels."""
    bottom, right = -image.shape[0] % factor, -image.shape[1] % factor
    full = np.pad(image, ((0, bottom), (0, right)), mode="edge").astype(float)
    return full.reshape(full.shape[0] // factor, factor, -1, factor).mean(axis=(1, 3))


@pytest.mark.parametrize("mode", ["L", "RGB"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"quality": 75}])
def test_the_luminance_is_that_of_the_colours(mode, options):
    """A JPEG holds it by itself; made of the colours it is the same up to rounding."""
    data = photograph(mode=mode, **options)
    assert np.abs(decode_grey(data).astype(int) - by_colours(data)).max() <= 1


def test_the_luminance_where_colours_are_beyond_what_a_screen_shows():
    data = photograph(saturated=True, quality=60)
    with Image.open(io.BytesIO(data)) as image:
        image.draft("L", image.size)
        expected = np.asarray(image.convert("L")).astype(int)
    assert np.abs(decode_grey(data) - expected).max() <= 1


def test_stored_as_rgb():
    data = photograph(keep_rgb=True)
    assert np.abs(decode_grey(data).astype(int) - by_colours(data)).max() <= 1


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (1, 4096)])
def test_small_crops_are_decoded_as_ever(size):
    data = photograph(*size, saturated=True, quality=40)
    assert np.array_equal(decode_grey(data), by_colours(data))
    assert np.array_equal(decode_grey(data, min_decode_pixels=1), by_colours(data))


@pytest.mark.parametrize(
    ("enough", "factor"),
    [(None, 1), (300 * 401, 1), (75 * 401, 2), (75 * 401 + 1, 1), (5000, 4), (1000, 8), (1, 8)],
)
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "L"}])
def test_as_many_pixels_as_are_enough(enough, factor, options):
    data = photograph(**options)
    reduced = decode_grey(data, min_decode_pixels=enough)
    assert reduced.shape == (-(-300 // factor), -(-401 // factor))
    difference = np.abs(reduced.astype(int) - means(decode_grey(data), factor))
    assert difference.mean() < 1
    assert np.quantile(difference, 0.99) < 20  # the stroke's outline alone


@pytest.mark.parametrize("orientation", range(1, 9))
def test_reduced_pictures_are_upright(orientation, exif):
    data = photograph(exif=exif(orientation))
    whole, reduced = decode_grey(data), decode_grey(data, min_decode_pixels=5000)
    # The incomplete block, which is at the right before the picture is turned, tells a flip by its place.
    right = decode_grey(photograph(), min_decode_pixels=5000)
    assert np.array_equal(reduced, upright(right, orientation))
    assert whole.shape == upright(decode_grey(photograph()), orientation).shape


def test_cmyk_is_never_reduced():
    data = photograph(mode="CMYK")
    assert np.array_equal(decode_grey(data, min_decode_pixels=1), decode_grey(data))
    assert decode_grey(data).shape == (300, 401)


def test_limits_and_damage_are_told_before_a_picture_is_reduced():
    data = photograph()
    with pytest.raises(ImageTooLargeError, match="401 x 300 pixels"):
        decode_grey(data, max_pixels=300 * 401 - 1, min_decode_pixels=1)
    with pytest.raises(CorruptImageError, match="end marker"):
        decode_grey(data[:-2], min_decode_pixels=1)


def test_other_formats_keep_all_their_pixels(encode):
    image = Image.fromarray(np.arange(256, dtype=np.uint8).reshape(1, 256).repeat(200, axis=0))
    for kind in ("PNG", "BMP", "TIFF", "WEBP", "GIF"):
        assert decode_grey(encode(image, kind), min_decode_pixels=1).shape == (200, 256)


def test_fill_bytes_before_every_marker_and_stuffed_zeros():
    """Any number of 0xFF may stand before a marker's code; 0xFF 0x00 in a scan is a byte of the picture."""
    data = photograph()
    assert b"\xff\x00" in data[data.index(b"\xff\xda") :]
    filled = data.replace(b"\xff\xda", b"\xff\xff\xff\xda", 1)[:-2] + b"\xff\xff\xff\xff\xd9"
    assert read_header(filled) == read_header(data)
    assert np.array_equal(decode_grey(filled), decode_grey(data))
    with pytest.raises(CorruptImageError, match="end marker"):
        read_header(filled[:-1])
