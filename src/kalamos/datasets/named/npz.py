"""Read arrays from .npz files, with errors that say what is wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.dataset import Split
from kalamos.errors import DatasetError

__all__ = ["read_arrays", "read_splits"]


def read_splits(path: Path) -> tuple[Split, Split]:
    """Read the training and the test split from `train_images`, `train_labels`, `test_images`, `test_labels`.

    Raises:
        DatasetError: the file is absent or damaged, or its arrays are not those of images and labels.
    """
    train = read_arrays(path, "train_images", "train_labels")
    test = read_arrays(path, "test_images", "test_labels")
    return _npz_split(*train), _npz_split(*test)


def read_arrays(path: Path, *keys: str) -> list[NDArray[Any]]:
    """Read the arrays called `keys` from an .npz file, in that order; never unpickled.

    Raises:
        DatasetError: the file is absent or damaged, or lacks one of them.
    """
    try:
        # Opened here: NumPy leaves a damaged file open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in keys if key in archive}
    except Exception as error:
        # Damage surfaces in several parsers, each with its own exceptions.
        raise DatasetError(f"{path}: cannot be read ({error})", remedy="copy the file again") from error
    for key in keys:
        if key not in arrays:
            raise DatasetError(f"{path}: there is no array {key!r} in it")
    return list(arrays.values())


def _npz_split(images: NDArray[Any], labels: NDArray[Any]) -> Split:
    # Other labels than integers are for Split to refuse, not to be rounded.
    return Split(images, labels.astype(np.int64) if labels.dtype.kind in "iu" else labels)
