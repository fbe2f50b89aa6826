"""The figures that a shipped model carries, measured again on the real data.

Needs KALAMOS_DATA, the folder that holds mnist/, and a model with recorded figures
(`kalamos evaluate digits mnist --record`); skips where either is missing.
"""

from __future__ import annotations

import pytest

import kalamos
from kalamos.datasets import Dataset
from kalamos.evaluation.evaluate import evaluate
from kalamos.evaluation.report import as_metric

LEAST = 0.995


def test_digits_reads_mnist_as_its_file_says(request: pytest.FixtureRequest) -> None:
    reader = kalamos.load("digits")
    recorded = {(metric.dataset, metric.split): metric for metric in reader.spec.metrics}.get(
        ("mnist", "test")
    )
    if recorded is None:
        # Asked before the data is: the test split is not for trying things out.
        pytest.skip("digits.onnx has no figure for mnist yet: kalamos evaluate digits mnist --record")
    dataset: Dataset = request.getfixturevalue("mnist")
    measured = as_metric(evaluate(reader, dataset.test, dataset.alphabet.labels), "mnist", "test")
    assert (recorded.n, recorded.sha256) == (10_000, dataset.test.sha256)
    assert measured.n == recorded.n
    assert recorded.accuracy >= LEAST
    # A few images in ten thousand may fall on the other side with another OpenCV or processor.
    assert measured.accuracy == pytest.approx(recorded.accuracy, abs=5e-4)
    assert measured.ece == pytest.approx(recorded.ece, abs=2e-3)
