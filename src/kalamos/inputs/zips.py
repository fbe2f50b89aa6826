"""Zip archives, member by member, with nothing written to disk and nothing believed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from kalamos.errors import CorruptImageError, ImageError, UnsupportedImageError
from kalamos.folders import is_image_name
from kalamos.images.files import display_name
from kalamos.inputs.item import NamedImage, SkippedName
from kalamos.inputs.zip_parts import Part, zip_parts
from kalamos.zip_entries import DAMAGED, ZIP_DAMAGE, is_link, read_entry

__all__ = ["read_zip"]


def read_zip(path: str) -> Iterator[NamedImage | SkippedName]:
    """The images of a zip archive, in case-insensitive name order, and the names of other members.

    Hidden members and folders are passed over, as in folders on disk.

    Raises:
        CorruptImageError: not a zip archive, or a damaged one.
    """
    for archive, entries in _parts(path):
        for name, entry in entries:
            if is_image_name(name):
                yield _member(archive, entry, f"{path}/{name}")
            else:
                yield SkippedName(name)


def _parts(path: str) -> Iterator[Part]:
    try:
        with Path(path).open("rb") as file:
            yield from zip_parts(file)
    except ZIP_DAMAGE as error:
        raise CorruptImageError(
            f"{display_name(path)}: not a zip archive, or a damaged one ({display_name(str(error))})",
            remedy=DAMAGED,
        ) from error


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NamedImage:
    where = display_name(name)
    if is_link(entry):
        return NamedImage(name, UnsupportedImageError(f"{where}: a link inside an archive is not followed"))
    try:
        return NamedImage(name, read_entry(archive, entry, where))
    except ImageError as error:
        return NamedImage(name, error.with_traceback(None))
