"""Datasets by name, and where their files are looked for.

Each lives in `DATA_DIR/NAME/`, DATA_DIR being the first of: `--data-dir`, the environment variable
KALAMOS_DATA, and `kalamos` in the user's cache folder.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from kalamos.alphabets import DIGITS
from kalamos.datasets.dataset import Dataset, Split
from kalamos.datasets.idx import read_idx
from kalamos.errors import DatasetError
from kalamos.registry import Registry

__all__ = ["data_dir", "load_dataset", "names"]

DATASETS = Registry[Dataset]("dataset", DatasetError)


def names() -> tuple[str, ...]:
    """The datasets that can be asked for by name."""
    return DATASETS.names()


def data_dir(given: str | os.PathLike[str] | None = None) -> Path:
    """The folder that holds the datasets: as given, else KALAMOS_DATA, else the user's cache."""
    chosen = given or os.environ.get("KALAMOS_DATA")
    if chosen:
        return Path(chosen).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "kalamos"


def load_dataset(name: str, folder: str | os.PathLike[str] | None = None) -> Dataset:
    """Read a dataset by its name.

    Args:
        name: one of `names()`.
        folder: where the datasets are; see `data_dir`.

    Raises:
        DatasetError: no dataset has this name, or its files are absent or damaged.
    """
    return DATASETS.get(name)(data_dir(folder))


@DATASETS.register("mnist")
def mnist(root: Path) -> Dataset:
    """MNIST: 60,000 + 10,000 handwritten digits, 28x28 (LeCun et al. 1998), official IDX files."""
    return Dataset(
        name="mnist",
        alphabet=DIGITS,
        train=_idx_split(root / "mnist", "train"),
        test=_idx_split(root / "mnist", "t10k"),
        source="LeCun et al. 1998",
    )


def _idx_split(folder: Path, prefix: str) -> Split:
    images = read_idx(_find(folder, f"{prefix}-images-idx3-ubyte"))
    labels = read_idx(_find(folder, f"{prefix}-labels-idx1-ubyte"))
    return Split(images.astype(np.uint8, copy=False), labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    # Plain and gzipped names, and the dot that some mirrors write in place of the last dash.
    stem, _, tail = name.rpartition("-idx")
    for candidate in (f"{name}.gz", name, f"{stem}.idx{tail}.gz", f"{stem}.idx{tail}"):
        if (folder / candidate).is_file():
            return folder / candidate
    raise DatasetError(
        f"{folder / name}.gz: no such file",
        remedy=f"put the dataset's files into {folder}, or point --data-dir or KALAMOS_DATA to their parent",
    )
