"""Folders and files in name order, and what kind of container a file is.

Find the images that a command line means: files, folders, globs.

What kind of container a file is, told by its first bytes; a table of text alone is told by its name.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Literal, TypeAlias

from kalamos.errors import UsageError
from kalamos.images import EXTENSIONS
from kalamos.images.files import display_name, perhaps_meant
from kalamos.inputs.skipped import SkippedFiles

__all__ = [
    "CONTAINER_HEAD_BYTES",
    "ImageSearch",
    "Kind",
    "find_images",
    "is_hidden",
    "is_image_name",
    "kind_of",
    "kind_of_bytes",
    "name_order",
]

_STDIN = "-"

_Inside: TypeAlias = dict[tuple[int, int], Iterator[tuple[str, bool]]]
"""The folders that a search is in, outermost first: device and inode -> the paths that are left to look at,
and whether they are folders."""


class ImageSearch:
    """The images under some paths, lazily, in case-insensitive name order.

    - A file that is named is always taken, whatever its name: reading it tells.
    - A folder is searched with its sub-folders for names that end like an image's; hidden entries
      are passed over, other files are counted in `passed_over`.
    - A name with `*`, `?` or `[` that does not exist is a glob (`**` crosses folders).
    - A path that does not exist, or a folder that cannot be listed, is passed on, to become a row with
      its error; so is a folder or a glob without any image, unless it is all that was asked for.

    Paths come with POSIX separators and begin as they were given.

    Args:
        paths: files, folders and globs.
        refuse_absent: whether it is an error if none of the paths is there.
    """

    def __init__(self, paths: Sequence[str], *, refuse_absent: bool = False) -> None:
        self._paths = paths
        self._refuse_absent = refuse_absent
        self.passed_over = SkippedFiles()
        """Files in searched folders whose names are not an image's, counted as the search goes."""
        self.reasons: dict[str, UsageError] = {}
        """Why a path that was given has no image, by the path as it is passed on; of those that say more than
        reading the path would."""

    @property
    def skipped(self) -> int:
        """How many files were passed over."""
        return self.passed_over.total

    def __iter__(self) -> Iterator[str]:
        """Raises `UsageError` if the one path given is a folder or a glob without any image."""
        return (path for path, _ in self.entries())

    def entries(self) -> Iterator[tuple[str, bool]]:
        """The same paths, each with whether it was named (itself or by a glob), not found in a folder."""
        self.passed_over = SkippedFiles()
        self.reasons = {}
        absent: list[UsageError] = []
        named = [path for given in self._paths for path in self._globbed(given, absent)]
        if self._refuse_absent and absent and len(absent) == len(self._paths):
            raise _none_is_there(absent)
        for path in sorted(named, key=_given_order):
            if os.path.isdir(path) and path != _STDIN:  # whatever lies there under its name
                for found in self._searched(path):
                    yield found, False
            else:
                yield _posix(path), True

    def _globbed(self, path: str, absent: list[UsageError]) -> list[str]:
        if path == _STDIN or os.path.lexists(path):
            return [path]
        if not glob.has_magic(path):
            error = no_such_path(path)
            absent.append(error)
            if error.remedy:
                self.reasons[_posix(path)] = error
            return [path]
        files = [match for match in glob.iglob(path, recursive=True) if not os.path.isdir(match)]
        if files:
            return files
        error = UsageError(f"{display_name(path)}: matches no file", remedy=no_such_path(path).remedy)
        absent.append(error)
        return [self._nothing(path, error)]

    def _searched(self, folder: str) -> Iterator[str]:
        count = 0
        passed_over = SkippedFiles()
        try:
            for path in self._walk(folder, passed_over):
                count += 1
                yield _posix(path)
        finally:
            self.passed_over.merge(passed_over)
        if not count:
            problem = f"{display_name(folder)}: no image in this folder"
            problem += f", but {passed_over}" if passed_over.total else ""
            looked_for = f"looked for {', '.join(sorted(EXTENSIONS))}"
            yield self._nothing(folder, UsageError(problem, remedy=looked_for))

    def _nothing(self, path: str, error: UsageError) -> str:
        if len(self._paths) == 1:
            raise error
        self.reasons[_posix(path)] = error
        return _posix(path)

    def _walk(self, top: str, passed_over: SkippedFiles) -> Iterator[str]:
        # Not by recursion: folders may lie in each other deeper than calls may.
        inside: _Inside = {}
        if not _enter(top, inside):
            yield top
        while inside:
            entry = next(inside[next(reversed(inside))], None)
            if entry is None:
                inside.popitem()
                continue
            path, is_folder = entry
            if is_folder:
                if not _enter(path, inside):
                    yield path
            elif is_image_name(path):
                yield path
            else:
                passed_over.add_file(path, path.removeprefix(top).lstrip("/\\"))


def find_images(paths: Sequence[str]) -> Iterator[str]:
    """The images under `paths`; see `ImageSearch`.

    >>> list(find_images(["b.png", "A.png", "a.png"]))
    ['A.png', 'a.png', 'b.png']
    """
    return iter(ImageSearch(paths))


def no_such_path(path: str) -> UsageError:
    """The error for a path that is not there, with the name beside it that was perhaps meant.

    >>> str(no_such_path("no-such-folder/scans"))
    'no-such-folder/scans: no such file or folder'
    """
    return UsageError(f"{display_name(path)}: no such file or folder", remedy=perhaps_meant(path))


def is_image_name(name: str) -> bool:
    """Whether a file's name ends like an image's.

    >>> is_image_name("forms/7.PNG"), is_image_name("png")
    (True, False)
    """
    return os.path.splitext(name)[1].lower() in EXTENSIONS


def is_hidden(name: str) -> bool:
    """Whether a searched folder passes over a file of this name, relative to it.

    >>> is_hidden(".git/x.png"), is_hidden("__MACOSX/._x.png"), is_hidden("./../x.png")
    (True, True, False)
    """
    return any(part.startswith(".") and part not in {".", ".."} for part in name.split("/"))


def name_order(name: str) -> str:
    """The key that puts names with forward slashes in the order in which a searched folder has them.

    >>> sorted(["sub.png", "B.png", "sub/z.png", "a.png"], key=name_order)
    ['a.png', 'B.png', 'sub/z.png', 'sub.png']
    """
    # Tuples of pairs would say the same in four times the memory, and an archive may have a million names.
    return "\0".join(f"{part.casefold()}\1{part}" for part in name.split("/"))


def _none_is_there(absent: list[UsageError]) -> UsageError:
    if len(absent) == 1:
        return absent[0]
    shown = "; ".join(map(str, absent[:5])) + (f"; and {len(absent) - 5:,} more" if absent[5:] else "")
    return UsageError(f"none of these {len(absent):,} is there: {shown}")


def _enter(folder: str, inside: _Inside) -> bool:
    """Whether the folder could be listed; a link back to a folder that we are in changes nothing."""
    try:
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity not in inside:
            inside[identity] = _listed(folder)
    except OSError:
        return False
    return True


def _listed(folder: str) -> Iterator[tuple[str, bool]]:
    """List what is not hidden, in order. Only names and kinds are kept: a folder may hold a million files."""
    with os.scandir(folder) as entries:
        listing = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    listing.sort(key=lambda each: (each[0].casefold(), each[0]))
    return ((os.path.join(folder, name), is_folder) for name, is_folder in listing)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


def _given_order(path: str) -> tuple[tuple[str, ...], str]:
    return tuple(part.casefold() for part in PurePath(path).parts), path


def _posix(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path


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
