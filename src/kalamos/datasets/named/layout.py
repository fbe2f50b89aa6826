"""The places in a data folder where a dataset's files may lie."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from kalamos.errors import DatasetError

__all__ = ["Layout", "absent", "archive", "find"]


@dataclass(frozen=True)
class Layout:
    """Files that belong together, and the folders that may hold all of them.

    Attributes:
        files: their names; one that ends with a slash is a folder, and must not be empty. IDX files are
            given without ".gz": they are found gzipped or not, and with the dot that some mirrors write
            instead of the last dash.
        folders: relative to the data folder, "" for itself; the first that has all files counts.
    """

    files: tuple[str, ...]
    folders: tuple[str, ...]


def archive(name: str, stem: str) -> tuple[Layout, ...]:
    """Return where `stem`.zip may lie, packed or unpacked: in the data folder, or in its folder `name`."""
    inside = ("", name)
    return (
        Layout((f"{stem}.zip",), inside),
        Layout((f"{stem}/",), inside if stem != name else (name, "")),
        *((Layout((f"{name}/",), ("",)),) if stem != name else ()),
    )


def find(root: Path, layout: Layout) -> tuple[Path, ...] | None:
    """Return the paths of the layout's files in the first folder that has them all, in the layout's order."""
    for folder in layout.folders:
        paths = [_find_file(root / folder, file) for file in layout.files]
        complete = tuple(path for path in paths if path is not None)
        if len(complete) == len(paths):
            return complete
    return None


def absent(name: str, root: Path, layouts: Sequence[Layout], fetch: str) -> DatasetError:
    """Return an error that names every file and folder looked for; `fetch` is the first remedy."""
    first, *others = layouts
    home = root / first.folders[0]
    missing = [_shown(file) for file in first.files if _find_file(home, file) is None]
    looked = [str(home / missing[0]), *missing[1:]]
    also = [_places(first.folders[1:])] if first.folders[1:] else []
    also += [f"{' and '.join(map(_shown, layout.files))} {_places(layout.folders)}" for layout in others]
    return DatasetError(
        f"{name}: there is no {', no '.join(looked)}; nor {', nor '.join(also)}",
        remedy=f"{fetch}, or put it into {home}, or point --data-dir or KALAMOS_DATA to where it is",
    )


def _find_file(folder: Path, file: str) -> Path | None:
    for candidate in _spellings(file):
        path = folder / candidate
        if _filled(path) if candidate.endswith("/") else os.path.isfile(path):  # noqa: PTH113 (never raises)
            return path
    return None


def _filled(path: Path) -> bool:
    try:
        return bool(os.listdir(path))  # noqa: PTH208
    except (OSError, ValueError):
        return False


def _spellings(file: str) -> tuple[str, ...]:
    stem, idx, tail = file.rpartition("-idx")
    if not idx:
        return (file,)
    dotted = f"{stem}.idx{tail}"
    return f"{file}.gz", file, f"{dotted}.gz", dotted


def _shown(file: str) -> str:
    return _spellings(file)[0]


def _places(folders: Sequence[str]) -> str:
    return "in " + " or ".join(folder or "the data folder itself" for folder in folders)
