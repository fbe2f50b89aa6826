"""Datasets as arrays: by name, or from a folder, a CSV manifest or a zip archive; read from local files.

```
named ─┬─ local ─ sources, layout  where files lie, how each kind is read, which folders are the classes
       │     └─── dataset ─ ragged    the arrays, and their preparation
near_duplicates ─ copies               one picture twice; class_names: what a person sees of labels
fonts ─ render    splits    download  used by the command line and by training
```

>>> from kalamos.datasets import names
>>> "mnist" in names()
True
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from kalamos.datasets.dataset import Dataset, SkippedFile, Split
from kalamos.datasets.layout import CLASS_FOLDERS, ClassFolders
from kalamos.datasets.local import (
    Listing,
    assemble,
    find_manifest,
    list_archived_manifest,
    list_folder,
    list_manifest,
    list_own_manifest,
    wrappers,
)
from kalamos.datasets.named import DATASETS, names
from kalamos.datasets.named import data_dir as data_root
from kalamos.datasets.ragged import RaggedImages
from kalamos.datasets.sources import open_source
from kalamos.datasets.splits import grouped_split, k_fold, stratified_split
from kalamos.errors import DatasetError, suggest
from kalamos.images.files import display_name, perhaps_meant

__all__ = [
    "CLASS_FOLDERS",
    "ClassFolders",
    "Dataset",
    "RaggedImages",
    "SkippedFile",
    "Split",
    "grouped_split",
    "k_fold",
    "list_local",
    "load_dataset",
    "names",
    "resolve_dataset",
    "stratified_split",
]

MANIFEST_SUFFIXES: Final = frozenset({".csv", ".tsv"})


def load_dataset(
    name_or_path: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    classes: ClassFolders | None = None,
) -> Dataset:
    """Load a dataset by name or from a path. Every image is decoded once, to grey levels.

    Args:
        name_or_path: one of `names()`; or a folder with one sub-folder per class, or with a `manifest.csv`
            in it, a CSV manifest with the columns `path,label[,group,split]`, or a zip archive of either. A
            name is a name even if a folder has the same one: `./mnist` is the folder, and so is any `Path`.
        data_dir: where the files of the named datasets lie (they are not downloaded here; `kalamos data
            get NAME` does that); by default the environment variable KALAMOS_DATA, else `kalamos` in the
            user's cache folder.
        classes: where folders hold folders, which of them name the classes: `outer`, `inner` (the outer ones
            are then groups, such as writers) or `both`; None takes the outer ones where that is no question.

    Returns:
        A `Dataset`. `dataset.train` and `dataset.test` (None if there is no official test split) hold
        `images`, uint8 [N, H, W] or N images of different sizes, 0 to 255 as in the files; `labels`, int64
        [N], indices into `dataset.alphabet.labels`; and, if known, `groups` (int64 [N]: writers, fonts) and
        `names` of files. Files that could not be used are in `dataset.problems`.

    Raises:
        DatasetError: no such dataset, or its files are absent or damaged, or leave nothing to learn; or
            folders hold folders, and `classes` does not say which are the classes.

    >>> import tempfile
    >>> import cv2
    >>> import numpy as np
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("cross", "ring"):
    ...         Path(folder, label).mkdir()
    ...         _ = cv2.imwrite(f"{folder}/{label}/1.png", np.zeros((28, 28), np.uint8))
    ...     dataset = load_dataset(folder)
    >>> dataset.alphabet.labels, dataset.train.images.shape, dataset.train.labels.tolist()
    (('cross', 'ring'), (2, 28, 28), [0, 1])
    >>> load_dataset("mnits")
    Traceback (most recent call last):
    kalamos.errors.DatasetError: unknown dataset 'mnits'; did you mean 'mnist'?
    """
    found = resolve_dataset(name_or_path)
    if isinstance(found, str):
        return DATASETS.get(found)(data_root(data_dir))
    with list_local(found, classes) as listing:
        return assemble(listing)


@contextmanager
def list_local(found: Path, classes: ClassFolders | None = None) -> Iterator[Listing]:
    """List the files of a folder, a manifest or an archive, which stay readable inside the `with` block.

    Args:
        classes: see `load_dataset`; a manifest says itself what the classes are.

    Raises:
        DatasetError: none of these, or a damaged one; or it is not clear which folders are the classes.
    """
    if found.suffix.lower() in MANIFEST_SUFFIXES and found.is_file():
        yield list_manifest(found)
        return
    with open_source(found) as source:
        if found.is_dir():
            yield list_own_manifest(source) or list_folder(source, classes=classes)
            return
        manifest = find_manifest(source)
        if manifest is not None:
            yield list_archived_manifest(source, manifest)
        else:
            yield list_folder(source, top=list(wrappers(source))[-1], classes=classes)


def resolve_dataset(name_or_path: str | os.PathLike[str]) -> str | Path:
    """Tell whether a dataset is meant by its name (str) or as something on the disk (Path); reads nothing.

    Raises:
        DatasetError: neither a name nor on the disk.
    """
    if isinstance(name_or_path, str) and name_or_path in DATASETS.names():
        return name_or_path
    try:
        path = Path(name_or_path).expanduser()
        if os.fspath(name_or_path) and path.exists():
            return path
    except (OSError, ValueError, RuntimeError):
        pass  # too long, with a NUL, or in an unknown home: on no disk
    given = display_name(name_or_path)
    meant = perhaps_meant(os.fspath(name_or_path))
    if given == Path(name_or_path).name:  # a bare word
        remedy = suggest(given, DATASETS.names(), otherwise="name a folder, a .csv or .zip file, or one of")
        raise DatasetError(f"unknown dataset {given!r}", remedy=meant or remedy)
    raise DatasetError(
        f"{given}: no such file or folder", remedy=meant or "name a folder, a .csv or .zip file"
    )
