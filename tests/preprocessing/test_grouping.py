"""How many characters stand on a prepared image."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.preprocessing.grouping import count_characters

Grey = NDArray[np.uint8]


def bars(*columns: int, top: int = 6, bottom: int = 22) -> Grey:
    image = np.zeros((28, 28), np.uint8)
    for column in columns:
        image[top:bottom, column : column + 3] = 255
    return image


@pytest.mark.parametrize(("columns", "count"), [((12,), 1), ((6, 18), 2), ((2, 9, 16, 23), 4)])
def test_strokes_side_by_side_are_counted(columns: tuple[int, ...], count: int) -> None:
    assert count_characters(bars(*columns)) == count
    assert count_characters(np.ascontiguousarray(bars(*columns).T)) == count


def test_dots_belong_to_their_letter() -> None:
    letter = bars(12, top=14)
    letter[14:24, 6:22] = 0
    letter[20:24, 4:24] = 255  # a bowl
    for place in ((12, 10), (12, 16), (8, 13)):
        letter[place[0] : place[0] + 3, place[1] : place[1] + 3] = 255
    assert count_characters(letter) == 1


def test_a_broken_stroke_is_no_second_character() -> None:
    image = bars(8)
    image[6:9, 13:22] = 255  # the bar of a 5, away from its body
    assert count_characters(image) == 1


def test_no_ink_is_no_character() -> None:
    assert count_characters(np.zeros((28, 28), np.uint8)) == 0


def test_single_digits_are_single(digits: Dataset) -> None:
    counts = [count_characters(np.asarray(image)) for image in digits.train.images]
    assert np.mean(np.array(counts) == 1) > 0.97
