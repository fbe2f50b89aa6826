"""The registry of named datasets: what is known of each before it is read, and where its files may lie."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from kalamos.alphabets import Alphabet
from kalamos.datasets.dataset import Dataset, SkippedFile, Split
from kalamos.errors import DatasetError
from kalamos.utils import Registry

__all__ = [
    "DATASETS",
    "NO_LICENCE",
    "Layout",
    "NamedDataset",
    "Parts",
    "absent",
    "archive",
    "data_dir",
    "describe",
    "find",
    "names",
    "register",
]


NO_LICENCE = "not stated by the source"


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


DATASETS = Registry[Dataset]("dataset", DatasetError)


class Parts(NamedTuple):
    """The result of reading a dataset's files."""

    train: Split
    test: Split | None = None
    problems: tuple[SkippedFile, ...] = ()


@dataclass(frozen=True)
class NamedDataset:
    """A dataset with a name. Called with a data folder, it reads the `Dataset`.

    Attributes:
        name: its name.
        alphabet: its classes.
        train: the number of training images, or of all images if there is no official test split.
        test: the number of test images; 0 if there is no official test split.
        source: whom to cite.
        layouts: where its files may lie; the first complete one counts. None at all, and no `made_of`: it is
            drawn when it is read, and needs no files.
        read: reads images and labels from the paths that a layout found, in its order.
        grouped_by: what the groups are, such as "writer".
        torchvision: the class of torchvision.datasets that publishes addresses and checksums, with
            the folder below the data folder that downloads go to; None if there is no such class.
        home: where to get the files from, if they are not downloaded.
        made_of: the datasets whose files it is read from, one after the other, instead of `layouts`.
        licence: of its images, as their source states it.
    """

    name: str
    alphabet: Alphabet
    train: int
    test: int
    source: str
    layouts: tuple[Layout, ...]
    read: Callable[[tuple[Path, ...]], Parts]
    grouped_by: str | None = None
    torchvision: tuple[str, str] | None = None
    home: str = ""
    made_of: tuple[NamedDataset, ...] = ()
    licence: str = NO_LICENCE

    @property
    def is_drawn(self) -> bool:
        """Whether it needs no files."""
        return not self.layouts and not self.made_of

    def find(self, root: Path) -> tuple[Path, ...]:
        """Find the files or folders that it would be read from; nothing is opened. None where it is drawn.

        Raises:
            DatasetError: they are not all there.
        """
        if self.is_drawn:
            return ()
        return tuple(path for part in self.made_of or (self,) for path in self._find(part, root))

    def _find(self, part: NamedDataset, root: Path) -> tuple[Path, ...]:
        for layout in part.layouts:
            paths = find(root, layout)
            if paths is not None:
                return paths
        command = f"kalamos data get {self.name} --data-dir {shlex.quote(str(root))}"
        fetch = f"run: {command}" if self.torchvision else f"get it from {self.home}"
        raise absent(self.name, root, part.layouts, fetch)

    def __call__(self, root: Path) -> Dataset:
        """Read it from the data folder.

        Raises:
            DatasetError: its files are absent, damaged or inconsistent.
        """
        paths = self.find(root)
        try:
            parts = self.read(paths)
        except DatasetError as error:
            raise DatasetError(f"{self.name}: {error.problem}", remedy=error.remedy) from error
        return Dataset(
            self.name,
            self.alphabet,
            parts.train,
            parts.test,
            self.source,
            grouped_by=self.grouped_by,
            problems=parts.problems,
        )

    def check(self, dataset: Dataset) -> None:
        """Check that as many images were read as were published.

        Raises:
            DatasetError: there are more or fewer, or files were skipped.
        """
        counts = (len(dataset.train), len(dataset.test) if dataset.test else 0)
        if counts != (self.train, self.test) or dataset.problems:
            first = dataset.problems[:1]
            hint = f" (the first of {len(dataset.problems)} problems: {first[0]})" if first else ""
            raise DatasetError(
                f"{self.name}: {counts[0]:,} + {counts[1]:,} images were read, where "
                f"{self.train:,} + {self.test:,} are published{hint}",
                remedy="delete its files and get them again",
            )


def register(entry: NamedDataset) -> NamedDataset:
    DATASETS.register(entry.name)(entry)
    return entry


def names() -> tuple[str, ...]:
    """Return the names of the datasets that have one."""
    return DATASETS.names()


def describe(name: str) -> NamedDataset:
    """Return what is known of a dataset without reading it.

    Raises:
        DatasetError: no dataset has this name.

    >>> describe("mnist").train
    60000
    """
    entry = DATASETS.get(name)
    assert isinstance(entry, NamedDataset)  # noqa: S101  (`register` enters nothing else)
    return entry


def data_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """Return the folder that holds the datasets: as given, else KALAMOS_DATA, else the user's cache."""
    chosen = given or os.environ.get("KALAMOS_DATA")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kalamos"
