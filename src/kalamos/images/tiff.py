"""Read TIFF 6.0 and BigTIFF headers, and the orientation in an EXIF block, which is a small TIFF.

Pillow decodes what has fewer than 16 bits a sample, and OpenCV the rest, as it keeps their depth (Pillow cuts
colours of 16 bits to 8). Of those, only what OpenCV decodes faithfully is let through: it drops the alpha of
grey pictures and swaps the planes of 16-bit ones, for example (measured with 4.12 and 5.0).
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from kalamos.images.header import Alpha, ImageHeader, damaged, truncated, unsupported

__all__ = ["DEEP_BITS", "MAX_ENTRIES", "SIGNATURES", "exif_orientation", "read_tiff"]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MAX_ENTRIES = 4_096
"""Entries of one directory. TIFF 6.0 defines about 80 tags, and files have ten to fifty."""

DEEP_BITS = 16
"""Bits a sample from which on OpenCV decodes a page."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 274, 277, 284, 338, 339
_STRIP_TAGS = frozenset({273, 278, 279, 322, 323, 324, 325})
"""Where the strips or tiles lie, and their sizes."""
_TAGS = _STRIP_TAGS | {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC),
    *(_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT),
}
"""The tags that say what the page is. A page that states one of them twice, or with a type of its own, is
refused: readers differ in which statement they believe."""

_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""The unsigned integer types: BYTE, SHORT, LONG, IFD, LONG8."""
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
"""None, CCITT RLE, fax group 3 and 4, LZW, JPEG, deflate, PackBits, old deflate."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_DEEP_LAYOUTS = frozenset({(_WHITE_IS_ZERO, 1), (_BLACK_IS_ZERO, 1), (_RGB, 3), (_RGB, 4)})
"""Photometric interpretation and samples a pixel of what OpenCV decodes faithfully at 16, 32 and 64 bits."""
_ONE_BYTE_A_PIXEL = frozenset({(_WHITE_IS_ZERO, 1), (_BLACK_IS_ZERO, 1), (3, 1)})
"""The same of what Pillow keeps in a byte a pixel: grey and palettes. All else takes four."""


class _Entry(NamedTuple):
    code: str
    """The `struct` code of one value."""
    length: int
    """How many values there are."""
    position: int
    """Where the values lie in the file."""


class _Directory(NamedTuple):
    order: str
    """The `struct` byte order."""
    entries: dict[int, _Entry]
    doubtful: str
    """What it says in two ways, or in one that not all readers understand; empty if nothing."""


def exif_orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, in an EXIF block; 1 if the block is malformed or says nothing.

    >>> exif_orientation(bytes.fromhex("4d4d002a00000008" "0001" "011200030000000100060000" "00000000"))
    6
    >>> exif_orientation(b"not EXIF")
    1
    """
    block = block.removeprefix(b"Exif\0\0")
    try:
        return _orientation(block, _first_directory(block))
    except (ValueError, struct.error):
        return 1  # orientation alone is no reason to refuse a picture


def read_tiff(data: bytes, where: str) -> ImageHeader:
    """Read the header of a TIFF's first page.

    Raises:
        CorruptImageError: a directory that is incomplete or contradicts itself.
        UnsupportedImageError: a variant in which ink would be lost or distorted.
    """
    try:
        directory = _first_directory(data)
        if directory.doubtful:
            raise damaged(where, "TIFF", directory.doubtful)
        return _page(data, directory, where)
    except (ValueError, struct.error):
        raise truncated(where, "TIFF", "its directory is incomplete") from None


def _first_directory(data: bytes) -> _Directory:
    """Read the first directory; ValueError or struct.error if it does not lie wholly in the data."""
    if data[:4] not in SIGNATURES:
        raise ValueError("no TIFF header")
    order = "<" if data[:1] == b"I" else ">"
    big = b"+" in data[2:4]
    offset_code, count_code, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
    (start,) = struct.unpack_from(order + offset_code, data, 8 if big else 4)
    if start > len(data):
        raise ValueError("the directory lies outside the file")
    (count,) = struct.unpack_from(order + count_code, data, start)
    if count > MAX_ENTRIES:
        raise ValueError(f"the directory has {count} entries")
    start += struct.calcsize(count_code)
    record = struct.Struct(f"{order}HH{offset_code}")
    entries: dict[int, _Entry] = {}
    doubtful = ""
    for position in range(start, start + count * (record.size + inline), record.size + inline):
        tag, kind, values = record.unpack_from(data, position)
        if tag not in _TAGS:
            continue
        code = _TYPES.get(kind)
        if tag in entries or code is None:
            doubtful = doubtful or f"tag {tag} is stated twice or in an unusual way (type {kind})"
            continue
        at = position + record.size
        if values * struct.calcsize(code) > inline:
            (at,) = struct.unpack_from(order + offset_code, data, at)
        entries[tag] = _Entry(code, values, at)
    return _Directory(order, entries, doubtful)


def _value(data: bytes, directory: _Directory, tag: int, default: int | None = None) -> int:
    """A tag's first value."""
    entry = directory.entries.get(tag)
    if entry is None:
        if default is None:
            raise ValueError(f"tag {tag} is missing")
        return default
    if not entry.length or entry.position + entry.length * struct.calcsize(entry.code) > len(data):
        raise ValueError(f"the values of tag {tag} lie outside the file")
    (value,) = struct.unpack_from(directory.order + entry.code, data, entry.position)
    return int(value)


def _orientation(data: bytes, directory: _Directory) -> int:
    value = _value(data, directory, _ORIENTATION, 1)
    return value if 1 <= value <= 8 else 1


def _page(data: bytes, directory: _Directory, where: str) -> ImageHeader:
    def value(tag: int, default: int | None = None) -> int:
        return _value(data, directory, tag, default)

    width, height = value(_WIDTH), value(_HEIGHT)
    if not (width and height):
        raise damaged(where, "TIFF", f"its size is {width} x {height} pixels")
    photometric, samples = value(_PHOTOMETRIC), value(_SAMPLES, 1)
    bits, kind = value(_BITS, 1), value(_SAMPLE_FORMAT, _UNSIGNED)
    compression = value(_COMPRESSION, 1)
    layout = f"a TIFF of {samples} x {bits} bits (photometric {photometric}, sample format {kind})"
    if compression not in _COMPRESSIONS:
        raise unsupported(where, f"a TIFF with compression {compression}")
    deep = bits >= DEEP_BITS
    if deep and samples == 2:
        raise unsupported(where, "a grey TIFF with transparency", remedy="save it as PNG")
    if deep and ((photometric, samples) not in _DEEP_LAYOUTS or not _kind_fits(kind, bits)):
        raise unsupported(where, layout)
    if deep and samples > 1 and value(_PLANAR, 1) == 2:
        raise unsupported(where, f"a TIFF of {bits} bits in separate planes")
    bytes_a_pixel = 1 if (photometric, samples) in _ONE_BYTE_A_PIXEL and bits <= 8 else 4
    # OpenCV applies the orientation of a TIFF itself, and of no other format; so does Pillow.
    if _orientation(data, directory) >= 5:
        width, height = height, width
    return ImageHeader(
        "TIFF",
        width,
        height,
        decoded_bytes=width * height * (samples * bits // 8 if deep else bytes_a_pixel),
        alpha=_alpha(value(_EXTRA_SAMPLES, -1)),
        # OpenCV does not invert WhiteIsZero at these depths.
        inverted=deep and photometric == _WHITE_IS_ZERO,
        deep=deep,
        layout=layout,
    )


def _kind_fits(kind: int, bits: int) -> bool:
    if kind == _FLOAT:
        return bits in (32, 64)
    return kind in (_UNSIGNED, _SIGNED, _UNDEFINED) and bits in (16, 32)


def _alpha(extra: int) -> Alpha:
    """What OpenCV's fourth channel means, by the ExtraSamples tag."""
    return {0: "ignored", 1: "premultiplied"}.get(extra, "straight")  # type: ignore[return-value]
