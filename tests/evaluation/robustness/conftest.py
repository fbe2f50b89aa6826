"""The suite run once, on synthetic digits, with the shipped reader."""

from __future__ import annotations

import numpy as np
import pytest

import kalamos
from kalamos.datasets import Dataset
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.robustness.suite import Outcomes, ShiftReport, measure
from kalamos.recognizer import Recognizer

NAMES = ("stripe", "impulse_noise", "brightness", "thin_pen")


@pytest.fixture(scope="session")
def reader() -> Recognizer:
    return kalamos.load("digits")


@pytest.fixture(scope="session")
def outcomes(reader: Recognizer, digits: Dataset) -> Outcomes:
    return measure(reader, digits.train, digits.alphabet.labels, limit=40, seed=7, names=NAMES)


@pytest.fixture(scope="session")
def report(outcomes: Outcomes) -> ShiftReport:
    return outcomes.report()


@pytest.fixture
def subject() -> EvalTarget:
    return EvalTarget("digits", "mnist", "train")


@pytest.fixture(scope="session")
def seven() -> np.ndarray:
    """A frame as MNIST's: an upright 7 of 20 px, strokes of 3."""
    frame = np.zeros((28, 28), np.uint8)
    frame[4:7, 8:20] = 255
    frame[4:24, 17:20] = 255
    return frame
