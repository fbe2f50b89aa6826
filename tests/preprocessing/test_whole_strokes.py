"""Strokes that were found in part are followed to their ends, and printed lines are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.preprocessing.ink import standardise
from kalamos.preprocessing.whole_strokes import follow_strokes, lone_strokes

Grey = NDArray[np.uint8]


def scene(*strokes: tuple[int, int, int, int], pen: int = 1, seed: int = 0) -> Grey:
    """Dark straight strokes (x, y, x, y) on grainy paper of 64 px."""
    page = 190 + np.random.default_rng(seed).normal(0, 3, (64, 64))
    for x0, y0, x1, y1 in strokes:
        cv2.line(page, (x0, y0), (x1, y1), 70.0, pen, cv2.LINE_AA)
    return np.clip(page, 0, 255).astype(np.uint8)


def found(*strokes: tuple[int, int, int, int], pen: int = 1) -> Grey:
    """A map that has these strokes alone."""
    levels = np.zeros((64, 64), np.uint8)
    for x0, y0, x1, y1 in strokes:
        cv2.line(levels, (x0, y0), (x1, y1), 255, pen)
    return levels


STEM, TOP, MIDDLE, FOOT = (20, 12, 20, 52), (20, 12, 42, 12), (20, 32, 38, 32), (20, 52, 42, 52)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("part", [MIDDLE, STEM, FOOT])
def test_an_e_is_followed_from_any_of_its_strokes(part: tuple[int, int, int, int], inverted: bool) -> None:
    image = scene(STEM, TOP, MIDDLE, FOOT, pen=2)
    grey = standardise(255 - image if inverted else image, (64, 64))
    levels = found(part, pen=2)
    more, mask = follow_strokes(grey, levels, levels)
    assert cv2.boundingRect(mask)[:2] == pytest.approx((19, 11), abs=1)
    assert cv2.boundingRect(mask)[2:] == pytest.approx((24, 42), abs=2)
    assert more[32, 30] > 150
    assert more[12, 32] > 150


def test_a_line_to_the_border_is_not_followed() -> None:
    ruled = (0, 32, 63, 32)
    levels = found(STEM)
    grey = standardise(scene(STEM, ruled), (64, 64))
    more, mask = follow_strokes(grey, levels, levels)
    assert mask is levels
    assert more is levels


@pytest.mark.parametrize("inset", [1, 3])
def test_a_frame_that_a_stroke_touches_is_not_followed(inset: int) -> None:
    page = scene((32, 20, 32, 63 - inset), pen=2)
    cv2.rectangle(page, (inset, inset), (63 - inset, 63 - inset), 60, 1)
    levels = found((32, 20, 32, 60), pen=2)
    _, mask = follow_strokes(standardise(page, (64, 64)), levels, levels)
    assert mask is levels


def test_a_stroke_beside_it_is_another_s() -> None:
    levels = found(STEM)
    _, mask = follow_strokes(standardise(scene(STEM, (40, 12, 40, 52)), (64, 64)), levels, levels)
    assert not mask[:, 30:].any()


def test_faint_ink_is_not_followed_into_the_grain() -> None:
    rng = np.random.default_rng(1)
    image = rng.normal(128, 20, (64, 64)).clip(0, 255).astype(np.uint8)
    levels = found((20, 20, 30, 30))
    _, mask = follow_strokes(standardise(image, (64, 64)), levels, levels)
    assert cv2.countNonZero(mask) < 7 * cv2.countNonZero(levels)


def test_no_ink_stays_none() -> None:
    nothing = np.zeros((64, 48), np.uint8)
    grey = np.random.default_rng(0).standard_normal((64, 48)).astype(np.float32)
    assert follow_strokes(grey, nothing, nothing)[1] is nothing


@given(seed=st.integers(0, 200), height=st.sampled_from([16, 64, 128]), width=st.sampled_from([16, 48, 64]))
def test_ink_is_added_only(seed: int, height: int, width: int) -> None:
    rng = np.random.default_rng(seed)
    grey = rng.standard_normal((height, width)).astype(np.float32)
    levels = (255 * (rng.random((height, width)) > 0.97)).astype(np.uint8)
    more, mask = follow_strokes(grey, levels, levels)
    assert (more >= levels).all()
    assert (mask >= levels).all()
    assert more.dtype == mask.dtype == np.uint8


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("strokes", [(STEM,), (MIDDLE, FOOT), (STEM, TOP, MIDDLE)])
def test_strokes_alone_on_paper_are_seen(
    strokes: tuple[tuple[int, int, int, int], ...], inverted: bool
) -> None:
    image = scene(*strokes, pen=2)
    levels = lone_strokes(standardise(255 - image if inverted else image, (64, 64)))
    assert levels is not None
    expected = found(*strokes, pen=2)
    assert cv2.boundingRect(levels) == pytest.approx(cv2.boundingRect(expected), abs=3)
    assert levels[expected > 0].mean() > 150


def test_neither_paper_nor_frame_nor_rules_are_lone_strokes() -> None:
    frame = scene()
    cv2.rectangle(frame, (8, 8), (55, 55), 60, 1)
    blank, ruled, grainy = scene(), scene((0, 20, 63, 20), (0, 40, 63, 40)), scene((30, 30, 33, 33))
    for image in (frame, blank, ruled, grainy):
        assert lone_strokes(standardise(image, (64, 64))) is None
