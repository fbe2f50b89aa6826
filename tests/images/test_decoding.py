from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from kalamos.errors import CorruptImageError, ImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images import EXTENSIONS, decode_grey, image_format
from kalamos.images.decoding import DecodeOptions, Encoded, decode_all
from kalamos.images.headers import read_webp
from kalamos.images.jpeg import inspect_jpeg
from kalamos.images.png import inspect_png

INK, PAPER = (1, 1), (6, 10)
LOSSY = 12


def close(result, expected, tolerance=0):
    assert result.dtype == np.uint8
    assert result.flags.c_contiguous
    assert result.shape == expected.shape
    difference = np.abs(result.astype(int) - expected.astype(int)).max()
    assert difference <= tolerance, difference


@pytest.mark.parametrize(
    ("kind", "mode", "options", "tolerance"),
    [
        ("PNG", "L", {}, 0),
        ("PNG", "RGB", {}, 0),
        ("PNG", "RGBA", {}, 0),
        ("PNG", "LA", {}, 0),
        ("PNG", "P", {}, 0),
        ("JPEG", "L", {"quality": 95}, LOSSY),
        ("JPEG", "RGB", {"quality": 95}, LOSSY),
        ("JPEG", "RGB", {"quality": 95, "progressive": True}, LOSSY),
        ("JPEG", "CMYK", {"quality": 95}, LOSSY),
        ("GIF", "L", {}, 0),
        ("GIF", "RGB", {}, 0),
        ("BMP", "L", {}, 0),
        ("BMP", "P", {}, 0),
        ("BMP", "RGB", {}, 0),
        ("BMP", "RGBA", {}, 0),
        ("WEBP", "RGB", {"lossless": True}, 0),
        ("WEBP", "RGBA", {"lossless": True}, 0),
        ("WEBP", "RGB", {"quality": 95}, LOSSY),
        ("TIFF", "L", {}, 0),
        ("TIFF", "L", {"tiffinfo": {262: 0}}, 0),
        ("TIFF", "RGB", {}, 0),
        ("TIFF", "RGBA", {}, 0),
        ("TIFF", "P", {}, 0),
        ("TIFF", "CMYK", {}, 0),
        ("TIFF", "YCbCr", {}, 2),
        ("TIFF", "RGB", {"compression": "tiff_lzw"}, 0),
        ("TIFF", "RGB", {"compression": "tiff_adobe_deflate"}, 0),
        ("TIFF", "RGB", {"compression": "tiff_deflate"}, 0),
        ("TIFF", "RGB", {"compression": "packbits"}, 0),
        ("TIFF", "RGB", {"compression": "jpeg", "quality": 95}, LOSSY),
        ("TIFF", "L", {"compression": "jpeg", "quality": 95}, LOSSY),
        ("TIFF", "CMYK", {"compression": "jpeg", "quality": 95}, LOSSY),
        ("TIFF", "L", {"big_tiff": True}, 0),
    ],
)
def test_every_format_and_mode_gives_the_picture(picture, encode, kind, mode, options, tolerance):
    image = Image.fromarray(picture)
    if mode == "P":
        image = image.convert("RGB").quantize(16)
    elif mode not in ("L", "LA"):
        image = image.convert("RGB").convert(mode)
    else:
        image = image.convert(mode)
    close(decode_grey(encode(image, kind, **options)), picture, tolerance)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"tiffinfo": {262: 0}}),
        ("TIFF", {"compression": "group3"}),
        ("TIFF", {"compression": "group4"}),
        ("TIFF", {"compression": "group4", "tiffinfo": {262: 0}}),
        ("TIFF", {"compression": "tiff_ccitt"}),
    ],
)
def test_one_bit(picture, encode, kind, options):
    expected = np.where(picture > 128, 255, 0).astype(np.uint8)
    close(decode_grey(encode(Image.fromarray(expected).convert("1"), kind, **options)), expected)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_sixteen_bits_scale_from_the_depth_in_use(picture, encode, kind, bits):
    top = (1 << bits) - 1
    deep = np.rint(picture / 230 * top).astype(np.uint16)
    close(decode_grey(encode(Image.fromarray(deep), kind)), np.rint(picture / 230 * 255).astype(int), 1)


def test_colour_is_weighed_by_bt601(encode):
    for rgb in [(255, 0, 0), (0, 255, 0), (0, 0, 255), (200, 100, 50)]:
        expected = round(0.299 * rgb[0] + 0.587 * rgb[1] + 0.114 * rgb[2])
        image = Image.new("RGB", (3, 2), rgb)
        for kind in ("PNG", "BMP", "TIFF", "GIF"):
            assert np.abs(decode_grey(encode(image, kind)).astype(int) - expected).max() <= 1, (kind, rgb)


def clear_ink(picture, tone):
    """The picture's ink in one tone; elsewhere alpha is 0 over black."""
    alpha = np.where(picture < 200, 255, 0).astype(np.uint8)
    rgb = np.where(alpha[..., None] > 0, tone, 0).astype(np.uint8).repeat(3, axis=2)
    return Image.fromarray(np.dstack([rgb, alpha]))


@pytest.mark.parametrize(("tone", "ground"), [(0, 255), (60, 255), (255, 0)])
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_ink_on_nothing_stays_visible(picture, encode, kind, options, tone, ground):
    expected = np.where(picture < 200, tone, ground).astype(np.uint8)
    close(decode_grey(encode(clear_ink(picture, tone), kind, **options)), expected, 1)


def test_animated_transparent_webp_keeps_the_ink_of_its_first_frame(picture, encode):
    first = clear_ink(picture, 0)
    second = first.transpose(Image.Transpose.ROTATE_180)
    data = encode(first, "WEBP", save_all=True, append_images=[second], lossless=True)
    assert read_webp(data, "a.webp").animated
    close(decode_grey(data), np.where(picture < 200, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_or_page_is_taken(picture, encode, kind):
    first = Image.fromarray(picture).convert("RGB")
    second = first.transpose(Image.Transpose.ROTATE_180)
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encode(first, kind, save_all=True, append_images=[second], **options)
    assert Image.open(io.BytesIO(data)).n_frames == 2
    close(decode_grey(data), picture, 2)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_exif_orientation(picture, encode, exif, kind, order, orientation):
    block = exif(orientation, order)
    options = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}, "PNG": {}}[kind]
    data = encode(Image.fromarray(picture), kind, exif=block, **options)
    header = {
        "PNG": lambda: inspect_png(data, "a").header,
        "JPEG": lambda: inspect_jpeg(data, "a").header,
        "WEBP": lambda: read_webp(data, "a"),
    }[kind]()
    assert header.orientation == orientation
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("L")
    close(decode_grey(data), np.asarray(upright), 3)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("mode", ["L", "1", "I;16", "F", "RGB", "RGBA"])
def test_tiff_orientation(picture, encode, mode, orientation):
    expected = Image.fromarray(picture)
    expected = expected.point(lambda value: 255 * (value > 128)) if mode == "1" else expected
    image = {
        "I;16": lambda: Image.fromarray(picture.astype(np.uint16) * 257),
        "F": lambda: Image.fromarray(picture.astype(np.float32) / 255),
    }.get(mode, lambda: expected.convert(mode))()
    tag = Image.Exif()
    tag[274] = orientation
    # Pillow turns by the tag, as the specification says; the picture itself is stored as it is.
    bare = encode(expected, "PNG", exif=tag.tobytes())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(bare)))
    close(decode_grey(encode(image, "TIFF", tiffinfo={274: orientation})), np.asarray(upright))


@pytest.mark.parametrize(
    "block", [b"", b"Exif", b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff"]
)
def test_malformed_exif_means_upright(picture, encode, block):
    data = encode(Image.fromarray(picture), "JPEG", quality=95, exif=b"Exif\0\0" + block)
    close(decode_grey(data), picture, LOSSY)


def test_truncation_at_every_byte_is_seen(samples):
    for name, data in samples.items():
        whole = decode_grey(data)
        cuts = [Encoded(name, data[:cut]) for cut in range(len(data))]
        for cut, outcome in enumerate(decode_all(cuts, DecodeOptions())):
            if not isinstance(outcome, CorruptImageError):
                assert np.array_equal(outcome, whole), (name, cut)


def test_little_of_a_file_is_dispensable(samples):
    """Guards the test above against a reader that reads nothing: half a file is never enough."""
    for name, data in samples.items():
        if name != "gif animated":
            with pytest.raises(CorruptImageError):
                decode_grey(data[: len(data) // 2])


def test_bytes_after_the_picture_do_not_matter(samples):
    for data in samples.values():
        assert np.array_equal(decode_grey(data + b"\0trailing"), decode_grey(data))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_one_pixel(encode, kind):
    assert decode_grey(encode(Image.new("RGB", (1, 1), (255, 255, 255)), kind)).tolist() == [[255]]


def test_the_pixel_limit_is_checked_before_decoding(samples):
    for name, data in samples.items():
        with pytest.raises(ImageTooLargeError, match=r"limit of 239"):
            decode_grey(data, max_pixels=239)
        assert decode_grey(data, max_pixels=240).size == 240, name


def test_errors_name_the_source(samples):
    with pytest.raises(CorruptImageError, match=r"^forms/a\.png: the PNG is truncated"):
        decode_grey(samples["png grey"][:-5], where="forms/a.png")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_mutated_files_raise_image_errors_alone(samples, data):
    names = sorted(samples)
    mutant = bytearray(samples[data.draw(st.sampled_from(names))])
    for _ in range(data.draw(st.integers(1, 4))):
        position = data.draw(st.integers(0, len(mutant) - 1)) if mutant else 0
        match data.draw(st.sampled_from(["flip", "cut", "drop", "splice"])):
            case "flip" if mutant:
                mutant[position] = data.draw(st.integers(0, 255))
            case "cut":
                del mutant[position:]
            case "drop":
                del mutant[position : position + data.draw(st.integers(1, 16))]
            case _:
                other = samples[data.draw(st.sampled_from(names))]
                mutant[position:position] = other[position : position + 24]
    check_reads_or_refuses(bytes(mutant))


@settings(max_examples=200, deadline=None)
@given(
    start=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"BM", b"II*\0", b"MM\0+"]),
    rest=st.binary(max_size=200),
)
def test_random_bytes_raise_image_errors_alone(start, rest):
    check_reads_or_refuses(start + rest)


def check_reads_or_refuses(data):
    message = ""
    try:
        result = decode_grey(data, max_pixels=1_000_000)
    except ImageError as error:
        message = str(error)
    else:
        assert result.dtype == np.uint8
        assert result.ndim == 2
        assert result.flags.c_contiguous
    assert message.isprintable()


def test_formats_are_told_by_content(samples):
    for name, data in samples.items():
        assert image_format(data) == name.split()[0].upper()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b'<?xml version="1.0"?>\n<svg xmlns="...">', "SVG"),
        (b"<!doctype html><html></html>", "HTML"),
        (b"PK\x03\x04" + bytes(30), "a ZIP archive"),
        (b"8BPS\0\1" + bytes(30), "a Photoshop file"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(20), "JPEG XL"),
        (b"\xff\x0a" + bytes(30), "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(20), "JPEG 2000"),
        (b"\xff\x4f\xff\x51" + bytes(30), "JPEG 2000"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(20), "nothing known"),
        (b"P5\n2 2\n255\n" + bytes(4), "a PNM image"),
        (b"BMW makes cars, not bitmaps.", "text"),
        ("ملف نصي عادي".encode(), "text"),
        (bytes(40), "nothing known"),
    ],
)
def test_other_formats_are_named_with_a_remedy(data, name):
    with pytest.raises(UnsupportedImageError, match=f"looks like {name}") as caught:
        image_format(data, where="a.png")
    assert str(caught.value).startswith("a.png: ")
    assert caught.value.remedy == "convert it to PNG or JPEG"


def test_a_pdf_where_an_image_should_be():
    with pytest.raises(
        UnsupportedImageError, match="looks like a PDF; name the PDF itself to have its pages"
    ):
        image_format(b"%PDF-1.7\n")


def test_nothing():
    with pytest.raises(CorruptImageError, match=r"^a\.png: the file is empty"):
        image_format(b"", where="a.png")


@pytest.mark.parametrize("length", range(1, 12))
def test_the_beginning_of_a_signature(samples, length):
    for data in samples.values():
        with pytest.raises(CorruptImageError, match=r"truncated|its header cannot be read"):
            decode_grey(data[:length])


def test_extensions_are_lower_case_suffixes():
    assert all(suffix.startswith(".") and suffix.islower() for suffix in EXTENSIONS)
    assert {".png", ".jpeg", ".webp", ".tif"} <= EXTENSIONS
