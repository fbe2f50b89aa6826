"""EMNIST-47: a selection of EMNIST ByMerge in one file, upright, with a balanced test split."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from kalamos.alphabets import LATIN_47
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import Layout
from kalamos.datasets.named.npz import read_arrays, read_splits
from kalamos.errors import DatasetError

__all__ = ["EMNIST_47"]


def _read_emnist_47(paths: tuple[Path, ...]) -> Parts:
    [path] = paths
    classes, bench = read_arrays(path, "classes", "balanced_test_idx")
    if tuple(classes.tolist()) != LATIN_47.labels:
        raise DatasetError(f"{path}: its classes are not those of EMNIST Balanced")
    train, test = read_splits(path)
    if bench.ndim != 1 or bench.dtype.kind not in "iu" or not ((bench >= 0) & (bench < len(test))).all():
        raise DatasetError(f"{path}: its balanced bench does not point at test images")
    return Parts(train, test.take(bench))


EMNIST_47: Final = register(
    NamedDataset(
        name="emnist-47",
        alphabet=LATIN_47,
        train=141_248,
        test=18_800,
        source="Cohen et al. 2017, part of ByMerge",
        layouts=(Layout(("emnist-bymerge47.npz",), ("emnist", "")),),
        read=_read_emnist_47,
        home="the makers of this selection of EMNIST: it has no public address, but all of ByMerge has "
        "(kalamos data get emnist-bymerge)",
    )
)
"""The benchmark "EMNIST-47 balanced": its test split is 400 images per class of the official ByMerge test
(`balanced_test_idx`), its training split all 141,248 training images of the file, about a fifth of
ByMerge's and byte-disjoint from its test. Not the official Balanced split, which is `emnist-balanced`.
"""
