"""The report of an evaluation: figures as JSON, a summary on a terminal, and a page with images.

`metrics.json` always has these keys; a figure that cannot be given is null, never NaN. Shares are in [0, 1].

model                 what was measured: the name or file asked for
architecture, parameters, model_name   as the model file states
dataset, split        on what
sha256                fingerprint of the split's images and labels
passed_over           files of the dataset without a usable image; not in n
n, unread             images; those without ink, which count as wrong
withheld              images taken for something else than a character; null of a model that does not tell
accuracy, interval_95 and its Wilson interval, [low, high]
top_k                 {"1": share, ...}: the true label is among the k best candidates
charset, left_out     what the answers were restricted to, and the images of other labels, which are not in
                      n; null and 0 for no restriction
mean_removed          under a charset, the mean probability of the excluded labels
case_folded_accuracy, case_folded_interval_95   null if the alphabet has no cased pairs
confusables_merged_accuracy, confusables_merged_interval_95, confusable_groups   null, null and [] if it has
                      no such labels
folded_and_merged_accuracy, folded_and_merged_interval_95   right under either; null unless both are there
macro, weighted       {"precision", "recall", "f1"}, over the classes with images
per_class             [{"label", "support", "answered", "precision", "recall", "f1"}, ...], in the order
                      of `labels`
most_confused         [{"truth", "predicted", "count"}, ...], the 20 most frequent
ece                   expected calibration error of the images answered, in [0, 1], case folded: where both
                      cases of a letter are labels, either is right, and their probabilities are summed
reliability           [{"low", "high", "count", "confidence", "accuracy", "interval_95"}, ...]: the bins of
                      `ece`, 15 of equal mass, the least confident first; fewer where there are fewer images
                      or many have one confidence; low and high: the least and the greatest confidence in it
nll, brier            of the images that were read: in nats; in [0, 2]
aurc                  area under the risk-coverage curve
targets               [{"target", "min_confidence", "coverage", "coverage_interval_95", "accuracy",
                      "interval_95"}, ...]: what the thresholds of `--target-accuracy`, found on validation
                      images, do on these; [] for a model without them
selective             [{"coverage", "accuracy", "min_confidence"}, ...] at 0.8, 0.9, 0.95 and 0.99
could_answer          [{"accuracy", "coverage"}, ...] at 0.95, 0.99, 0.995 and 0.999: the largest share of the
                      images that some threshold answers with that accuracy
risk_coverage         [[coverage, risk], ...] at 0.01, 0.02, ... 1
confusion             [C][C] counts over the images that were read; row = truth, column = answer
labels                the model's, in the order of `confusion`
date, kalamos_version
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.datasets import Split
from kalamos.errors import DatasetError
from kalamos.evaluation.calibration import ACCURACIES, COVERAGES
from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.evaluation.metrics import Proportion
from kalamos.evaluation.reporting import (
    percent,
    print_figures,
    print_table,
    render_page,
    report_json,
    save_files,
    seen_by,
    today,
    without_nan,
)
from kalamos.model_file import Metric
from kalamos.recognizer import Recognizer

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "ConfusedPair",
    "as_metric",
    "confused_pairs",
    "evaluation_page",
    "metrics",
    "print_evaluation",
    "right_samples",
    "surest_mistakes",
    "unread_rows",
    "write_report",
]

MAX_MISTAKES, MAX_UNREAD, MAX_SAMPLES, MAX_PAIRS, MISTAKES_PER_PAIR = 63, 24, 52, 15, 8
"""Images and pairs shown at most: a page of a few megabytes."""

MAX_PRINTED_CLASSES, MAX_PRINTED_PAIRS = 8, 8
"""Rows of the two tables at most."""


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
        table=list(_figure_rows(figures)),
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
    if measured.known is not None:
        yield f"{measured.withheld:,}", "taken for something else than a character, and withheld"


def _figure_rows(figures: Mapping[str, Any]) -> Iterator[tuple[str, str | list[str], str]]:
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
        "mean gap between confidence and accuracy, over 15 bins of as many answers, case folded",
        percent(figures["ece"]),
    )
    for name, key in (("Negative log-likelihood, nats", "nll"), ("Brier score, 0 to 2", "brier")):
        yield name, "", "–" if figures[key] is None else f"{figures[key]:.4f}"


def as_metric(measured: Evaluation, dataset: str, split: str) -> Metric:
    """The figures in the form that a model file keeps.

    Raises:
        DatasetError: not one image was answered, so that there is no calibration to keep.
    """
    if not measured.answered.any():
        why = "has any ink on it" if measured.unread == measured.n else "is taken for a character"
        raise DatasetError(f"none of the {measured.n:,} images of {dataset} {split} {why}")
    return Metric(
        dataset=dataset,
        split=split,
        sha256=measured.sha256,
        n=measured.n,
        accuracy=measured.accuracy,
        interval=measured.interval,
        ece=measured.ece,
        date=today(),
        kalamos_version=__version__,
    )


def metrics(
    measured: Evaluation, subject: EvalTarget, reader: Recognizer, *, top_k: int = 5
) -> dict[str, Any]:
    """Everything measured, as plain JSON types under the keys that this module's docstring lists."""
    classes, bins, curve = measured.classes, measured.reliability, measured.selective
    coverages = [percent / 100 for percent in range(1, 101)]
    names = ("precision", "recall", "f1")
    figures = {
        "model": subject.model,
        "model_name": reader.spec.name,
        "architecture": reader.spec.architecture,
        "parameters": reader.spec.parameters,
        "dataset": subject.dataset,
        "split": subject.split,
        "sha256": measured.sha256,
        "passed_over": subject.passed_over,
        "n": measured.n,
        "unread": measured.unread,
        "withheld": None if measured.known is None else measured.withheld,
        "accuracy": measured.accuracy,
        "interval_95": list(measured.interval),
        "top_k": {str(k): measured.top_k(k) for k in range(1, min(top_k, len(measured.labels)) + 1)},
        "charset": measured.charset,
        "left_out": subject.left_out,
        "mean_removed": measured.mean_removed,
        **_share("case_folded", measured.case_folded),
        **_share("confusables_merged", measured.confusables_merged),
        "confusable_groups": [list(group) for group in measured.confusable_groups],
        **_share("folded_and_merged", measured.folded_and_merged),
        "macro": dict(zip(names, classes.macro(), strict=True)),
        "weighted": dict(zip(names, classes.weighted(), strict=True)),
        "per_class": _table(
            label=measured.labels,
            support=classes.support.tolist(),
            answered=classes.answered.tolist(),
            precision=classes.precision.tolist(),
            recall=classes.recall.tolist(),
            f1=classes.f1.tolist(),
        ),
        "most_confused": [
            {"truth": truth, "predicted": predicted, "count": count}
            for truth, predicted, count in measured.most_confused(k=20)
        ],
        "ece": measured.ece,
        "nll": measured.nll,
        "brier": measured.brier,
        "reliability": _table(
            low=bins.lowest.tolist(),
            high=bins.highest.tolist(),
            count=bins.counts.tolist(),
            confidence=bins.confidence.tolist(),
            accuracy=bins.accuracy.tolist(),
            interval_95=[list(ends) for ends in zip(bins.low.tolist(), bins.high.tolist(), strict=True)],
        ),
        "aurc": curve.area,
        "targets": [
            {
                "target": target.accuracy,
                "min_confidence": target.threshold,
                "coverage": target.answered.value,
                "coverage_interval_95": list(target.answered.interval),
                "accuracy": target.right.value,
                "interval_95": list(target.right.interval),
            }
            for target in measured.targets
        ],
        "selective": [
            {"coverage": c, "accuracy": curve.accuracy_at(c), "min_confidence": curve.confidence_at(c)}
            for c in COVERAGES
        ],
        "could_answer": [{"accuracy": goal, "coverage": curve.coverage_at(goal)} for goal in ACCURACIES],
        "risk_coverage": [[c, 1 - curve.accuracy_at(c)] for c in coverages],
        "confusion": measured.confusion.tolist(),
        "labels": list(measured.labels),
        "date": today(),
        "kalamos_version": __version__,
    }
    plain: dict[str, Any] = without_nan(figures)
    return plain


def write_report(
    folder: Path,
    measured: Evaluation,
    split: Split,
    reader: Recognizer,
    subject: EvalTarget,
    *,
    top_k: int = 5,
) -> tuple[str, ...]:
    """Write the figures and the page that shows them with the images they come from.

    `metrics.json` and `report.html`; with Matplotlib (the extra 'train') also `confusion.png`,
    `reliability.png` and `risk_coverage.png`, which the page then shows.

    Returns:
        The names of the files written.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    figures = metrics(measured, subject, reader, top_k=top_k)
    plots: dict[str, bytes] = {}
    if find_spec("matplotlib"):
        from kalamos.evaluation.reporting import PLOTS

        plots = {name: draw(measured) for name, draw in PLOTS.items()}
    page = evaluation_page(measured, split, reader, subject, figures, plots)
    files = {f"{name}.png": plot for name, plot in plots.items()}
    return save_files(folder, {"metrics.json": report_json(figures), **files, "report.html": page})


def _share(name: str, share: Proportion | None) -> dict[str, Any]:
    return {
        f"{name}_accuracy": None if share is None else share.value,
        f"{name}_interval_95": None if share is None else list(share.interval),
    }


def _table(**columns: Any) -> list[dict[str, Any]]:
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


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
        told = f"ECE {percent(measured.ece)}   NLL {measured.nll:.4f}   Brier {measured.brier:.4f}"
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
        for label in sorted(imperfect, key=lambda label: float(scores.f1[label]))[:MAX_PRINTED_CLASSES]
    ]
    print_table(console, ("worst classes", "images", "precision", "recall", "F1"), rows)


def _print_pairs(console: Console, measured: Evaluation) -> None:
    pairs = confused_pairs(measured, MAX_PRINTED_PAIRS, each=0)
    rows = [(pair.truth, pair.predicted, f"{pair.count:,}", f"{pair.share:.1%}") for pair in pairs]
    if rows:
        # A column for each label: side by side, two Arabic ones would change places.
        print_table(console, ("confused", "read as", "times", "of the label"), rows, text_columns=2)


@dataclass(frozen=True)
class ConfusedPair:
    """One kind of mistake.

    Attributes:
        truth: the true label; `predicted` the answer.
        count: how often.
        share: of the images of the true label, in (0, 1].
        rows: some of them, the most confident first.
        like: the most confident correct reading of the true label and of the answer, if any.
    """

    truth: str
    predicted: str
    count: int
    share: float
    rows: tuple[int, ...]
    like: tuple[int | None, int | None]

    @property
    def frequency(self) -> str:
        """The count and the share, in words."""
        return f"{'once' if self.count == 1 else f'{self.count:,} times'}, {self.share:.1%}"


def surest_mistakes(measured: Evaluation, most: int) -> NDArray[np.int64]:
    """Return the rows of images that were misread, int64, the most confident first."""
    return _surest(measured, ~measured.correct & measured.read, most)


def unread_rows(measured: Evaluation, most: int) -> NDArray[np.int64]:
    """Return the rows of images that could not be read, int64, in order."""
    return np.flatnonzero(~measured.read)[:most]


def right_samples(measured: Evaluation, most: int, seed: int = 42) -> NDArray[np.int64]:
    """Draw rows of images that were read correctly, int64, in order; the same for the same seed."""
    right = np.flatnonzero(measured.correct)
    drawn = np.random.default_rng(seed).choice(right, min(most, len(right)), replace=False)
    rows: NDArray[np.int64] = np.sort(drawn)
    return rows


def confused_pairs(measured: Evaluation, pairs: int, each: int) -> list[ConfusedPair]:
    """Return the most frequent kinds of mistake, each with up to `each` images."""
    found = []
    for true_label, answer, count in measured.most_confused(pairs):
        truth, predicted = measured.labels.index(true_label), measured.labels.index(answer)
        rows = _surest(measured, (measured.truth == truth) & (measured.predicted == predicted), each)
        found.append(
            ConfusedPair(
                true_label,
                answer,
                count,
                count / int(measured.classes.support[truth]),
                tuple(rows.tolist()),
                (_example_of(measured, truth), _example_of(measured, predicted)),
            )
        )
    return found


def _example_of(measured: Evaluation, label: int) -> int | None:
    rows = _surest(measured, measured.correct & (measured.truth == label), 1)
    return int(rows[0]) if len(rows) else None


def _surest(measured: Evaluation, among: NDArray[np.bool_], most: int) -> NDArray[np.int64]:
    rows = np.flatnonzero(among)
    return rows[np.argsort(-measured.confidence[rows], kind="stable")][:most]
