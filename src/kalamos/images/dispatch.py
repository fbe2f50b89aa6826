"""Tell which format encoded bytes are in, by their contents and never by a file's name."""

from __future__ import annotations

from kalamos.errors import CorruptImageError, UnsupportedImageError
from kalamos.images import jpeg, png, tiff
from kalamos.images.header import truncated

__all__ = ["EXTENSIONS", "image_format", "is_decoded_here", "looks_like"]

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"}
)
"""Lower-case file name endings under which to look for images in a folder."""

BMP_SIGNATURE = b"BM"
BMP_HEADER_SIZES = frozenset({12, 40, 52, 56, 64, 108, 124})
GIF_SIGNATURES = (b"GIF87a", b"GIF89a")

_FOREIGN_SIGNATURES = (
    (0, b"%PDF", "a PDF"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavi", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"PAR1", "a Parquet file"),
    (0, b"\x7fELF", "a program"),
)
"""Where a signature lies, the signature, and what it is the signature of: kinds of files that
`kalamos.passed_over` gives its own advice for."""

_SIGNATURES = (png.SIGNATURE, jpeg.SIGNATURE, *GIF_SIGNATURES, b"RIFF", *tiff.SIGNATURES, BMP_SIGNATURE)


def image_format(data: bytes, where: str = "the bytes") -> str:
    r"""Name the format of an encoded image: PNG, JPEG, BMP, GIF, WEBP or TIFF. Its start is enough.

    Args:
        data: the file, or at least its first 18 bytes.
        where: what the source is called in errors.

    Raises:
        UnsupportedImageError: none of the six.
        CorruptImageError: empty, or too short to tell.

    >>> image_format(b"GIF89a\2\0\1\0\0\0\0,")
    'GIF'
    """
    if data.startswith(png.SIGNATURE):
        return "PNG"
    if data.startswith(jpeg.SIGNATURE):
        return "JPEG"
    if data.startswith(BMP_SIGNATURE) and int.from_bytes(data[14:18], "little") in BMP_HEADER_SIZES:
        return "BMP"
    if data.startswith(GIF_SIGNATURES):
        return "GIF"
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(tiff.SIGNATURES):
        return "TIFF"
    raise _refusal(data, where)


def is_decoded_here(data: bytes) -> bool:
    """Whether the start of a file is that of a PNG or JPEG, which may be decoded outside a worker."""
    return data.startswith((png.SIGNATURE, jpeg.SIGNATURE))


def _refusal(data: bytes, where: str) -> CorruptImageError | UnsupportedImageError:
    if not data:
        return CorruptImageError(f"{where}: the file is empty", remedy="use a complete copy")
    may_go_on = any(signature.startswith(data[:12]) for signature in _SIGNATURES)
    if may_go_on or (len(data) < 18 and _is_start(data)):
        return truncated(where, "image", f"it is only {len(data)} bytes long")
    return UnsupportedImageError(
        f"{where}: this is not an image kalamos reads; it looks like {looks_like(data)}",
        remedy="convert it to PNG or JPEG",
    )


def _is_start(data: bytes) -> bool:
    """Whether these few bytes could be the start of a BMP or WEBP."""
    return data[:2] == BMP_SIGNATURE or (data[:4] == b"RIFF" and b"WEBP".startswith(data[8:12]))


def looks_like(data: bytes) -> str:
    """Say what bytes in none of the six formats begin like, for people; else "nothing known"."""
    for offset, signature, name in _FOREIGN_SIGNATURES:
        if data.startswith(signature, offset):
            return name
    head = data[:1024]
    if b"<svg" in head.lower():
        return "SVG"
    if head.lstrip()[:1] == b"<":
        return "HTML or XML"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "a PNM image"
    if not head.translate(None, _TEXT_BYTES):
        return "text"
    return "nothing known"


_TEXT_BYTES = bytes({9, 10, 12, 13, *range(32, 127), *range(128, 256)})
"""Bytes of text in ASCII, UTF-8 or a legacy encoding: all but control codes."""
