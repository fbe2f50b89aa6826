"""Crops along the ink are two levels and one shape; frames, shadows and sheets on a table are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.preprocessing.cut_out import ink_of_cut_out

Grey = NDArray[np.uint8]
X = np.linspace(-0.5, 0.5, 80)


def crop(strokes: list[list[tuple[float, float]]], pen: int = 12, seed: int = 0) -> Grey:
    """A photograph of strokes, points as shares of the sides, 110 x 80 px."""
    ink = np.zeros((110, 80), np.uint8)
    for stroke in strokes:
        points = np.rint(np.array(stroke) * (79, 109)).astype(np.int32)
        cv2.polylines(ink, [points], False, 255, pen)
    page = (200 + 20 * X) * (1 - 0.6 * cv2.GaussianBlur(ink, (3, 3), 0) / 255)
    page += np.random.default_rng(seed).normal(0, 2, page.shape)
    return np.clip(page, 0, 255).astype(np.uint8)


SEVEN = [[(0.0, 0.03), (1.0, 0.03), (0.4, 1.0)]]
DOTTED = [[(0.0, 0.4), (0.1, 0.8), (0.5, 1.0), (0.9, 0.8), (1.0, 0.4)], [(0.5, 0.02), (0.51, 0.02)]]


@pytest.mark.parametrize("strokes", [SEVEN, DOTTED], ids=["7", "dotted"])
@pytest.mark.parametrize("is_light", [False, True])
def test_all_of_the_ink_is_kept(strokes: list[list[tuple[float, float]]], is_light: bool) -> None:
    page = crop(strokes)
    ink = ink_of_cut_out(255 - page if is_light else page)
    assert ink is not None
    dark = page < 140
    assert (ink[dark] > 150).mean() > 0.95
    assert (ink[page > 170] == 0).mean() > 0.99


def framed(page: Grey) -> Grey:
    cv2.rectangle(page, (3, 3), (76, 106), 60, 3)
    return page


def on_a_table(page: Grey) -> Grey:
    page[:, :9], page[100:] = 40, 40
    return page


def in_a_shadow(page: Grey) -> Grey:
    cv2.fillConvexPoly(page, np.array([(0, 30), (79, 109), (0, 109)]), 90)
    return page


FIVE = [[(0.6, 0.3), (0.35, 0.3), (0.35, 0.5), (0.6, 0.55), (0.6, 0.7), (0.35, 0.72)]]


@pytest.mark.parametrize("change", [framed, on_a_table, in_a_shadow], ids=lambda f: f.__name__)
def test_what_lies_within_something_is_for_the_ink_finder(change) -> None:  # type: ignore[no-untyped-def]
    assert ink_of_cut_out(change(crop(FIVE, pen=6))) is None


@pytest.mark.parametrize("level", [30, 200])
def test_grain_is_no_ink(level: int) -> None:
    noise = np.random.default_rng(0).normal(level, 12, (90, 90))
    assert ink_of_cut_out(np.clip(noise, 0, 255).astype(np.uint8)) is None


@given(
    height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 1000), levels=st.integers(1, 256)
)
def test_any_image_comes_through(height: int, width: int, seed: int, levels: int) -> None:
    image = np.random.default_rng(seed).integers(0, levels, (height, width)).astype(np.uint8)
    ink = ink_of_cut_out(image)
    assert ink is None or (ink.shape == image.shape and ink.dtype == np.uint8)
