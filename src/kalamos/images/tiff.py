"""TIFF 6.0 and BigTIFF headers, and the orientation in an EXIF block, which is a small TIFF.

Only what OpenCV decodes faithfully is let through. It drops the alpha of grey pictures and swaps the
planes of 16-bit ones, for example; the allow-list below follows what was measured with 4.12 and 5.0.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from kalamos.images.header import Alpha, ImageHeader, damaged, truncated, unsupported

__all__ = ["MAX_ENTRIES", "MAX_PARTS", "SIGNATURES", "exif_orientation", "read_tiff", "without_orientation"]

SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MAX_ENTRIES = 4_096
"""Entries of one directory. TIFF 6.0 defines about 80 tags, and files have ten to fifty."""

MAX_PARTS = 1_000_000
"""Strips or tiles of one page, and values of any one tag."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_STRIP_OFFSETS, _ORIENTATION, _SAMPLES, _ROWS_PER_STRIP, _STRIP_BYTES = 273, 274, 277, 278, 279
_PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES = 284, 322, 323, 324, 325
_EXTRA_SAMPLES, _SAMPLE_FORMAT = 338, 339

_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""The unsigned integer types: BYTE, SHORT, LONG, IFD, LONG8."""
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
"""None, CCITT RLE, fax group 3 and 4, LZW, JPEG, deflate, PackBits, old deflate."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _PALETTE, _SEPARATED, _YCBCR = 0, 1, 2, 3, 5, 6
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_MOST_SAMPLES = 8
_LAYOUTS = {
    (_WHITE_IS_ZERO, 1): (1, 8, 16, 32, 64),
    (_BLACK_IS_ZERO, 1): (1, 8, 16, 32, 64),
    (_RGB, 3): (8, 16, 32, 64),
    (_RGB, 4): (8, 16, 32, 64),
    (_PALETTE, 1): (1, 4, 8),
    (_SEPARATED, 4): (8,),
    (_YCBCR, 3): (8,),
}
"""Bits a sample that can be read, by photometric interpretation and samples a pixel."""


_OURS = frozenset(
    {_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _STRIP_OFFSETS, _ORIENTATION, _SAMPLES}
    | {_ROWS_PER_STRIP, _STRIP_BYTES, _PLANAR, _TILE_WIDTH, _TILE_HEIGHT, _TILE_OFFSETS, _TILE_BYTES}
    | {_EXTRA_SAMPLES, _SAMPLE_FORMAT}
)
"""The tags that say what the page is. What states one of them twice, or with a type of its own, is refused:
readers differ in which statement they believe."""


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
    """What it says in two ways, or in one that not all readers understand; empty where there is nothing."""


def exif_orientation(block: bytes) -> int:
    """The orientation, 1 to 8, in an EXIF block; 1 where the block is malformed or says nothing.

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
    """Read the header of a TIFF's first page; all its strips or tiles lie in the file when it returns.

    Raises:
        CorruptImageError: truncated, or a directory that contradicts itself.
        UnsupportedImageError: a variant in which OpenCV would lose or distort ink.
    """
    try:
        directory = _first_directory(data)
        if directory.doubtful:
            raise damaged(where, "TIFF", directory.doubtful)
        return _page(data, directory, where)
    except (ValueError, struct.error):
        raise truncated(where, "TIFF", "its directory is incomplete") from None


def without_orientation(data: bytes) -> bytes:
    """The same TIFF, already seen by `read_tiff`, with its orientation set to 1.

    OpenCV applies a TIFF's orientation itself, but no other format's; so it is kept from doing so.
    """
    directory = _first_directory(data)
    entry = directory.entries[_ORIENTATION]
    patched = bytearray(data)
    struct.pack_into(directory.order + entry.code, patched, entry.position, 1)
    return bytes(patched)


def _first_directory(data: bytes) -> _Directory:
    """Raises ValueError or struct.error where the directory does not lie wholly in the data."""
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
        if tag not in _OURS:
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


def _values(
    data: bytes, directory: _Directory, tag: int, default: int | None = None, *, most: int = MAX_PARTS
) -> tuple[int, ...]:
    """A tag's values, at most the first `most` of them; ValueError where there are more than `MAX_PARTS`."""
    entry = directory.entries.get(tag)
    if entry is None:
        if default is None:
            raise ValueError(f"tag {tag} is missing")
        return (default,)
    if not entry.length or entry.position + entry.length * struct.calcsize(entry.code) > len(data):
        raise ValueError(f"the values of tag {tag} lie outside the file")
    if entry.length > MAX_PARTS:
        raise ValueError(f"tag {tag} has {entry.length} values")
    count = min(entry.length, most)
    return struct.unpack_from(f"{directory.order}{count}{entry.code}", data, entry.position)


def _orientation(data: bytes, directory: _Directory) -> int:
    value = _values(data, directory, _ORIENTATION, 1, most=1)[0]
    return value if 1 <= value <= 8 else 1


def _page(data: bytes, directory: _Directory, where: str) -> ImageHeader:
    def first(tag: int, default: int | None = None) -> int:
        return _values(data, directory, tag, default, most=1)[0]

    width, height = first(_WIDTH), first(_HEIGHT)
    if not (width and height):
        raise damaged(where, "TIFF", f"its size is {width} x {height} pixels")
    photometric, samples = first(_PHOTOMETRIC), first(_SAMPLES, 1)
    bits = first(_BITS, 1)
    kind = first(_SAMPLE_FORMAT, _UNSIGNED)
    if samples == 2 and photometric in (_WHITE_IS_ZERO, _BLACK_IS_ZERO):
        raise unsupported(where, "a grey TIFF with transparency", remedy="save it as PNG")
    if bits not in _LAYOUTS.get((photometric, samples), ()) or not _kind_fits(kind, bits):
        raise unsupported(
            where, f"a TIFF of {samples} x {bits} bits (photometric {photometric}, sample format {kind})"
        )
    if len(set(_values(data, directory, _BITS, 1, most=_MOST_SAMPLES))) > 1:
        raise unsupported(where, "a TIFF whose channels differ in depth")
    compression = first(_COMPRESSION, 1)
    if compression not in _COMPRESSIONS:
        raise unsupported(where, f"a TIFF with compression {compression}")
    planes = samples if first(_PLANAR, 1) == 2 else 1
    if planes > 1 and bits != 8:
        raise unsupported(where, f"a TIFF of {bits} bits in separate planes")
    stored = _stored_bytes(data, directory, (width, height), planes, where)
    if compression == 1 and photometric != _YCBCR and stored < height * ((width * samples * bits + 7) // 8):
        raise damaged(where, "TIFF", "its strips are too short for its size")
    return ImageHeader(
        "TIFF",
        width,
        height,
        _orientation(data, directory),
        decoded_bytes=_decoded_bytes(width * height, samples, bits, photometric),
        alpha=_alpha(bits, first(_EXTRA_SAMPLES, -1) if _EXTRA_SAMPLES in directory.entries else None),
        # OpenCV turns WhiteIsZero round for 1 and 8 bits only.
        inverted=photometric == _WHITE_IS_ZERO and bits > 8,
    )


def _decoded_bytes(area: int, samples: int, bits: int, photometric: int) -> int:
    """8 bits and less come as colours of a byte a channel, deeper ones in their own depth."""
    channels = 3 if photometric in (_PALETTE, _SEPARATED, _YCBCR) else samples
    return area * channels * max(1, bits // 8)


def _kind_fits(kind: int, bits: int) -> bool:
    return bits >= 32 if kind == _FLOAT else kind in (_UNSIGNED, _SIGNED, _UNDEFINED) and bits <= 32


def _alpha(bits: int, extra: int | None) -> Alpha:
    """What OpenCV's fourth channel means, by the ExtraSamples tag; it premultiplies 8 bits itself."""
    if extra == 0:
        return "ignored"
    return "premultiplied" if extra == 1 or (extra == 2 and bits == 8) else "straight"


def _stored_bytes(data: bytes, directory: _Directory, size: tuple[int, int], planes: int, where: str) -> int:
    """How many bytes the strips or tiles hold together, once each is known to lie in the file."""
    width, height = size
    if _TILE_OFFSETS in directory.entries:
        across, down = (_values(data, directory, tag, most=1)[0] for tag in (_TILE_WIDTH, _TILE_HEIGHT))
        tags = _TILE_OFFSETS, _TILE_BYTES
    else:
        across, down = width, min(_values(data, directory, _ROWS_PER_STRIP, height, most=1)[0], height)
        tags = _STRIP_OFFSETS, _STRIP_BYTES
    if not (across and down):
        raise damaged(where, "TIFF", "its strips or tiles have no size")
    offsets, sizes = (_values(data, directory, tag) for tag in tags)
    needed = -(-width // across) * -(-height // down) * planes
    if len(offsets) < needed or len(offsets) != len(sizes):
        raise damaged(where, "TIFF", f"{needed} strips or tiles are needed, {len(offsets)} are listed")
    for offset, length in zip(offsets, sizes, strict=True):
        if not length:
            raise damaged(where, "TIFF", "a strip or tile is empty")
        if offset + length > len(data):
            raise truncated(where, "TIFF", "pixel data are missing")
    return sum(sizes)
