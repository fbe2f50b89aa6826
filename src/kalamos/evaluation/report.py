"""The report of an evaluation: figures for programs, plots and a page for people.

`metrics.json` has always these keys; a figure that cannot be given is null, never NaN. Shares are in [0, 1].

model                 what was measured: the name or file that was asked for
architecture, parameters, model_name   as the model file says of itself
dataset, split        on what
sha256                fingerprint of the split's images and labels
passed_over           files of the dataset that hold no image that could be used; not in n
n, unread             images; those without ink, which count as wrong
accuracy, interval_95 and its Wilson interval, [low, high]
top_k                 {"1": share, ...}: the true label is among the k best candidates
charset, left_out     what the answers were restricted to, and the images of other labels, which are not in
                      n; null and 0 for no restriction
mean_removed          under a charset, the mean probability that the labels left out had
case_folded_accuracy, case_folded_interval_95   null where the alphabet has no cased pairs
confusables_merged_accuracy, confusables_merged_interval_95, confusable_groups   null, null and [] where it
                      has no such labels
folded_and_merged_accuracy, folded_and_merged_interval_95   right under either; null unless both are there
macro, weighted       {"precision", "recall", "f1"}, over the classes with images
per_class             [{"label", "support", "answered", "precision", "recall", "f1"}, ...], in the order
                      of `labels`
most_confused         [{"truth", "predicted", "count"}, ...], the 20 most frequent
ece, nll, brier       calibration of the images that were read: in [0, 1]; in nats; in [0, 2]
reliability           [{"low", "high", "count", "confidence", "accuracy", "interval_95"}, ...], 15 bins
aurc                  area under the risk-coverage curve
targets               [{"target", "min_confidence", "coverage", "coverage_interval_95", "accuracy",
                      "interval_95"}, ...]: what the thresholds of `--target-accuracy`, found on validation
                      images, come to on these; [] for a model without them
selective             [{"coverage", "accuracy", "min_confidence"}, ...] at 0.8, 0.9, 0.95 and 0.99
could_answer          [{"accuracy", "coverage"}, ...] at 0.95, 0.99, 0.995 and 0.999: the largest share of the
                      images that some threshold answers with that accuracy
risk_coverage         [[coverage, risk], ...] at 0.01, 0.02, ... 1
confusion             [C][C] counts over the images that were read; row = truth, column = answer
labels                the model's, in the order of `confusion`
date, kalamos_version
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from kalamos._version import __version__
from kalamos.datasets import Split
from kalamos.errors import DatasetError
from kalamos.evaluation.evaluate import EvalTarget, Evaluation
from kalamos.evaluation.html import report_json, save_files, today, without_nan
from kalamos.evaluation.metrics import Proportion
from kalamos.evaluation.page import evaluation_page
from kalamos.evaluation.selective import ACCURACIES, COVERAGES
from kalamos.model_file import Metric
from kalamos.recognizer import Recognizer

__all__ = ["as_metric", "metrics", "write_report"]


def as_metric(measured: Evaluation, dataset: str, split: str) -> Metric:
    """The figures in the form that a model file keeps.

    Raises:
        DatasetError: not one image could be read, so that there is no calibration to keep.
    """
    if measured.unread == measured.n:
        raise DatasetError(f"none of the {measured.n:,} images of {dataset} {split} has any ink on it")
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
    edges = np.linspace(0, 1, len(bins.counts) + 1).tolist()
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
            low=edges[:-1],
            high=edges[1:],
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
        from kalamos.evaluation.plots import PLOTS

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
