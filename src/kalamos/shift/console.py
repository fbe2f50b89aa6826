"""The suite's figures on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from kalamos.evaluation.html import percent, print_figures, print_table
from kalamos.shift.catalogue import STRENGTHS
from kalamos.shift.report import ALL, ShiftReport

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from kalamos.evaluation.evaluate import EvalTarget

__all__ = ["print_shift"]

WORST_CORRUPTIONS_NAMED = 3


def print_shift(console: Console, report: ShiftReport, subject: EvalTarget) -> None:
    """Print the figures, then a row for each corruption."""
    title = f"{subject}, shift suite, n = {report.n:,}, seed {report.seed}"
    print_figures(console, title, _figures(report))
    heads = ("accuracy at strength", *map(str, STRENGTHS), "mean", "no ink")
    print_table(console, heads, _rows(report))


def _figures(report: ShiftReport) -> list[tuple[str, str]]:
    corrupted = len(report.cells) * report.n
    worst = ", ".join(f"{name} {report.accuracy(name):.2%}" for name in report.worst(WORST_CORRUPTIONS_NAMED))
    figures = [("clean", str(report.clean))]
    figures += [("mean" if group == ALL else group, str(mean)) for group, mean in report.means.items()]
    figures += [
        ("worst", worst),
        ("calibration", f"ECE {percent(report.ece)}   mean confidence {percent(report.mean_confidence)}"),
    ]
    if report.no_ink:
        figures.append(("no ink", f"{report.no_ink:,} of {corrupted:,} corrupted images, counted as wrong"))
    return figures


def _rows(report: ShiftReport) -> Iterator[Sequence[str | Text]]:
    from rich.text import Text

    group = ""
    for name in report.names:
        cells = report.of(name)
        if cells[0].group != group:
            group = cells[0].group
            yield (Text(group, "dim"),)
        blank = sum(cell.no_ink for cell in cells)
        shares = (f"{cell.accuracy:.2%}" for cell in cells)
        yield f"  {name}", *shares, f"{report.accuracy(name):.2%}", f"{blank:,}" if blank else ""
