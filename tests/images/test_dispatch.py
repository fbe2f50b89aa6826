from __future__ import annotations

import pytest

from kalamos.errors import CorruptImageError, UnsupportedImageError
from kalamos.images import EXTENSIONS, decode_grey, image_format


def test_formats_are_told_by_content(samples):
    for name, data in samples.items():
        assert image_format(data) == name.split()[0].upper()


@pytest.mark.parametrize(
    ("data", "name"),
    [
        (b"%PDF-1.7\n", "a PDF"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x1cftypavif\0\0\0\0avifmif1", "AVIF"),
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
