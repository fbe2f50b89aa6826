"""Run all checks over a dataset."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.doctor.classes import check_classes, count_classes
from kalamos.doctor.copies import check_copies, check_near, distinct_pictures
from kalamos.doctor.files import check_files
from kalamos.doctor.findings import Finding, gather
from kalamos.doctor.picture import check_ink, check_polarity, check_sizes, polarities
from kalamos.doctor.pool import Pool
from kalamos.doctor.suspects import LabelCheck, check_labels, require_cleanlab

__all__ = ["SAMPLE", "Diagnosis", "examine"]

SAMPLE = 50_000
"""Images whose labels are checked: a quarter of a minute of one core."""


@dataclass(frozen=True)
class Diagnosis:
    """What the doctor found, and what he measured on the way.

    Attributes:
        dataset: the one examined.
        pool: its images by row; the cases of the findings speak in these rows.
        counts: images by part and class, int64 [3, C], parts as in `pool.PARTS`.
        polarities: int8 [N], 1 dark on light, 0 light on dark, -1 where the border does not tell.
        labels: how the labels were checked; None where they were not.
        findings: errors, then warnings; nothing that is as it should be.
    """

    dataset: Dataset
    pool: Pool
    counts: NDArray[np.int64]
    polarities: NDArray[np.int8]
    labels: LabelCheck | None
    findings: tuple[Finding, ...]

    @property
    def errors(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.about.severity == "error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.about.severity == "warning")


def examine(dataset: Dataset, *, labels: bool = True, sample: int = SAMPLE, seed: int = 0) -> Diagnosis:
    """Examine a dataset.

    Args:
        dataset: any, empty splits included.
        labels: also look for likely label errors, which needs `kalamos[doctor]`.
        sample: on about so many images, drawn by `seed`; all other checks take all images.

    Raises:
        MissingExtraError: `labels`, and cleanlab is not installed; raised before anything is looked at.
    """
    if labels:
        require_cleanlab()
    pool = Pool(dataset)
    alphabet = dataset.alphabet.labels
    counts = count_classes(pool, len(alphabet))
    directions = polarities(pool)
    blank, no_ink = check_ink(pool)
    blank_rows = [case.rows[0] for case in blank.cases]
    first = distinct_pictures(pool)
    findings = [
        *check_files(dataset.problems),
        *check_classes(counts, alphabet, pool.parts()),
        *check_sizes(pool),
        *check_polarity(directions),
        blank,
        no_ink,
        *check_copies(pool, first, blank_rows),
        *check_near(pool, first, blank_rows),
    ]
    label_check = None
    if labels:
        # Of copies the first: one in training would give another's label away.
        candidates = np.setdiff1d(np.unique(first), np.asarray(blank_rows, np.int64))
        label_check, suspects = check_labels(pool, candidates, alphabet, sample=sample, seed=seed)
        findings += suspects
    return Diagnosis(dataset, pool, counts, directions, label_check, gather(findings))
