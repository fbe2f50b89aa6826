"""The suite's figures on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalamos.evaluation.html import percent
from kalamos.shift.catalogue import STRENGTHS
from kalamos.shift.report import ALL, ShiftReport

if TYPE_CHECKING:
    from rich.console import Console

    from kalamos.evaluation.evaluate import EvalTarget

__all__ = ["print_shift"]

WORST = 3


def print_shift(console: Console, report: ShiftReport, subject: EvalTarget) -> None:
    """Print the figures, then a row for each corruption."""
    console.print(
        f"{subject}, shift suite, n = {report.n:,}, seed {report.seed}", markup=False, soft_wrap=True
    )
    for name, told in _figures(report):
        console.print(f"  {name:<12} {told}", markup=False, soft_wrap=True)
    _print_table(console, report)


def _figures(report: ShiftReport) -> list[tuple[str, str]]:
    corrupted = len(report.cells) * report.n
    worst = ", ".join(f"{name} {report.accuracy(name):.2%}" for name in report.worst(WORST))
    figures = [("clean", str(report.clean))]
    figures += [("mean" if group == ALL else group, str(mean)) for group, mean in report.means.items()]
    figures += [
        ("worst", worst),
        ("calibration", f"ECE {percent(report.ece)}   mean confidence {percent(report.mean_confidence)}"),
    ]
    if report.no_ink:
        figures.append(("no ink", f"{report.no_ink:,} of {corrupted:,} corrupted images, counted as wrong"))
    return figures


def _print_table(console: Console, report: ShiftReport) -> None:
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    table.add_column("accuracy at strength")
    for head in (*map(str, STRENGTHS), "mean", "no ink"):
        table.add_column(head, justify="right")
    group = ""
    for name in report.names:
        cells = report.of(name)
        if cells[0].group != group:
            group = cells[0].group
            table.add_row(f"[dim]{group}[/dim]")
        blank = sum(cell.no_ink for cell in cells)
        shares = (f"{cell.accuracy:.2%}" for cell in cells)
        table.add_row(f"  {name}", *shares, f"{report.accuracy(name):.2%}", f"{blank:,}" if blank else "")
    console.print()
    console.print(table)
