"""The checks, one function each.

Count the images of each class in each part, and check that they suffice.

Exact and near duplicates, classified by where they lie and how they are labelled.

Check the files that were skipped while the dataset was loaded.

Checks of single images: size, polarity, whether there is any ink.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import SkippedFile
from kalamos.datasets.dataset import prepare_each
from kalamos.errors import NoInkError
from kalamos.images import EXTENSIONS
from kalamos.inspection.issues import PART_NAMES, Case, Finding, ImageIndex
from kalamos.inspection.near_duplicates import near_pairs
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor
from kalamos.writers.base import one_line

__all__ = [
    "DARK_ON_LIGHT",
    "LIGHT_ON_DARK",
    "MIN_IMAGES_PER_CLASS",
    "check_classes",
    "check_copies",
    "check_files",
    "check_ink",
    "check_near",
    "check_polarity",
    "check_sizes",
    "count_classes",
    "distinct_pictures",
    "imbalance",
    "polarities",
]

MIN_IMAGES_PER_CLASS: Final = 10
"""Classes with fewer training images are reported."""

MAX_CLASS_RATIO: Final = 10.0
"""Size of the largest class over that of the smallest with images; from here on it is reported."""


def count_classes(index: ImageIndex, classes: int) -> NDArray[np.int64]:
    """Count the images by part (as in `PART_NAMES`) and class, int64 [3, C]."""
    counts = np.bincount(index.part_of * classes + index.labels, minlength=len(PART_NAMES) * classes)
    return counts.reshape(len(PART_NAMES), classes)


def check_classes(counts: NDArray[np.int64], labels: tuple[str, ...], parts: list[int]) -> list[Finding]:
    """Check the counts int64 [3, C]; `parts` are the positions in `PART_NAMES` that have images."""
    train, *held_out = parts
    missing = np.flatnonzero(counts[train] == 0)
    few = np.flatnonzero((counts[train] > 0) & (counts[train] < MIN_IMAGES_PER_CLASS))
    few = few[np.argsort(counts[train][few], kind="stable")]
    absent = [
        (part, label)
        for part in held_out
        for label in np.flatnonzero((counts[part] == 0) & (counts[train] > 0)).tolist()
    ]
    return [
        Finding(
            "missing-class", tuple(Case(what=f"{labels[label]}: no image") for label in missing.tolist())
        ),
        Finding(
            "few", tuple(Case(what=f"{labels[label]}: {counts[train][label]}") for label in few.tolist())
        ),
        Finding(
            "absent",
            tuple(Case(what=f"{labels[label]}: none in {PART_NAMES[part]}") for part, label in absent),
        ),
        Finding("imbalance", _imbalance(counts.sum(axis=0), labels)),
    ]


def _imbalance(counts: NDArray[np.int64], labels: tuple[str, ...]) -> tuple[Case, ...]:
    ratio = imbalance(counts)
    if ratio is None or ratio < MAX_CLASS_RATIO:
        return ()
    most, least = int(counts.argmax()), int(np.where(counts > 0, counts, counts.max()).argmin())
    what = f"{labels[most]}: {counts[most]:,}, {labels[least]}: {counts[least]:,}, {ratio:,.0f} times fewer"
    return (Case(what=what),)


def imbalance(counts: NDArray[np.int64]) -> float | None:
    """Return the largest class over the smallest that has images; None if there are no images."""
    some = counts[counts > 0]
    return float(some.max() / some.min()) if some.size else None


def distinct_pictures(index: ImageIndex) -> NDArray[np.int64]:
    """Return for each image the row of the first that equals it in size and pixels, int64 [N]."""
    seen: dict[bytes, int] = {}
    first = np.empty(len(index), np.int64)
    for row, image in enumerate(index):
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(image.tobytes())
        first[row] = seen.setdefault(digest.digest(), row)
    return first


def check_copies(index: ImageIndex, first: NDArray[np.int64], blank: Sequence[int]) -> list[Finding]:
    """Find the sets of equal images, each under the most serious findings that apply.

    Blank images equal one another, and are reported as blank.

    Args:
        first: from `distinct_pictures`.
        blank: rows to leave out.
    """
    rows = np.setdiff1d(np.arange(len(index)), np.asarray(blank, np.int64))
    rows = rows[np.argsort(first[rows], kind="stable")]
    sets = np.split(rows, np.flatnonzero(np.diff(first[rows])) + 1)
    cases: dict[str, list[Case]] = {
        kind: [] for kind in ("two-labels", "crossing", "group-crossing", "copies")
    }
    for members in sets:
        if len(members) < 2:
            continue
        said = {
            "two-labels": _differ(index.labels, members),
            "crossing": _differ(index.part_of, members),
            "group-crossing": _differ(index.groups, members),
        }
        case = Case(tuple(members.tolist()))
        for kind in [kind for kind, true in said.items() if true] or ["copies"]:
            cases[kind].append(case)
    return [
        Finding(kind, tuple(sorted(some, key=lambda case: -len(case.rows)))) for kind, some in cases.items()
    ]


def check_near(index: ImageIndex, first: NDArray[np.int64], blank: Sequence[int]) -> list[Finding]:
    """Find the near duplicates among distinct images, the nearest first."""
    rows = np.setdiff1d(np.unique(first), np.asarray(blank, np.int64))
    pairs, differences = near_pairs((index[row] for row in rows.tolist()), len(rows))
    cases: dict[str, list[Case]] = {"near-two-labels": [], "near-crossing": [], "near-copies": []}
    for position in np.argsort(differences, kind="stable").tolist():
        pair = rows[pairs[position]]
        if _differ(index.labels, pair):
            kind = "near-two-labels"
        elif _differ(index.part_of, pair) or _differ(index.groups, pair):
            kind = "near-crossing"
        else:
            kind = "near-copies"
        cases[kind].append(Case(tuple(pair.tolist()), difference=float(differences[position])))
    return [Finding(kind, tuple(some)) for kind, some in cases.items()]


def _differ(values: NDArray[np.int64] | None, rows: NDArray[np.int64]) -> bool:
    return values is not None and bool((values[rows] != values[rows[0]]).any())


_LINE = re.compile(r":\d+$")  # of a manifest


def check_files(problems: Iterable[SkippedFile]) -> list[Finding]:
    """Report lost images and manifest lines as errors, other skipped files as a warning.

    >>> found = check_files([SkippedFile("a/1.png", "truncated"), SkippedFile("notes.txt", "not an image")])
    >>> [(one.kind, one.cases[0].what) for one in found]
    [('unreadable', 'a/1.png: truncated'), ('foreign', 'notes.txt: not an image')]
    """
    cases: dict[str, list[Case]] = {"unreadable": [], "foreign": []}
    for problem in problems:
        # An escaped name stands in quotes.
        is_image = PurePath(problem.where.strip("'")).suffix.lower() in EXTENSIONS
        lost = is_image or _LINE.search(problem.where) is not None
        cases["unreadable" if lost else "foreign"].append(Case(what=one_line(str(problem))))
    return [Finding(kind, tuple(some)) for kind, some in cases.items()]


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


def check_sizes(index: ImageIndex) -> list[Finding]:
    """Find images that are tiny, or unlike the others in size or proportion."""
    if not len(index):
        return []
    height, width = index.shapes.T
    longer = index.shapes.max(axis=1)
    size = longer / np.median(longer)
    aspect = width / height
    length = aspect / np.median(aspect)
    apart = np.maximum.reduce([size, 1 / size, length, 1 / length])
    odd = np.flatnonzero((apart > MAX_DEVIATION_FACTOR) | (longer < MIN_LONGER_SIDE_PX))
    odd = odd[np.argsort(-apart[odd], kind="stable")]
    return [Finding("sizes", tuple(Case((row,), f"{width[row]} x {height[row]} px") for row in odd.tolist()))]


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


def check_polarity(found: NDArray[np.int8]) -> list[Finding]:
    """Report mixed polarity: the cases are the images of the rarer one."""
    dark, light = np.flatnonzero(found == DARK_ON_LIGHT), np.flatnonzero(found == LIGHT_ON_DARK)
    fewer, what = (light, "light on dark") if len(light) <= len(dark) else (dark, "dark on light")
    return [Finding("polarity", tuple(Case((row,), what) for row in fewer.tolist()))]


def check_ink(index: ImageIndex) -> tuple[Finding, Finding]:
    """Find images without ink for the preprocessing of kalamos: those that are blank, and the others."""
    blank: list[Case] = []
    other: list[Case] = []
    for row, prepared in enumerate(prepare_each(index.__getitem__, len(index), Preprocessor(DEFAULT_STEPS))):
        if isinstance(prepared, NoInkError):
            contrast = int(np.ptp(index[row]))
            (blank if contrast < MIN_INK_CONTRAST_LEVELS else other).append(Case((row,)))
    return Finding("blank", tuple(blank)), Finding("no-ink", tuple(other))
