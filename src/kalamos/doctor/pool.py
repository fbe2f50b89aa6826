"""All images of a dataset under one running number, whichever split they belong to."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.writers.escape import one_line

__all__ = ["PARTS", "Place", "Pool"]

PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class Place:
    """Where an image of the pool is to be found again.

    Attributes:
        part: one of `PARTS`.
        index: its row in the dataset's `test` split, else in its `train` split (where validation is too).
        label: the label that it carries.
        name: its file or archive member, on one line; "" where there is none.
    """

    part: str
    index: int
    label: str
    name: str

    def __str__(self) -> str:
        return f"{self.part} {self.index}" + (f" {self.name}" if self.name else "")


class Pool:
    """The images of a dataset by row: first those of `train`, then those of `test`.

    Attributes:
        labels: int64 [N].
        part_of: int64 [N], positions in `PARTS`.
        groups: int64 [N], or None where any split has none.
        shapes: int64 [N, 2], heights and widths in px.

    >>> from kalamos.alphabets import DIGITS
    >>> train = Split(np.zeros((2, 8, 8), np.uint8), np.array([3, 1]))
    >>> test = Split(np.ones((1, 8, 8), np.uint8), np.array([7]), names=("7.png",))
    >>> pool = Pool(Dataset("d", DIGITS, train, test, "nobody"))
    >>> len(pool), pool[2].max(), pool.place(2)
    (3, np.uint8(1), Place(part='test', index=0, label='7', name='7.png'))
    """

    def __init__(self, dataset: Dataset) -> None:
        self._splits = [dataset.train] if dataset.test is None else [dataset.train, dataset.test]
        self._alphabet = dataset.alphabet
        sizes = [len(split) for split in self._splits]
        self._starts: list[int] = np.cumsum([0, *sizes[:-1]]).tolist()
        self.labels: NDArray[np.int64] = np.concatenate([split.labels for split in self._splits])
        self.part_of: NDArray[np.int64] = np.repeat([0, 2][: len(sizes)], sizes)
        if dataset.validation is not None:
            self.part_of[dataset.validation] = PARTS.index("validation")
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
        which, index = self._find(row)
        return self._splits[which].images[index]

    def place(self, row: int) -> Place:
        which, index = self._find(row)
        names = self._splits[which].names
        return Place(
            part=PARTS[self.part_of[row]],
            index=index,
            label=self._alphabet.labels[self.labels[row]],
            name="" if names is None else one_line(names[index]),
        )

    def parts(self) -> list[int]:
        """Which of the `PARTS` there are, as positions."""
        return sorted({0, *self.part_of.tolist()})

    def _find(self, row: int) -> tuple[int, int]:
        which = bisect_right(self._starts, row) - 1
        return which, row - self._starts[which]


def _shapes(split: Split) -> NDArray[np.int64]:
    if isinstance(split.images, RaggedImages):
        return split.images.shapes
    return np.tile(np.array(split.images.shape[1:], np.int64), (len(split), 1))
