"""The report of an inspection: on a terminal, as one HTML page, and as JSON under stable keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.datasets.class_names import list_names
from kalamos.evaluation.reporting import render_page, report_json, save_file, save_files
from kalamos.inspection import InspectionReport
from kalamos.inspection.checks import (
    DARK_ON_LIGHT,
    LIGHT_ON_DARK,
    PART_NAMES,
    Case,
    Finding,
    ImageIndex,
    imbalance,
)
from kalamos.inspection.label_errors import LabelCheck
from kalamos.writers.base import one_line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["as_record", "inspection_page", "print_report", "sample_of_class", "write_report"]

MAX_IMAGES_NAMED: Final = 3
"""Images of a case that are named on a terminal."""

SEVERITY_STYLES: Final = {"error": "bold red", "warning": "yellow"}

MAX_CASES: Final = 30
MAX_IMAGES_PER_CASE: Final = 6
MAX_CLASSES: Final = 120
MAX_IMAGES_PER_CLASS: Final = 40
"""Limits of the page, which keep it to a few megabytes."""

PAGE_SUFFIXES: Final = frozenset({".html", ".htm"})


def verdict(report: InspectionReport) -> str:
    """Count the errors and warnings; a finding counts once, however many cases it has."""
    errors, warnings = len(report.errors), len(report.warnings)
    if not errors and not warnings:
        return "nothing wrong was found"
    return f"{_many(errors, 'error')}, {_many(warnings, 'warning')}"


def measured(report: InspectionReport) -> dict[str, str]:
    """Describe what was measured, in one line each, by name."""
    index, counts = report.images, report.counts.sum(axis=0)
    parts = ", ".join(f"{PART_NAMES[part]} {report.counts[part].sum():,}" for part in index.parts())
    lines = {"images": f"{len(index):,}   ({parts})", "classes": list_names(report.dataset.alphabet.labels)}
    ratio = imbalance(counts)
    if ratio is not None:
        lines["classes"] += f"; of {_range(counts)} images; largest / smallest {ratio:,.1f}"
    if report.dataset.grouped_by is not None and index.groups is not None:
        lines["groups"] = f"{len(np.unique(index.groups)):,}, by {one_line(report.dataset.grouped_by)}"
    if len(index):
        heights, widths = index.shapes.T
        lines["sizes"] = f"width {_range(widths)} px, height {_range(heights)} px"
    dark = np.count_nonzero(report.polarities == DARK_ON_LIGHT)
    light = np.count_nonzero(report.polarities == LIGHT_ON_DARK)
    lines["polarity"] = f"dark on light {dark:,}, light on dark {light:,}"
    if dark + light < len(index):
        lines["polarity"] += f", not clear {len(index) - dark - light:,}"
    return {**lines, "labels": _labels(report.labels)}


def case_note(case: Case) -> str:
    """Describe a case in a few words, beside its images."""
    if case.suggested is not None and case.quality is not None:
        return f"looks like {case.suggested}, label fits {_small(case.quality)}"
    if case.difference is not None:
        return f"differ by {_small(case.difference)}"
    return case.what


def _labels(check: LabelCheck | None) -> str:
    if check is None:
        return "not checked"
    if check.accuracy is None:
        return f"not checked: {check.skipped}"
    return f"{check.judged:,} of {check.of:,} checked; {check.accuracy:.1%} look most like their own class"


def _range(values: NDArray[np.int64]) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,} (median {np.median(values):,.0f})"


def _small(share: float) -> str:
    return "< 0.01%" if share < 1e-4 else f"{share:.2%}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}" + ("" if count == 1 else "s")


def print_report(console: Console, report: InspectionReport, *, most: int) -> None:
    """Print every finding with `most` of its cases, then a line for everything measured.

    Each line holds one thing, however long: a terminal wraps it, a pipe does not.
    """
    from rich.text import Text

    def say(*pieces: str | tuple[str, str]) -> None:
        console.print(Text.assemble(*pieces), soft_wrap=True)

    dataset = report.dataset
    say((one_line(dataset.name), "bold"), f": {verdict(report)}   ({one_line(dataset.source)})")
    for finding in report.findings:
        about = finding.about
        say(
            "\n",
            (f"{about.severity:<9}", SEVERITY_STYLES[about.severity]),
            (str(finding), "bold"),
        )
        for line in _case_lines(finding, report.images, most):
            say(f"{'':<9}", line)
        say(f"{'':<9}", (f"→ {about.remedy}", "dim"))
    say()
    for name, text in measured(report).items():
        say((f"{name:<9}", "bold"), text)


def _case_lines(finding: Finding, index: ImageIndex, most: int) -> Iterator[str]:
    for case in finding.cases[:most]:
        yield _case_line(case, index)
    left = len(finding.cases) - most
    if left > 0:
        yield f"and {left:,} more"


def _case_line(case: Case, index: ImageIndex) -> str:
    places = [index.place(row) for row in case.rows[:MAX_IMAGES_NAMED]]
    named = [f"{place.label}  {place}" for place in places]
    if len(case.rows) > MAX_IMAGES_NAMED:
        named.append(f"{len(case.rows) - MAX_IMAGES_NAMED:,} more")
    note = case_note(case)
    return "   ".join(filter(None, [" | ".join(named), note]))


def inspection_page(report: InspectionReport) -> str:
    """Render the page as HTML."""
    index, labels = report.images, report.dataset.alphabet.labels
    totals, parts = report.counts.sum(axis=0), index.parts()
    return render_page(
        "inspection.html",
        title=f"{report.dataset.name}: inspection",
        inspection=report,
        pool=index,
        verdict=_capital(verdict(report)),
        measured=measured(report),
        case_note=case_note,
        capital=_capital,
        parts=[PART_NAMES[part] for part in parts],
        classes=[
            {
                "label": label,
                "counts": report.counts[list(parts), position],
                "total": totals[position],
                "sample": sample_of_class(index, position),
            }
            for position, label in enumerate(labels)
        ],
        largest=max(int(totals.max(initial=0)), 1),
        max_cases=MAX_CASES,
        max_images=MAX_IMAGES_PER_CASE,
        max_classes=MAX_CLASSES,
        version=__version__,
    )


def sample_of_class(index: ImageIndex, label: int, *, seed: int = 0) -> list[int]:
    """Draw at most 40 rows of a class at random, and return them in order."""
    members = np.flatnonzero(index.labels == label)
    drawn = np.random.default_rng(seed).permutation(members)[:MAX_IMAGES_PER_CLASS]
    rows: list[int] = np.sort(drawn).tolist()
    return rows


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def as_record(report: InspectionReport) -> dict[str, Any]:
    """Return all findings with all their cases, as plain JSON types.

    ```
    kalamos_version, dataset, source, grouped_by (or null)
    errors, warnings          how many findings of either severity
    images                    in all; parts: {"train": 60000, "test": 10000}
    classes                   [{"label": "0", "train": 5923, "test": 980}, ...]
    imbalance                 largest class / smallest that has images; null without images
    sizes                     {"width": {"min", "median", "max"}, "height": {...}} in px; null without images
    polarity                  {"dark_on_light", "light_on_dark", "unclear"}, images of each
    label_check               {"judged", "of", "accuracy", "skipped"}; null if it was not requested
    findings                  [{"kind", "severity", "title", "meaning", "remedy", "count", "cases"}, ...]
      cases                   [{"images", "what", "suggested", "quality", "difference"}, ...]
        images                [{"part", "index", "label", "name", "group"}, ...]
    ```

    Kinds are the keys of `FINDING_TYPES`; `index` counts in the dataset's test split for the part
    `test`, else in its train split; "what" and "name" may be empty, "suggested", "quality",
    "difference" and "group" null.
    """
    index, labels = report.images, report.dataset.alphabet.labels
    parts = index.parts()
    check = report.labels
    return {
        "kalamos_version": __version__,
        "dataset": one_line(report.dataset.name),
        "source": one_line(report.dataset.source),
        "grouped_by": report.dataset.grouped_by,
        "errors": len(report.errors),
        "warnings": len(report.warnings),
        "images": len(index),
        "parts": {PART_NAMES[part]: int(report.counts[part].sum()) for part in parts},
        "classes": [
            {"label": label, **{PART_NAMES[part]: int(report.counts[part, position]) for part in parts}}
            for position, label in enumerate(labels)
        ],
        "imbalance": imbalance(report.counts.sum(axis=0)),
        "sizes": _sizes(index.shapes),
        "polarity": {
            name: int(np.count_nonzero(report.polarities == value))
            for name, value in (
                ("dark_on_light", DARK_ON_LIGHT),
                ("light_on_dark", LIGHT_ON_DARK),
                ("unclear", -1),
            )
        },
        "label_check": None if check is None else asdict(check),
        "findings": [_finding(finding, index) for finding in report.findings],
    }


def _finding(finding: Finding, index: ImageIndex) -> dict[str, Any]:
    return {
        "kind": finding.kind,
        "severity": finding.about.severity,
        "title": finding.about.title,
        "meaning": finding.about.meaning,
        "remedy": finding.about.remedy,
        "count": len(finding.cases),
        "cases": [_case(case, index) for case in finding.cases],
    }


def _case(case: Case, index: ImageIndex) -> dict[str, Any]:
    fields = asdict(case)
    return {"images": [_image(row, index) for row in fields.pop("rows")], **fields}


def _image(row: int, index: ImageIndex) -> dict[str, Any]:
    return {**asdict(index.place(row)), "group": None if index.groups is None else int(index.groups[row])}


def _sizes(shapes: NDArray[np.int64]) -> dict[str, dict[str, float]] | None:
    if not len(shapes):
        return None
    return {
        name: {"min": int(side.min()), "median": float(np.median(side)), "max": int(side.max())}
        for name, side in (("width", shapes[:, 1]), ("height", shapes[:, 0]))
    }


def write_report(target: Path, report: InspectionReport) -> None:
    """Write the page, or a folder with `inspection.html` and `inspection.json`.

    Args:
        target: a file called .html or .htm; any other name is that of a folder.

    Raises:
        OutputError: a file or the folder cannot be written.
    """
    page = inspection_page(report)
    if target.suffix.lower() in PAGE_SUFFIXES:
        save_file(target, page)
        return
    save_files(target, {"inspection.html": page, "inspection.json": report_json(as_record(report))})
