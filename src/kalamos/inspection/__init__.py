"""Inspection of a dataset: what is wrong with it, before a network learns it. Nothing is changed.

```
checks ─ label_errors ─┐
      ─ orientation ──┴─ inspect() ─ report (console, JSON, HTML)
```

>>> import numpy as np
>>> from kalamos.alphabets import Alphabet
>>> from kalamos.datasets import Dataset, Split
>>> images = np.zeros((2, 28, 28), np.uint8)
>>> images[:, 8:20, 12:16] = 255
>>> twice = Dataset("twice", Alphabet("ab", ("a", "b")), Split(images, np.array([0, 1])), None, "me")
>>> [str(finding) for finding in inspect(twice, labels=False).errors]
['equal images under different labels: 1 set of 2 images']
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import ClassFolders, Dataset, load_dataset
from kalamos.datasets.copies import first_equals
from kalamos.inspection.checks import (
    FINDING_TYPES,
    Case,
    Finding,
    FindingType,
    ImageIndex,
    check_classes,
    check_copies,
    check_files,
    check_ink,
    check_near,
    check_polarity,
    check_sizes,
    count_classes,
    gather,
    polarities,
)
from kalamos.inspection.label_errors import LabelCheck, check_labels
from kalamos.inspection.orientation import find_turn

__all__ = [
    "DEFAULT_LABEL_SAMPLE",
    "FINDING_TYPES",
    "Case",
    "Finding",
    "FindingType",
    "InspectionReport",
    "inspect",
]

DEFAULT_LABEL_SAMPLE: Final = 50_000
"""Images whose labels are checked: a minute of one core."""


@dataclass(frozen=True, repr=False)
class InspectionReport:
    """The problems of a dataset, and what was measured to find them.

    Attributes:
        dataset: the one inspected.
        images: its images by row number; the cases of the findings hold such numbers.
        counts: images by part and class, int64 [3, C], parts as in `checks.PART_NAMES`.
        polarities: int8 [N], 1 dark on light, 0 light on dark, -1 if the border does not show which.
        labels: how the labels were checked; None if they were not.
        findings: errors, then warnings; empty if nothing is wrong.
    """

    dataset: Dataset
    images: ImageIndex
    counts: NDArray[np.int64]
    polarities: NDArray[np.int8]
    labels: LabelCheck | None
    findings: tuple[Finding, ...]

    def __repr__(self) -> str:
        kinds = ", ".join(finding.kind for finding in self.findings) or "no findings"
        classes = len(self.dataset.alphabet)
        return (
            f"InspectionReport({self.dataset.name!r}, {len(self.images)} images, {classes} classes: {kinds})"
        )

    @property
    def errors(self) -> tuple[Finding, ...]:
        """The findings that make the data, or a figure measured on it, wrong."""
        return tuple(finding for finding in self.findings if finding.about.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """The findings that a person should look at."""
        return tuple(finding for finding in self.findings if finding.about.severity == "warning")


def inspect(
    dataset: Dataset | str | os.PathLike[str],
    *,
    labels: bool = True,
    sample: int = DEFAULT_LABEL_SAMPLE,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    classes: ClassFolders | None = None,
) -> InspectionReport:
    """Find what is wrong with a dataset: damaged files, duplicates, leaks between splits, wrong labels.

    Args:
        dataset: a `Dataset` (splits may be empty), or whatever `load_dataset` reads: a name, a folder with
            one sub-folder per class, a CSV manifest, a zip archive of either.
        labels: also look for likely label errors.
        sample: look for label errors in about this many images, a stratified random sample; all other
            checks read all images.
        seed: random seed of that sample, and of the one that is held against the shipped models.
        data_dir: folder of the named datasets; see `load_dataset`.
        classes: which folders name the classes; see `load_dataset`.

    Raises:
        DatasetError: the dataset cannot be loaded.

    >>> import tempfile
    >>> import cv2
    >>> from pathlib import Path
    >>> stroke = np.zeros((28, 28), np.uint8)
    >>> stroke[8:20, 12:16] = 255
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for label in ("a", "b"):
    ...         Path(folder, label).mkdir()
    ...         _ = cv2.imwrite(f"{folder}/{label}/1.png", stroke)
    ...     report = inspect(folder, labels=False)
    >>> [str(finding) for finding in report.errors]
    ['equal images under different labels: 1 set of 2 images']
    >>> [report.images.place(row).name for row in report.errors[0].cases[0].rows]
    ['a/1.png', 'b/1.png']
    """
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, data_dir, classes=classes)
    index = ImageIndex(dataset)
    alphabet = dataset.alphabet.labels
    counts = count_classes(index, len(alphabet))
    directions = polarities(index)
    without_ink = list(check_ink(index))
    blank_rows = [case.rows[0] for kind, case in without_ink if kind == "blank"]
    first = first_equals(index)
    found = [
        *check_files(dataset.problems),
        *check_classes(counts, alphabet, index.parts()),
        *check_sizes(index),
        *check_polarity(directions),
        *without_ink,
        *check_copies(index, first, blank_rows),
        *check_near(index, first, blank_rows),
    ]
    turned = find_turn(index, alphabet, seed)
    if turned is not None:
        found.append(("turned", Case(what=turned)))
    label_check = None
    if labels:
        # Only the first of equal images: a copy in training would give another's label away.
        candidates = np.setdiff1d(np.unique(first), np.asarray(blank_rows, np.int64))
        label_check, suspects = check_labels(index, candidates, alphabet, sample=sample, seed=seed)
        found += suspects
    return InspectionReport(dataset, index, counts, directions, label_check, gather(found))
