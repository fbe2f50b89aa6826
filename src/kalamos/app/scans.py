"""The pages of what is uploaded, and the forms that a server knows."""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Final

from kalamos.errors import FormError, ImageError, ImageTooLargeError, suggest
from kalamos.forms.reader import FormReader
from kalamos.forms.template import FormTemplate
from kalamos.images.documents import holds_pages
from kalamos.inputs.documents import read_document
from kalamos.inputs.item import NamedImage

__all__ = ["FormRegistry", "pages_of"]

MAX_PAGES: Final = 1_000
"""Of one file."""


def pages_of(
    content: bytes, name: str, *, most: int = MAX_PAGES, timeout: float | None = None
) -> Iterator[NamedImage]:
    """Yield the pages of a file: an image is one, under its own name; those of a PDF or TIFF have a number.

    A file that cannot be opened, and what is beyond `most` pages, are an item with the error.

    >>> [page.name for page in pages_of(b"GIF89a", "a.gif")]
    ['a.gif']
    """
    if not holds_pages(content):
        yield NamedImage(name, content)
        return
    pages = read_document(content, name, timeout=timeout)
    try:
        yield from islice(pages, most)
        if next(pages, None) is not None:
            problem = f"{name}: has more than {most:,} pages; the others are not read"
            yield NamedImage(f"{name}#{most + 1}", ImageTooLargeError(problem, remedy="send it in parts"))
    except ImageError as error:
        yield NamedImage(name, error)


class FormRegistry:
    """The forms of a folder of templates, each called as its file without the ending. Safe to share.

    Args:
        folder: with the templates (.toml), looked at once; None for no forms.
        max_pixels: of a scan, height x width.
        timeout: the seconds that decoding one scan may take.

    Raises:
        FormError: the folder is absent or holds no template, or one of them cannot be used.
        ModelError: a model that a template names cannot be opened.

    >>> FormRegistry(None).names()
    ()
    """

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        *,
        max_pixels: int | None = None,
        timeout: float | None = None,
    ) -> None:
        paths: list[Path] = []
        if folder is not None:
            try:
                paths = [path for path in Path(folder).iterdir() if path.suffix.lower() == ".toml"]
            except OSError as error:
                raise FormError(f"{os.fspath(folder)}: is no folder of forms ({error.strerror})") from error
            paths.sort(key=lambda path: path.stem)
            if not paths:
                raise FormError(
                    f"{os.fspath(folder)}: holds no form template (.toml)",
                    remedy="`kalamos forms new` drafts one",
                )
        # All are opened now: whoever starts the server is the one who can mend a template.
        self._readers = {
            path.stem: FormReader(FormTemplate.load(path), max_pixels=max_pixels, timeout=timeout)
            for path in paths
        }

    def names(self) -> tuple[str, ...]:
        """Return the names of all forms."""
        return tuple(self._readers)

    def reader(self, name: str) -> FormReader:
        """Return what reads scans of a form; it has the template.

        Raises:
            FormError: no form has this name.
        """
        if name not in self._readers:
            remedy = suggest(name[:100], self._readers) or "start the app with --forms FOLDER"
            raise FormError(f"no form is called {name[:100]!r}", remedy=remedy)
        return self._readers[name]
