"""Tell HEIC and AVIF files apart, and decode HEIC photographs in a worker process.

Both are ISO base media files (ISO/IEC 23008-12): boxes, the first of which names the brands that a file
follows. Pillow reads AVIF itself (`kalamos.images.pixels`); HEIC needs pillow-heif, of the extra
`kalamos[forms]`.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageTooLargeError, MissingExtraError, UnsupportedImageError
from kalamos.images.files import display_name
from kalamos.images.grey import to_grey
from kalamos.images.headers import ImageHeader, damaged
from kalamos.images.pixels import check_size, out_of_memory

__all__ = ["HEIF_EXTENSIONS", "decode_heic", "heif_format", "require_library"]

HEIF_EXTENSIONS: Final = frozenset({".heic", ".heif", ".hif", ".avif"})
"""Lower-case file name endings of the two."""

MAX_BRANDS: Final = 64
"""Brands that are looked at; files name three to ten."""

_AVIF_BRANDS: Final = frozenset({b"avif", b"avis"})
_HEIC_BRANDS: Final = frozenset(
    {b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"hevm", b"hevs", b"mif1", b"msf1"}
)


def heif_format(data: bytes) -> Literal["HEIC", "AVIF"] | None:
    r"""Tell by the first box whether a file is HEIC or AVIF; None if it is neither.

    Args:
        data: the file, or its first 64 bytes.

    >>> heif_format(b"\0\0\0\x18ftypmif1\0\0\0\0mif1avif"), heif_format(b"\0\0\0\x14ftypisom\0\0\0\0mp42")
    ('AVIF', None)
    """
    if data[4:8] != b"ftyp":
        return None
    end = min(int.from_bytes(data[:4], "big"), len(data), 16 + 4 * MAX_BRANDS)
    brands = {data[8:12], *(data[at : at + 4] for at in range(16, end - 3, 4))}
    if brands & _AVIF_BRANDS:
        return "AVIF"
    return "HEIC" if brands & _HEIC_BRANDS else None


def require_library(library: str, kind: str, where: str) -> None:
    """Raise `UnsupportedImageError` that names the extra `kalamos[forms]` unless a library is installed.

    One image without its decoder is a row with its error, as any other that cannot be read.

    >>> require_library("no_such_library", "HEIC", "a.heic")
    Traceback (most recent call last):
    kalamos.errors.UnsupportedImageError: a.heic: reading HEIC needs no_such_library, not installed here; \
install it with: pip install 'kalamos[forms]'
    """
    try:
        found = find_spec(library) is not None
    except ValueError:  # sys.modules says that it must not be imported
        found = False
    if not found:
        raise missing_library(library, kind, where)


def missing_library(library: str, kind: str, where: str) -> UnsupportedImageError:
    """Make the error for an image whose decoder is not installed."""
    missing = MissingExtraError(f"{where}: reading {kind} needs {library}, not installed here", extra="forms")
    return UnsupportedImageError(missing.problem, remedy=missing.remedy)


def decode_heic(data: bytes, *, where: str, max_pixels: int) -> NDArray[np.uint8]:
    """Decode the primary image of a HEIC file to grey uint8 [H, W], C-contiguous and upright.

    The file's own rotation is applied; its EXIF may state it once more, and does not count (ISO 23008-12).

    Raises:
        UnsupportedImageError: pillow-heif is not installed, or a variant that its libheif does not know.
        CorruptImageError: truncated or damaged.
        ImageTooLargeError: over `max_pixels` or over a limit on memory.
    """
    try:
        import pillow_heif
    except ImportError as error:
        raise missing_library("pillow_heif", "HEIC", where) from error

    library: Any = pillow_heif
    options = library.options
    options.DECODE_THREADS = 1
    options.THUMBNAILS = options.DEPTH_IMAGES = options.AUX_IMAGES = False
    try:
        file = library.HeifFile(data)
        image = file[file.primary_index]
        width, height = image.size
        channels = 1 if image.mode == "L" else len(image.mode)
        header = ImageHeader("HEIC", width, height, decoded_bytes=width * height * channels)
        check_size(header, max_pixels, where)
        pixels = np.asarray(image)
    except (ValueError, RuntimeError, EOFError, SyntaxError, OSError, IndexError) as error:
        # It may quote bytes of the file.
        said = display_name(str(error))
        reason = said.lower()
        if (memory := out_of_memory(error, where)) is not None:
            raise memory from error
        if "security limit" in reason or "memory allocation" in reason:
            raise ImageTooLargeError(
                f"{where}: too large to decode here ({said})", remedy="scale it down, or save it as JPEG"
            ) from error
        if "unsupported" in reason:
            raise UnsupportedImageError(
                f"{where}: this HEIC cannot be read ({said})", remedy="save it as JPEG or PNG"
            ) from error
        raise damaged(where, "HEIC", f"it cannot be decoded ({said})") from error
    if pixels.shape[:2] != (height, width):
        raise damaged(where, "HEIC", "its size is not the one its header announces")
    premultiplied = image.mode.endswith("a")
    grey = to_grey(
        pixels, order="RGB", premultiplied=premultiplied, where=where, refuse=UnsupportedImageError
    )
    return np.array(grey, order="C")
