"""A clean dataset drawn by program, with which nothing is wrong."""

from __future__ import annotations

import numpy as np
import pytest

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split

CLASSES = 4


def _split(draw, each: int, seed: int) -> Split:
    images = np.concatenate([draw(label, each, seed) for label in range(CLASSES)])
    return Split(images, np.repeat(np.arange(CLASSES), each))


@pytest.fixture(scope="session")
def alphabet() -> Alphabet:
    return Alphabet("drawn", ("ا", "ب", "A", "<b>"))


@pytest.fixture(scope="session")
def clean(draw, alphabet: Alphabet) -> Dataset:
    """160 + 48 images with which nothing is wrong."""
    return Dataset("clean", alphabet, _split(draw, 40, seed=1), _split(draw, 12, seed=2), "drawn by program")
