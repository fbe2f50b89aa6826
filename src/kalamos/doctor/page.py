"""An inspection as one HTML page."""

from __future__ import annotations

import numpy as np

from kalamos._version import __version__
from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.pool import PART_NAMES, ImageIndex
from kalamos.doctor.summary import case_note, measured, verdict
from kalamos.evaluation.html import render_page

__all__ = ["inspection_page", "sample_of_class"]

MAX_CASES, MAX_IMAGES_PER_CASE, MAX_CLASSES, MAX_IMAGES_PER_CLASS = 30, 6, 120, 40
"""Cases of a finding, images of a case, classes with images and their images on the page: some megabytes."""


def inspection_page(inspection: InspectionReport) -> str:
    """Render the page as HTML."""
    pool, labels = inspection.images, inspection.dataset.alphabet.labels
    totals, parts = inspection.counts.sum(axis=0), pool.parts()
    return render_page(
        "inspection.html",
        title=f"{inspection.dataset.name}: inspection",
        inspection=inspection,
        pool=pool,
        verdict=_capital(verdict(inspection)),
        measured=measured(inspection),
        case_note=case_note,
        capital=_capital,
        parts=[PART_NAMES[part] for part in parts],
        classes=[
            {
                "label": label,
                "counts": inspection.counts[list(parts), position],
                "total": totals[position],
                "sample": sample_of_class(pool, position),
            }
            for position, label in enumerate(labels)
        ],
        largest=max(int(totals.max(initial=0)), 1),
        max_cases=MAX_CASES,
        max_images=MAX_IMAGES_PER_CASE,
        max_classes=MAX_CLASSES,
        version=__version__,
    )


def sample_of_class(pool: ImageIndex, label: int, *, seed: int = 0) -> list[int]:
    """Draw at most 40 rows of a class at random, and return them in order."""
    members = np.flatnonzero(pool.labels == label)
    drawn = np.random.default_rng(seed).permutation(members)[:MAX_IMAGES_PER_CLASS]
    rows: list[int] = np.sort(drawn).tolist()
    return rows


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
