"""The pages of documents (PDF, TIFF of several pages) as images."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2

from kalamos.errors import ImageError
from kalamos.images.documents import read_pages
from kalamos.inputs.files import natural_order
from kalamos.inputs.item import NamedImage

__all__ = ["read_document", "with_documents"]

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


def with_documents(paths: Iterable[str]) -> tuple[str, ...]:
    """Name the PDFs within folders too, which a search for images passes over, in natural order behind each.

    Args:
        paths: files, folders, globs.
    """
    named: list[str] = []
    for path in paths:
        named.append(path)
        if path != "-" and Path(path).is_dir():
            found = [
                str(Path(folder, file))
                for folder, _, files in os.walk(path)
                for file in files
                if file.lower().endswith(".pdf") and not file.startswith(".")
            ]
            named += sorted(found, key=natural_order)
    return tuple(named)


def read_document(source: str | bytes, name: str, *, timeout: float | None = None) -> Iterator[NamedImage]:
    """Yield each page of a document as an image called `scan.pdf#2`, counted from 1, losslessly encoded.

    Args:
        source: a path, or the document's bytes.
        name: what it is called.
        timeout: seconds that one page may take; None takes `kalamos.isolation.TIMEOUT_SECONDS`.

    Raises:
        ImageError: the document cannot be opened; see `kalamos.images.documents.read_pages`.
    """
    for page in read_pages(source, name=name, timeout=timeout):
        image = page.image
        if isinstance(image, ImageError):
            yield NamedImage(page.name, image)
        else:
            yield NamedImage(page.name, cv2.imencode(".png", image, _FAST)[1].tobytes())
