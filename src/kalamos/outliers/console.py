"""Outliers on a terminal: a row for each set."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalamos.evaluation.evaluate import EvalTarget
from kalamos.outliers.measure import TARGET, OutlierReport, SetResult

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_outliers"]


def print_outliers(console: Console, report: OutlierReport, subject: EvalTarget) -> None:
    """Print the table, the mean, and what was skipped."""
    from rich.table import Table

    has_target = report.target_threshold is not None
    headings = ["outliers", "n", "blank", "AUROC", "95 % interval", "FPR95", "rejected"]
    headings += [f"at {TARGET:.0%}"] if has_target else []
    table = Table(box=None, pad_edge=False, collapse_padding=True)
    for heading in headings:
        table.add_column(heading, no_wrap=True, justify="left" if heading == "outliers" else "right")
    for each in report.sets:
        table.add_row(*_row(each))
    console.print(f"{subject}, known n = {report.known:,}", markup=False, soft_wrap=True)
    console.print()
    console.print(table)
    console.print()
    console.print(f"mean AUROC {report.mean_auroc:.4f}", soft_wrap=True)
    own = f"no ink, or confidence below {report.threshold:.3g}" if report.threshold else "no ink"
    console.print("FPR95: share that passes where 95 % of the known pass", soft_wrap=True)
    console.print(f"rejected: {own}", soft_wrap=True)
    if has_target:
        told = f"confidence below {report.target_threshold:.3g}, for {TARGET:.0%} of the answers right"
        console.print(f"at {TARGET:.0%}: no ink, or {told}", soft_wrap=True)
    for skipped in report.skipped:
        console.print(f"skipped {skipped.name}: {skipped.reason}", markup=False, soft_wrap=True)


def _row(each: SetResult) -> list[str]:
    low, high = each.interval
    row = [
        each.name,
        f"{each.n:,}",
        f"{each.no_ink / each.n:.0%}",
        f"{each.auroc:.4f}",
        f"[{low:.3f}, {high:.3f}]",
        f"{each.fpr_at_95_tpr:.1%}",
        f"{each.rejected:.1%}",
    ]
    return row if each.rejected_at_target is None else [*row, f"{each.rejected_at_target:.1%}"]
