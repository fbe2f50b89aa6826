"""Boxes to tick: what goes through one counts, and what lies on its lines or beside it does not."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.forms.cutting import MARGIN, cut_boxes
from kalamos.forms.template import Field, row_of_boxes
from kalamos.forms.ticks import read_ticks, stroke_lengths

Grey = NDArray[np.uint8]
SIDE, AROUND = 44, 40
SHARE = MARGIN / (1 + 2 * MARGIN)


def box(line: int, width: int, paper: int = 235, label: str = "") -> Grey:
    """A box at 200 dpi on paper with grain, with its option printed to the right."""
    scan = np.full((SIDE + 2 * AROUND, SIDE + 2 * AROUND), paper, np.uint8)
    end = AROUND + SIDE
    cv2.rectangle(scan, (AROUND, AROUND), (end, end), line, width)
    cv2.putText(scan, label, (end + 4, end - 8), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 40, 2, cv2.LINE_AA)
    grain = np.random.default_rng(0).normal(0, 3, scan.shape)
    return np.clip(cv2.GaussianBlur(scan, (0, 0), 0.8) + grain, 0, 255).astype(np.uint8)


def length(scan: Grey) -> float:
    end = AROUND + SIDE
    corners = np.array([[[AROUND, AROUND], [end, AROUND], [end, end], [AROUND, end]]], np.float32)
    return stroke_lengths(cut_boxes(scan, corners, side=48), SHARE)[0]


@pytest.mark.parametrize("label", ["", "yes", "no", "1", "3"])
@pytest.mark.parametrize("width", [1, 3, 5])
@pytest.mark.parametrize("line", [20, 90, 150, 190])
def test_an_empty_box_has_no_stroke_whatever_its_line_and_label(line: int, width: int, label: str) -> None:
    assert length(box(line, width, label=label)) == 0.0


def cross(scan: Grey) -> None:
    for start, end in (((50, 52), (76, 74)), ((76, 50), (52, 76))):
        cv2.line(scan, start, end, 60, 2, cv2.LINE_AA)


def tick(scan: Grey) -> None:
    cv2.polylines(scan, [np.array([(48, 62), (58, 74), (88, 40)])], False, 60, 2, cv2.LINE_AA)


def slash(scan: Grey) -> None:
    cv2.line(scan, (76, 48), (50, 78), 110, 2, cv2.LINE_AA)


@pytest.mark.parametrize("mark", [cross, tick, slash])
@pytest.mark.parametrize(("line", "width"), [(20, 1), (90, 3), (170, 5)])
def test_marks_are_seen_whatever_the_line(mark: Callable[[Grey], None], line: int, width: int) -> None:
    scan = box(line, width, label="yes")
    mark(scan)
    assert length(scan) > 0.4


def test_specks_are_no_ticks() -> None:
    scan = box(90, 3)
    cv2.circle(scan, (58, 66), 2, 30, cv2.FILLED)
    assert length(scan) < 0.18


def test_the_status_says_when_a_person_has_to_look() -> None:
    one = Field("level", row_of_boxes(0, 0, 5, 5, count=3, step=9), kind="tick", options=("a", "b", "c"))
    boxes, corners = [None] * 3, ((),) * 3
    several = Field("all", one.boxes, kind="tick", options=one.options, several=True, may_be_blank=True)
    read = [
        read_ticks(field, lengths, boxes, corners, 0)  # type: ignore[arg-type]
        for field, lengths in (
            (one, (0.0, 0.8, 0.0)),
            (one, (0.0, 0.8, 0.6)),
            (one, (0.0, 0.8, 0.25)),
            (one, (0.0, 0.0, 0.0)),
            (several, (0.9, 0.0, 0.5)),
            (several, (0.0, 0.0, 0.0)),
        )
    ]
    assert [(each.text, each.status) for each in read] == [
        ("b", "ok"), ("b, c", "check"), ("b", "check"), ("", "check"), ("a, c", "ok"), ("", "blank"),
    ]  # fmt: skip
