"""Characters drawn by program: a few strokes a class, by a hand that never draws one twice alike."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split

CLASSES = 4
Images = NDArray[np.uint8]
Draw = Callable[..., Images]


def _draw(label: int, count: int, seed: int) -> Images:
    corners = np.random.default_rng(label).uniform(12, 44, (5, 2))
    hand = np.random.default_rng([seed, label])
    images = np.zeros((count, 28, 28), np.uint8)
    for image in images:
        page = np.zeros((56, 56), np.uint8)
        stroke = (corners + hand.normal(0, 2.5, corners.shape)).astype(np.int32)
        cv2.polylines(page, [stroke.reshape(-1, 1, 2)], False, 255, int(hand.integers(3, 6)), cv2.LINE_AA)
        image[:] = cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA)
    return images


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Called with a class, a count and a seed: uint8 [count, 28, 28], bright on black."""
    return _draw


def _split(each: int, seed: int) -> Split:
    images = np.concatenate([_draw(label, each, seed) for label in range(CLASSES)])
    return Split(images, np.repeat(np.arange(CLASSES), each))


@pytest.fixture(scope="session")
def alphabet() -> Alphabet:
    return Alphabet("drawn", ("ا", "ب", "A", "<b>"))


@pytest.fixture(scope="session")
def clean(alphabet: Alphabet) -> Dataset:
    """160 + 48 images with which nothing is wrong."""
    return Dataset("clean", alphabet, _split(40, seed=1), _split(12, seed=2), "drawn by program")
