"""Zip archives, member by member, with nothing written to disk and nothing believed."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator

from kalamos.errors import CorruptImageError, ImageError, UnsupportedImageError
from kalamos.folders import is_hidden, is_image_name, name_order
from kalamos.images.files import display_name
from kalamos.inputs.item import Member
from kalamos.zip_entries import DAMAGED, ZIP_DAMAGE, entry_name, is_link, read_entry

__all__ = ["read_zip"]


def read_zip(path: str) -> Iterator[Member | None]:
    """The images of a zip archive, in case-insensitive name order; None for a member that is none by name.

    Hidden members and folders are passed over, as in folders on disk.

    Raises:
        CorruptImageError: not a zip archive, or a damaged one.
    """
    try:
        archive = zipfile.ZipFile(path)
    except ZIP_DAMAGE as error:
        raise CorruptImageError(
            f"{display_name(path)}: not a zip archive, or a damaged one ({display_name(str(error))})",
            remedy=DAMAGED,
        ) from error
    with archive:
        named = [(entry_name(entry), entry) for entry in archive.infolist()]
        named = [(name, entry) for name, entry in named if not (name.endswith("/") or is_hidden(name))]
        named.sort(key=lambda pair: name_order(pair[0]))
        for name, entry in named:
            yield _member(archive, entry, f"{path}/{name}") if is_image_name(name) else None


def _member(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, name: str) -> Member:
    where = display_name(name)
    if is_link(entry):
        return Member(name, UnsupportedImageError(f"{where}: a link inside an archive is not followed"))
    try:
        return Member(name, read_entry(archive, entry, where))
    except ImageError as error:
        return Member(name, error.with_traceback(None))
