"""Render the pages of a PDF with PDFium, in a worker process: whatever a PDF does, it does there.

PDFium runs no scripts in the build that pypdfium2 brings, fetches nothing, and bounds its own recursion. What
it passes over in silence is looked for here: a file without its end, and a scan that cannot be decoded, which
would be a blank page.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTooLargeError,
    UnsupportedImageError,
)
from kalamos.images.headers import damaged, truncated
from kalamos.images.heif import missing_library
from kalamos.images.pixels import out_of_memory

__all__ = [
    "MAX_PAGE_POINTS",
    "MAX_SCAN_PIXELS",
    "PdfOptions",
    "Rendered",
    "render_pages",
    "too_many_pages",
]

MAX_PAGE_POINTS: Final = 14_400
"""Points (1/72 inch) of a page's longer side: 5 m, the limit of ISO 32000-1, annex C."""

MAX_SCAN_PIXELS: Final = 16_000_000
"""Up to this size a page that is one scan is rendered at the scan's own resolution: A4 at 400 dpi."""

MIN_PICTURE_COVER: Final = 0.02
"""Share of a page's area from which on a picture counts as part of a scan, which may be stored in strips."""

MAX_GAP: Final = 0.01
"""Share of a page's shorter side by which the picture that is all of it may be smaller, larger or skewed."""

_PLAIN_BITS: Final = frozenset({8, 24})
"""Bits a pixel of pictures that are taken as they are; with one bit they may be masks."""

MAX_COLOUR_PIXELS: Final = 20_000_000
"""Up to this size a page is rendered in colour, and made grey."""

MIN_SCAN_COVER: Final = 0.8
"""Share of a page's area from which on the pictures on it are a scan of the page."""

MAX_EXCESS_PIXELS: Final = 0.05
"""Of a page beyond a whole number of pixels."""

MAX_OBJECTS: Final = 1_000
"""Objects of a page that are looked at to tell a scan; one with a text layer has a few hundred."""

MAX_TRIED_IMAGES: Final = 16
"""Pictures of an empty page that are decoded once more, to see whether they can be."""

_POINTS_AN_INCH: Final = 72
_END_BYTES: Final = 1024
"""The end mark lies within the last bytes of a file (ISO 32000-1, annex H, note 18)."""
_SUCCESS, _PASSWORD, _SECURITY = 0, 4, 5
"""PDFium's error codes."""
_TEXT, _IMAGE = 1, 3
_INVISIBLE: Final = 3
"""The rendering mode of the text that OCR programs lay over a scan."""

Rendered: TypeAlias = tuple[NDArray[np.uint8] | ImageError, float | None]
"""A page's grey pixels [H, W] and their dots an inch; or why there are none."""


class PdfOptions(NamedTuple):
    """What a caller asks of rendering."""

    dpi: float
    """Pixels an inch of pages that are drawn; a scan keeps its own."""
    max_pixels: int
    """Of a page; one with more is rendered at fewer dots an inch."""
    max_pages: int


def render_pages(
    source: str | bytes, where: str, options: PdfOptions, first: int
) -> Iterator[int | Rendered]:
    """Yield how many pages a PDF has, then each from page `first` on, counted from 1.

    Args:
        source: the file's absolute path, or its bytes.
        where: what the file is called in errors.

    Raises:
        UnsupportedImageError: locked by a password, or pypdfium2 is not installed.
        CorruptImageError: truncated, damaged, or without pages.
        ImageTooLargeError: over `options.max_pages`.
    """
    try:
        import pypdfium2
    except ImportError as error:
        raise missing_library("pypdfium2", "PDF", where) from error
    _check_end(source, where)
    try:
        document = pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        raise _refusal(error, where) from error
    with document:
        count = len(document)
        if count > options.max_pages:
            raise too_many_pages(where, count, options.max_pages)
        if document.get_formtype():
            document.init_forms()  # so that filled fields are drawn
        yield count
        for number in range(first, count + 1):
            yield _rendered(document, number, f"{where}#{number}", options)


def too_many_pages(where: str, count: int, most: int) -> ImageTooLargeError:
    """Make the error for a document with more pages than the caller allows."""
    return ImageTooLargeError(
        f"{where}: {count:,} pages are more than the limit of {most:,}", remedy="split it, or raise max_pages"
    )


def _check_end(source: str | bytes, where: str) -> None:
    """Raise `CorruptImageError` for a file without the mark at its end: PDFium would make do without."""
    if isinstance(source, bytes):
        end = source[-4 * _END_BYTES :]
    else:
        try:
            with Path(source).open("rb") as file:
                size = file.seek(0, 2)
                file.seek(max(0, size - 4 * _END_BYTES))
                end = file.read()
        except OSError as error:
            raise ImageNotFoundError(f"{where}: cannot be read ({error.strerror})") from error
    if b"%%EOF" not in end.rstrip(b"\0 \t\r\n")[-_END_BYTES:]:
        raise truncated(where, "PDF", "its end is missing")


def _refusal(error: Any, where: str) -> ImageError:
    if error.err_code == _PASSWORD:
        return UnsupportedImageError(
            f"{where}: the PDF is locked by a password",
            remedy="open it with the password and save a copy without one (print it to a PDF)",
        )
    if error.err_code == _SECURITY:
        return UnsupportedImageError(
            f"{where}: the PDF is encrypted in a way that cannot be read",
            remedy="save a copy without encryption",
        )
    if error.err_code == _SUCCESS:
        return damaged(where, "PDF", "it has no pages")
    return damaged(where, "PDF", f"it cannot be opened ({error})")


def _rendered(document: Any, number: int, where: str, options: PdfOptions) -> Rendered:
    import pypdfium2

    try:
        page = document[number - 1]
        try:
            return _render(page, where, options)
        finally:
            page.close()
    except ImageError as error:
        return error.with_traceback(None), None
    except (pypdfium2.PdfiumError, MemoryError, ValueError, OverflowError, ArithmeticError) as error:
        return out_of_memory(error, where) or _damaged_page(where, f"it cannot be rendered ({error})"), None


def _render(page: Any, where: str, options: PdfOptions) -> Rendered:
    width, height = page.get_size()
    if not (0 < width <= MAX_PAGE_POINTS and 0 < height <= MAX_PAGE_POINTS):
        raise ImageTooLargeError(
            f"{where}: the page is {width:,.0f} x {height:,.0f} points, more than the limit of "
            f"{MAX_PAGE_POINTS:,} (5 m)",
            remedy="save it with pages of a size that can be printed",
        )
    content = _content(page, width * height)
    pixels, dpi = _scan(page, content, options) or _drawing(page, content, options)
    if pixels.min() == pixels.max():
        _check_pictures(page, where)
    return pixels, round(dpi, 2)


def _drawing(page: Any, content: _Content, options: PdfOptions) -> tuple[NDArray[np.uint8], float]:
    """Render a page; return its grey pixels [H, W], and how many an inch has."""
    width, height = page.get_size()
    scale = _resolution(content, width * height, options) / _POINTS_AN_INCH
    scale *= min(_to_whole_pixels(side * scale) for side in (width, height))
    while math.ceil(width * scale) * math.ceil(height * scale) > options.max_pixels:
        scale *= min(0.999, math.sqrt(options.max_pixels / (width * scale * height * scale)))
    # A third of the time that PDFium takes to render grey, for three times the memory.
    in_colour = width * height * scale * scale <= MAX_COLOUR_PIXELS
    bitmap = page.render(scale=scale, grayscale=not in_colour)
    try:
        pixels = bitmap.to_numpy()
        pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY) if in_colour else np.array(pixels, order="C")
    finally:
        bitmap.close()
    return pixels, scale * _POINTS_AN_INCH


def _to_whole_pixels(side: float) -> float:
    """Return by what to multiply a side that is a whole number of pixels but for the page's rounded size.

    PDFium rounds up, and would stretch a scan by a pixel.

    >>> 1654.01 * _to_whole_pixels(1654.01) < 1654, _to_whole_pixels(1654.4)
    (True, 1.0)
    """
    whole = round(side)
    return (whole - 1e-6) / side if whole and whole - 1e-6 < side < whole + MAX_EXCESS_PIXELS else 1.0


class _Content(NamedTuple):
    """What is on a page."""

    scan_dpi: float
    """Pixels an inch of the pictures that cover the page; 0 if none do."""
    drawn: bool
    """Whether there is more than pictures, and text that is not shown."""
    only: Any
    """The picture that all of the page is; None if there are others, or more than that."""


def _content(page: Any, area: float) -> _Content:
    """Look at the objects of a page of `area` square points."""
    import pypdfium2.raw as pdfium

    cover, dpi, drawn, pictures = 0.0, 0.0, False, []
    for number, part in enumerate(page.get_objects(max_depth=1)):
        if part.type == _IMAGE and number < MAX_OBJECTS:
            left, bottom, right, top = part.get_bounds()
            share = (right - left) * (top - bottom) / area
            cover += share
            pictures.append(part)
            if share >= MIN_PICTURE_COVER:
                data = part.get_metadata()
                dpi = max(dpi, data.horizontal_dpi, data.vertical_dpi)
        elif number >= MAX_OBJECTS or not (
            part.type == _TEXT and pdfium.FPDFTextObj_GetTextRenderMode(part) == _INVISIBLE
        ):
            drawn = True
            if number >= MAX_OBJECTS:
                break
    is_scan = cover >= MIN_SCAN_COVER and math.isfinite(dpi)
    alone = len(pictures) == 1 and not drawn and pdfium.FPDFPage_GetAnnotCount(page) == 0
    return _Content(dpi if is_scan else 0.0, drawn, pictures[0] if alone and is_scan else None)


def _scan(page: Any, content: _Content, options: PdfOptions) -> tuple[NDArray[np.uint8], float] | None:
    """Take the pixels of a page that is one picture as they are; None where they have to be rendered.

    Rendering would move them by fractions of a pixel wherever the page's size is a rounded one.
    """
    import pypdfium2.raw as pdfium

    picture = content.only
    if picture is None:
        return None
    data, matrix, size = picture.get_metadata(), picture.get_matrix(), page.get_bbox()
    sides = [high - low for low, high in zip(size[:2], size[2:], strict=True)]
    gaps = [abs(edge - side) / min(sides) for edge, side in zip(picture.get_bounds(), size, strict=True)]
    plain = (
        data.bits_per_pixel in _PLAIN_BITS
        and data.width * data.height <= min(MAX_SCAN_PIXELS, options.max_pixels)
        and matrix.a > 0 < matrix.d
        and max(abs(matrix.b), abs(matrix.c)) < MAX_GAP * min(matrix.a, matrix.d)
        and max(gaps) < MAX_GAP
        and abs(data.horizontal_dpi / data.vertical_dpi - 1) < MAX_GAP
        and not pdfium.FPDFPageObj_HasTransparency(picture)
        and pdfium.FPDFClipPath_CountPaths(pdfium.FPDFPageObj_GetClipPath(picture)) <= 0
    )
    if not plain:
        return None
    bitmap = picture.get_bitmap()
    try:
        pixels = bitmap.to_numpy()
        if bitmap.format == pdfium.FPDFBitmap_BGR:
            pixels = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
        elif bitmap.format != pdfium.FPDFBitmap_Gray:
            return None
        pixels = np.array(np.rot90(pixels, -page.get_rotation() // 90), order="C")
    finally:
        bitmap.close()
    return pixels, data.horizontal_dpi


def _resolution(content: _Content, area: float, options: PdfOptions) -> float:
    """Choose the dots an inch: those of a scan that is all of the page, else at least what is asked for."""
    if not content.scan_dpi:
        return options.dpi
    # Not less than is asked for because a scan is large.
    most = max(options.dpi, math.sqrt(MAX_SCAN_PIXELS / area) * _POINTS_AN_INCH)
    return max(min(content.scan_dpi, most), options.dpi if content.drawn else 1.0)


def _check_pictures(page: Any, where: str) -> None:
    """Raise `CorruptImageError` if a page is empty because its pictures cannot be decoded."""
    import pypdfium2

    for part in islice(page.get_objects(filter=(_IMAGE,), max_depth=3), MAX_TRIED_IMAGES):
        try:
            part.get_bitmap().close()
        except pypdfium2.PdfiumError as error:
            raise _damaged_page(where, "the picture on it cannot be decoded") from error
        if part.get_filters(skip_simple=True):
            continue
        # Of these PDFium takes missing pixels for black ones.
        data = part.get_metadata()
        if len(part.get_data(decode_simple=True)) < data.width * data.bits_per_pixel // 8 * data.height:
            raise _damaged_page(where, "the picture on it is incomplete")


def _damaged_page(where: str, what: str) -> CorruptImageError:
    return CorruptImageError(f"{where}: the page is damaged: {what}", remedy="use an intact copy")
