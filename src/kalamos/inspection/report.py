"""Inspection report: console, JSON and HTML.

What was measured, in one line each: for the terminal and for the page.

A diagnosis on a terminal: what is wrong first, then the rest.

An inspection as one HTML page.

A diagnosis for programs: plain JSON types under stable keys.

The files of an inspection.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.evaluation.reporting import render_page, report_json, save_file, save_files
from kalamos.inspection import InspectionReport
from kalamos.inspection.checks import DARK_ON_LIGHT, LIGHT_ON_DARK, imbalance
from kalamos.inspection.issues import PART_NAMES, Case, Finding, ImageIndex
from kalamos.writers.base import one_line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_record", "inspection_page", "print_diagnosis", "sample_of_class", "write_report"]

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


MAX_IMAGES_NAMED = 3
"""Images of one case that are named."""

SEVERITY_STYLES = {"error": "bold red", "warning": "yellow"}


def print_diagnosis(console: Console, diagnosis: InspectionReport, *, most: int) -> None:
    """Print every finding with `most` of its cases, then a line for everything measured.

    Each line holds one thing, however long: a terminal wraps it, a pipe does not.
    """
    from rich.text import Text

    def say(*pieces: str | tuple[str, str]) -> None:
        console.print(Text.assemble(*pieces), soft_wrap=True)

    dataset = diagnosis.dataset
    say((one_line(dataset.name), "bold"), f": {verdict(diagnosis)}   ({one_line(dataset.source)})")
    for finding in diagnosis.findings:
        about = finding.about
        say(
            "\n",
            (f"{about.severity:<9}", SEVERITY_STYLES[about.severity]),
            (str(finding), "bold"),
        )
        for line in _cases(finding, diagnosis.images, most):
            say(f"{'':<9}", line)
        say(f"{'':<9}", (f"→ {about.remedy}", "dim"))
    say()
    for name, told in measured(diagnosis).items():
        say((f"{name:<9}", "bold"), told)


def _cases(finding: Finding, pool: ImageIndex, most: int) -> Iterator[str]:
    for case in finding.cases[:most]:
        yield _told(case, pool)
    left = len(finding.cases) - most
    if left > 0:
        yield f"and {left:,} more"


def _told(case: Case, pool: ImageIndex) -> str:
    places = [pool.place(row) for row in case.rows[:MAX_IMAGES_NAMED]]
    named = [f"{place.label}  {place}" for place in places]
    if len(case.rows) > MAX_IMAGES_NAMED:
        named.append(f"{len(case.rows) - MAX_IMAGES_NAMED:,} more")
    note = case_note(case)
    return "   ".join(filter(None, [" | ".join(named), note]))


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


PAGE_SUFFIXES = frozenset({".html", ".htm"})


def write_report(target: Path, inspection: InspectionReport) -> None:
    """Write the page, or a folder with `inspection.html` and `inspection.json`.

    Args:
        target: a file called .html or .htm; any other name is that of a folder.

    Raises:
        OutputError: a file or the folder cannot be written.
    """
    page = inspection_page(inspection)
    if target.suffix.lower() in PAGE_SUFFIXES:
        save_file(target, page)
        return
    save_files(target, {"inspection.html": page, "inspection.json": report_json(as_record(inspection))})
