"""Find the images that a command line means: files, folders, globs."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from kalamos.errors import UsageError
from kalamos.images import EXTENSIONS

__all__ = ["ImageSearch", "find_images"]


class ImageSearch:
    """The images under some paths, lazily, in case-insensitive name order.

    - A file that is named is always taken, whatever its name: reading it tells.
    - A folder is searched with its sub-folders for names that end like an image's; hidden entries
      are passed over, other files are counted in `skipped`.
    - A name with `*`, `?` or `[` that does not exist is a glob (`**` crosses folders).
    - A path that does not exist is passed on, to become a row with its error.

    Paths come with POSIX separators and begin as they were given.
    """

    def __init__(self, paths: Sequence[str]) -> None:
        self._paths = paths
        self.skipped = 0
        """Files in searched folders whose names are not an image's, counted as the search goes."""

    def __iter__(self) -> Iterator[str]:
        """Raises `UsageError` at a folder or a glob without any image."""
        self.skipped = 0
        for path in sorted(self._paths, key=_name_order):
            if os.path.isdir(path):
                yield from self._searched(path, f"{path}: no image in this folder")
            elif not os.path.lexists(path) and glob.has_magic(path):
                yield from self._globbed(path)
            else:
                yield _posix(path)

    def _globbed(self, pattern: str) -> Iterator[str]:
        matches = sorted(glob.iglob(pattern, recursive=True), key=_name_order)
        if not matches:
            raise UsageError(f"{pattern}: matches no file")
        for path in matches:
            if os.path.isfile(path):
                yield _posix(path)

    def _searched(self, folder: str, complaint: str) -> Iterator[str]:
        count = 0
        for path in self._walk(folder, set()):
            count += 1
            yield path
        if not count:
            remedy = f"looked for {', '.join(sorted(EXTENSIONS))}"
            raise UsageError(complaint, remedy=remedy)

    def _walk(self, folder: str, above: set[tuple[int, int]]) -> Iterator[str]:
        status = os.stat(folder)
        identity = status.st_dev, status.st_ino
        if identity in above:  # a link back to a folder that we are in
            return
        with os.scandir(folder) as entries:
            listing = sorted(entries, key=lambda entry: (entry.name.casefold(), entry.name))
        for entry in listing:
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from self._walk(entry.path, above | {identity})
            elif os.path.splitext(entry.name)[1].lower() in EXTENSIONS:
                yield _posix(entry.path)
            else:
                self.skipped += 1


def find_images(paths: Sequence[str]) -> Iterator[str]:
    """The images under `paths`; see `ImageSearch`.

    >>> list(find_images(["b.png", "A.png", "a.png"]))
    ['A.png', 'a.png', 'b.png']
    """
    return iter(ImageSearch(paths))


def _name_order(path: str) -> tuple[tuple[str, ...], str]:
    return tuple(part.casefold() for part in PurePath(path).parts), path


def _posix(path: str) -> str:
    return path.replace(os.sep, "/") if os.sep != "/" else path
