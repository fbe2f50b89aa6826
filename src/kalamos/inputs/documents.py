"""The pages of documents (PDF, TIFF of several pages) as images."""

from __future__ import annotations

from collections.abc import Iterator

import cv2

from kalamos.errors import ImageError
from kalamos.images.documents import read_pages
from kalamos.inputs.item import NamedImage

__all__ = ["read_document"]

_FAST = [cv2.IMWRITE_PNG_COMPRESSION, 1]


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
