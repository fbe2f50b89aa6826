"""Read what a file says about its picture before anything is decoded: headers of TIFF, WEBP and EXIF.

**TIFF** 6.0 and BigTIFF: Pillow decodes what has fewer than 16 bits a sample, and OpenCV the rest, because it
keeps their depth (Pillow cuts colours of 16 bits to 8). Of those, only what OpenCV decodes faithfully is let
through: it drops the alpha of grey pictures and swaps the planes of 16-bit ones, for example (measured with
4.12 and 5.0). An EXIF block is a small TIFF.

**WEBP** (RFC 9649): OpenCV decodes still pictures, because Pillow's one decoder for stills and animations
keeps two canvases of 4 bytes a pixel beside its result. Pillow decodes animations, because OpenCV would put
the first frame on the background colour, mostly black, where black ink is lost.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import BinaryIO, Literal, NamedTuple

from kalamos.errors import CorruptImageError, UnsupportedImageError

__all__ = [
    "MAX_TIFF_ENTRIES",
    "MAX_WEBP_CHUNKS",
    "TIFF_SIGNATURES",
    "ImageHeader",
    "TiffPages",
    "damaged",
    "exif_orientation",
    "has_second_directory",
    "list_tiff_pages",
    "read_tiff",
    "read_webp",
    "truncated",
    "unsupported",
]

Alpha = Literal["straight", "premultiplied", "ignored"]

TIFF_SIGNATURES = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

MAX_TIFF_ENTRIES = 4_096
"""Entries of a TIFF's directory. TIFF 6.0 defines about 80 tags, and files have ten to fifty."""

MAX_TIFF_DIRECTORIES = 65_536
"""Directories of a TIFF: pages, and smaller copies and masks of pages."""

MIN_DPI, MAX_DPI = 10.0, 10_000.0
"""Pixels an inch that a scanner may have had; other statements are no resolutions."""

MIN_DEEP_BITS = 16
"""Bits a sample from which on OpenCV decodes a page."""

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC = 256, 257, 258, 259, 262
_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 274, 277, 284, 338, 339
_SUBFILE, _X_RESOLUTION, _RESOLUTION_UNIT = 254, 282, 296
_STRIP_TAGS = frozenset({273, 278, 279, 322, 323, 324, 325})
"""Where the strips or tiles lie, and their sizes."""
_TAGS = _STRIP_TAGS | {
    *(_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC),
    *(_ORIENTATION, _SAMPLES, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT),
}
"""The tags that say what the page is. A page that states one of them twice, or with a type of its own, is
refused: readers differ in which statement they believe."""

_OTHER_TAGS = frozenset({_SUBFILE, _X_RESOLUTION, _RESOLUTION_UNIT})
"""The tags that say what a page is for and how large it was on paper; one that is odd says nothing."""

_COPY_OR_MASK = 0b101
"""Bits of NewSubfileType: a smaller copy of another page, a mask of one."""
_UNITS_AN_INCH = {2: 1.0, 3: 2.54}
_TYPES = {1: "B", 3: "H", 4: "I", 13: "I", 16: "Q"}
"""The unsigned integer types: BYTE, SHORT, LONG, IFD, LONG8."""
_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
"""None, CCITT RLE, fax group 3 and 4, LZW, JPEG, deflate, PackBits, old deflate."""
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB = 0, 1, 2
_UNSIGNED, _SIGNED, _FLOAT, _UNDEFINED = 1, 2, 3, 4
_RATIONAL = 5
"""The type of two LONGs, a fraction."""
_DEEP_LAYOUTS = frozenset({(_WHITE_IS_ZERO, 1), (_BLACK_IS_ZERO, 1), (_RGB, 3), (_RGB, 4)})
"""Photometric interpretation and samples a pixel of what OpenCV decodes faithfully at 16, 32 and 64 bits."""
_ONE_BYTE_A_PIXEL = frozenset({(_WHITE_IS_ZERO, 1), (_BLACK_IS_ZERO, 1), (3, 1)})
"""The same of what Pillow keeps in a byte a pixel: grey and palettes. All else takes four."""

MAX_WEBP_CHUNKS = 65_536
"""Chunks of a WEBP; each frame of an animation is one."""

_ANIMATION_FLAG = 0x02

ANIMATION_BYTES_PER_PIXEL = 16
"""Two canvases of Pillow's WEBP decoder, its result, and Pillow's image."""


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """The header of an encoded image: enough to refuse it, or to make its pixels grey and upright.

    >>> ImageHeader("PNG", width=28, height=28).orientation
    1
    """

    format: str
    """One of PNG, JPEG, BMP, GIF, WEBP, TIFF, HEIC."""
    width: int
    """In pixels, as stored: before `orientation` is applied."""
    height: int
    orientation: int = 1
    """EXIF orientation, 1 to 8 (TIFF 6.0, tag 274); 1 is upright."""
    alpha: Alpha = "straight"
    """What a fourth decoded channel means. Files without one say "straight" too."""
    transparent: int | None = None
    """The decoded grey value that stands for "nothing here" (PNG's tRNS on grey), which OpenCV drops."""
    inverted: bool = False
    """The decoded values count up from white to black (TIFF's WhiteIsZero if OpenCV does not invert it)."""
    animated: bool = False
    """An animation that Pillow has to decode (WEBP)."""
    deep: bool = False
    """16 bits or more a sample, which OpenCV has to decode (TIFF)."""
    layout: str = ""
    """The samples of a pixel in words, for errors (TIFF)."""
    decoded_bytes: int = 0
    """About as many bytes as decoding takes: the pixels, and what the decoder keeps beside them."""
    page: int = 0
    """Which of a file's directories it is, from 0 (TIFF)."""
    dpi: float | None = None
    """Pixels an inch of paper, where the file says (TIFF)."""
    has_luma: bool = False
    """The luminance can be decoded by itself, at a half, a quarter or an eighth of the size if need be (JPEG,
    except CMYK)."""


def damaged(where: str, kind: str, what: str) -> CorruptImageError:
    """Make the error for contents that contradict the format."""
    return CorruptImageError(f"{where}: the {kind} is damaged: {what}", remedy="use an intact copy")


def truncated(where: str, kind: str, what: str) -> CorruptImageError:
    """Make the error for contents that end too early."""
    return CorruptImageError(f"{where}: the {kind} is truncated: {what}", remedy="use a complete copy")


def unsupported(where: str, what: str, *, remedy: str = "save it as an 8-bit PNG") -> UnsupportedImageError:
    """Make the error for a variant that is valid but cannot be read faithfully."""
    return UnsupportedImageError(f"{where}: {what} cannot be read", remedy=remedy)


def exif_orientation(block: bytes) -> int:
    """Return the orientation, 1 to 8, in an EXIF block; 1 if the block is malformed or says nothing.

    >>> exif_orientation(bytes.fromhex("4d4d002a00000008" "0001" "011200030000000100060000" "00000000"))
    6
    >>> exif_orientation(b"not EXIF")
    1
    """
    try:
        return _Directory(block.removeprefix(b"Exif\0\0")).orientation
    except (ValueError, struct.error):
        return 1  # orientation alone is no reason to refuse a picture


def read_tiff(data: bytes, where: str, *, page: int = 0, at: int | None = None) -> ImageHeader:
    """Read the header of a page of a TIFF.

    Args:
        data: the file.
        where: what it is called in errors.
        page: which of its directories, from 0.
        at: where that lies, as `list_tiff_pages` says; None for the first.

    Raises:
        CorruptImageError: a directory that is incomplete or contradicts itself.
        UnsupportedImageError: a variant in which ink would be lost or distorted.
    """
    try:
        directory = _Directory(data, at)
        if directory.doubtful:
            raise damaged(where, "TIFF", directory.doubtful)
        return replace(_page(directory, where), page=page, dpi=directory.dpi)
    except (ValueError, struct.error):
        raise truncated(where, "TIFF", "its directory is incomplete") from None


class TiffPages(NamedTuple):
    """Where the pages of a TIFF lie."""

    directories: list[tuple[int, int]]
    """Of each page the number of its directory, from 0, and its offset in bytes."""
    problem: CorruptImageError | None = None
    """Why there may be more that cannot be found."""


def list_tiff_pages(data: bytes, where: str) -> TiffPages:
    """Find the pages of a TIFF; smaller copies and masks of pages are left out.

    Raises:
        CorruptImageError: there is no first page.
    """
    pages: list[tuple[int, int]] = []
    seen: set[int] = set()
    at: int | None = None
    try:
        for number in range(MAX_TIFF_DIRECTORIES):
            directory = _Directory(data, at)
            if directory.start in seen:
                return TiffPages(pages, damaged(where, "TIFF", "its directories lead in a circle"))
            seen.add(directory.start)
            if not number or not directory.value(_SUBFILE, 0) & _COPY_OR_MASK:
                pages.append((number, directory.start))
            at = directory.next_start
            if not at:
                return TiffPages(pages)
    except (ValueError, struct.error):
        error = truncated(where, "TIFF", "a directory is incomplete")
        if not pages:
            raise error from None
        return TiffPages(pages, error)
    return TiffPages(pages, damaged(where, "TIFF", f"it has more than {MAX_TIFF_DIRECTORIES:,} directories"))


def has_second_directory(file: BinaryIO) -> bool:
    """Tell whether a TIFF has more than one directory, by some bytes of it; False if it is none.

    >>> import io
    >>> page = bytes.fromhex("49492a0008000000" "0000")
    >>> [has_second_directory(io.BytesIO(page + after)) for after in (bytes(4), bytes.fromhex("10000000"))]
    [False, True]
    """
    head = file.read(16)
    if head[:4] not in TIFF_SIGNATURES:
        return False
    order = "<" if head[:1] == b"I" else ">"
    big = b"+" in head[2:4]
    offset_code, count_code, entry = ("Q", "Q", 20) if big else ("I", "H", 12)
    try:
        (start,) = struct.unpack_from(order + offset_code, head, 8 if big else 4)
        file.seek(start)
        (count,) = struct.unpack(order + count_code, file.read(struct.calcsize(count_code)))
        file.seek(start + struct.calcsize(count_code) + count * entry)
        (after,) = struct.unpack(order + offset_code, file.read(struct.calcsize(offset_code)))
    except (struct.error, OSError, ValueError, OverflowError):
        return False
    return bool(after)


class _Directory:
    """A directory of a TIFF; ValueError or struct.error if it does not lie wholly in the data."""

    def __init__(self, data: bytes, at: int | None = None) -> None:
        if data[:4] not in TIFF_SIGNATURES:
            raise ValueError("no TIFF header")
        self._data = data
        self._order = order = "<" if data[:1] == b"I" else ">"
        self._entries: dict[int, tuple[str, int, int]] = {}
        """By tag: the `struct` code of one value, how many there are, and where they lie in the file."""
        self.doubtful = ""
        """What it says in two ways, or in one that not all readers understand; empty if nothing."""
        big = b"+" in data[2:4]
        offset_code, count_code, inline = ("Q", "Q", 8) if big else ("I", "H", 4)
        (start,) = struct.unpack_from(order + offset_code, data, 8 if big else 4) if at is None else (at,)
        self.start = start
        """Where it lies in the file."""
        if start > len(data):
            raise ValueError("the directory lies outside the file")
        (count,) = struct.unpack_from(order + count_code, data, start)
        if count > MAX_TIFF_ENTRIES:
            raise ValueError(f"the directory has {count} entries")
        start += struct.calcsize(count_code)
        record = struct.Struct(f"{order}HH{offset_code}")
        step = record.size + inline
        for position in range(start, start + count * step, step):
            tag, kind, values = record.unpack_from(data, position)
            if tag not in _TAGS and tag not in _OTHER_TAGS:
                continue
            code = "II" if (tag, kind) == (_X_RESOLUTION, _RATIONAL) else _TYPES.get(kind)
            if tag in _OTHER_TAGS and (tag in self._entries or code is None):
                continue
            if tag in self._entries or code is None:
                self.doubtful = f"tag {tag} is stated twice or in an unusual way (type {kind})"
                continue
            at = position + record.size
            if values * struct.calcsize(code) > inline:
                (at,) = struct.unpack_from(order + offset_code, data, at)
            self._entries[tag] = code, values, at
        self._end, self._offset_code = start + count * step, offset_code

    @property
    def next_start(self) -> int:
        """Where the next directory lies; 0 if there is none."""
        (start,) = struct.unpack_from(self._order + self._offset_code, self._data, self._end)
        return int(start)

    @property
    def dpi(self) -> float | None:
        """Pixels an inch across the page; None if it does not say, or nothing sensible."""
        try:
            unit = _UNITS_AN_INCH[self.value(_RESOLUTION_UNIT, 2)]
            code, _, position = self._entries[_X_RESOLUTION]
            numerator, denominator = struct.unpack_from(self._order + code, self._data, position)
            dpi = float(numerator / denominator * unit)
        except (KeyError, ValueError, struct.error, ZeroDivisionError):
            return None
        return dpi if MIN_DPI <= dpi <= MAX_DPI else None

    def value(self, tag: int, default: int | None = None) -> int:
        """Return a tag's first value; ValueError if it is missing and has no default."""
        if tag not in self._entries:
            if default is None:
                raise ValueError(f"tag {tag} is missing")
            return default
        code, count, position = self._entries[tag]
        if not count or position + count * struct.calcsize(code) > len(self._data):
            raise ValueError(f"the values of tag {tag} lie outside the file")
        return int(struct.unpack_from(self._order + code, self._data, position)[0])

    @property
    def orientation(self) -> int:
        """1 to 8; 1 if the file says nothing valid."""
        value = self.value(_ORIENTATION, 1)
        return value if 1 <= value <= 8 else 1


def _page(directory: _Directory, where: str) -> ImageHeader:
    value = directory.value
    width, height = value(_WIDTH), value(_HEIGHT)
    if not (width and height):
        raise damaged(where, "TIFF", f"its size is {width} x {height} pixels")
    photometric, samples = value(_PHOTOMETRIC), value(_SAMPLES, 1)
    bits, kind = value(_BITS, 1), value(_SAMPLE_FORMAT, _UNSIGNED)
    compression = value(_COMPRESSION, 1)
    layout = f"a TIFF of {samples} x {bits} bits (photometric {photometric}, sample format {kind})"
    if compression not in _COMPRESSIONS:
        raise unsupported(where, f"a TIFF with compression {compression}")
    deep = bits >= MIN_DEEP_BITS
    if deep and samples == 2:
        raise unsupported(where, "a grey TIFF with transparency", remedy="save it as PNG")
    if deep and ((photometric, samples) not in _DEEP_LAYOUTS or not _kind_fits(kind, bits)):
        raise unsupported(where, layout)
    if deep and samples > 1 and value(_PLANAR, 1) == 2:
        raise unsupported(where, f"a TIFF of {bits} bits in separate planes")
    bytes_a_pixel = 1 if (photometric, samples) in _ONE_BYTE_A_PIXEL and bits <= 8 else 4
    # OpenCV applies the orientation of a TIFF itself, and of no other format; so does Pillow.
    if directory.orientation >= 5:
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
    """Return what OpenCV's fourth channel means, by the ExtraSamples tag."""
    return {0: "ignored", 1: "premultiplied"}.get(extra, "straight")  # type: ignore[return-value]


def read_webp(data: bytes, where: str) -> ImageHeader:
    """Read the header of a WEBP; all its chunks are complete when it returns.

    Raises:
        CorruptImageError: truncated, or without a picture.
    """
    chunks = list(_chunks(data, where))
    if not chunks:
        raise damaged(where, "WEBP", "it holds no picture")
    kind, start, stop = chunks[0]
    if kind != b"VP8X":
        width, height = _bitstream_size(data, kind, start, stop, where)
        return ImageHeader("WEBP", width, height, decoded_bytes=_decoded_bytes(kind, width, height))
    if stop - start < 10:
        raise damaged(where, "WEBP", "its VP8X chunk is too short")
    width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (start + 4, start + 7))
    animated = bool(data[start] & _ANIMATION_FLAG)
    pictures = (b"ANMF",) if animated else (b"VP8 ", b"VP8L")
    picture = next((kind for kind, _, _ in chunks if kind in pictures), None)
    if picture is None:
        raise damaged(where, "WEBP", "the animation has no frame" if animated else "it holds no picture")
    orientation = next((exif_orientation(data[a:b]) for kind, a, b in chunks if kind == b"EXIF"), 1)
    decoded = _decoded_bytes(picture, width, height)
    return ImageHeader("WEBP", width, height, orientation, animated=animated, decoded_bytes=decoded)


def _chunks(data: bytes, where: str) -> Iterator[tuple[bytes, int, int]]:
    """Yield each chunk's name and where its payload starts and stops."""
    end = 8 + int.from_bytes(data[4:8], "little")
    if end > len(data):
        raise truncated(where, "WEBP", f"{end} bytes are announced, {len(data)} are there")
    position = 12
    for _ in range(MAX_WEBP_CHUNKS):
        if position + 8 > end:
            return
        kind, length = struct.unpack_from("<4sI", data, position)
        stop = position + 8 + length
        if stop > end:
            raise truncated(where, "WEBP", "a chunk is incomplete")
        yield kind, position + 8, stop
        position = stop + (length & 1)
    raise damaged(where, "WEBP", f"it has more than {MAX_WEBP_CHUNKS:,} chunks")


def _bitstream_size(data: bytes, kind: bytes, start: int, stop: int, where: str) -> tuple[int, int]:
    if kind == b"VP8 " and stop - start >= 10:
        _, width, height = struct.unpack_from("<6sHH", data, start)
        if width & 0x3FFF and height & 0x3FFF:
            return width & 0x3FFF, height & 0x3FFF
    elif kind == b"VP8L" and stop - start >= 5:
        _, packed = struct.unpack_from("<BI", data, start)
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise damaged(where, "WEBP", "its picture has no valid header")


def _decoded_bytes(kind: bytes, width: int, height: int) -> int:
    """Estimate memory: lossless pictures are decoded to 32 bits a pixel beside the resulting pixels."""
    return width * height * {b"VP8 ": 4, b"VP8L": 8}.get(kind, ANIMATION_BYTES_PER_PIXEL)
