"""The checks of a dataset, one function each, and the types of what they find.

An error is a fact that makes the data, or a figure measured on it, wrong. A warning asks a person to
look: everything may be in order.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset, RaggedImages, SkippedFile, Split
from kalamos.datasets.class_names import alike_names, describe_alike
from kalamos.datasets.dataset import prepare_each
from kalamos.datasets.near_duplicates import near_pairs
from kalamos.errors import NoInkError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.writers.base import one_line

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
    "turned": FindingType(
        "images that lie on their side or in a mirror",
        "error",
        "A shipped model reads them far better once they are turned: a network that learns them as they are "
        "will not read what people write.",
        "turn them back as said; EMNIST's own files are transposed, and the datasets emnist-... of kalamos "
        "turn them",
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
        "By all other images, a mistake explains their labels better than an odd hand does: most are "
        "mislabelled, some hard to read. The likeliest come first.",
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
    "alike-names": FindingType(
        "class names that look alike",
        "warning",
        "Nobody can tell them apart on paper: they differ by a character without width, or by a letter's "
        "script. Perhaps one class was meant.",
        "give one folder to both, or call them apart",
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
        quality: of a likely label error: the probability that its label is right, in [0, 0.5].
        difference: of near duplicates: 1 - correlation, in [0, `near_duplicates.MAX_TWIN_DIFFERENCE`].
    """

    rows: tuple[int, ...] = ()
    what: str = ""
    suggested: str | None = None
    quality: float | None = None
    difference: float | None = None


Found: TypeAlias = tuple[str, Case]
"""What a check yields: a key of `FINDING_TYPES`, and a case of it, the worst first."""


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


def gather(found: Iterable[Found]) -> tuple[Finding, ...]:
    """Collect the cases of each kind into a finding, in the order of `FINDING_TYPES`."""
    cases: dict[str, list[Case]] = {kind: [] for kind in FINDING_TYPES}
    for kind, case in found:
        cases[kind].append(case)
    return tuple(Finding(kind, tuple(some)) for kind, some in cases.items() if some)


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


MIN_IMAGES_PER_CLASS: Final = 10
"""Classes with fewer training images are reported."""

MAX_CLASS_RATIO: Final = 10.0
"""Size of the largest class over that of the smallest with images; from here on it is reported."""


def count_classes(index: ImageIndex, classes: int) -> NDArray[np.int64]:
    """Count the images by part (as in `PART_NAMES`) and class, int64 [3, C]."""
    counts = np.bincount(index.part_of * classes + index.labels, minlength=len(PART_NAMES) * classes)
    return counts.reshape(len(PART_NAMES), classes)


def check_classes(counts: NDArray[np.int64], labels: tuple[str, ...], parts: list[int]) -> Iterator[Found]:
    """Check the counts int64 [3, C]; `parts` are the positions in `PART_NAMES` that have images."""
    train, *held_out = parts
    for label in np.argsort(counts[train], kind="stable").tolist():
        count = counts[train][label]
        if not count:
            yield "missing-class", Case(what=f"{labels[label]}: no image")
        elif count < MIN_IMAGES_PER_CLASS:
            yield "few", Case(what=f"{labels[label]}: {count}")
    for group in alike_names(labels):
        yield "alike-names", Case(what=describe_alike(group))
    for part in held_out:
        for label in np.flatnonzero((counts[part] == 0) & (counts[train] > 0)).tolist():
            yield "absent", Case(what=f"{labels[label]}: none in {PART_NAMES[part]}")
    totals = counts.sum(axis=0)
    ratio = imbalance(totals)
    if ratio is not None and ratio >= MAX_CLASS_RATIO:
        most, least = int(totals.argmax()), int(np.where(totals > 0, totals, totals.max()).argmin())
        sizes = f"{labels[most]}: {totals[most]:,}, {labels[least]}: {totals[least]:,}"
        yield "imbalance", Case(what=f"{sizes}, {ratio:,.0f} times fewer")


def imbalance(counts: NDArray[np.int64]) -> float | None:
    """Return the largest class over the smallest that has images; None if there are no images."""
    some = counts[counts > 0]
    return float(some.max() / some.min()) if some.size else None


def check_copies(index: ImageIndex, first: NDArray[np.int64], blank: Sequence[int]) -> Iterator[Found]:
    """Find the sets of equal images, each under the most serious findings that apply.

    Blank images equal one another, and are reported as blank.

    Args:
        first: from `first_equals`.
        blank: rows to leave out.
    """
    rows = np.setdiff1d(np.arange(len(index)), np.asarray(blank, np.int64))
    rows = rows[np.argsort(first[rows], kind="stable")]
    sets = np.split(rows, np.flatnonzero(np.diff(first[rows])) + 1)
    for members in sorted((rows for rows in sets if len(rows) > 1), key=len, reverse=True):
        differs = {
            "two-labels": _differ(index.labels, members),
            "crossing": _differ(index.part_of, members),
            "group-crossing": _differ(index.groups, members),
        }
        for kind in [kind for kind, true in differs.items() if true] or ["copies"]:
            yield kind, Case(tuple(members.tolist()))


def check_near(index: ImageIndex, first: NDArray[np.int64], blank: Sequence[int]) -> Iterator[Found]:
    """Find the near duplicates among distinct images, the nearest first."""
    rows = np.setdiff1d(np.unique(first), np.asarray(blank, np.int64))
    pairs, differences = near_pairs((index[row] for row in rows.tolist()), len(rows))
    for position in np.argsort(differences, kind="stable").tolist():
        pair = rows[pairs[position]]
        if _differ(index.labels, pair):
            kind = "near-two-labels"
        elif _differ(index.part_of, pair) or _differ(index.groups, pair):
            kind = "near-crossing"
        else:
            kind = "near-copies"
        yield kind, Case(tuple(pair.tolist()), difference=float(differences[position]))


def _differ(values: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> bool:
    return values is not None and bool((values[rows] != values[rows[0]]).any())


def check_files(problems: Iterable[SkippedFile]) -> Iterator[Found]:
    """Report lost images and manifest lines as errors, other skipped files as a warning.

    >>> found = check_files([SkippedFile("a/1.png", "truncated"), SkippedFile("notes.txt", "not an image")])
    >>> [(kind, case.what) for kind, case in found]
    [('unreadable', 'a/1.png: truncated'), ('foreign', 'notes.txt: not an image')]
    """
    for problem in problems:
        yield "unreadable" if problem.lost else "foreign", Case(what=one_line(str(problem)))


MIN_LONGER_SIDE_PX: Final = 8
"""A character cannot be read on fewer pixels of the longer side."""

MAX_DEVIATION_FACTOR: Final = 8.0
"""An image this many times larger, smaller or longer than the median is odd."""

DARK_ON_LIGHT: Final = 1
LIGHT_ON_DARK: Final = 0
UNCLEAR_POLARITY: Final = -1

MIN_BACKGROUND_BORDER_FRACTION: Final = 0.8
"""Of the border's pixels: ink that crosses an edge leaves at least this much background."""

MIN_INK_CONTRAST_LEVELS: Final = 128
"""Between the darkest and the lightest pixel; with less, an image without detected ink is blank."""


def check_sizes(index: ImageIndex) -> Iterator[Found]:
    """Find images that are tiny, or unlike the others in size or proportion."""
    if not len(index):
        return
    height, width = index.shapes.T
    longer = index.shapes.max(axis=1)
    size = longer / np.median(longer)
    aspect = width / height
    length = aspect / np.median(aspect)
    apart = np.maximum.reduce([size, 1 / size, length, 1 / length])
    odd = np.flatnonzero((apart > MAX_DEVIATION_FACTOR) | (longer < MIN_LONGER_SIDE_PX))
    for row in odd[np.argsort(-apart[odd], kind="stable")].tolist():
        yield "sizes", Case((row,), f"{width[row]} x {height[row]} px")


def polarities(index: ImageIndex) -> NDArray[np.int8]:
    """Return int8 [N]: `DARK_ON_LIGHT`, `LIGHT_ON_DARK`, or -1 if the border does not show which.

    The background is what most of the border is, on one side of Otsu's threshold.
    """
    found = np.full(len(index), UNCLEAR_POLARITY, np.int8)
    for row, image in enumerate(index):
        threshold, _ = cv2.threshold(image, 0, 255, cv2.THRESH_OTSU)
        border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
        light = np.count_nonzero(border > threshold) / border.size
        flat = image.min() == image.max()
        if not flat and not 1 - MIN_BACKGROUND_BORDER_FRACTION < light < MIN_BACKGROUND_BORDER_FRACTION:
            found[row] = DARK_ON_LIGHT if light >= MIN_BACKGROUND_BORDER_FRACTION else LIGHT_ON_DARK
    return found


def check_polarity(found: NDArray[np.int8]) -> Iterator[Found]:
    """Report mixed polarity: the cases are the images of the rarer one."""
    dark, light = np.flatnonzero(found == DARK_ON_LIGHT), np.flatnonzero(found == LIGHT_ON_DARK)
    fewer, what = (light, "light on dark") if len(light) <= len(dark) else (dark, "dark on light")
    for row in fewer.tolist():
        yield "polarity", Case((row,), what)


def check_ink(index: ImageIndex) -> Iterator[Found]:
    """Find images without ink for the preprocessing of kalamos: those that are blank, and the others."""
    for row, prepared in enumerate(prepare_each(index.__getitem__, len(index), Preprocessor(DEFAULT_STEPS))):
        if isinstance(prepared, NoInkError):
            yield "blank" if np.ptp(index[row]) < MIN_INK_CONTRAST_LEVELS else "no-ink", Case((row,))
