"""Read zip archives entry by entry, without writing anything to disk or believing what the archive says."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from kalamos.errors import CorruptImageError, ImageError, UnsupportedImageError
from kalamos.folders import is_hidden, is_image_name, name_order
from kalamos.images.files import display_name
from kalamos.inputs.item import NamedImage, SkippedName
from kalamos.zip_entries import DAMAGED, ZIP_DAMAGE, entry_name, is_link, read_entry

__all__ = ["list_zip", "read_zip"]


def read_zip(path: str) -> Iterator[NamedImage | SkippedName]:
    """Yield the images of a zip archive, in case-insensitive name order, and the names of other entries.

    Hidden entries and folders are left out, as in folders on disk.

    Raises:
        CorruptImageError: not a zip archive, or a damaged one.
    """
    try:
        with Path(path).open("rb") as file, zipfile.ZipFile(file) as archive:
            for name, entry in list_zip(archive):
                if is_image_name(name):
                    yield _read_image(archive, entry, f"{path}/{name}")
                else:
                    yield SkippedName(name)
    except ZIP_DAMAGE as error:
        raise CorruptImageError(
            f"{display_name(path)}: not a zip archive, or a damaged one ({display_name(str(error))})",
            remedy=DAMAGED,
        ) from error


def list_zip(archive: zipfile.ZipFile) -> list[tuple[str, zipfile.ZipInfo]]:
    """Name the entries that are neither hidden nor folders, in case-insensitive name order."""
    named = [
        (name, entry)
        for entry in archive.infolist()
        if not ((name := entry_name(entry)).endswith("/") or is_hidden(name))
    ]
    named.sort(key=lambda pair: name_order(pair[0]))
    return named


def _read_image(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> NamedImage:
    where = display_name(name)
    if is_link(entry):
        return NamedImage(name, UnsupportedImageError(f"{where}: a link inside an archive is not followed"))
    try:
        return NamedImage(name, read_entry(archive, entry, where))
    except ImageError as error:
        return NamedImage(name, error.with_traceback(None))
