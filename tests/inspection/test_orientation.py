"""Datasets whose images lie on their side or in a mirror."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split
from kalamos.inspection import inspect
from kalamos.inspection.orientation import TURNS

Grey = NDArray[np.uint8]

SPOILT: dict[str, Callable[[Grey], Grey]] = {
    "transposed": lambda image: image.T,
    "mirrored": lambda image: image[:, ::-1],
    "upside down in a mirror": lambda image: image[::-1],
    "turned upside down": lambda image: image[::-1, ::-1],
    "turned to the left": np.rot90,
    "turned to the right": lambda image: np.rot90(image, -1),
    "transposed and turned upside down": lambda image: image[::-1, ::-1].T,
}


def spoilt(
    digits: Dataset, how: Callable[[Grey], Grey], count: int = 120, alphabet: Alphabet | None = None
) -> Dataset:
    images = np.stack([how(np.asarray(image)) for image in digits.train.images[:count]])
    split = Split(images, digits.train.labels[:count])
    return Dataset("spoilt", alphabet or digits.alphabet, split, None, "drawn by program")


def turned(dataset: Dataset) -> list[str]:
    report = inspect(dataset, labels=False)
    return [case.what for finding in report.findings if finding.kind == "turned" for case in finding.cases]


def test_upright_images_are_in_order(digits: Dataset) -> None:
    assert turned(spoilt(digits, lambda image: image)) == []


@pytest.mark.parametrize("what", TURNS)
def test_turned_images_are_told_with_how_to_turn_them_back(digits: Dataset, what: str) -> None:
    [told] = turned(spoilt(digits, SPOILT[what]))
    assert told.startswith(f"{what}: digits reads ")
    assert told.endswith(f" after {TURNS[what][0]}")


@pytest.mark.parametrize("what", TURNS)
def test_what_is_said_turns_them_back(what: str) -> None:
    image = np.arange(12, dtype=np.uint8).reshape(3, 4)
    assert (TURNS[what][1](SPOILT[what](image)) == image).all()
    back = eval(TURNS[what][0], {"image": SPOILT[what](image), "numpy": np})  # noqa: S307
    assert (back == image).all()


def test_few_images_and_unknown_labels_are_left_alone(digits: Dataset) -> None:
    assert turned(spoilt(digits, lambda image: image.T, count=20)) == []
    other = Alphabet("other", tuple("αβγδεζηθικ"))
    assert turned(spoilt(digits, lambda image: image.T, alphabet=other)) == []
