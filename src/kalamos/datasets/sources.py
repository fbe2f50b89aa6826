"""The files of a dataset, whether they lie in a folder or in a zip archive."""

from __future__ import annotations

import os
import posixpath
import re
import stat
import threading
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path, PurePosixPath
from typing import Final, Self

from kalamos.datasets.dataset import SkippedFile
from kalamos.errors import DatasetError, ImageError
from kalamos.images import EXTENSIONS, MAX_FILE_BYTES, read_file
from kalamos.images.files import display_name
from kalamos.inputs.archives import DAMAGED, ZIP_DAMAGE, entry_name, is_link, read_entry
from kalamos.inputs.files import is_safe_path, natural_order

__all__ = ["Source", "open_source"]

MAX_ARCHIVE_DEPTH: Final = 100
"""Nested folders in an archive: every one of them is listed, so a name with thousands is an attack."""

MAX_CLASS_OF_DOT: Final = 4
"""Characters in the name of a hidden folder that may be a class; programs' own have longer names."""

_JUNK_NAMES: Final = frozenset({"__MACOSX", "Thumbs.db", "desktop.ini"})
_DIGITS: Final = re.compile(r"(\d+)")


class Source(ABC):
    """The files below one place, by their names relative to it.

    Attributes:
        path: the folder or the archive.
        name: its own name, without the archive's ending.
        members: the files, with forward slashes, in natural order; without hidden ones and those
            that macOS and Windows leave behind.
        folders: the folders, in natural order, empty ones included.
        problems: what was skipped while listing.
    """

    path: Path
    name: str
    members: tuple[str, ...]
    folders: tuple[str, ...]
    problems: tuple[SkippedFile, ...]

    @abstractmethod
    def read(self, member: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        """Read one of `members`. May be called from several threads.

        Raises:
            DatasetError: not one of them, damaged, not readable, or of more than `limit` bytes.
        """

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None:
        """Close the archive's file."""

    def _strange(self, member: str) -> DatasetError:
        return DatasetError(f"{self.path}: there is no {display_name(member)!r} in it")


def open_source(path: str | os.PathLike[str]) -> Source:
    """Open a folder or a zip archive.

    Raises:
        DatasetError: neither, not readable, encrypted, or with a member that points outside.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ("10.png", "9.png", ".DS_Store"):
    ...         _ = Path(folder, name).write_bytes(b"abc")
    ...     with open_source(folder) as source:
    ...         source.members, source.read("9.png")
    (('9.png', '10.png'), b'abc')
    """
    place = Path(path)
    try:
        mode = place.stat().st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{display_name(place)}: cannot be opened ({reason})") from error
    if stat.S_ISDIR(mode):
        return _Folder(place)
    if stat.S_ISREG(mode):
        return _Zip(place)
    raise DatasetError(f"{display_name(place)}: neither a folder nor a zip archive")


def _path_key(member: str) -> tuple[object, ...]:
    return tuple(natural_order(part) for part in member.split("/"))


def _is_junk(name: str) -> bool:
    return name.startswith(".") or name in _JUNK_NAMES


def _may_be_class(name: str) -> bool:
    """Whether a hidden folder may be meant as a class, such as ".5", and is none that a program made."""
    return name.startswith(".") and len(name) <= MAX_CLASS_OF_DOT


def _is_image_name(name: str) -> bool:
    return not _is_junk(name) and PurePosixPath(name).suffix.lower() in EXTENSIONS


def _holds_image(entry: os.DirEntry[str]) -> bool:
    try:
        if not entry.is_dir(follow_symlinks=False):
            return False
        with os.scandir(entry.path) as inside:
            return any(_is_image_name(each.name) for each in inside)
    except OSError:
        return False


def _hidden(member: str) -> SkippedFile:
    return SkippedFile(
        display_name(member),
        "a folder whose name begins with a dot is hidden, and passed over: write the dot of a class as %2E",
    )


def _refused(where: Path, member: str, why: str) -> DatasetError:
    return DatasetError(
        f"{display_name(where)}: its member {display_name(member[:200])!r} {why}",
        remedy="use data that you can trust, or remove that member",
    )


class _Folder(Source):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.resolve().name
        self._root = os.path.realpath(path)
        files: list[str] = []
        folders: list[str] = []
        problems: list[SkippedFile] = []
        waiting = [""]
        while waiting:
            inside = waiting.pop()
            try:
                with os.scandir(f"{self._root}/{inside}") as entries:
                    every = list(entries)
            except OSError as error:
                if not inside:
                    raise DatasetError(
                        f"{display_name(path)}: cannot be listed ({error.strerror})"
                    ) from error
                problems.append(SkippedFile(display_name(inside), f"cannot be listed ({error.strerror})"))
                continue
            for entry in every:
                member = f"{inside}/{entry.name}" if inside else entry.name
                if _is_junk(entry.name):
                    if _may_be_class(entry.name) and _holds_image(entry):
                        problems.append(_hidden(member))
                    continue
                problem = self._check_link(entry, member) if entry.is_symlink() else None
                if problem:
                    problems.append(SkippedFile(display_name(member), problem))
                elif entry.is_dir():
                    folders.append(member)
                    waiting.append(member)
                elif entry.is_file():
                    files.append(member)
                else:
                    problems.append(SkippedFile(display_name(member), "not a regular file"))
        self.members = tuple(sorted(files, key=_path_key))
        self.folders = tuple(sorted(folders, key=_path_key))
        self.problems = tuple(sorted(problems, key=lambda problem: _path_key(problem.where)))
        self._known = frozenset(files)

    def read(self, member: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        if member not in self._known:
            raise self._strange(member)
        try:
            data = read_file(f"{self._root}/{member}")
        except ImageError as error:
            raise DatasetError(error.problem, remedy=error.remedy) from error
        if len(data) > limit:
            raise DatasetError(f"{member}: {len(data):,} bytes are more than the limit of {limit:,}")
        return data

    def close(self) -> None:
        """Nothing is held open."""

    def _check_link(self, entry: os.DirEntry[str], member: str) -> str | None:
        """Why a symbolic link is skipped; None for one to a file of this tree."""
        target = os.path.realpath(entry.path)
        if not Path(target).is_relative_to(self._root):
            raise _refused(self.path, member, f"is a link that points outside, to {display_name(target)}")
        try:
            return "a link to a folder" if entry.is_dir() else None if entry.is_file() else "a broken link"
        except OSError:
            return "a link to itself"


class _Zip(Source):
    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.stem
        self._lock = threading.Lock()  # zipfile counts its open members without one
        try:
            self._archive = zipfile.ZipFile(path)
        except ZIP_DAMAGE as error:
            raise DatasetError(
                f"{display_name(path)}: not a zip archive, or a damaged one ({error})", remedy=DAMAGED
            ) from error
        try:
            self._list()
        except BaseException:
            self._archive.close()
            raise

    def _list(self) -> None:
        self._entries: dict[str, zipfile.ZipInfo] = {}
        folders: set[str] = set()
        hidden: dict[str, None] = {}
        problems: list[SkippedFile] = []
        for entry in self._archive.infolist():
            name = entry_name(entry)
            if not is_safe_path(name):
                raise _refused(self.path, name, "points outside")
            parts = [part for part in name.split("/") if part not in ("", ".")]
            if any(map(_is_junk, parts)) or not parts:
                if len(parts) > 1 and _may_be_class(parts[-2]) and _is_image_name(parts[-1]):
                    hidden["/".join(parts[:-1])] = None
                continue
            member = "/".join(parts)
            if len(parts) > MAX_ARCHIVE_DEPTH:
                raise _refused(self.path, name, f"lies {len(parts)} folders deep")
            is_folder = name.endswith("/")
            folders.update("/".join(parts[:depth]) for depth in range(1, len(parts) + is_folder))
            if is_folder:
                continue
            if entry.flag_bits & 1:
                raise DatasetError(
                    f"{display_name(self.path)}: the archive is encrypted",
                    remedy="unpack it and name the folder",
                )
            if is_link(entry):
                self._check_link(entry, member)
                problems.append(SkippedFile(display_name(member), "a link inside an archive"))
            elif member in self._entries:
                problems.append(
                    SkippedFile(display_name(member), "twice in the archive; the first one counts")
                )
            else:
                self._entries[member] = entry
        self.members = tuple(sorted(self._entries, key=_path_key))
        self.folders = tuple(sorted(folders, key=_path_key))
        self.problems = (*problems, *map(_hidden, hidden))

    def read(self, member: str, *, limit: int = MAX_FILE_BYTES) -> bytes:
        entry = self._entries.get(member)
        if entry is None:
            raise self._strange(member)
        return self._read(entry, member, limit)

    def close(self) -> None:
        self._archive.close()

    def _read(self, entry: zipfile.ZipInfo, member: str, limit: int) -> bytes:
        try:
            with self._lock:
                return read_entry(self._archive, entry, display_name(member), limit)
        except ImageError as error:
            raise DatasetError(error.problem, remedy=error.remedy) from error

    def _check_link(self, entry: zipfile.ZipInfo, member: str) -> None:
        target = os.fsdecode(self._read(entry, member, 4096))
        landing = posixpath.normpath(posixpath.join(posixpath.dirname(member), target))
        if not is_safe_path(landing):
            raise _refused(self.path, member, f"is a link that points outside, to {display_name(target)}")
