"""Row numbers over all images of a dataset, whichever split they belong to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.writers.escape import one_line

__all__ = ["PART_NAMES", "ImageIndex", "Place"]

PART_NAMES: Final = ("train", "validation", "test")
"""The parts of a dataset, spelled as in reports and JSON."""


@dataclass(frozen=True)
class Place:
    """Where an image lies in its dataset.

    Attributes:
        part: one of `PART_NAMES`.
        index: its row in the dataset's `test` split, else in its `train` split (where validation is too).
        label: its label.
        name: its file or archive member, on one line; "" if it came from neither.
    """

    part: str
    index: int
    label: str
    name: str

    def __str__(self) -> str:
        return f"{self.part} {self.index}" + (f" {self.name}" if self.name else "")


class ImageIndex:
    """The images of a dataset by row number: first those of `train`, then those of `test`.

    Attributes:
        labels: int64 [N].
        part_of: int64 [N], positions in `PART_NAMES`.
        groups: int64 [N], or None if a split has none.
        shapes: int64 [N, 2], heights and widths in px.

    >>> from kalamos.alphabets import DIGITS
    >>> train = Split(np.zeros((2, 8, 8), np.uint8), np.array([3, 1]))
    >>> test = Split(np.ones((1, 8, 8), np.uint8), np.array([7]), names=("7.png",))
    >>> index = ImageIndex(Dataset("d", DIGITS, train, test, "nobody"))
    >>> len(index), index[2].max(), index.place(2)
    (3, np.uint8(1), Place(part='test', index=0, label='7', name='7.png'))
    """

    def __init__(self, dataset: Dataset) -> None:
        self._splits = [dataset.train] if dataset.test is None else [dataset.train, dataset.test]
        self._alphabet = dataset.alphabet
        sizes = [len(split) for split in self._splits]
        self._starts: list[int] = np.cumsum([0, *sizes[:-1]]).tolist()
        self.labels: NDArray[np.int64] = np.concatenate([split.labels for split in self._splits])
        self.part_of: NDArray[np.int64] = np.repeat([0, 2][: len(sizes)], sizes)
        if dataset.val_rows is not None:
            self.part_of[dataset.val_rows] = PART_NAMES.index("validation")
        groups = [split.groups for split in self._splits if split.groups is not None]
        self.groups: NDArray[np.int64] | None = (
            np.concatenate(groups) if len(groups) == len(self._splits) else None
        )
        self.shapes: NDArray[np.int64] = np.concatenate([_shapes(split) for split in self._splits])

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for split in self._splits:
            yield from split.images

    def __getitem__(self, row: int) -> NDArray[np.uint8]:
        split, position = self._find(row)
        return split.images[position]

    def place(self, row: int) -> Place:
        split, position = self._find(row)
        return Place(
            part=PART_NAMES[self.part_of[row]],
            index=position,
            label=self._alphabet.labels[self.labels[row]],
            name="" if split.names is None else one_line(split.names[position]),
        )

    def parts(self) -> list[int]:
        """The parts that have images, as positions in `PART_NAMES`; train always counts."""
        return sorted({0, *self.part_of.tolist()})

    def _find(self, row: int) -> tuple[Split, int]:
        which = bisect_right(self._starts, row) - 1
        return self._splits[which], row - self._starts[which]


def _shapes(split: Split) -> NDArray[np.int64]:
    if isinstance(split.images, RaggedImages):
        return split.images.shapes
    return np.tile(np.array(split.images.shape[1:], np.int64), (len(split), 1))
