"""The ink finder: where ink is, from how near it was looked at, and what it leaves out."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.preprocessing.ink import find_ink, standardise

Grey = NDArray[np.uint8]


def paper(height: int, width: int, seed: int = 0) -> NDArray[np.float64]:
    return 205 + np.random.default_rng(seed).normal(0, 3, (height, width))


def photo(page: NDArray[np.float64]) -> Grey:
    return np.clip(cv2.GaussianBlur(page, (3, 3), 0), 0, 255).astype(np.uint8)


def write_five(page: NDArray[np.float64], x: int, y: int, size: int, pen: int) -> None:
    points = np.array([(0.7, 0), (0.15, 0), (0.1, 0.45), (0.5, 0.4), (0.7, 0.65), (0.5, 0.95), (0.05, 0.9)])
    strokes = np.rint(points * size + (x, y)).astype(np.int32)
    cv2.polylines(page, [strokes], False, 60.0, pen, cv2.LINE_AA)


@pytest.mark.parametrize("size", [24, 60, 200, 500])
@pytest.mark.parametrize("inverted", [False, True])
def test_ink_is_found_where_it_is(size: int, inverted: bool) -> None:
    page = paper(700, 600)
    write_five(page, 50, 120, size, max(2, size // 12))
    image = photo(page)
    [found] = find_ink([255 - image if inverted else image])
    box = found.box()
    assert box is not None
    rows = (found.view.bottom - found.view.top) / found.levels.shape[0]
    columns = (found.view.right - found.view.left) / found.levels.shape[1]
    near = max(3.0, 0.08 * size)
    assert found.view.top + box.top * rows == pytest.approx(120, abs=near)
    assert found.view.left + box.left * columns == pytest.approx(50 + 0.05 * size, abs=near)
    assert found.view.top + box.bottom * rows == pytest.approx(120 + 0.95 * size, abs=near)
    assert box.longer >= 28  # however small it is, it is looked at from near


@pytest.mark.parametrize("inset", [0, 3, 9])
@pytest.mark.parametrize("grey", [0, 80, 160])
def test_a_frame_is_no_ink(inset: int, grey: int) -> None:
    page = paper(100, 100)
    write_five(page, 30, 25, 50, 5)
    cv2.rectangle(page, (inset, inset), (99 - inset, 99 - inset), float(grey), 2)
    levels = find_ink([photo(page)])[0].strokes()
    _, _, width, height = cv2.boundingRect(levels)
    assert height < 0.75 * levels.shape[0]
    assert width < 0.75 * levels.shape[1]


@pytest.mark.parametrize("side", [20, 64, 300, 900])
def test_blank_paper_has_none(side: int) -> None:
    assert find_ink([photo(paper(side, side))])[0].box() is None


def test_dust_alone_is_no_ink() -> None:
    page = paper(240, 240)
    for x, y in ((20, 30), (200, 25), (225, 130), (15, 190), (120, 228)):
        page[y : y + 3, x : x + 3] = 70
    assert find_ink([photo(page)])[0].box() is None


@pytest.mark.parametrize("seed", range(3))
def test_ink_that_leaves_a_nearer_view_is_looked_at_from_farther(seed: int) -> None:
    page = paper(400, 400, seed)
    for line in ((100, 90, 104, 310), (290, 90, 286, 310), (100, 200, 290, 200)):  # an H by a hard pencil
        cv2.line(page, line[:2], line[2:], 150.0, 3, cv2.LINE_AA)
    [found] = find_ink([photo(page)])
    box = found.box()
    assert box is not None
    rows = (found.view.bottom - found.view.top) / found.levels.shape[0]
    assert found.view.top + box.top * rows == pytest.approx(90, abs=12)
    assert found.view.top + box.bottom * rows == pytest.approx(310, abs=12)
    assert np.count_nonzero(found.mask) > box.longer  # not its corners alone


@settings(max_examples=40)
@given(height=st.integers(1, 90), width=st.integers(1, 90), seed=st.integers(0, 100))
def test_any_image_gives_a_map(height: int, width: int, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (height, width)).astype(np.uint8)
    [found] = find_ink([image])
    assert found.levels.dtype == np.uint8
    assert 0 <= found.view.top < found.view.bottom <= height
    assert 0 <= found.view.left < found.view.right <= width
    assert found.strokes().shape == found.levels.shape


@pytest.mark.parametrize("shape", [(64, 64), (16, 64), (128, 96)])
@pytest.mark.parametrize("size", [(1, 1), (9, 500), (64, 64), (700, 300)])
def test_the_network_s_input_is_standardised(size: tuple[int, int], shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, size).astype(np.uint8)
    values = standardise(image, shape)
    assert values.shape == shape
    assert values.mean() == pytest.approx(0, abs=0.05)
    assert values.std() <= 1.05
    # A faint picture is not blown up.
    assert np.abs(standardise(np.full(size, 9, np.uint8), shape)).max() == 0


def test_many_are_found_as_each_alone() -> None:
    pages = []
    for side, size in ((64, 40), (300, 30), (90, 60), (700, 60), (300, 200)):
        page = paper(side, side + 20, seed=side)
        write_five(page, side // 4, side // 5, size, max(2, size // 12))
        pages.append(photo(page))
    for alone, together in zip([find_ink([page])[0] for page in pages], find_ink(pages), strict=True):
        assert alone.view == together.view
        assert np.abs(alone.levels.astype(int) - together.levels).max() <= 1
    assert find_ink([]) == []
