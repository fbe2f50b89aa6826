from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from kalamos.errors import CorruptImageError, UnsupportedImageError
from kalamos.images import decode_grey
from kalamos.images.headers import exif_orientation, read_webp


def raw(array):
    return np.ascontiguousarray(array).tobytes()


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [1, 8, 16])
def test_both_polarities(picture, build_tiff, order, photometric, bits):
    stored = picture if photometric else 255 - picture
    if bits == 1:
        pixels = raw(np.packbits(stored > 127, axis=1))
        expected = np.where(picture > 127, 255, 0)
    else:
        pixels = raw(stored.astype(order + "u2") * np.array(257, order + "u2")) if bits == 16 else raw(stored)
        expected = picture
    if bits == 16:
        pixels = (stored.astype(np.uint16) * 257).astype(order + "u2").tobytes()
    data = build_tiff(pixels, bits=bits, photometric=photometric, order=order)
    assert np.array_equal(decode_grey(data), expected)


@pytest.mark.parametrize("photometric", [0, 1])
@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("scale", [1, 255])
def test_floats(picture, build_tiff, photometric, bits, scale):
    stored = (picture if photometric else 255 - picture) / 255 * scale
    tags = {339: ("H", [3])}
    data = build_tiff(raw(stored.astype(f"<f{bits // 8}")), bits=bits, photometric=photometric, tags=tags)
    assert np.array_equal(decode_grey(data), picture)


@pytest.mark.parametrize("value", [np.nan, np.inf, -1.0, 300.0])
def test_floats_out_of_range(picture, build_tiff, value):
    stored = picture.astype("<f4")
    stored[0, 0] = value
    with pytest.raises(UnsupportedImageError):
        decode_grey(build_tiff(raw(stored), bits=32, tags={339: ("H", [3])}))


def layers(picture, alpha, tone):
    """RGBA with straight alpha: the picture's ink in one tone, `alpha` elsewhere."""
    ink = picture < 200
    return np.dstack([np.where(ink, tone, 0)] * 3 + [np.where(ink, 255, alpha)])


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("extra", [[1], [2]])
def test_alpha_straight_or_premultiplied(picture, build_tiff, bits, extra):
    half = np.dstack([np.full((12, 20), 100)] * 3 + [np.full((12, 20), 128)])
    if extra == [1]:
        half[..., :3] = 50
    pixels = half.astype("<u2") * np.uint16(257) if bits == 16 else half.astype(np.uint8)
    data = build_tiff(raw(pixels), bits=bits, samples=4, photometric=2, tags={338: ("H", extra)})
    # Tone 100 at half opacity on white.
    assert np.abs(decode_grey(data).astype(int) - 177).max() <= 1
    pixels = layers(picture, 0, 40)
    pixels = pixels.astype("<u2") * np.uint16(257) if bits == 16 else pixels.astype(np.uint8)
    data = build_tiff(raw(pixels), bits=bits, samples=4, photometric=2, tags={338: ("H", extra)})
    assert np.abs(decode_grey(data).astype(int) - np.where(picture < 200, 40, 255)).max() <= 1


def test_a_fourth_sample_that_is_no_alpha(picture, build_tiff):
    pixels = np.dstack([picture, picture, picture, picture * 0])
    data = build_tiff(raw(pixels), samples=4, photometric=2, tags={338: ("H", [0])})
    assert np.array_equal(decode_grey(data), picture)


def test_a_stray_extra_samples_tag_on_grey(picture, build_tiff):
    data = build_tiff(raw(picture.astype("<u2") * np.uint16(257)), bits=16, tags={338: ("H", [0])})
    assert np.array_equal(decode_grey(data), picture)


def test_grey_with_alpha(picture, build_tiff):
    alpha = np.where(picture < 200, 255, 0).astype(np.uint8)
    data = build_tiff(raw(np.dstack([picture * 0, alpha])), samples=2, tags={338: ("H", [2])})
    assert np.array_equal(decode_grey(data), np.where(picture < 200, 0, 255))


def test_deep_grey_with_alpha_is_refused(picture, build_tiff):
    pixels = raw(np.dstack([picture, picture]).astype("<u2"))
    with pytest.raises(UnsupportedImageError, match="save it as PNG"):
        decode_grey(build_tiff(pixels, bits=16, samples=2, tags={338: ("H", [2])}))


def test_grey_of_four_and_twelve_bits(picture, build_tiff):
    levels = picture >> 4
    assert np.array_equal(
        decode_grey(build_tiff(raw(levels[:, ::2] << 4 | levels[:, 1::2]), bits=4)), levels * 17
    )
    wide = picture.astype(np.uint16) * 16
    pairs = np.dstack([wide[:, ::2] >> 4, (wide[:, ::2] & 15) << 4 | wide[:, 1::2] >> 8, wide[:, 1::2] & 255])
    result = decode_grey(build_tiff(raw(pairs.astype(np.uint8)), bits=12))
    assert np.abs(result.astype(int) - np.rint(wide / 4095 * 255)).max() <= 1


def test_lab_gives_its_lightness(picture, build_tiff):
    pixels = np.dstack([picture, picture * 0 + 128, picture * 0 + 128])
    assert np.array_equal(decode_grey(build_tiff(raw(pixels), samples=3, photometric=8)), picture)


@pytest.mark.parametrize("bits", [1, 4, 8])
def test_palettes_are_followed(picture, build_tiff, bits):
    count = 1 << bits
    levels = picture >> (8 - bits)
    palette = [65535 - i * 65535 // (count - 1) for i in range(count)] * 3
    packed = np.packbits(np.unpackbits(levels[..., None], axis=2)[..., 8 - bits :].reshape(12, -1), axis=1)
    data = build_tiff(raw(packed), bits=bits, photometric=3, tags={320: ("H", palette)})
    assert np.abs(decode_grey(data).astype(int) - (255 - levels * (255 // (count - 1)))).max() <= 1


def test_cmyk(picture, build_tiff):
    zero = picture * 0
    data = build_tiff(raw(np.dstack([zero, zero, zero, 255 - picture])), samples=4, photometric=5)
    assert np.array_equal(decode_grey(data), picture)


def test_fill_order(picture, build_tiff):
    bits = np.packbits(picture > 127, axis=1, bitorder="little")
    data = build_tiff(raw(bits), bits=1, tags={266: ("H", [2])})
    assert np.array_equal(decode_grey(data), np.where(picture > 127, 255, 0))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"photometric": 8}, "photometric 8"),
        ({"bits": 6}, "6 bits"),
        ({"bits": 16, "tags": {339: ("H", [3])}}, "sample format 3"),
        ({"samples": 5, "photometric": 2}, "5 x 8 bits"),
        ({"tags": {259: ("H", [6])}}, "compression 6"),
        ({"tags": {259: ("H", [50000])}}, "compression 50000"),
        ({"bits": 16, "samples": 3, "photometric": 2, "tags": {284: ("H", [2])}}, "separate planes"),
    ],
)
def test_variants_that_lose_ink_are_refused(build_tiff, options, words):
    with pytest.raises(UnsupportedImageError, match=words):
        decode_grey(build_tiff(bytes(20 * 12 * 16), **options))


@pytest.mark.parametrize(
    "tags", [{256: ("H", [0])}, {257: ("H", [0])}, {278: ("H", [0])}, {278: ("H", [1])}, {257: ("H", [500])}]
)
def test_directories_that_contradict_themselves(picture, build_tiff, tags):
    with pytest.raises(CorruptImageError):
        decode_grey(build_tiff(raw(picture), tags=tags))


@pytest.mark.parametrize("tag", [256, 257, 262])
def test_missing_tags(picture, build_tiff, tag):
    data = bytearray(build_tiff(raw(picture)))
    entry = data.index(tag.to_bytes(2, "little"), 248)
    data[entry : entry + 2] = (60000).to_bytes(2, "little")
    with pytest.raises(CorruptImageError):
        decode_grey(bytes(data))


def test_several_strips(encode):
    rows = np.arange(200, dtype=np.uint8)[:, None].repeat(30, axis=1)
    data = encode(Image.fromarray(rows), "TIFF", tiffinfo={278: 7}, compression="tiff_lzw")
    assert np.array_equal(decode_grey(data), rows)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("orientation", [*range(1, 9), 0, 9, 65535])
def test_exif_orientation(exif, order, orientation):
    block = exif(orientation, order)
    expected = orientation if 1 <= orientation <= 8 else 1
    assert exif_orientation(block) == expected
    assert exif_orientation(block.removeprefix(b"Exif\0\0")) == expected


@given(
    st.sampled_from([b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08", b"II+\0", b"MM\0+"]), st.binary(max_size=80)
)
def test_exif_never_fails(start, rest):
    assert 1 <= exif_orientation(start + rest) <= 8


def read_header(data):
    return read_webp(data, "a.webp")


@pytest.mark.parametrize("name", ["webp lossy", "webp lossless", "webp exif", "webp animated"])
def test_header(samples, name):
    header = read_header(samples[name])
    assert (header.format, header.width, header.height) == ("WEBP", 20, 12)
    assert header.orientation == (6 if name == "webp exif" else 1)


def test_a_first_frame_smaller_than_the_canvas(encode):
    """The writer crops the first frame to what is visible; it must come back to its place."""
    first = Image.new("RGBA", (20, 12))
    first.paste((0, 0, 0, 255), (4, 2, 10, 6))
    second = first.transpose(Image.Transpose.ROTATE_180)
    data = encode(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert read_header(data).animated
    expected = np.full((12, 20), 255)
    expected[2:6, 4:10] = 0
    assert np.array_equal(decode_grey(data), expected)


def test_lossy_animation_with_alpha(picture, encode):
    clear = Image.fromarray(np.dstack([picture * 0] * 3 + [np.where(picture < 200, 255, 0).astype(np.uint8)]))
    second = clear.transpose(Image.Transpose.ROTATE_180)
    data = encode(clear, "WEBP", save_all=True, append_images=[second], quality=90)
    assert np.abs(decode_grey(data).astype(int) - np.where(picture < 200, 0, 255)).max() <= 12


def test_announced_size(samples):
    with pytest.raises(CorruptImageError, match="are announced"):
        read_header(samples["webp lossy"][:-1])


def test_an_animation_without_frames():
    chunk = b"VP8X" + struct.pack("<IIHBHB", 10, 2, 19, 0, 11, 0)
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk
    with pytest.raises(CorruptImageError, match="no frame"):
        read_header(data)
    with pytest.raises(CorruptImageError, match="no picture"):
        read_header(data[:20] + b"\0" + data[21:])


def test_no_chunks():
    with pytest.raises(CorruptImageError, match="no picture"):
        read_header(b"RIFF\4\0\0\0WEBP")
