"""Sheets on scans: found by markers and code, however they lie; and told where they are not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from tests.sheets.pages import MM, PLAN, Grey, filled, printed

from kalamos.errors import UnregisteredError
from kalamos.sheets import SheetPlan
from kalamos.sheets.finding import FoundSheet, find_sheet


def truth() -> np.ndarray:
    boxes = np.array([box for line in PLAN.pages[0].lines for box in line.boxes]) * MM
    low, high = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
    return np.stack(
        [low, np.stack([high[:, 0], low[:, 1]], 1), high, np.stack([low[:, 0], high[:, 1]], 1)], 1
    )


def photographed(page: Grey) -> tuple[Grey, np.ndarray]:
    height, width = page.shape
    source = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    target = np.float32([[90, 60], [width + 20, 130], [width - 60, height + 90], [30, height - 10]])
    matrix = cv2.getPerspectiveTransform(source, target)
    light = np.linspace(0.5, 1.0, width + 120, dtype=np.float32)
    seen = cv2.warpPerspective(page, matrix, (width + 120, height + 140), borderValue=70)
    return (seen * light).astype(np.uint8), matrix


def assert_found(found: FoundSheet, expected: np.ndarray) -> None:
    assert found.page == PLAN.pages[0]
    assert found.labels == tuple(label for label in PLAN.labels for _ in range(PLAN.count))
    assert np.abs(found.corners - expected).max() < 3


def test_a_photograph_is_found_without_any_file() -> None:
    seen, matrix = photographed(filled(copy=7))
    found = find_sheet(seen)
    assert found.copy == 7
    assert_found(found, cv2.perspectiveTransform(truth().reshape(-1, 1, 2), matrix).reshape(-1, 4, 2))


def test_a_page_upside_down_is_read_as_it_was_written() -> None:
    page = filled()
    found = find_sheet(np.ascontiguousarray(np.rot90(page, 2)))
    assert_found(found, np.array(page.shape[::-1]) - 1 - truth())


def without_code(page: Grey) -> Grey:
    page = page.copy()
    page[40:210, 950:1130] = 255
    return page


def test_without_its_code_the_sheet_s_file_and_the_markers_tell_the_page() -> None:
    seen = without_code(filled())
    with pytest.raises(UnregisteredError, match="its code cannot be read"):
        find_sheet(seen)
    found = find_sheet(seen, PLAN)
    assert found.copy is None
    assert_found(found, truth())


def test_a_page_of_another_sheet_is_refused() -> None:
    with pytest.raises(UnregisteredError, match="another sheet 'mixed'"):
        find_sheet(filled(), SheetPlan("other", PLAN.labels, PLAN.count))


def test_a_code_without_room_for_its_labels_asks_for_the_file() -> None:
    import hashlib

    labels = tuple(hashlib.sha256(bytes([n])).hexdigest()[:50] for n in range(40))
    plan = SheetPlan("long", labels, 1)
    page = printed(plan)
    with pytest.raises(UnregisteredError, match="no room for the labels"):
        find_sheet(page)
    assert find_sheet(page, plan).labels == plan.pages[0].labels


@pytest.mark.parametrize("shape", [(1, 1), (40, 60), (600, 400)])
def test_what_is_no_sheet_is_told(shape: tuple[int, int]) -> None:
    with pytest.raises(UnregisteredError, match="no sheet of kalamos"):
        find_sheet(np.full(shape, 230, np.uint8))
