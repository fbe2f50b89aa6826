"""`report.html`: the evaluation on one page that holds everything it shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from kalamos.datasets import Split
from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.evaluation.examples import confused_pairs, right_samples, surest_mistakes, unread_rows
from kalamos.evaluation.html import percent, render_page, seen_by
from kalamos.recognizer import Recognizer

__all__ = ["evaluation_page"]

MAX_MISTAKES, MAX_UNREAD, MAX_SAMPLES, MAX_PAIRS, MISTAKES_PER_PAIR = 63, 24, 52, 15, 8
"""Images and pairs shown at most: a page of a few megabytes."""


def evaluation_page(
    measured: Evaluation,
    split: Split,
    reader: Recognizer,
    subject: EvalTarget,
    figures: Mapping[str, Any],
    plots: Mapping[str, bytes],
) -> str:
    """Render the page as HTML.

    Args:
        figures: what `report.metrics` returns.
        plots: PNG by name, of all `plots.PLOTS` or of none.
    """
    classes = [row for row in figures["per_class"] if row["f1"] is not None]
    return render_page(
        "evaluation.html",
        title=f"{subject}: evaluation",
        measured=measured,
        subject=subject,
        figures=figures,
        plots=plots,
        spec=reader.spec,
        images=split.images,
        seen=partial(seen_by, reader),
        summary=list(_summary(measured, figures)),
        table=list(_table(figures)),
        pairs=confused_pairs(measured, MAX_PAIRS, MISTAKES_PER_PAIR),
        mistakes=surest_mistakes(measured, MAX_MISTAKES).tolist(),
        unread=unread_rows(measured, MAX_UNREAD).tolist(),
        samples=right_samples(measured, MAX_SAMPLES).tolist(),
        # A class without images that was never an answer has nothing to show.
        classes=sorted(classes, key=lambda row: row["f1"]),
        absent=[row["label"] for row in figures["per_class"] if not row["support"]],
    )


def _summary(measured: Evaluation, figures: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the most important figures, each with what it is."""
    low, high = measured.interval
    yield percent(measured.accuracy), f"accuracy, 95 % interval {low:.2%} to {high:.2%}"
    yield f"{measured.n - int(measured.correct.sum()):,}", f"of {measured.n:,} images misread"
    yield percent(figures["macro"]["f1"]), "macro F1"
    yield percent(figures["ece"]), "expected calibration error"
    yield percent(measured.selective.accuracy_at(0.95)), "right among the most confident 95 %"
    if measured.unread:
        yield f"{measured.unread:,}", "without ink, counted as misread"


def _table(figures: Mapping[str, Any]) -> Iterator[tuple[str, str | list[str], str]]:
    """Yield name, note (words, or labels) and figure for each row of the table of figures."""
    for k, share in figures["top_k"].items():
        if k != "1":
            yield f"Among the {k} best candidates", "", percent(share)
    if figures["case_folded_accuracy"] is not None:
        accuracy = percent(figures["case_folded_accuracy"])
        yield "Accuracy, capital and small letter counted as one", "", accuracy
    if figures["confusables_merged_accuracy"] is not None:
        groups = ["\u2009".join(group) for group in figures["confusable_groups"]]
        accuracy = percent(figures["confusables_merged_accuracy"])
        yield "Accuracy, confusable labels counted as one", groups, accuracy
    for average in ("macro", "weighted"):
        shares = (percent(figures[average][key]) for key in ("precision", "recall", "f1"))
        yield f"{average.capitalize()} average", "precision, recall, F1", "  ".join(shares)
    for selected in figures["selective"]:
        note = f"confidence at least {selected['min_confidence']:.3f}"
        yield (
            f"Right among the most confident {selected['coverage']:.0%}",
            note,
            percent(selected["accuracy"]),
        )
    for target in figures["targets"]:
        note = f"confidence at least {target['min_confidence']:.4f}, found in validation"
        answered = f"{percent(target['coverage'])} answered, {percent(target['accuracy'])} of them right"
        yield f"Target of {target['target']:.1%} right", note, answered
    yield "Area under the risk-coverage curve (AURC)", "", f"{figures['aurc']:.3g}"
    yield (
        "Expected calibration error (ECE)",
        "mean gap between confidence and accuracy, over 15 bins",
        percent(figures["ece"]),
    )
    for name, key in (("Negative log-likelihood, nats", "nll"), ("Brier score, 0 to 2", "brier")):
        yield name, "", "–" if figures[key] is None else f"{figures[key]:.4f}"
