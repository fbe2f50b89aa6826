"""What is measured of a shipped model, once: figures for docs/zoo/NAME.json, pictures for docs/images/zoo."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from zoo_models import Shipped

import kalamos
from kalamos.datasets import Split, load_dataset
from kalamos.datasets.dataset import prepare_split
from kalamos.evaluation.evaluate import Evaluation, evaluate_split
from kalamos.evaluation.metrics import Proportion
from kalamos.evaluation.ood import measure as measure_outliers
from kalamos.evaluation.report import as_metric, surest_mistakes
from kalamos.evaluation.reporting import drawing, reliability_plot, risk_coverage_plot, seen_by
from kalamos.evaluation.robustness import measure as measure_shift
from kalamos.evaluation.robustness.report import shift_plot
from kalamos.learn import Recipe
from kalamos.learn.export.onnx_format import record_metric, record_robustness
from kalamos.learn.run import plan_split
from kalamos.model_file import RobustnessRecord
from kalamos.postprocessing import softmax
from kalamos.preprocessing import Preprocessor
from kalamos.recognizer import Recognizer
from kalamos.utils.atomic_write import write_bytes

__all__ = ["TRAINED", "measure"]

TRAINED = ("val_accuracy", "epochs", "seconds")

MOVES = [(down, right) for down in (-1, 0, 1) for right in (-1, 0, 1)]
"""Pixels that test-time augmentation moves the prepared image by; the probabilities are averaged."""


def measure(
    model: Shipped, path: Path, pictures: Path, trained: Mapping[str, Any], *, tests_only: bool = False
) -> dict[str, Any]:
    """Every figure of one model file, recorded in it too; of the seed that ships also what takes long.

    Args:
        trained: what only the training could tell, the entries `TRAINED`; with `tests_only` the figures of
            before, of which those of the shift suite and of outliers stay.
    """
    reader, today = kalamos.load(path), datetime.now(UTC).date().isoformat()
    seed = reader.spec.training.seed
    tests: list[dict[str, Any]] = []
    robustness = {name: trained[name] for name in ("shift", "outliers") if tests_only and name in trained}
    for place, wanted in enumerate(model.tests):
        name, split, labels = _images(wanted.dataset, reader)
        result = evaluate_split(reader, split, labels)
        record_metric(path, as_metric(result, wanted.dataset, name))
        test = {
            "dataset": wanted.dataset,
            "split": name,
            "sha256": result.sha256,
            "n": result.n,
            "right": int(result.correct.sum()),
            "accuracy": result.accuracy,
            "ece": result.ece,
        }
        if seed == model.seeds[0]:
            test |= {
                "case_folded": _value(result.case_folded),
                "confusables_merged": _value(result.confusables_merged),
                "test_time_augmentation": _augmented(reader, split, labels),
            }
            _save(pictures / f"{model.name}-{wanted.dataset}", _pictures(result, split, reader))
            if not place and not tests_only:
                drawn = pictures / model.name
                robustness = _robustness(reader, path, split, labels, today, drawn)
        tests.append(test)
    return {
        "seed": seed,
        "date": today,
        "kalamos": kalamos.__version__,
        "architecture": reader.spec.architecture,
        "parameters": reader.spec.parameters,
        "int8": reader.spec.quantisation is not None,
        "bytes": path.stat().st_size,
        **{name: trained[name] for name in TRAINED},
        "tests": tests,
        **robustness,
    }


def _images(name: str, reader: Recognizer) -> tuple[str, Split, tuple[str, ...]]:
    """A dataset's test split, or where it has none what the training held out; with the split's name."""
    dataset = load_dataset(name)
    if dataset.test is not None:
        return "test", dataset.test, dataset.alphabet.labels
    held = plan_split(dataset, Recipe.of_training(reader.spec.training)).val
    return "val", dataset.train.take(held), dataset.alphabet.labels


def _augmented(reader: Recognizer, split: Split, labels: tuple[str, ...]) -> float:
    """Accuracy with nine moved copies of each image, averaged; a blank image is misread."""
    prepared, _ = prepare_split(split, Preprocessor(reader.spec.preprocessing))
    images = prepared.stack()
    answers: NDArray[np.float32] = np.zeros((len(images), len(reader.labels)), np.float32)
    for move in MOVES:
        moved = np.roll(images, move, (1, 2))  # what the steps leave at the edges is empty
        for start in range(0, len(images), 64):
            rows = slice(start, start + 64)
            answers[rows] += softmax(reader.logits(list(moved[rows])), reader.spec.temperature)
    truth = np.array([reader.labels.index(label) for label in labels])[prepared.labels]
    return float((answers.argmax(1) == truth).sum() / len(split))


def _robustness(
    reader: Recognizer, path: Path, split: Split, labels: tuple[str, ...], today: str, drawn: Path
) -> dict[str, Any]:
    outcomes = measure_shift(reader, split, labels)
    shift, outliers = outcomes.report(), measure_outliers(reader, split)
    kinds = {"mean": shift.means["all"].value} | {name: shift.accuracy(name) for name in shift.names}
    spoilt = (RobustnessRecord("shift", name, value, shift.n, today) for name, value in kinds.items())
    record_robustness(path, (*spoilt, *outliers.records(today)))
    _save(drawn, {"shift": shift_plot(shift), "shift-reliability": reliability_plot(outcomes.reliability)})
    return {
        "shift": shift.to_mapping(),
        "outliers": {each.name: {"auroc": each.auroc, "n": each.n} for each in outliers.sets},
    }


def _pictures(result: Evaluation, split: Split, reader: Recognizer) -> dict[str, bytes]:
    return {
        "reliability": reliability_plot(result.reliability),
        "risk-coverage": risk_coverage_plot(result),
        "mistakes": _mistakes(result, split, reader),
    }


def _mistakes(
    result: Evaluation, split: Split, reader: Recognizer, *, columns: int = 6, most: int = 48
) -> bytes:
    """Draw the most confident mistakes, each image beside what the model saw of it."""
    rows = surest_mistakes(result, most).tolist()
    lines = max(1, -(-len(rows) // columns))
    with drawing(2 * columns, 1.3 * lines, layout="constrained") as (figure, done):
        panels = figure.subplots(lines, 2 * columns, squeeze=False)
        for axes in panels.flat:
            axes.axis("off")
        for row, (left, right) in zip(rows, panels.reshape(-1, 2), strict=False):
            left.imshow(split.images[row], cmap="gray", vmin=0, vmax=255)
            right.imshow(seen_by(reader, split.images[row]), cmap="gray", vmin=0, vmax=255)
            left.set_title(f"is {result.labels[result.truth[row]]}", fontsize=8)
            answer = result.labels[result.predicted[row]]
            right.set_title(f"read {answer}, {result.confidence[row]:.0%}", fontsize=8, color="#d55e00")
        return done()


def _save(stem: Path, pictures: dict[str, bytes]) -> None:
    for kind, content in pictures.items():
        write_bytes(f"{stem}-{kind}.png", content)


def _value(share: Proportion | None) -> float | None:
    return None if share is None else share.value
