"""A dataset is arrays: every image decoded once, grey, of one size."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.errors import DatasetError

__all__ = ["Dataset", "Split"]


@dataclass(frozen=True)
class Split:
    """Images and labels that belong together.

    Attributes:
        images: uint8 [N, H, W].
        labels: int64 [N], indices into the dataset's alphabet.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.images.ndim != 3 or self.images.dtype != np.uint8:
            raise DatasetError(
                f"images are {self.images.dtype} {self.images.shape}, where uint8 [N, H, W] is needed"
            )
        if self.labels.shape != self.images.shape[:1]:
            raise DatasetError(f"{len(self.images)} images came with {self.labels.size} labels")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[np.int64]) -> Split:
        return Split(self.images[indices], self.labels[indices])

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of shape, pixels and labels, hexadecimal: tells which data a figure is about."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(self.images.tobytes())
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """A named dataset with its official splits.

    Raises:
        DatasetError: a label outside the alphabet.
    """

    name: str
    alphabet: Alphabet
    train: Split
    test: Split
    source: str
    """Whom to cite."""

    def __post_init__(self) -> None:
        for where, split in (("train", self.train), ("test", self.test)):
            if len(split) and not 0 <= split.labels.min() <= split.labels.max() < len(self.alphabet):
                raise DatasetError(
                    f"{self.name} ({where}): labels run from {split.labels.min()} to {split.labels.max()}, "
                    f"but the alphabet {self.alphabet.name!r} has {len(self.alphabet)} classes"
                )
