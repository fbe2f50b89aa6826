"""One entry of a zip archive, of which nothing is believed: shared by datasets, predictions and the page."""

from __future__ import annotations

import re
import stat
import struct
import zipfile
import zlib

from kalamos.errors import CorruptImageError, ImageTooLargeError, UnsupportedImageError
from kalamos.images.files import MAX_MEMBER_BYTES, display_name

__all__ = ["DAMAGED", "ZIP_DAMAGE", "entry_name", "is_link", "is_safe_path", "read_entry"]

# What zipfile raises beside its own: NotImplementedError is a RuntimeError, UnicodeError a ValueError.
ZIP_DAMAGE = (zipfile.BadZipFile, OSError, ValueError, RuntimeError, OverflowError, struct.error)
"""The exceptions of `zipfile` for an archive that is none, or damaged."""

DAMAGED = "copy or download the file again"
"""The remedy for those."""


def read_entry(
    archive: zipfile.ZipFile, entry: zipfile.ZipInfo, where: str, limit: int = MAX_MEMBER_BYTES
) -> bytes:
    """The bytes of a member, which `where` names in errors. No more than it promises are unpacked.

    Raises:
        ImageTooLargeError: it promises more than `limit` bytes.
        UnsupportedImageError: encrypted, or compressed by another method than deflate.
        CorruptImageError: damaged, or longer than it promises.
    """
    if entry.flag_bits & 1:
        raise UnsupportedImageError(f"{where}: encrypted", remedy="unpack it and name the folder")
    if entry.file_size > limit:
        raise ImageTooLargeError(f"{where}: {entry.file_size:,} bytes are more than the limit of {limit:,}")
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # For the others zipfile cannot bound what a few bytes are blown up to.
        raise UnsupportedImageError(
            f"{where}: compressed by another method than deflate", remedy="zip it again"
        )
    try:
        with archive.open(entry) as file:
            # One more than promised: its end is reached, so its checksum is looked at. Without a
            # count, zipfile would decompress far beyond a promised size that is a lie.
            return file.read(entry.file_size + 1)
    except (*ZIP_DAMAGE, EOFError, zlib.error) as error:
        reason = display_name(str(error))
        raise CorruptImageError(f"{where}: damaged in the archive ({reason})", remedy=DAMAGED) from error


def is_safe_path(member: str) -> bool:
    r"""Whether a name stays below the folder that it is relative to, on every system.

    >>> [is_safe_path(name) for name in ("a/b.png", "../b", "/b", "C:/b", "a\\b", "a/../../b")]
    [True, False, False, False, False, False]
    """
    outside = member.startswith("/") or _DRIVE.match(member) or "\\" in member or "\0" in member
    return not outside and ".." not in member.split("/")


_DRIVE = re.compile("[A-Za-z]:")


def is_link(entry: zipfile.ZipInfo) -> bool:
    """Whether a member stands for a symbolic link."""
    return stat.S_ISLNK(entry.external_attr >> 16)


def entry_name(entry: zipfile.ZipInfo) -> str:
    """The member's name; as UTF-8 where it is that, though the archive says it is of the old code page."""
    name = entry.orig_filename
    if entry.flag_bits & 0x800 or name.isascii():
        return name
    try:
        return name.encode("cp437").decode("utf-8")
    except UnicodeError:
        return name
