from __future__ import annotations

import cv2
import numpy as np
import pytest

from kalamos import load
from kalamos.errors import AlphabetError, CorruptImageError, NoInkError
from kalamos.explain import AGAINST, FOR, occlusion, overlay
from kalamos.recognizer import Recognizer


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return load("digits")


def _drawn(text: str) -> np.ndarray:
    page = np.full((120, 100), 255, np.uint8)
    cv2.putText(page, text, (15, 100), cv2.FONT_HERSHEY_SIMPLEX, 3.4, 0, 9, cv2.LINE_AA)
    return page


def test_ink_speaks_for_the_answer_and_paper_says_nothing(reader: Recognizer) -> None:
    page = _drawn("9")
    heat = occlusion(reader, page)
    prepared = reader.prepare(page)
    assert heat.dtype == np.float32
    assert heat.shape == prepared.shape
    far = cv2.dilate(prepared, np.ones((11, 11), np.uint8)) == 0
    assert not heat[far].any()
    assert heat.max() > 0.05


def test_covering_the_hottest_place_costs_more_than_the_coolest_ink(reader: Recognizer) -> None:
    page = _drawn("8")
    prepared, heat = reader.prepare(page), occlusion(reader, page)

    def left(place: tuple[int, ...]) -> float:
        covered = prepared.copy()
        top, at = (max(0, each - 2) for each in place)
        covered[top : top + 5, at : at + 5] = 0
        scores = reader.logits([covered])[0] / reader.spec.temperature
        return float(scores[8] - np.log(np.exp(scores).sum()))

    inked = np.where(prepared > 128, heat, np.nan)
    hottest = np.unravel_index(np.nanargmax(inked), heat.shape)
    coolest = np.unravel_index(np.nanargmin(inked), heat.shape)
    assert left(tuple(map(int, hottest))) < left(tuple(map(int, coolest)))


def test_another_label_has_another_map(reader: Recognizer) -> None:
    page = _drawn("7")
    best = occlusion(reader, page)
    assert np.array_equal(best, occlusion(reader, page, label="7"))
    assert not np.allclose(best, occlusion(reader, page, label="1"))


def test_refusals(reader: Recognizer) -> None:
    with pytest.raises(NoInkError):
        occlusion(reader, np.full((50, 50), 255, np.uint8))
    with pytest.raises(CorruptImageError):
        occlusion(reader, b"\x89PNG\r\n\x1a\n")
    with pytest.raises(AlphabetError, match="no label 'A'"):
        occlusion(reader, _drawn("7"), label="A")


def test_the_overlay_shows_both_signs_and_leaves_the_rest_grey() -> None:
    prepared = np.array([[10, 20, 200]], np.uint8)
    red, blue, grey = overlay(prepared, np.array([[1.0, -1.0, 0.0]], np.float32))[0]
    assert np.abs(red - 0.8 * np.array(FOR) - 2).max() <= 1
    assert np.abs(blue - 0.8 * np.array(AGAINST) - 4).max() <= 1
    assert grey.tolist() == [200, 200, 200]


def test_an_overlay_without_heat_is_the_image() -> None:
    prepared = np.arange(9, dtype=np.uint8).reshape(3, 3)
    assert (overlay(prepared, np.zeros((3, 3), np.float32)) == prepared[..., np.newaxis]).all()
