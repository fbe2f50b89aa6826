"""A diagnosis for programs: plain JSON types under stable keys."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.doctor.classes import imbalance
from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.picture import DARK_ON_LIGHT, LIGHT_ON_DARK
from kalamos.doctor.pool import PART_NAMES, ImageIndex
from kalamos.writers.escape import one_line

__all__ = ["as_record"]


def as_record(diagnosis: InspectionReport) -> dict[str, Any]:
    """Everything found, no case left out.

    ```
    kalamos_version, dataset, source, grouped_by (or null)
    errors, warnings          how many findings of either severity
    images                    in all; parts: {"train": 60000, "test": 10000}
    classes                   [{"label": "0", "train": 5923, "test": 980}, ...]
    imbalance                 largest class / smallest that has images; null without images
    sizes                     {"width": {"min", "median", "max"}, "height": {...}} in px; null without images
    polarity                  {"dark_on_light", "light_on_dark", "unclear"}, images of each
    label_check               {"judged", "of", "accuracy", "skipped"}; null where it was not asked for
    findings                  [{"kind", "severity", "title", "meaning", "remedy", "count", "cases"}, ...]
      cases                   [{"images", "what", "suggested", "quality", "difference"}, ...]
        images                [{"part", "index", "label", "name", "group"}, ...]
    ```

    Kinds are the keys of `findings.FINDING_TYPES`; `index` counts in the dataset's test split for the part
    `test`, else in its train split; "what" and "name" may be empty, "suggested", "quality",
    "difference" and "group" null.
    """
    pool, labels = diagnosis.images, diagnosis.dataset.alphabet.labels
    parts = pool.parts()
    check = diagnosis.labels
    return {
        "kalamos_version": __version__,
        "dataset": one_line(diagnosis.dataset.name),
        "source": one_line(diagnosis.dataset.source),
        "grouped_by": diagnosis.dataset.grouped_by,
        "errors": len(diagnosis.errors),
        "warnings": len(diagnosis.warnings),
        "images": len(pool),
        "parts": {PART_NAMES[part]: int(diagnosis.counts[part].sum()) for part in parts},
        "classes": [
            {"label": label, **{PART_NAMES[part]: int(diagnosis.counts[part, position]) for part in parts}}
            for position, label in enumerate(labels)
        ],
        "imbalance": imbalance(diagnosis.counts.sum(axis=0)),
        "sizes": _sizes(pool.shapes),
        "polarity": {
            name: int(np.count_nonzero(diagnosis.polarities == value))
            for name, value in (
                ("dark_on_light", DARK_ON_LIGHT),
                ("light_on_dark", LIGHT_ON_DARK),
                ("unclear", -1),
            )
        },
        "label_check": None
        if check is None
        else {
            "judged": check.judged,
            "of": check.of,
            "accuracy": check.accuracy,
            "skipped": check.skipped,
        },
        "findings": [_finding(finding, pool) for finding in diagnosis.findings],
    }


def _finding(finding: Finding, pool: ImageIndex) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.about.severity,
        "title": finding.about.title,
        "meaning": finding.about.meaning,
        "remedy": finding.about.remedy,
        "count": len(finding.cases),
        "cases": [_case(case, pool) for case in finding.cases],
    }


def _case(case: Case, pool: ImageIndex) -> dict[str, Any]:
    return {
        "images": [_image(row, pool) for row in case.rows],
        "what": case.what,
        "suggested": case.suggested,
        "quality": case.quality,
        "difference": case.difference,
    }


def _image(row: int, pool: ImageIndex) -> dict[str, Any]:
    place = pool.place(row)
    group = None if pool.groups is None else int(pool.groups[row])
    return {
        "part": place.part,
        "index": place.index,
        "label": place.label,
        "name": place.name,
        "group": group,
    }


def _sizes(shapes: NDArray[np.int64]) -> dict[str, dict[str, float]] | None:
    if not len(shapes):
        return None
    return {
        name: {
            "min": int(values.min()),
            "median": float(np.median(values)),
            "max": int(values.max()),
        }
        for name, values in (("width", shapes[:, 1]), ("height", shapes[:, 0]))
    }
