"""Evaluate a model on labelled images, along the same path as prediction.

`evaluate` takes a model and a dataset by name, and chooses the images: the dataset's own split, or the part
that a training run held out. `evaluate_split` measures a split that is in memory.
"""

from __future__ import annotations

import json
import math
import os
import shlex
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet, ClassMask, restrict
from kalamos.datasets import ClassFolders, Dataset, RaggedImages, SkippedFile, Split, load_dataset
from kalamos.datasets.copies import without_leaks
from kalamos.errors import DatasetError, MissingExtraError, UsageError
from kalamos.evaluation.calibration import ACCURACIES, RiskCoverage, risk_coverage
from kalamos.evaluation.metrics import (
    ClassScores,
    Proportion,
    Reliability,
    brier_score,
    case_folding,
    class_scores,
    confusable_groups,
    confusion_matrix,
    folded_confidence,
    log_loss,
    merging,
    reliability,
    truth_ranks,
    wilson_interval,
)
from kalamos.model_file import SelectiveAccuracy
from kalamos.recognizer import Recognizer, load
from kalamos.zoo import names

__all__ = [
    "EvalData",
    "EvalTarget",
    "Evaluation",
    "dataset_split",
    "evaluate",
    "evaluate_split",
    "filter_charset",
    "load_eval_data",
    "run_split",
]

CHUNK = 64
"""Images read at a time."""

MAX_LABELS_NAMED = 10
"""Unknown labels that a message lists."""

RUN_METADATA_FILE, SPLIT_FILE = "run.json", "split.safetensors"

MAX_RUN_METADATA_BYTES = 4 << 20
"""Of a `run.json`; a longer one is cut off, and so is not JSON."""


class TrainedRun(Protocol):
    """What `split_of` needs of a `kalamos.learn.Run`."""

    @property
    def folder(self) -> Path | None: ...
    @property
    def data_sha256(self) -> str: ...
    @property
    def split(self) -> Any:
        """Rows of the dataset's training images, int64: `train`, `val` and `test`; or None."""


@dataclass(frozen=True)
class EvalTarget:
    """The model and the images of one evaluation.

    Attributes:
        model: its name or file, as asked for; `dataset` likewise.
        split: "test", "train", "val", "all", or any other words that say which images.
        passed_over: files of the dataset without a usable image.
        left_out: images whose label is outside the charset.

    >>> print(EvalTarget("digits", "mnist", "test"))
    digits on mnist test
    """

    model: str
    dataset: str
    split: str
    passed_over: int = 0
    left_out: int = 0

    def __str__(self) -> str:
        return f"{self.model} on {self.dataset}{',' if self.split == 'all' else ''} {self.part}"

    @property
    def part(self) -> str:
        """`split`, in words."""
        return "all images" if self.split == "all" else self.split


@dataclass(frozen=True)
class Target:
    """The effect of a target accuracy's threshold on other images than those it was found on."""

    accuracy: float
    """The target."""
    threshold: float
    answered: Proportion
    right: Proportion
    """Of the images answered."""


@dataclass(frozen=True, repr=False)
class Evaluation:
    """The result of measuring one split; every figure follows from the probabilities.

    An image that could not be read (blank) counts as wrong, and as the least confident. It has no
    probabilities, so `nll` and `brier` cover the others, and `reliability` and `ece` the answers alone.

    Attributes:
        truth: int64 [N], true label indices.
        probabilities: float32 [N, C], calibrated; a row of zeros for an image that could not be read.
        labels: the model's labels, in order; under a charset those it keeps, and C is their number.
        sha256: fingerprint of the split.
        alphabet: the name of the model's alphabet.
        charset: what the answers were restricted to; None for no restriction.
        removed: float32 [N], under a charset the probability of the excluded labels; 0 if unread.
        validated: the thresholds that reached target accuracies in validation.
        known: float32 [N], the probability of being a character at all, of a model that tells; 0 if unread.
        known_threshold: what is below is not answered.
    """

    truth: NDArray[np.int64]
    probabilities: NDArray[np.float32]
    labels: tuple[str, ...]
    sha256: str
    alphabet: str = ""
    charset: str | None = None
    removed: NDArray[np.float32] | None = None
    validated: SelectiveAccuracy | None = None
    known: NDArray[np.float32] | None = None
    known_threshold: float = 0.0

    def __repr__(self) -> str:
        low, high = self.interval
        return f"Evaluation(n = {self.n}, accuracy {self.accuracy:.2%} [{low:.2%}, {high:.2%}])"

    @property
    def n(self) -> int:
        return len(self.truth)

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Label indices, int64 [N]; -1 if unread."""
        best: NDArray[np.int64] = np.where(self.confidence > 0, self.probabilities.argmax(axis=1), -1)
        return best

    @cached_property
    def confidence(self) -> NDArray[np.float32]:
        """Largest probabilities, float32 [N]; 0 if unread."""
        largest: NDArray[np.float32] = self.probabilities.max(axis=1)
        return largest

    @cached_property
    def read(self) -> NDArray[np.bool_]:
        """Which images had ink, bool [N]."""
        return self.predicted >= 0

    @cached_property
    def correct(self) -> NDArray[np.bool_]:
        """Which images were read correctly, bool [N]."""
        matches: NDArray[np.bool_] = self.truth == self.predicted
        return matches

    @property
    def unread(self) -> int:
        return int(self.n - self.read.sum())

    @cached_property
    def answered(self) -> NDArray[np.bool_]:
        """Which images were read and not taken for something else than a character, bool [N]."""
        if self.known is None:
            return self.read
        taken: NDArray[np.bool_] = self.read & (self.known >= self.known_threshold)
        return taken

    @property
    def withheld(self) -> int:
        """How many images were read and taken for something else than a character."""
        return int(self.read.sum() - self.answered.sum())

    @property
    def accuracy(self) -> float:
        return float(self.correct.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the accuracy."""
        return wilson_interval(int(self.correct.sum()), self.n)

    def top_k(self, k: int) -> float:
        """Return the share of images whose true label is among the k best candidates."""
        return float((self._ranks < k).mean())

    @cached_property
    def confusable_groups(self) -> tuple[tuple[str, ...], ...]:
        """The labels that may stand for one another (see `kalamos.alphabets.CONFUSABLES`)."""
        return confusable_groups(self.labels, self.alphabet)

    @property
    def case_folded(self) -> Proportion | None:
        """Accuracy if `a` read as `A` counts as right; None for an alphabet without cased pairs."""
        return self._right_under(case_folding(self.labels))

    @property
    def confusables_merged(self) -> Proportion | None:
        """Accuracy if `0` read as `O` counts as right; None without such labels."""
        return self._right_under(merging(self.labels, self.alphabet))

    @property
    def folded_and_merged(self) -> Proportion | None:
        """Accuracy if either counts as right; None if one of them cannot occur."""
        folded, merged = case_folding(self.labels), merging(self.labels, self.alphabet)
        return None if folded is None or merged is None else self._right_under(folded, merged)

    @property
    def case_folded_accuracy(self) -> float | None:
        return None if self.case_folded is None else self.case_folded.value

    @property
    def confusables_merged_accuracy(self) -> float | None:
        return None if self.confusables_merged is None else self.confusables_merged.value

    @cached_property
    def classes(self) -> ClassScores:
        """Precision, recall and F1 by class."""
        return class_scores(self.truth, self.predicted, len(self.labels))

    @cached_property
    def confusion(self) -> NDArray[np.int64]:
        """Counts over the images that were read, int64 [C, C]: row = truth, column = prediction."""
        return confusion_matrix(self.truth[self.read], self.predicted[self.read], len(self.labels))

    def most_confused(self, k: int = 5) -> list[tuple[str, str, int]]:
        """Return the k most frequent mistakes: (true label, predicted label, count)."""
        mistakes = self.confusion.copy()
        np.fill_diagonal(mistakes, 0)
        order = np.argsort(-mistakes, axis=None, kind="stable")[:k]
        rows, columns = np.unravel_index(order, mistakes.shape)
        pairs = zip(rows.tolist(), columns.tolist(), strict=True)
        return [(self.labels[r], self.labels[c], int(mistakes[r, c])) for r, c in pairs if mistakes[r, c]]

    @cached_property
    def reliability(self) -> Reliability:
        """Confidence against accuracy in 15 bins of equal mass, of the images answered, case folded.

        Where both cases of a letter are labels, an answer is right in either, and its confidence is the sum
        of both probabilities: correctness folded without confidence would make every model seem too modest.
        """
        taken, folding = self.answered, case_folding(self.labels)
        truth, answers = self.truth[taken], self.predicted[taken]
        confidence = folded_confidence(self.probabilities[taken], answers, folding)
        correct = truth == answers if folding is None else folding[truth] == folding[answers]
        return reliability(confidence, correct)

    @property
    def ece(self) -> float:
        """Expected calibration error of `reliability`, in [0, 1]; NaN if nothing was answered."""
        return self.reliability.ece

    @property
    def nll(self) -> float:
        """Negative log-likelihood, in nats; NaN if nothing was read."""
        return log_loss(self.probabilities[self.read], self.truth[self.read])

    @property
    def brier(self) -> float:
        """Brier score, in [0, 2]; NaN if nothing was read."""
        return brier_score(self.probabilities[self.read], self.truth[self.read])

    @cached_property
    def selective(self) -> RiskCoverage:
        """Errors among the most confident answers, for every coverage."""
        return risk_coverage(self.confidence, self.correct)

    @cached_property
    def _ranks(self) -> NDArray[np.int64]:
        ranks = truth_ranks(self.probabilities, self.truth)
        ranks[~self.read] = np.iinfo(np.int64).max  # found by no k
        return ranks

    @cached_property
    def targets(self) -> tuple[Target, ...]:
        """The effect of `--target-accuracy` on these images, for the `ACCURACIES` that validation reached."""
        if self.validated is None:
            return ()
        reached = [accuracy for accuracy in ACCURACIES if accuracy <= self.validated.points[-1].accuracy]
        return tuple(self._target(accuracy, self.validated.at(accuracy).threshold) for accuracy in reached)

    def _target(self, accuracy: float, threshold: float) -> Target:
        sure = self.answered & (self.confidence >= threshold)
        answered = Proportion(int(sure.sum()), self.n)
        return Target(
            accuracy, threshold, answered, Proportion(int(self.correct[sure].sum()), answered.count)
        )

    @property
    def mean_removed(self) -> float | None:
        """Mean of `removed` over the images read; None without a charset, NaN if nothing was read."""
        if self.removed is None:
            return None
        return float(self.removed[self.read].mean()) if self.read.any() else math.nan

    def _right_under(self, *mappings: NDArray[np.int64] | None) -> Proportion | None:
        """Count an answer as right if any of the mappings takes it and the truth to one label."""
        same = np.zeros(int(self.read.sum()), bool)
        for mapping in mappings:
            if mapping is None:
                return None
            same |= mapping[self.truth[self.read]] == mapping[self.predicted[self.read]]
        return Proportion(int(same.sum()), self.n)


@dataclass(frozen=True)
class EvalData:
    """A model, and the labelled images to measure it on.

    Attributes:
        reader: the model.
        split: the images, without those outside the charset.
        labels: the split's label order.
        target: what is measured, in words.
        skipped: the dataset's files without a usable image.
    """

    reader: Recognizer
    split: Split
    labels: tuple[str, ...]
    target: EvalTarget
    skipped: tuple[SkippedFile, ...] = ()


def evaluate(
    model: Recognizer | str | os.PathLike[str],
    dataset: Dataset | str | os.PathLike[str],
    *,
    split: str | None = None,
    split_of: TrainedRun | str | os.PathLike[str] | None = None,
    charset: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Measure a model on a dataset.

    Args:
        model: a reader, the name of a shipped model, or an `.onnx` file.
        dataset: see `kalamos.datasets.load_dataset`.
        split: "train", "val", "test" or "all"; by default the test split if there is one, else all, and with
            `split_of` "val".
        split_of: a training run, or its folder: take the part of the dataset that it learned from ("train")
            or held out ("val", "test"), so that the figures are honest.
        charset: restricts the answers as in prediction, and leaves out the images of other labels.
        data_dir: the folder that holds the named datasets.
        on_progress: called now and then with the number of images done.

    Raises:
        DatasetError: there are no such images, or the model does not know one of their labels.
        ModelError: the model cannot be opened.
        UsageError: no such split, or no such charset.

    >>> stroke = np.zeros((28, 28), np.uint8)
    >>> stroke[4:24, 12:15] = 255
    >>> drawn = Split(stroke[np.newaxis], np.array([1]))
    >>> ones = Dataset("ones", load("digits").spec.alphabet, drawn, None, "drawn by hand")
    >>> evaluate("digits", ones).accuracy
    1.0
    """
    data = load_eval_data(model, dataset, split=split, split_of=split_of, charset=charset, data_dir=data_dir)
    return evaluate_split(data.reader, data.split, data.labels, charset=charset, on_progress=on_progress)


def load_eval_data(
    model: Recognizer | str | os.PathLike[str],
    dataset: Dataset | str | os.PathLike[str],
    *,
    split: str | None = None,
    split_of: TrainedRun | str | os.PathLike[str] | None = None,
    charset: str | None = None,
    data_dir: str | os.PathLike[str] | None = None,
    classes: ClassFolders | None = None,
) -> EvalData:
    """Open a model, and choose the images to measure it on; for the arguments and errors see `evaluate`."""
    reader = model if isinstance(model, Recognizer) else _open_model(os.fspath(model))
    data = dataset if isinstance(dataset, Dataset) else load_dataset(dataset, data_dir, classes=classes)
    if split_of is None:
        data = without_leaks(data)
    labels = data.alphabet.labels
    if split_of is None:
        images, part = dataset_split(data, split)
    else:
        part = split or "val"
        images = run_split(data, split_of, part)
        part = f"{part} of {_as_run(split_of).folder or 'this run'}"
    total = len(images)
    if charset is not None:
        images = filter_charset(images, labels, reader.spec.alphabet, charset)
    target = EvalTarget(
        model=reader.spec.name if isinstance(model, Recognizer) else os.fspath(model),
        dataset=data.name if isinstance(dataset, Dataset) else os.fspath(dataset),
        split=part,
        passed_over=len(data.problems),
        left_out=total - len(images),
    )
    return EvalData(reader, images, labels, target, tuple(data.problems))


def _open_model(model: str) -> Recognizer:
    path = Path(model)
    if model not in names() and path.is_dir():
        if (path / RUN_METADATA_FILE).is_file():
            raise UsageError(
                f"{model}: is a run, not a model",
                remedy=f"export it first: kalamos export {shlex.quote(str(model))}",
            )
        raise UsageError(f"{model}: is a folder, not a model", remedy="name a shipped model or an .onnx file")
    return load(model)


def evaluate_split(
    reader: Recognizer,
    split: Split,
    labels: tuple[str, ...],
    *,
    charset: str | None = None,
    on_progress: Callable[[int], None] = lambda done: None,
) -> Evaluation:
    """Measure `reader` on `split`.

    Args:
        labels: the split's own label order; the model may have another, or more. A small letter that the
            model writes as its capital (`Alphabet.merged`) counts as that.
        charset: restricts the answers as in prediction; images of other labels have to be left out before, by
            `filter_charset`.
        on_progress: called now and then with the number of images done.

    Raises:
        DatasetError: the split is empty, or has a class that the model does not know.
        UsageError: see `kalamos.alphabets.restrict`.
    """
    if not len(split):
        raise DatasetError("nothing to evaluate: the split is empty")
    restriction = None if charset is None else restrict(reader.spec.alphabet, charset)
    to_answer = _answer_indices(reader, split, labels, restriction)
    answers = reader.labels if restriction is None else restriction.labels
    probabilities = np.zeros((len(split), len(answers)), np.float32)
    removed = None if restriction is None else np.zeros(len(split), np.float32)
    record = reader.spec.known
    known = None if record is None else np.zeros(len(split), np.float32)
    for start in range(0, len(split), CHUNK):
        stop = min(start + CHUNK, len(split))
        found = reader.infer([split.images[row] for row in range(start, stop)], restriction)
        probabilities[start + found.rows] = found.probabilities
        if removed is not None:
            removed[start + found.rows] = found.removed
        if known is not None:
            known[start + found.rows] = found.known
        on_progress(stop)
    return Evaluation(
        to_answer[split.labels],
        probabilities,
        answers,
        split.sha256,
        reader.spec.alphabet.name,
        charset,
        removed,
        reader.spec.selective,
        known,
        0.0 if record is None else record.threshold,
    )


def filter_charset(split: Split, labels: tuple[str, ...], alphabet: Alphabet, charset: str) -> Split:
    """Keep the images whose label is in a charset.

    Args:
        labels: the split's own label order.
        alphabet: the model's.

    Raises:
        DatasetError: none is left.
        UsageError: see `kalamos.alphabets.restrict`.
    """
    kept = restrict(alphabet, charset).indices
    inside = np.array([alphabet.class_of(label) in kept for label in labels])
    rows = np.flatnonzero(inside[split.labels])
    if not len(rows):
        raise DatasetError(
            f"none of the {len(split):,} images has a label of charset {charset!r}",
            remedy="choose another charset or another dataset",
        )
    return split.take(rows)


def _answer_indices(
    reader: Recognizer, split: Split, labels: tuple[str, ...], restriction: ClassMask | None
) -> NDArray[np.int64]:
    """Return the index of each of the split's labels among the answers, int64 [len(labels)]; -1 for none."""
    alphabet = reader.spec.alphabet
    found = [alphabet.class_of(label) for label in labels]
    if restriction is None:
        unknown = [label for label, position in zip(labels, found, strict=True) if position is None]
    else:
        rank = {position: place for place, position in enumerate(restriction.indices)}
        found = [None if position is None else rank.get(position) for position in found]
        here = set(np.unique(split.labels).tolist())
        unknown = [labels[label] for label in sorted(here) if found[label] is None]
    if unknown:
        more = f" and {len(unknown) - MAX_LABELS_NAMED} more" if len(unknown) > MAX_LABELS_NAMED else ""
        named = f"{', '.join(sorted(unknown)[:MAX_LABELS_NAMED])}{more}"
        if restriction is not None:
            raise DatasetError(
                f"charset {restriction.charset!r} leaves out {named}", remedy="leave their images out first"
            )
        raise DatasetError(
            f"the model {reader.spec.name!r} does not know {named}",
            remedy="evaluate it on a dataset of its own alphabet, or with a --charset that both have",
        )
    return np.array([-1 if position is None else position for position in found], np.int64)


def dataset_split(dataset: Dataset, part: str | None) -> tuple[Split, str]:
    """Return a dataset's own split, and its name.

    Args:
        part: "train" (without an official validation split), "val", "test" or "all"; None takes the test
            split if there is one, else all.

    Raises:
        UsageError: the dataset has no such split.
    """
    train, test, val_rows = dataset.train, dataset.test, dataset.val_rows
    if part is None:
        part = "all" if test is None else "test"
    if part == "all":
        return train if test is None else _together(train, test), part
    if part == "test" and test is not None:
        return test, part
    if part == "val" and val_rows is not None:
        return train.take(val_rows), part
    if part == "train":
        rows = np.arange(len(train))
        return train if val_rows is None else train.take(np.setdiff1d(rows, val_rows)), part
    raise UsageError(
        f"{dataset.name} has no {part} split of its own",
        remedy="use --split all, or --split-of RUN for what a run held out",
    )


def run_split(dataset: Dataset, run: TrainedRun | str | os.PathLike[str], part: str) -> Split:
    """Return the part "train", "val" or "test" of a dataset, as a training run split it.

    Args:
        run: the run, or its folder.

    Raises:
        DatasetError: not a run folder with a saved split, of another dataset, or damaged.
        UsageError: the run kept no such part.
        MissingExtraError: a folder is given, and safetensors, of the extra 'train', is not installed.
    """
    if part == "all":
        raise UsageError(
            "--split-of RUN takes one part of a split, --split all takes every image",
            remedy="leave one of the two out",
        )
    run = _as_run(run)
    name = run.folder or "this run"
    if dataset.train.sha256 != run.data_sha256:
        raise DatasetError(
            f"{name}: was trained on other images than those of {dataset.name}",
            remedy="evaluate on the dataset that its run.json names",
        )
    rows: NDArray[Any] = getattr(run.split, part, np.zeros(0, np.int64))
    if not rows.size:
        remedy = "leave out --split-of for the dataset's own" if part == "test" else "use --split val"
        raise UsageError(f"{name}: kept no {part} part", remedy=remedy)
    if rows.ndim != 1 or rows.dtype != np.int64 or rows.min() < 0 or rows.max() >= len(dataset.train):
        raise DatasetError(f"{name}: its part {part!r} does not index the {len(dataset.train):,} images")
    return dataset.train.take(rows)


@dataclass(frozen=True)
class _SavedRun:
    """The part of a run folder that says how the dataset was split."""

    folder: Path

    @property
    def data_sha256(self) -> str:
        return _fingerprint(self.folder)

    @property
    def split(self) -> SimpleNamespace:
        return SimpleNamespace(**_saved_rows(self.folder / SPLIT_FILE))


def _as_run(run: TrainedRun | str | os.PathLike[str]) -> TrainedRun:
    return _SavedRun(Path(run)) if isinstance(run, (str, os.PathLike)) else run


def _together(train: Split, test: Split) -> Split:
    images: NDArray[np.uint8] | RaggedImages
    a, b = train.images, test.images
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray) and a.shape[1:] == b.shape[1:]:
        images = np.concatenate([a, b])
    else:
        images = RaggedImages.of([*a, *b])
    return Split(images, np.concatenate([train.labels, test.labels]))


def _fingerprint(run: Path) -> str:
    remedy = "give the folder that `kalamos train` wrote"
    try:
        with (run / RUN_METADATA_FILE).open("rb") as stream:
            story: Any = json.loads(stream.read(MAX_RUN_METADATA_BYTES).decode("utf-8"))
        return str(story["data_sha256"])
    except OSError as error:
        raise DatasetError(f"{run}: has no {RUN_METADATA_FILE} that can be read", remedy=remedy) from error
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DatasetError(
            f"{run / RUN_METADATA_FILE}: does not say which data it was trained on", remedy=remedy
        ) from error


def _saved_rows(path: Path) -> dict[str, NDArray[Any]]:
    try:
        from safetensors import SafetensorError
        from safetensors.numpy import load as load_arrays
    except ImportError as error:
        raise MissingExtraError(
            "a run's split needs safetensors, not installed here", extra="train"
        ) from error
    try:
        return load_arrays(path.read_bytes())
    except OSError as error:
        raise DatasetError(
            f"{path}: cannot be read ({error.strerror})",
            remedy="train again with this kalamos, which saves it",
        ) from error
    except (SafetensorError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise DatasetError(f"{path}: is damaged ({error})") from error
