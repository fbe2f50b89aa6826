"""An evaluation on a terminal: the figures, then the classes and pairs that cost most."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.evaluation.examples import confused_pairs
from kalamos.evaluation.html import print_figures, print_table
from kalamos.evaluation.selective import ACCURACIES, COVERAGES

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_evaluation"]

MAX_CLASSES, MAX_PAIRS = 8, 8
"""Rows of the two tables at most."""


def print_evaluation(console: Console, measured: Evaluation, subject: EvalTarget, *, top_k: int = 5) -> None:
    """Print the figures, one to a line, and two short tables where anything was misread."""
    kept = "" if measured.charset is None else f", charset {measured.charset!r}"
    print_figures(console, f"{subject}{kept}, n = {measured.n:,}", _figures(measured, top_k))
    if not measured.correct.all():
        _print_classes(console, measured)
        _print_pairs(console, measured)


def _figures(measured: Evaluation, top_k: int) -> list[tuple[str, str]]:
    low, high = measured.interval
    wrong = measured.n - int(measured.correct.sum())
    precision, recall, f1 = measured.classes.macro()
    figures = [
        ("accuracy", f"{measured.accuracy:.2%}   95 % interval [{low:.2%}, {high:.2%}]   {wrong:,} wrong"),
    ]
    ranks = range(2, min(top_k, len(measured.labels)) + 1)
    if ranks:
        figures.append(("top k", "   ".join(f"{k}: {measured.top_k(k):.2%}" for k in ranks)))
    figures.append(("macro", f"precision {precision:.2%}   recall {recall:.2%}   F1 {f1:.2%}"))
    for name, share in (
        ("case folded", measured.case_folded),
        ("look-alikes", measured.confusables_merged),
        ("both", measured.folded_and_merged),
    ):
        if share is not None:
            low, high = share.interval
            figures.append(
                (name, f"{share.value:.2%}   95 % interval [{low:.2%}, {high:.2%}]   counted as one label")
            )
    if measured.unread < measured.n:
        told = f"ECE {measured.ece:.2%}   NLL {measured.nll:.4f}   Brier {measured.brier:.4f}"
        figures.append(("calibration", told))
    curve = measured.selective
    surest = "   ".join(f"{share:.0%}: {curve.accuracy_at(share):.2%}" for share in COVERAGES)
    figures.append(("surest", f"{surest}   AURC {curve.area:.3g}"))
    shares = "   ".join(f"{100 * goal:g} % right: {curve.coverage_at(goal):.2%}" for goal in ACCURACIES)
    figures.append(("could answer", shares))
    for target in measured.targets:
        low, high = target.right.interval
        right = f"   {target.right.value:.2%} of them right [{low:.2%}, {high:.2%}]" if target.right.n else ""
        told = f"{target.answered.value:.2%} answered{right}   confidence from {target.threshold:.4f}"
        figures.append((f"target {100 * target.accuracy:g} %", told))
    if measured.mean_removed is not None and measured.read.any():
        figures.append(("left out", f"{measured.mean_removed:.2%} of the probability, by the charset"))
    if measured.unread:
        figures.append(("unread", f"{measured.unread:,} (no ink), counted as wrong"))
    return figures


def _print_classes(console: Console, measured: Evaluation) -> None:
    scores = measured.classes
    imperfect = [int(label) for label in (scores.f1 < 1).nonzero()[0] if scores.support[label]]
    rows = [
        (
            measured.labels[label],
            f"{scores.support[label]:,}",
            *(f"{share[label]:.2%}" for share in (scores.precision, scores.recall, scores.f1)),
        )
        for label in sorted(imperfect, key=lambda label: float(scores.f1[label]))[:MAX_CLASSES]
    ]
    print_table(console, ("worst classes", "images", "precision", "recall", "F1"), rows)


def _print_pairs(console: Console, measured: Evaluation) -> None:
    pairs = confused_pairs(measured, MAX_PAIRS, each=0)
    rows = [(pair.truth, pair.predicted, f"{pair.count:,}", f"{pair.share:.1%}") for pair in pairs]
    if rows:
        # A column for each label: side by side, two Arabic ones would change places.
        print_table(console, ("confused", "read as", "times", "of the label"), rows, text_columns=2)
