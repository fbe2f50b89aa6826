"""What kind of container a file is, told by its first bytes; a table of text alone is told by its name."""

from __future__ import annotations

import os
import stat
from typing import Literal, TypeAlias

__all__ = ["CONTAINER_HEAD_BYTES", "Kind", "kind_of", "kind_of_bytes"]

Kind: TypeAlias = Literal["zip", "tar", "parquet", "csv"]

CONTAINER_HEAD_BYTES = 512
"""Bytes that tell: one block of a tar archive."""

_MAGIC: tuple[tuple[int, bytes, Kind], ...] = (
    (0, b"PK\x03\x04", "zip"),
    (0, b"PK\x05\x06", "zip"),
    (0, b"PAR1\x15", "parquet"),
    (0, b"\x1f\x8b\x08", "tar"),
    (4, b"1AY&SY", "tar"),  # bzip2, behind the size of its blocks
    (0, b"\xfd7zXZ\x00", "tar"),
    (257, b"ustar", "tar"),
)
# Without O_NONBLOCK, opening a pipe would wait for a writer for ever; not every system has these.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_TABLE_SUFFIXES = (".csv", ".tsv")
_IMAGE_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"GIF8", b"II*\x00", b"MM\x00*")
_CHECKSUM = slice(148, 156)


def kind_of(path: str) -> Kind | None:
    """The kind of container that a file is; None for an image, and for what is not there or no regular file.

    >>> kind_of("no-such-file.zip") is None
    True
    """
    # By system calls: for a glob of small images this runs once an image, and costs as much as reading one.
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError):
        return None
    try:
        head = (
            os.read(descriptor, CONTAINER_HEAD_BYTES) if stat.S_ISREG(os.fstat(descriptor).st_mode) else None
        )
    except OSError:
        return None
    finally:
        os.close(descriptor)
    if head is None:
        return None
    kind = kind_of_bytes(head)
    if kind is None and path.lower().endswith(_TABLE_SUFFIXES):
        # The other images' headers hold sizes, which are as good as never without so many NULs.
        return None if head.startswith(_IMAGE_MAGIC) or b"\0\0\0" in head else "csv"
    return kind


def kind_of_bytes(head: bytes) -> Kind | None:
    r"""Tell the container that begins with `head` (`CONTAINER_HEAD_BYTES` of it); None for others.

    A gzip, bzip2 or xz file counts as a tar archive: nothing else that is compressed so is read.

    >>> kind_of_bytes(b"PK\x03\x04..."), kind_of_bytes(b"\x89PNG\r\n\x1a\n")
    ('zip', None)
    """
    for offset, magic, kind in _MAGIC:
        if head.startswith(magic, offset):
            return kind
    return "tar" if _is_old_tar(head) else None


def _is_old_tar(head: bytes) -> bool:
    """Whether this is the first block of a tar from before 1988, which has a checksum but no signature."""
    if len(head) < CONTAINER_HEAD_BYTES:
        return False
    digits = head[_CHECKSUM].strip(b" \0")
    if not digits or digits.strip(b"01234567"):
        return False
    blanked = head[: _CHECKSUM.start] + b" " * 8 + head[_CHECKSUM.stop : CONTAINER_HEAD_BYTES]
    return sum(blanked) == int(digits, 8)
