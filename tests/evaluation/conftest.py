from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, Split
from kalamos.evaluation.evaluate import EvalTarget, Evaluation, evaluate_split
from kalamos.model_file import open_model
from kalamos.recognizer import Recognizer


@pytest.fixture(scope="session")
def reader(tiny_model: Path) -> Recognizer:
    return Recognizer(open_model(tiny_model))


@pytest.fixture(scope="session")
def spoilt(digits: Dataset) -> Split:
    """The test digits, of which ten labels are wrong and one image is blank."""
    assert digits.test is not None
    images, labels = digits.test.stack().copy(), digits.test.labels.copy()
    labels[:10] = (labels[:10] + 1) % 10
    images[30] = 0
    return Split(images, labels)


@pytest.fixture(scope="session")
def measured(reader: Recognizer, spoilt: Split, digits: Dataset) -> Evaluation:
    return evaluate_split(reader, spoilt, digits.alphabet.labels)


@pytest.fixture
def subject() -> EvalTarget:
    return EvalTarget("tiny.onnx", "mnist", "test")


def with_answers(
    measured: Evaluation, answers: np.ndarray, confidence: float | np.ndarray = 0.9
) -> Evaluation:
    """The same images under other answers."""
    classes = len(measured.labels)
    sure = np.broadcast_to(np.asarray(confidence, np.float32), answers.shape)[:, np.newaxis]
    probabilities = np.repeat((1 - sure) / (classes - 1), classes, axis=1)
    np.put_along_axis(probabilities, answers[:, np.newaxis], sure, axis=1)
    return Evaluation(measured.truth, probabilities, measured.labels, measured.sha256)


@pytest.fixture(scope="session")
def answering():
    return with_answers
