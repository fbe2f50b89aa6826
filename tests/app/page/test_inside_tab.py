from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos import load
from kalamos.app.page.inside_tab import first_stages, inside_html
from kalamos.app.page.session import LastRead
from kalamos.errors import ImageTooLargeError
from kalamos.predictions import Prediction


def _last(x: int) -> LastRead:
    page = np.full((60, 60), 255, np.uint8)
    page[8:52, x : x + 5] = 0
    page[8:13, 15:45] = 0
    return LastRead(cv2.imencode(".png", page)[1].tobytes(), Prediction("7", 1.0), "digits")


@pytest.mark.parametrize(
    ("count", "first"), [(0, []), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 2, 3]), (9, [0, 4, 8])]
)
def test_three_stages_from_first_to_last(count: int, first: list[int]) -> None:
    assert first_stages([str(stage) for stage in range(count)]) == [str(stage) for stage in first]


def test_pictures_of_the_stages_asked_for_and_of_no_others() -> None:
    reader = load("digits")
    shown = inside_html(reader, _last(40), ["deep", "no such stage"], 10**6)
    assert shown.count("<img") == 3
    assert "<b>deep</b>" in shown
    assert "12 of 88 channels, 2×2 px each" in shown
    assert shown != inside_html(reader, _last(30), ["deep"], 10**6)


def test_a_model_of_few_channels_and_any_number_of_stages(two_letters: Path) -> None:
    reader = load(two_letters)
    shown = inside_html(reader, _last(40), reader.spec.feature_maps, 10**6)
    assert shown.count("1 of 1 channels, 28×28 px each") == 4


def test_the_limit_on_pixels_holds_here_too() -> None:
    with pytest.raises(ImageTooLargeError):
        inside_html(load("digits"), _last(40), [], 100)
