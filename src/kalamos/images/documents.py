"""Read the pages of a document one by one: PDF, TIFF of several pages, and every image, as one page.

A document is read by a worker process (`kalamos.isolation`), page by page: memory does not grow with the
number of pages, and a page that makes the worker die or run late is one error, after which another worker
goes on with the next page.
"""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any, BinaryIO, Final, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import (
    CorruptImageError,
    ImageError,
    ImageNotFoundError,
    ImageTimeoutError,
    UsageError,
)
from kalamos.images import ImageSource, headers, load_grey
from kalamos.images.decoding import decode_grey, is_pdf, memory_beside
from kalamos.images.files import display_name, is_stream, read_file, read_start, read_stream
from kalamos.images.heif import require_library
from kalamos.images.pdf import PdfOptions, Rendered, render_pages, too_many_pages
from kalamos.images.pixels import MAX_PIXELS, check_size, decode_here, decode_with_pillow, out_of_memory
from kalamos.isolation import MEMORY_BYTES, iterate_isolated

__all__ = ["DPI", "MAX_PAGES", "DocumentPage", "holds_pages", "read_pages"]

DPI: Final = 200.0
"""Pixels an inch at which the pages of a PDF are rendered, unless they are scans: a letter of 3 mm has 24."""

MAX_DPI: Final = 1_200.0
"""Pixels an inch that may be asked for."""

MAX_PAGES: Final = 10_000
"""Pages of a document, unless the caller says otherwise."""

MAX_LOST_WORKERS: Final = 3
"""Pages of a document that may crash the worker or make it run late; those after them are given up."""

_HEAD_BYTES: Final = 1024


class DocumentPage(NamedTuple):
    """A page of a document, as pixels."""

    name: str
    """What it is called: `scan.pdf#2`; the document's own name where that is an image."""
    number: int
    """Counted from 1."""
    image: NDArray[np.uint8] | ImageError
    """Grey [H, W], C-contiguous and upright, dark and light as on the page; or why it cannot be read."""
    dpi: float | None
    """Pixels an inch: of a PDF's page as it was rendered, of a TIFF's as it says; None where nothing does."""


class _Document(NamedTuple):
    """A file of pages."""

    kind: Literal["PDF", "TIFF"]
    source: str | bytes
    """An absolute path, or the file's bytes."""
    path: str
    """The path as it was given; empty for bytes."""


def read_pages(
    source: ImageSource,
    *,
    name: str | None = None,
    dpi: float = DPI,
    max_pages: int = MAX_PAGES,
    max_pixels: int = MAX_PIXELS,
    timeout: float | None = None,
    stopping: threading.Event | None = None,
) -> Iterator[DocumentPage]:
    """Read the pages of a document, one by one, each as a grey image.

    The content decides what a file is, whatever it is called. The pages of a PDF are rendered at `dpi`, or,
    where a page is one scan, at the scan's own resolution up to `kalamos.images.pdf.MAX_SCAN_PIXELS`; a
    TIFF's are decoded as they are. Everything else that `kalamos.images.load_grey` reads is one page. A page
    that cannot be read is its error, and the others are read.

    Args:
        source: a path, bytes, an open binary file, an array or a Pillow image.
        name: what the document is called; None takes the path.
        dpi: pixels an inch, at most 1,200, of PDF pages that are drawn.
        max_pages: of a document; one with more is refused.
        max_pixels: of a page. A PDF's is rendered at fewer dots an inch to have no more; others are refused.
        timeout: seconds that one page may take; None takes `kalamos.isolation.TIMEOUT_SECONDS`.
        stopping: once set, reading is given up.

    Raises:
        UsageError: `dpi` or `max_pages` out of range.
        ImageNotFoundError: no such file, not a regular file, or not readable.
        UnsupportedImageError: neither an image nor a PDF; locked by a password; PDF or HEIC without the extra
            `kalamos[forms]`.
        CorruptImageError: truncated or damaged as a whole, or without pages.
        ImageTooLargeError: over `max_pages` or a limit on bytes; or, of an image, over `max_pixels`.
        ImageTimeoutError: opening it takes too long.

    >>> [(page.name, page.number, page.image.shape) for page in read_pages("samples/0-pen.png")]
    [('samples/0-pen.png', 1, (240, 240))]
    """
    if not 1 <= dpi <= MAX_DPI:
        raise UsageError(f"{dpi:g} dpi", remedy=f"choose between 1 and {MAX_DPI:g}")
    if max_pages < 1 or max_pixels < 1:
        raise UsageError("no page may be read", remedy="set max_pages and max_pixels to at least 1")
    called = _name_of(source) if name is None else name
    options = PdfOptions(dpi, max_pixels, max_pages)
    return _pages(source, called, options, timeout, stopping)


def holds_pages(source: str | os.PathLike[str] | bytes) -> bool:
    """Tell whether a file, or its bytes, are a document of pages: a PDF, or a TIFF of more than one.

    False for what cannot be opened.

    >>> holds_pages("samples/0-pen.png"), holds_pages(b"%PDF-1.7")
    (False, True)
    """
    if isinstance(source, bytes):
        return _kind(source, source) is not None
    try:
        head, _ = read_start(source, _HEAD_BYTES)
    except ImageError:
        return False
    return _kind(head, source) is not None


def _kind(head: bytes, source: str | os.PathLike[str] | bytes) -> Literal["PDF", "TIFF"] | None:
    if is_pdf(head[:_HEAD_BYTES]):
        return "PDF"
    if not head.startswith(headers.TIFF_SIGNATURES):
        return None
    import io

    try:
        file: BinaryIO
        with io.BytesIO(source) if isinstance(source, bytes) else open(source, "rb") as file:  # noqa: PTH123
            return "TIFF" if headers.has_second_directory(file) else None
    except OSError:
        return None


def _name_of(source: ImageSource) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, os.PathLike):
        return os.fspath(source).replace(os.sep, "/")
    if isinstance(source, bytes | bytearray | memoryview):
        return "the bytes"
    return "the open file" if is_stream(source) else "the image"


def _pages(
    source: ImageSource,
    name: str,
    options: PdfOptions,
    timeout: float | None,
    stopping: threading.Event | None,
) -> Iterator[DocumentPage]:
    if is_stream(source):
        source = read_stream(source)
    if isinstance(source, bytearray | memoryview):
        source = bytes(source)
    if (document := _open(source)) is not None:
        yield from _document_pages(document, name, options, timeout, stopping)
        return
    if isinstance(source, bytes):
        grey = decode_grey(
            source,
            where=display_name(name),
            max_pixels=options.max_pixels,
            timeout=timeout,
            stopping=stopping,
        )
    else:
        grey = load_grey(source, max_pixels=options.max_pixels, timeout=timeout, stopping=stopping)
    yield DocumentPage(name, 1, grey, None)


def _open(source: ImageSource) -> _Document | None:
    """Tell what kind of document a source is; None if it is none."""
    if isinstance(source, bytes):
        kind = _kind(source[:_HEAD_BYTES], source)
        return None if kind is None else _Document(kind, source, "")
    if not isinstance(source, str | os.PathLike):
        return None
    head, _ = read_start(source, _HEAD_BYTES)
    kind = _kind(head, source)
    if kind is None:
        return None
    try:
        return _Document(kind, os.path.abspath(source), os.fspath(source))  # noqa: PTH100  (links and all)
    except OSError:  # a relative path in a folder that is gone
        return _Document(kind, read_file(source), "")


def _document_pages(
    document: _Document,
    name: str,
    options: PdfOptions,
    timeout: float | None,
    stopping: threading.Event | None,
) -> Iterator[DocumentPage]:
    """Read the pages, with another worker after each page that one has died of.

    Raises what is wrong with the whole.
    """
    where = display_name(name)
    if document.kind == "PDF":
        require_library("pypdfium2", "PDF", where)
    count, number, lost = 0, 1, 0
    while not count or number <= count:
        items = _isolated(document, where, options, number, timeout, stopping)
        try:
            count = _count(next(items, None), where)
            for image, dpi in items:
                yield DocumentPage(_page_name(name, number, count, document), number, image, dpi)
                number += 1
            number = count + 1  # whatever the worker says
        except ImageNotFoundError:
            if count or not document.path:
                raise
            # What only this process can open, `/dev/fd/3` for one.
            document = document._replace(source=read_file(document.path), path="")
        except ImageError as error:
            if not count or (stopping is not None and stopping.is_set()):
                raise
            page = _page_name(name, number, count, document)
            problem = f"{display_name(page)}{error.problem.removeprefix(where)}"
            yield DocumentPage(page, number, type(error)(problem, remedy=error.remedy), None)
            number += 1
            lost += 1
            if lost == MAX_LOST_WORKERS:
                break
    for left in range(number, count + 1):
        where_left = display_name(_page_name(name, left, count, document))
        problem = f"{where_left}: not read: {lost} pages before it crashed the decoder or took too long"
        unread = ImageTimeoutError(problem, remedy="print the document to a new PDF")
        yield DocumentPage(_page_name(name, left, count, document), left, unread, None)


def _count(answer: object, where: str) -> int:
    """Return the number of pages that the worker has found."""
    if isinstance(answer, int) and answer > 0:
        return answer
    raise headers.damaged(where, "document", "its pages cannot be counted")


def _page_name(name: str, number: int, count: int, document: _Document) -> str:
    return name if document.kind == "TIFF" and count == 1 else f"{name}#{number}"


def _isolated(
    document: _Document,
    where: str,
    options: PdfOptions,
    first: int,
    timeout: float | None,
    stopping: threading.Event | None,
) -> Iterator[Any]:
    held = len(document.source) if isinstance(document.source, bytes) else 0
    size = held or os.path.getsize(document.source)  # noqa: PTH202
    source: Any = (
        pickle.PickleBuffer(document.source) if isinstance(document.source, bytes) else document.source
    )
    return iterate_isolated(
        render_pages if document.kind == "PDF" else _tiff_pages,
        source,
        where,
        options,
        first,
        where=where,
        timeout=timeout,
        size=max(1, size),
        memory=memory_beside(2 * held, where) if held else MEMORY_BYTES,
        stopping=stopping,
        imports=("pypdfium2.raw",) if document.kind == "PDF" else (),
    )


def _tiff_pages(source: str | bytes, where: str, options: PdfOptions, first: int) -> Iterator[int | Rendered]:
    """Yield how many pages a TIFF has, then each from page `first` on, counted from 1; runs in the worker."""
    data = source if isinstance(source, bytes) else read_file(source)
    found = headers.list_tiff_pages(data, where)
    pages, problem = found.directories, found.problem
    count = len(pages) + (problem is not None)
    if count > options.max_pages:
        raise too_many_pages(where, count, options.max_pages)
    yield count
    for number, (directory, at) in enumerate(pages[first - 1 :], first):
        page = where if count == 1 else f"{where}#{number}"
        try:
            header = headers.read_tiff(data, page, page=directory, at=at)
            check_size(header, options.max_pixels, page)
            if header.deep:
                yield decode_here(data, header, where=page), header.dpi
            else:
                grey = decode_with_pillow(data, "TIFF", header, where=page, max_pixels=options.max_pixels)
                yield grey, header.dpi
        except ImageError as error:
            yield error.with_traceback(None), None
        except Exception as error:  # noqa: BLE001  (decoders raise anything)
            yield out_of_memory(error, page) or headers.damaged(page, "TIFF", "it cannot be decoded"), None
    if problem is not None:
        what = problem.problem.removeprefix(where)
        yield CorruptImageError(f"{where}#{count}{what}", remedy=problem.remedy), None
