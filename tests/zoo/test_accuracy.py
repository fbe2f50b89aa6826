"""The figures that the shipped models carry, measured again on the real data.

Needs KALAMOS_DATA, the folder that holds mnist/ and the others; skips where it, or a dataset, is missing.
"""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import pytest

import kalamos
from kalamos.datasets import Dataset, load_dataset
from kalamos.evaluation.evaluate import evaluate_split
from kalamos.evaluation.report import as_metric
from kalamos.model_file import Metric, open_model
from kalamos.zoo import model_path, names

LEAST = {"mnist": 0.995}
PLACES = {
    "mnist": "mnist",
    "usps": "usps.npz",
    "emnist-47": "emnist",
    "ahcd": "ahcd-csv.zip",
    "hijja-28": "hijja2.zip",
    "ocr-arabic": "ocr-arabic.zip",
    "madbase": "madbase.npz",
}

HELD_OUT = {"arabic-print": "ocr-arabic", "arabic-digits": "madbase"}
"""Models without an official test split, measured on what their training held out."""

FIGURES = [
    (name, metric)
    for name in names()
    for metric in open_model(model_path(name).read_bytes()).spec.metrics
    if metric.split == "test"
]


@lru_cache(maxsize=2)
def real(name: str) -> Dataset:
    """Read once: several models are measured on it."""
    return load_dataset(name)


def test_digits_has_a_figure() -> None:
    assert ("digits", "mnist") in {(name, metric.dataset) for name, metric in FIGURES}


@pytest.mark.parametrize(
    ("name", "recorded"), FIGURES, ids=[f"{name}-{metric.dataset}" for name, metric in FIGURES]
)
def test_a_model_reads_as_its_file_says(name: str, recorded: Metric) -> None:
    root, place = os.environ.get("KALAMOS_DATA"), PLACES[recorded.dataset]
    if not root:
        pytest.skip("KALAMOS_DATA is not set, so there are no test images")
    if not (Path(root) / place).exists():
        pytest.skip(f"the folder that KALAMOS_DATA names has no {place} in it")
    dataset = real(recorded.dataset)
    assert dataset.test is not None
    measured = as_metric(
        evaluate_split(kalamos.load(name), dataset.test, dataset.alphabet.labels), recorded.dataset, "test"
    )
    assert (measured.n, dataset.test.sha256) == (recorded.n, recorded.sha256)
    assert recorded.accuracy >= LEAST.get(recorded.dataset, 0)
    # A few images in ten thousand may fall on the other side with another OpenCV or processor.
    assert measured.accuracy == pytest.approx(recorded.accuracy, abs=5e-4)
    assert measured.ece == pytest.approx(recorded.ece, abs=2e-3)


@pytest.mark.parametrize("name", HELD_OUT)
def test_a_model_reads_what_it_held_out_as_its_file_says(name: str) -> None:
    pytest.importorskip("torch", reason="needs the extra 'train'")
    from kalamos.learn import Recipe
    from kalamos.learn.run import plan_split

    root = os.environ.get("KALAMOS_DATA")
    place = PLACES[HELD_OUT[name]]
    if not root or not (Path(root) / place).exists():
        pytest.skip(f"KALAMOS_DATA is not set, or has no {place} in it")
    dataset, reader = real(HELD_OUT[name]), kalamos.load(name)
    [recorded] = [metric for metric in reader.spec.metrics if metric.split == "val"]
    held = plan_split(dataset, Recipe.of_training(reader.spec.training)).val
    result = evaluate_split(reader, dataset.train.take(held), dataset.alphabet.labels)
    measured = as_metric(result, recorded.dataset, "val")
    assert (measured.n, measured.sha256) == (recorded.n, recorded.sha256)
    assert measured.accuracy == pytest.approx(recorded.accuracy, abs=5e-4)
    assert measured.ece == pytest.approx(recorded.ece, abs=2e-3)
