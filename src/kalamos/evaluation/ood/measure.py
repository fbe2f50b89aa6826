"""How well a reader separates characters from outliers: AUROC, FPR95 and the report.

It does so by the probability of being a character, where its model tells, else by its confidence.

`outliers.json` always has these keys; a figure that cannot be given is null. Shares are in [0, 1].

model, model_name     what was measured: as asked for, and as the model file calls itself
dataset, split        the known images, `known` in number; `sha256` is their fingerprint
seed                  of the drawn sets
min_confidence        below it the model abstains by itself
min_known             below this probability of being a character too; null of a model that does not tell
target_accuracy, target_min_confidence   the threshold that reached this accuracy on validation data, or null
mean_auroc            mean over `sets`, without `lookalikes`
sets                  [{"name", "note", "n", "no_ink", "auroc", "interval_95", "fpr_at_95_tpr", "rejected",
                      "rejected_at_target", "read_as"}, ...]
lookalikes            the same keys, of the classes of other scripts that look like a known character: which
                      nobody could reject, and which are in no other figure
skipped               [{"name", "reason"}, ...], the sets that could not be drawn
date, kalamos_version
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kalamos._version import __version__
from kalamos.datasets import Split
from kalamos.errors import DatasetError, MissingExtraError, UsageError
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.metrics import wilson_interval
from kalamos.evaluation.ood.sets import OODContext, OutlierSet, SkippedSet, default_sets, open_sets
from kalamos.evaluation.reporting import print_lines, print_table, render_page, report_json, save_files, today
from kalamos.model_file import RobustnessRecord
from kalamos.preprocessing.steps import GreyImage
from kalamos.recognizer import Recognizer
from kalamos.results import Results

if TYPE_CHECKING:
    from rich.console import Console

__all__ = [
    "OutlierReport",
    "auroc",
    "auroc_interval",
    "false_positive_rate",
    "measure",
    "ood_page",
    "outliers_json",
    "print_outliers",
    "write_outlier_report",
]

Scores = NDArray[np.floating]

TARGET_ACCURACY = 0.99
"""The accuracy whose threshold is looked up in the model file."""

LOOKALIKES_NOTE = (
    "look-alikes: other characters that look like one of the model's, so that nobody could reject them"
)

MAX_MISTAKES_PER_SET = 16
"""Images shown of each set: those that the reader was most confident about."""


def auroc(known: Scores, outliers: Scores) -> float:
    """Return the chance that a known image [N] scores higher than an outlier [M], ties counting half.

    >>> auroc(np.array([0.9, 0.8]), np.array([0.8, 0.1]))
    0.875
    """
    from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]

    truth = np.repeat([1, 0], [len(known), len(outliers)])
    return float(roc_auc_score(truth, np.concatenate([known, outliers])))


def auroc_interval(known: Scores, outliers: Scores) -> tuple[float, float]:
    """Return the 95 % interval of the AUROC: Wilson's, for as many images as DeLong's variance amounts to.

    The variance is that of DeLong, DeLong and Clarke-Pearson 1988, from the scores as they are. If the scores
    separate the two sides without a mistake it is 0; then the smaller side counts, as in the worst case (the
    variance is never above that of a share of the smaller side: Birnbaum and Klose 1957).

    >>> low, high = auroc_interval(np.linspace(0.5, 1, 100), np.linspace(0, 0.4, 100))
    >>> round(low, 3), high
    (0.963, 1.0)
    """
    from scipy.stats import rankdata

    area = auroc(known, outliers)
    n, m = len(known), len(outliers)
    ranks = rankdata(np.concatenate([known, outliers]))
    # For each image, the share of the other side that it is ranked correctly against (Sun and Xu 2014).
    above = (ranks[:n] - rankdata(known)) / m
    below = 1 - (ranks[n:] - rankdata(outliers)) / n
    variance = _variance(above) / n + _variance(below) / m
    least = min(n, m)
    amounts_to = max(round(area * (1 - area) / variance), least) if variance > 0 else least
    low, high = wilson_interval(area * amounts_to, amounts_to)
    return min(low, area), max(high, area)  # at the ends they differ by a rounding error


def false_positive_rate(known: Scores, outliers: Scores, *, true_positive_rate: float = 0.95) -> float:
    """Return the share of outliers that pass the threshold which this share of the known passes.

    FPR at 95 % TPR, as Hendrycks and Gimpel 2017 and those after them report it.

    >>> false_positive_rate(np.arange(100), np.array([50, 5, 4, 0]))
    0.5
    """
    passing = int(np.ceil(round(true_positive_rate * len(known), 9)))
    threshold = np.sort(known)[::-1][passing - 1]
    return float((outliers >= threshold).mean())


def _variance(shares: NDArray[np.float64]) -> float:
    return float(shares.var(ddof=1)) if len(shares) > 1 else 0.0


@dataclass(frozen=True, eq=False)
class Mistake:
    """An outlier that was read.

    Attributes:
        image: uint8 [H, W].
        seen: what the network saw, uint8 [S, S].
        label: the answer; `confidence` is in [0, 1].
    """

    image: GreyImage
    seen: GreyImage
    label: str
    confidence: float


@dataclass(frozen=True, eq=False)
class SetResult:
    """One set of outliers against the known images. Shares are in [0, 1].

    Attributes:
        name: the set's; `note` says what is in it.
        n: its images, of which `no_ink` were found blank: rejected, with a confidence of 0.
        auroc: the chance that a known image has a higher confidence than an outlier.
        interval: its 95 % interval.
        fpr_at_95_tpr: the share that passes the threshold which 95 % of the known pass.
        rejected: the share rejected at the model's own threshold.
        rejected_at_target: the same at the threshold for `TARGET_ACCURACY`; None if the model has none.
        read_as: how often each label was the answer, the most frequent first.
        surest: the images with the highest confidences, at most 16.
    """

    name: str
    note: str
    n: int
    no_ink: int
    auroc: float
    interval: tuple[float, float]
    fpr_at_95_tpr: float
    rejected: float
    rejected_at_target: float | None
    read_as: tuple[tuple[str, int], ...]
    surest: tuple[Mistake, ...]


@dataclass(frozen=True, eq=False)
class OutlierReport:
    """The result of `measure`.

    Attributes:
        model: the model's own name.
        known: the number of known images; `sha256` is the fingerprint of their split.
        seed: of the drawn sets.
        threshold: the confidence below which the model abstains by itself; 0 is never.
        target_threshold: the one that reached `TARGET_ACCURACY` on validation data; None if it was not
            reached, or not measured.
        sets: the figures, one a set.
        skipped: the sets that could not be drawn.
        known_threshold: the probability of being a character below which the model abstains by itself; None
            if it does not tell.
        lookalikes: those of the scripts' classes that look like a known character, apart from all else.
    """

    model: str
    known: int
    sha256: str
    seed: int
    threshold: float
    target_threshold: float | None
    sets: tuple[SetResult, ...]
    skipped: tuple[SkippedSet, ...]
    known_threshold: float | None = None
    lookalikes: tuple[SetResult, ...] = ()

    @property
    def mean_auroc(self) -> float:
        """Mean over the sets, look-alikes left out."""
        return float(np.mean([each.auroc for each in self.sets]))

    def records(self, date: str) -> tuple[RobustnessRecord, ...]:
        """Return the AUROC of each set in the form that a model file keeps; `date` is ISO 8601.

        Look-alikes are none of them: it is no fault to read them.
        """
        return tuple(RobustnessRecord("outliers", each.name, each.auroc, each.n, date) for each in self.sets)


def measure(
    reader: Recognizer,
    split: Split,
    sources: Sequence[str] | None = None,
    n: int = 1000,
    seed: int = 42,
    *,
    confidence: NDArray[np.floating] | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> OutlierReport:
    """Compare a reader's confidence on known images with that on the `eval` split of each set.

    Everything takes the same path as prediction. If no ink is found the confidence is 0, for known images as
    for outliers: `auroc` counts such a known image as rejected too.

    Args:
        split: known images, such as a test split; their labels do not matter.
        sources: names for `open_set`; by default all that `default_sets` names.
        n: images per set, at most.
        seed: of the sets, at least 0.
        confidence: the reader's on `split`, [N] in [0, 1], if it is had already; of a model that tells, its
            probabilities of being a character.
        data_dir: where the named datasets are.
        on_progress: called now and then with the number of images done, known ones and outliers.

    Raises:
        MissingExtraError: scikit-learn is not installed.
        UsageError: no such set; `n` below 1; a negative seed.
        DatasetError: the split is empty, or every set's files are absent.
    """
    if not find_spec("sklearn"):
        raise MissingExtraError("the AUROC needs scikit-learn, not installed", extra="train")
    if n < 1:
        raise UsageError(f"n = {n} leaves no outlier", remedy="use 1 or more")
    if not len(split):
        raise DatasetError("nothing to compare outliers with: the split is empty")
    names = default_sets(reader.spec.alphabet) if sources is None else tuple(sources)
    context = OODContext(reader.spec.alphabet, "eval", seed, data_dir)
    opened, skipped = open_sets(names, context)
    if not opened:
        reasons = "; ".join(each.reason for each in skipped)
        raise DatasetError(f"no set of outliers to measure with ({reasons})")
    known = _scores(_read_all(reader, list(split.images))) if confidence is None else confidence
    own, target = reader.spec.min_confidence, _target_threshold(reader)
    on_progress(done := len(split))
    results = []
    alike = [each.lookalikes for each in opened if each.lookalikes is not None]
    for each in (*opened, *alike):
        result = _measure_set(reader, each, n, known, own, target)
        results.append(result)
        on_progress(done := done + result.n)
    return OutlierReport(
        reader.spec.name,
        len(split),
        split.sha256,
        seed,
        own,
        target,
        tuple(results[: len(opened)]),
        skipped,
        None if reader.spec.known is None else reader.spec.known.threshold,
        tuple(results[len(opened) :]),
    )


def _target_threshold(reader: Recognizer) -> float | None:
    try:
        return None if reader.spec.selective is None else reader.spec.selective.at(TARGET_ACCURACY).threshold
    except UsageError:  # validation never reached it
        return None


def _measure_set(
    reader: Recognizer,
    each: OutlierSet,
    n: int,
    known: NDArray[np.floating],
    own: float,
    target: float | None,
) -> SetResult:
    images = [each.draw(index) for index in range(n if each.size is None else min(n, each.size))]
    answers = _read_all(reader, images)
    scores = _scores(answers)
    sure = np.array([answer.confidence or 0.0 for answer in answers])
    is_known = np.ones(len(answers), bool)
    if reader.spec.known is not None:
        is_known = scores >= reader.spec.known.threshold
    labels = {row: answer.label for row, answer in enumerate(answers) if answer.label is not None}
    return SetResult(
        name=each.name,
        note=each.note,
        n=len(images),
        no_ink=len(images) - len(labels),
        auroc=auroc(known, scores),
        interval=auroc_interval(known, scores),
        fpr_at_95_tpr=false_positive_rate(known, scores),
        rejected=_rejected(sure, own, is_known),
        rejected_at_target=None if target is None else _rejected(sure, target, is_known),
        read_as=tuple(Counter(labels.values()).most_common()),
        surest=tuple(
            Mistake(images[row], reader.prepare(images[row]), labels[row], float(scores[row]))
            for row in sorted(labels, key=lambda row: -scores[row])[:MAX_MISTAKES_PER_SET]
        ),
    )


def _rejected(confidence: NDArray[np.floating], threshold: float, is_known: NDArray[np.bool_]) -> float:
    """Return the share that is below a threshold, blank, or seems no character.

    A confidence of 0 is never an answer.
    """
    return float(((confidence < threshold) | (confidence == 0) | ~is_known).mean())


def _read_all(reader: Recognizer, images: list[GreyImage]) -> Results:
    """Read images, whatever they seem to be."""
    return reader.predict_batch(images, top_k=1, min_confidence=0.0, min_known=0.0)


def _scores(answers: Results) -> NDArray[np.float64]:
    """What tells characters from other images: `known`, or the confidence of a model that does not tell."""
    shares = (answer.confidence if answer.known is None else answer.known for answer in answers)
    return np.array([share or 0.0 for share in shares])


def print_outliers(console: Console, report: OutlierReport, subject: EvalTarget) -> None:
    """Print the table, the mean, the look-alikes apart, and what was skipped."""
    print_lines(console, f"{subject}, known n = {report.known:,}")
    rows = [(each.name, *_figures_of(each)) for each in report.sets]
    print_table(console, ("outliers", *_heads_of(report)), rows)
    print_lines(console, "", f"mean AUROC {report.mean_auroc:.4f}", *_notes_of(report))
    if report.lookalikes:
        alike = [(each.name, *_figures_of(each)) for each in report.lookalikes]
        print_table(console, ("not in the mean", *_heads_of(report)), alike)
        print_lines(console, "", LOOKALIKES_NOTE)


def _heads_of(report: OutlierReport) -> list[str]:
    """Return the heads of the columns of `_figures_of`."""
    heads = ["n", "blank", "AUROC", "95 % interval", "FPR95", "rejected"]
    return heads if report.target_threshold is None else [*heads, f"at {TARGET_ACCURACY:.0%}"]


def _figures_of(each: SetResult) -> list[str]:
    """Return a set's figures as text."""
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


def _notes_of(report: OutlierReport) -> list[str]:
    """Return what the columns mean, and which sets were skipped."""
    own = f"no ink, or confidence below {report.threshold:.3g}" if report.threshold else "no ink"
    if report.known_threshold is not None:
        own += f", or below {report.known_threshold:.3g} of being a character"
    notes = ["FPR95: share that passes where 95 % of the known pass", f"rejected: {own}"]
    if report.target_threshold is not None:
        threshold = (
            f"confidence below {report.target_threshold:.3g}, for {TARGET_ACCURACY:.0%} of the answers right"
        )
        notes.append(f"at {TARGET_ACCURACY:.0%}: no ink, or {threshold}")
    return notes + [f"skipped {skipped.name}: {skipped.reason}" for skipped in report.skipped]


def outliers_json(report: OutlierReport, subject: EvalTarget) -> str:
    """Write the figures as JSON, a line for each key and for each set."""
    return report_json(
        {
            "model": subject.model,
            "model_name": report.model,
            "dataset": subject.dataset,
            "split": subject.split,
            "known": report.known,
            "sha256": report.sha256,
            "seed": report.seed,
            "min_confidence": report.threshold,
            "min_known": report.known_threshold,
            "target_accuracy": TARGET_ACCURACY,
            "target_min_confidence": report.target_threshold,
            "mean_auroc": report.mean_auroc,
            "sets": [_record(each) for each in report.sets],
            "lookalikes": [_record(each) for each in report.lookalikes],
            "skipped": [{"name": skipped.name, "reason": skipped.reason} for skipped in report.skipped],
            "date": today(),
            "kalamos_version": __version__,
        }
    )


def _record(each: SetResult) -> dict[str, Any]:
    return {
        "name": each.name,
        "note": each.note,
        "n": each.n,
        "no_ink": each.no_ink,
        "auroc": each.auroc,
        "interval_95": list(each.interval),
        "fpr_at_95_tpr": each.fpr_at_95_tpr,
        "rejected": each.rejected,
        "rejected_at_target": each.rejected_at_target,
        "read_as": dict(each.read_as),
    }


def ood_page(report: OutlierReport, subject: EvalTarget) -> str:
    """Render the figures, and of each set the images read most confidently, as HTML."""
    rejected = f"{np.mean([each.rejected for each in report.sets]):.1%}"
    return render_page(
        "ood.html",
        title=f"{subject.model}: outliers",
        report=report,
        subject=subject,
        summary=[
            (f"{report.mean_auroc:.4f}", "mean AUROC over the sets, 1 is best"),
            (rejected, "of the outliers rejected, mean over the sets"),
        ],
        heads=_heads_of(report),
        rows=[(each, _figures_of(each)) for each in report.sets],
        lookalikes=[(each, _figures_of(each)) for each in report.lookalikes],
        lookalikes_note=LOOKALIKES_NOTE,
        notes=_notes_of(report),
    )


def write_outlier_report(folder: Path, report: OutlierReport, subject: EvalTarget) -> tuple[str, ...]:
    """Write `outliers.json` and `outliers.html` (`ood_page`).

    Returns:
        The names of the files written.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    figures, page = outliers_json(report, subject), ood_page(report, subject)
    return save_files(folder, {"outliers.json": figures, "outliers.html": page})
