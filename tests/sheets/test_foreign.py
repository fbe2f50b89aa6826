"""Grids that somebody else designed: their boxes in rows and columns, and what the layout says of each."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.sheets.pages import grid

from kalamos.errors import FormError, UnregisteredError
from kalamos.sheets.foreign import find_boxes, read_layout


def test_all_boxes_are_of_one_class() -> None:
    found = find_boxes(grid(5, 6), (("A",),))
    assert found.labels == ("A",) * 30
    assert found.places.tolist() == [[row, column] for row in range(5) for column in range(6)]


def test_rows_and_columns_of_a_photographed_grid() -> None:
    page = grid(5, 6)
    height, width = page.shape
    source = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    target = np.float32([[70, 90], [width + 40, 40], [width + 90, height + 130], [20, height + 60]])
    matrix = cv2.getPerspectiveTransform(source, target)
    seen = cv2.warpPerspective(page, matrix, (width + 130, height + 170), borderValue=60)
    layout = tuple(tuple(f"{row}{column}" for column in range(6)) for row in range(5))
    found = find_boxes(seen, layout)
    assert found.labels == tuple(f"{row}{column}" for row in range(5) for column in range(6))
    first = cv2.perspectiveTransform(np.float32([[[60, 60]]]), matrix)[0, 0]
    assert np.abs(found.corners[0, 0] - first).max() < 3


def test_a_line_of_labels_holds_for_all_rows_or_all_columns() -> None:
    page = grid(2, 3)
    assert find_boxes(page, (("a", "", "c"),)).labels == ("a", "", "c") * 2
    assert find_boxes(page, (("a",), ("b",))).labels == ("a",) * 3 + ("b",) * 3


def test_another_number_of_rows_is_refused() -> None:
    with pytest.raises(UnregisteredError, match="2 rows and 3 columns of boxes are seen"):
        find_boxes(grid(2, 3), (("a",), ("b",), ("c",)))


def test_frames_of_other_sizes_are_no_boxes() -> None:
    page = np.full((700, 700), 235, np.uint8)
    page[:288, :392] = grid(2, 3)
    cv2.rectangle(page, (450, 400), (680, 680), 60, 2)
    found = find_boxes(page, (("A",),))
    assert len(found.labels) == 6
    assert found.others == 1


def test_no_boxes_are_told() -> None:
    with pytest.raises(UnregisteredError, match="no boxes are seen"):
        find_boxes(np.full((300, 300), 235, np.uint8), (("A",),))


@pytest.mark.parametrize(
    ("content", "layout"), [("a,b\n,d\n", (("a", "b"), ("", "d"))), ("a;b\n", (("a", "b"),))]
)
def test_a_layout(content: str, layout: object, tmp_path: Path) -> None:
    (tmp_path / "layout.csv").write_text(content, encoding="utf-8")
    assert read_layout(tmp_path / "layout.csv") == layout


@pytest.mark.parametrize(
    ("content", "said"), [("a,b\nc\n", "different numbers"), (",\n", "has no label"), ("", "has no label")]
)
def test_what_is_no_layout(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "layout.csv").write_text(content, encoding="utf-8")
    with pytest.raises(FormError, match=said):
        read_layout(tmp_path / "layout.csv")


def test_an_absent_layout(tmp_path: Path) -> None:
    with pytest.raises(FormError, match="cannot be read"):
        read_layout(tmp_path / "layout.csv")
