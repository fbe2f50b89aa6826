"""Uploaded pages and scans of forms, read, with the pictures to look at kept as long as there is room."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.app.page.context import UploadedFile, uploaded_bytes
from kalamos.app.page.form_readings import FormsRead
from kalamos.app.page.readings import PagesRead, StoredPicture
from kalamos.app.scans import FormRegistry, pages_of
from kalamos.errors import ImageError, UsageError
from kalamos.inputs.item import NamedImage
from kalamos.pages import PageReader

__all__ = ["PICTURES", "read_forms", "read_pages", "scans_of"]

PICTURES: Final = "pages"
"""The visit's folder for pictures of pages."""

MAX_PICTURES: Final = 1_000
"""Pages of one reading."""

ROOM_CHECK_PICTURES: Final = 8
"""Pictures that are kept between two looks at how much the visit holds."""


def scans_of(given: Sequence[UploadedFile]) -> Iterator[NamedImage]:
    """Yield the pages of all uploads."""
    for name, path in given:
        try:
            yield from pages_of(uploaded_bytes(path, name), name)
        except ImageError as error:
            yield NamedImage(name, error)


def read_pages(
    reader: PageReader,
    model: str,
    scans: Iterator[NamedImage],
    folder: Callable[[str], Path],
    progress: Callable[[int], None] = lambda done: None,
) -> PagesRead:
    """Read pages as `kalamos read` does.

    Args:
        reader: what reads them; `model` is what the page calls its model.
        scans: the pages, in order.
        folder: makes a folder for their pictures; raises `UsageError` once there is no room.
        progress: called with how many are done.
    """
    read = PagesRead(model, reader.alphabet)
    keep = _Pictures(folder)
    for done, page in enumerate(reader.read_files(keep.at_most(scans)), 1):
        read.add(page, keep.picture(page.image))
        progress(done)
        if keep.full:
            break
    read.note = keep.note
    return read


def read_forms(
    forms: FormRegistry,
    name: str,
    scans: Iterator[NamedImage],
    folder: Callable[[str], Path],
    progress: Callable[[int], None] = lambda done: None,
) -> FormsRead:
    """Read scans of a form as `kalamos forms read` does; the arguments are those of `read_pages`.

    Raises:
        FormError: no form has this name, or the template cannot be used after all.
    """
    reader = forms.reader(name)
    read = FormsRead(
        reader.template, {each.name: reader.alphabet(each.name) for each in reader.template.fields}
    )
    keep, done = _Pictures(folder), 0
    for form in reader.read_all(keep.at_most(scans)):
        read.add(form, [keep.picture(scan.image) for scan in form.scans])
        done += len(form.scans)
        progress(done)
        if keep.full:
            break
    read.note = keep.note
    return read


class _Pictures:
    """Keeps pictures as long as there is room."""

    def __init__(self, folder: Callable[[str], Path]) -> None:
        self._folder = folder
        self._kept = 0
        self._place = Path()
        self.full = False
        """Whether there is no room for more."""
        self.note = ""
        """What was left out, and why; "" if nothing was."""

    def at_most(self, scans: Iterator[NamedImage]) -> Iterator[NamedImage]:
        """Yield as many as fit on a page."""
        for number, scan in enumerate(scans):
            if number == MAX_PICTURES:
                self.note = (
                    f"only the first {MAX_PICTURES:,} pages are read; give fewer at a time, or use "
                    "`kalamos read` or `kalamos forms read`, which take any number"
                )
                return
            yield scan

    def picture(self, image: NDArray[np.uint8] | None) -> StoredPicture | None:
        if image is None:
            return None
        try:
            if self._kept % ROOM_CHECK_PICTURES == 0:
                self._place = self._folder(PICTURES)
        except UsageError as error:
            self.full, self.note = True, f"the rest is not read: {error}"
            return None
        self._kept += 1
        return StoredPicture.store(image, self._place)
