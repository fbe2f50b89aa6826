"""Which format encoded bytes are in, told by their contents and never by a file's name."""

from __future__ import annotations

from collections.abc import Callable

from kalamos.errors import CorruptImageError, UnsupportedImageError
from kalamos.images import gif, jpeg, png, tiff, webp
from kalamos.images.bmp import HEADER_SIZES, read_bmp
from kalamos.images.bmp import SIGNATURE as BMP_SIGNATURE
from kalamos.images.header import ImageHeader, truncated

__all__ = ["EXTENSIONS", "check_signature", "is_decoded_here", "looks_like", "read_header"]

EXTENSIONS = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"}
)
"""Lower-case file name endings under which to look for images in a folder."""

_FOREIGN = (
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "PostScript"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "JPEG 2000"),
    (4, b"ftypavif", "AVIF"),
    (4, b"ftypavis", "AVIF"),
    (4, b"ftyphei", "HEIC"),
    (4, b"ftyphev", "HEIC"),
    (4, b"ftypmif1", "HEIC"),
    (4, b"ftypmsf1", "HEIC"),
    (4, b"ftyp", "a video or an unknown member of the MP4 family"),
    (0, b"PK\x03\x04", "a ZIP archive"),
    (0, b"PK\x05\x06", "a ZIP archive"),
    (0, b"\x1f\x8b", "a gzip file"),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (0, b"Rar!", "a RAR archive"),
    (0, b"\x00\x00\x01\x00", "a Windows icon"),
    (0, b"\x76\x2f\x31\x01", "OpenEXR"),
    (0, b"\x93NUMPY", "a NumPy array"),
    (0, b"AT&TFORM", "DjVu"),
    (0, b"RIFF", "a sound or video file"),
    (0, b"SQLite format 3", "an SQLite database"),
    (0, b"\x7fELF", "a program"),
    (0, b"PAR1", "a Parquet file"),
)
"""Where a signature lies, the signature, and what it is the signature of."""

_MAGIC = (png.SIGNATURE, jpeg.SIGNATURE, *gif.SIGNATURES, b"RIFF", *tiff.SIGNATURES, BMP_SIGNATURE)


def read_header(data: bytes, *, where: str = "the bytes") -> ImageHeader:
    r"""Read the header of an encoded image in pure Python; nothing is decoded.

    `where` names the source in errors.

    Raises:
        UnsupportedImageError: none of PNG, JPEG, BMP, GIF, WEBP, TIFF, or a variant that loses ink.
        CorruptImageError: empty, truncated, of no size, or at odds with its format.

    >>> read_header(b"GIF89a\2\0\1\0\0\0\0,\0\0\0\0\2\0\1\0\0\2\2\x84Q\0;")
    ImageHeader(format='GIF', width=2, height=1, ...)
    """
    return _reader(data, where)(data, where)


def is_decoded_here(data: bytes) -> bool:
    """Whether the start of a file is that of a PNG or JPEG, which may be decoded outside a worker."""
    return data.startswith((png.SIGNATURE, jpeg.SIGNATURE))


def check_signature(data: bytes, where: str) -> None:
    """Raise what `read_header` raises for what is none of the six formats."""
    _reader(data, where)


def _reader(data: bytes, where: str) -> Callable[[bytes, str], ImageHeader]:
    start = data[:8]
    if start == png.SIGNATURE:
        return png.read_png
    if start[:3] == jpeg.SIGNATURE:
        return jpeg.read_jpeg
    if start[:2] == BMP_SIGNATURE and int.from_bytes(data[14:18], "little") in HEADER_SIZES:
        return read_bmp
    if start[:6] in gif.SIGNATURES:
        return gif.read_gif
    if webp.looks_like_webp(data):
        return webp.read_webp
    if start[:4] in tiff.SIGNATURES:
        return tiff.read_tiff
    raise _refusal(data, where)


def _refusal(data: bytes, where: str) -> CorruptImageError | UnsupportedImageError:
    if not data:
        return CorruptImageError(f"{where}: the file is empty", remedy="use a complete copy")
    if any(magic.startswith(data[:12]) for magic in _MAGIC) or (len(data) < 18 and _is_start(data)):
        return truncated(where, "image", f"it is only {len(data)} bytes long")
    return UnsupportedImageError(
        f"{where}: this is not an image kalamos reads; it looks like {looks_like(data)}",
        remedy="convert it to PNG or JPEG",
    )


def _is_start(data: bytes) -> bool:
    """Whether these few bytes could be the start of a BMP or WEBP."""
    return data[:2] == BMP_SIGNATURE or (data[:4] == b"RIFF" and b"WEBP".startswith(data[8:12]))


def looks_like(data: bytes) -> str:
    """What bytes that are none of the six formats begin like, for people; else "nothing known"."""
    for offset, magic, name in _FOREIGN:
        if data.startswith(magic, offset):
            return name
    head = data[:1024]
    if b"<svg" in head.lower():
        return "SVG"
    if head.lstrip()[:1] == b"<":
        return "HTML or XML"
    if head[:1] == b"P" and head[1:2] in b"123456" and head[2:3].isspace():
        return "a PNM image"
    if not head.translate(None, _TEXT):
        return "text"
    return "nothing known"


_TEXT = bytes({9, 10, 12, 13, *range(32, 127), *range(128, 256)})
"""Bytes that text in ASCII, UTF-8 or a legacy encoding is made of: all but control codes."""
