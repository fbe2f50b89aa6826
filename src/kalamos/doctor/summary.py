"""What was measured, in one line each: for the terminal and for the page."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.doctor.classes import imbalance
from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.findings import Case
from kalamos.doctor.picture import DARK_ON_LIGHT, LIGHT_ON_DARK
from kalamos.doctor.pool import PART_NAMES
from kalamos.writers.escape import one_line

__all__ = ["case_note", "measured", "verdict"]

UNRELIABLE = 0.9
"""A classifier that agrees with fewer of the labels is mostly wrong itself where it contradicts."""


def verdict(diagnosis: InspectionReport) -> str:
    """How many errors and warnings there are.

    A finding counts once, however many cases it has.
    """
    errors, warnings = len(diagnosis.errors), len(diagnosis.warnings)
    if not errors and not warnings:
        return "nothing wrong was found"
    return f"{_many(errors, 'error')}, {_many(warnings, 'warning')}"


def measured(diagnosis: InspectionReport) -> dict[str, str]:
    """Name -> what was measured."""
    pool, counts = diagnosis.images, diagnosis.counts.sum(axis=0)
    parts = ", ".join(f"{PART_NAMES[part]} {diagnosis.counts[part].sum():,}" for part in pool.parts())
    told = {"images": f"{len(pool):,}   ({parts})"}
    classes = f"{len(counts):,}"
    ratio = imbalance(counts)
    if ratio is not None:
        classes += f", of {_range(counts)} images; largest / smallest {ratio:,.1f}"
        height, width = pool.shapes.T
        told["sizes"] = ", ".join(
            f"{name} {_range(values)} px" for name, values in (("width", width), ("height", height))
        )
    told["classes"] = classes
    if diagnosis.dataset.grouped_by is not None and pool.groups is not None:
        told["groups"] = f"{len(np.unique(pool.groups)):,}, by {one_line(diagnosis.dataset.grouped_by)}"
    dark = np.count_nonzero(diagnosis.polarities == DARK_ON_LIGHT)
    light = np.count_nonzero(diagnosis.polarities == LIGHT_ON_DARK)
    told["polarity"] = f"dark on light {dark:,}, light on dark {light:,}"
    if dark + light < len(pool):
        told["polarity"] += f", not clear {len(pool) - dark - light:,}"
    told["labels"] = _labels(diagnosis)
    return {
        name: told[name]
        for name in ("images", "classes", "groups", "sizes", "polarity", "labels")
        if name in told
    }


def case_note(case: Case) -> str:
    """What is said of a case beside its images."""
    if case.suggested is not None and case.quality is not None:
        return f"looks like {case.suggested}, label fits {_small(case.quality)}"
    if case.difference is not None:
        return f"differ by {_small(case.difference)}"
    return case.what


def _labels(diagnosis: InspectionReport) -> str:
    check = diagnosis.labels
    if check is None:
        return "not checked"
    if check.accuracy is None:
        return f"not checked: {check.skipped}"
    told = f"{check.judged:,} of {check.of:,} checked; a quick classifier agrees with {check.accuracy:.1%}"
    return told if check.accuracy >= UNRELIABLE else f"{told}, so most suspects may be its own mistakes"


def _range(values: NDArray[np.int64]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,} (median {np.median(values):,.0f})"


def _small(share: float) -> str:
    return "< 0.01%" if share < 1e-4 else f"{share:.2%}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")
