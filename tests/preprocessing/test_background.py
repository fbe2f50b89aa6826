"""Scaling down in two steps, the first by halves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from kalamos.preprocessing.background import estimate_background_dense, explained_variance
from kalamos.preprocessing.resizing import shrink

Grey = NDArray[np.uint8]
SIDE = 64
Y, X = np.mgrid[:SIDE, :SIDE] / (SIDE - 1) - 0.5


def grained(levels: NDArray[np.floating], grain: float = 2.0) -> Grey:
    noise = np.random.default_rng(5).normal(0, grain, levels.shape)
    return np.clip(levels + noise, 0, 255).astype(np.uint8)


def bar(height: int, width: int, left: int, right: int, ends: int) -> NDArray[np.floating]:
    """1 where there is ink, paper so many px beside and beyond it."""
    ink = np.zeros((height, width))
    ink[ends : height - ends, left : width - right] = 1
    return ink


@pytest.mark.parametrize("dark", [True, False])
@pytest.mark.parametrize(
    "ink", [bar(31, 4, 0, 1, 6), bar(60, 10, 1, 1, 6), bar(60, 10, 1, 1, 0), bar(64, 24, 4, 4, 3)]
)
def test_a_bar_in_a_tight_crop(ink: NDArray[np.floating], dark: bool) -> None:
    levels = 220 - 170 * ink
    found = estimate_background_dense(grained(levels if dark else 255 - levels))
    assert found is not None
    assert found[0] == dark
    assert found[1].shape == ink.shape
    assert np.abs(found[1] - (220 if dark else 35)).max() < 6


def test_the_paper_is_a_plane_under_the_ink_too() -> None:
    light = 180 + 60 * X + 30 * Y
    ring = (np.hypot(X, Y) < 0.48) & (np.hypot(X, Y) > 0.2)
    found = estimate_background_dense(grained(np.where(ring, light * 0.3, light)))
    assert found is not None
    assert found[0]
    assert np.abs(found[1] - light).max() < 8


def seven(left: float, top: float, right: float, bottom: float) -> NDArray[np.floating]:
    """1 where there is ink: a level bar and a slanted stroke below it, in shares of the side."""
    ink = np.zeros((SIDE, SIDE), np.uint8)
    corners = np.array([(left, top), (right, top), (left + 0.4 * (right - left), bottom)]) * SIDE
    cv2.polylines(ink, [corners.round().astype(np.int32).reshape(-1, 1, 2)], False, 1, 9)
    return ink.astype(float)


@pytest.mark.parametrize("dark", [True, False])
def test_strokes_along_the_border_are_ink_where_it_was_cut_out_around_them(dark: bool) -> None:
    light = 190 + 40 * X
    levels = light * (1 - 0.5 * seven(0.02, 0.03, 0.95, 0.99))
    found = estimate_background_dense(grained(levels if dark else 255 - levels))
    assert found is not None
    assert found[0] == dark
    assert np.abs(found[1] - (light if dark else 255 - light)).max() < 8


@pytest.mark.parametrize("dark", [True, False])
def test_what_is_beside_a_character_with_paper_around_it_is_left_to_others(dark: bool) -> None:
    table = np.where(X > 0.4, 60.0, 210 * (1 - 0.6 * seven(0.2, 0.2, 0.7, 0.8)))
    assert estimate_background_dense(grained(table if dark else 255 - table)) is None


SHADOW = np.where(X + 0.3 * Y > 0.1, 90.0, 210.0)
SHEET = np.where(np.maximum(abs(X), abs(Y)) < 0.42, 220.0, 50.0)


@pytest.mark.parametrize(
    "levels",
    [
        pytest.param(np.full((SIDE, SIDE), 200.0), id="blank"),
        pytest.param(200 + 80 * X, id="uneven light"),
        pytest.param(220 * (1 - 1.4 * (X**2 + Y**2)), id="vignette"),
        pytest.param(80 + 150 * np.exp(-8 * (X**2 + Y**2)), id="flash"),
        pytest.param(SHADOW, id="hard shadow"),
        pytest.param(cv2.GaussianBlur(SHADOW, (0, 0), 4), id="soft shadow"),
        pytest.param(SHEET, id="a sheet on a dark table"),
        pytest.param(np.where(Y > 0.2, 60.0, 210.0), id="the table's edge"),
        pytest.param(np.where(np.hypot(X, Y) < 0.1, 40.0, 210.0), id="a dot"),
        pytest.param(np.where(bar(SIDE, SIDE, 0, 30, 0) > 0, 40.0, 210.0), id="ink or paper, who knows"),
    ],
)
@pytest.mark.parametrize("inverted", [False, True])
def test_other_pictures_are_left_to_others(levels: NDArray[np.floating], inverted: bool) -> None:
    picture = grained(levels)
    assert estimate_background_dense(255 - picture if inverted else picture) is None  # type: ignore[arg-type]


@given(arrays(np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20))))
def test_any_picture_is_looked_at(picture: Grey) -> None:
    found = estimate_background_dense(picture)
    if found is not None:
        assert found[1].shape == picture.shape
        assert picture.min() <= found[1].min() <= found[1].max() <= picture.max()


def test_what_a_mask_explains() -> None:
    levels = np.array([[10, 10, 90, 90]], np.uint8)
    assert explained_variance(levels, (levels > 50).astype(np.uint8)) == pytest.approx(1)
    assert explained_variance(levels, np.array([[1, 0, 1, 0]], np.uint8)) == pytest.approx(0)
    assert explained_variance(np.full((2, 2), 7, np.uint8), np.eye(2, dtype=np.uint8)) == 0


@pytest.mark.parametrize("shape", [(160, 240), (161, 240), (150, 250)])
def test_shrinking_by_halves_is_area_averaging(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    small = shrink(image, 20 / max(shape))
    height, width = small.shape
    exact = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    assert width == 20
    # Where the blocks do not tile the halves, a pixel at their seams counts for its neighbour.
    assert cv2.absdiff(small, exact).mean() < 4
