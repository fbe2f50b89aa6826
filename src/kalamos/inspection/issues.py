"""What an inspection found.

The types of findings, and how serious each is.

An error is a fact that makes the data, or a figure measured on it, wrong. A warning asks a person to
look: everything may be in order.

Row numbers over all images of a dataset, whichever split they belong to.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.writers.base import one_line

__all__ = ["FINDING_TYPES", "PART_NAMES", "Case", "Finding", "FindingType", "ImageIndex", "Place", "gather"]

Severity = Literal["error", "warning"]


@dataclass(frozen=True)
class FindingType:
    """A type of finding: its title, what it means and what to do about it."""

    title: str
    severity: Severity
    meaning: str
    remedy: str


FINDING_TYPES: Final[dict[str, FindingType]] = {
    "unreadable": FindingType(
        "unreadable or misplaced images",
        "error",
        "Images that cannot be read, lie outside the class folders or have no label. The data lack them.",
        "repair them, move them to their class, or remove them",
    ),
    "blank": FindingType(
        "blank images",
        "error",
        "Nothing on them differs from the background. A network would learn to see what is not there.",
        "remove them",
    ),
    "two-labels": FindingType(
        "equal images under different labels",
        "error",
        "They are the same pixel for pixel, so at most one of the labels is right.",
        "keep the copy with the right label",
    ),
    "crossing": FindingType(
        "equal images in more than one split",
        "error",
        "Training images are in the test: the measured accuracy is too high.",
        "remove them from the training part",
    ),
    "group-crossing": FindingType(
        "equal images in more than one group",
        "error",
        "Groups are kept apart so that training sees nothing of the test; it sees these.",
        "keep one of each",
    ),
    "missing-class": FindingType(
        "classes without an image to train on",
        "error",
        "No model can learn them.",
        "collect some images, or remove the class",
    ),
    "near-two-labels": FindingType(
        "near duplicates under different labels",
        "warning",
        "They seem to be one picture saved twice: scaled, recompressed, brightened or inverted.",
        "look at them, and keep the copy with the right label",
    ),
    "near-crossing": FindingType(
        "near duplicates across splits or groups",
        "warning",
        "They seem to be one picture saved twice, used for training as well as for testing.",
        "look at them, and remove them from the training part",
    ),
    "suspects": FindingType(
        "likely label errors",
        "warning",
        "A quick classifier that was trained without them contradicts their labels: some are mislabelled, "
        "some are hard to read, some the classifier itself misreads. The likeliest come first.",
        "look at the first ones, and go on as long as they are wrong",
    ),
    "no-ink": FindingType(
        "images whose ink is not found",
        "warning",
        "They are not blank, but the preprocessing of kalamos cannot separate ink from background on them, "
        "and leaves them out of training: the ink may reach all edges.",
        "crop them with a margin around the ink",
    ),
    "copies": FindingType(
        "equal images",
        "warning",
        "They are the same pixel for pixel, under one label in one split: a random split of it would put "
        "copies on both sides.",
        "keep one of each, or split so that copies stay together",
    ),
    "near-copies": FindingType(
        "near duplicates",
        "warning",
        "They seem to be one picture saved twice, under one label in one split.",
        "keep one of each, or split so that they stay together",
    ),
    "polarity": FindingType(
        "mixed polarity",
        "warning",
        "Some are dark on light, others light on dark. The preprocessing of kalamos makes them alike; "
        "other software may not.",
        "look at the rarer ones: some may be inverted by mistake",
    ),
    "sizes": FindingType(
        "images of odd size",
        "warning",
        "Very small, or much larger, smaller or longer than the others: perhaps not one character each.",
        "look at them",
    ),
    "few": FindingType(
        "classes with few images",
        "warning",
        "Hardly enough to learn from.",
        "collect more",
    ),
    "absent": FindingType(
        "classes absent from a part",
        "warning",
        "Measurements on that part say nothing about them.",
        "split so that every class is in every part",
    ),
    "imbalance": FindingType(
        "imbalanced classes",
        "warning",
        "Accuracy will reflect mostly the large classes.",
        "report macro averages, or weight or sample the classes equally",
    ),
    "foreign": FindingType(
        "other files",
        "warning",
        "Neither images nor in use; they were skipped.",
        "remove them if they do not belong there",
    ),
}
"""In the order in which they are reported, under the stable keys of the JSON output."""


@dataclass(frozen=True)
class Case:
    """One instance of a finding.

    Attributes:
        rows: the images concerned, row numbers of the `ImageIndex`.
        what: description of a case that is not an image, or of its images together.
        suggested: the label that the image should perhaps have.
        quality: of a likely label error: the probability of its label, in [0, 1].
        difference: of near duplicates: 1 - correlation, in [0, `near.MAX_TWIN_DIFFERENCE`].
    """

    rows: tuple[int, ...] = ()
    what: str = ""
    suggested: str | None = None
    quality: float | None = None
    difference: float | None = None


@dataclass(frozen=True)
class Finding:
    """All cases of one type, the worst first; there is always at least one."""

    kind: str
    cases: tuple[Case, ...]

    def __str__(self) -> str:
        summary = f"{self.about.title}: {len(self.cases):,}"
        if all(len(case.rows) < 2 for case in self.cases):
            return summary
        images = len({row for case in self.cases for row in case.rows})
        return f"{summary} {'set' if len(self.cases) == 1 else 'sets'} of {images:,} images"

    @property
    def about(self) -> FindingType:
        """The type of the finding."""
        return FINDING_TYPES[self.kind]


def gather(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Return those that have cases, in the order of `FINDING_TYPES`."""
    order = list(FINDING_TYPES)
    return tuple(sorted((one for one in found if one.cases), key=lambda one: order.index(one.kind)))


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
