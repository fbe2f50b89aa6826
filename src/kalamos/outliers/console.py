"""Outliers on a terminal: a row for each set, then what the columns mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.html import print_lines, print_table
from kalamos.outliers.measure import TARGET, OutlierReport, SetResult

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["figures_of", "heads_of", "notes_of", "print_outliers"]


def print_outliers(console: Console, report: OutlierReport, subject: EvalTarget) -> None:
    """Print the table, the mean, and what was skipped."""
    print_lines(console, f"{subject}, known n = {report.known:,}")
    rows = [(each.name, *figures_of(each)) for each in report.sets]
    print_table(console, ("outliers", *heads_of(report)), rows)
    print_lines(console, "", f"mean AUROC {report.mean_auroc:.4f}", *notes_of(report))


def heads_of(report: OutlierReport) -> list[str]:
    """Return the heads of the columns of `figures_of`."""
    heads = ["n", "blank", "AUROC", "95 % interval", "FPR95", "rejected"]
    return heads if report.target_threshold is None else [*heads, f"at {TARGET:.0%}"]


def figures_of(each: SetResult) -> list[str]:
    """Return a set's figures in words."""
    low, high = each.interval
    row = [
        f"{each.n:,}",
        f"{each.no_ink / each.n:.0%}",
        f"{each.auroc:.4f}",
        f"[{low:.3f}, {high:.3f}]",
        f"{each.fpr_at_95_tpr:.1%}",
        f"{each.rejected:.1%}",
    ]
    return row if each.rejected_at_target is None else [*row, f"{each.rejected_at_target:.1%}"]


def notes_of(report: OutlierReport) -> list[str]:
    """Return what the columns mean, and which sets were skipped."""
    own = f"no ink, or confidence below {report.threshold:.3g}" if report.threshold else "no ink"
    notes = ["FPR95: share that passes where 95 % of the known pass", f"rejected: {own}"]
    if report.target_threshold is not None:
        threshold = f"confidence below {report.target_threshold:.3g}, for {TARGET:.0%} of the answers right"
        notes.append(f"at {TARGET:.0%}: no ink, or {threshold}")
    return notes + [f"skipped {skipped.name}: {skipped.reason}" for skipped in report.skipped]
