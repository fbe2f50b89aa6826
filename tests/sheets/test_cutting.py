"""Characters are cut clean: no border, nothing of the neighbours, nothing lost; doubtful ones are told."""

from __future__ import annotations

import cv2
import numpy as np
from tests.sheets.pages import BLANK, PLAN, SCRIBBLE, SPECK, TWO, Strokes, filled

from kalamos.sheets.cutting import cut_characters
from kalamos.sheets.doubts import find_doubts
from kalamos.sheets.finding import find_sheet


def boxes(count: int) -> np.ndarray:
    return np.float32(
        [[[x, 20], [x + 80, 20], [x + 80, 100], [x, 100]] for x in (20 + 100 * np.arange(count)).tolist()]
    )


def row(*strokes: Strokes) -> np.ndarray:
    page = np.full((120, 40 + 100 * len(strokes)), 235, np.uint8)
    for place, each in enumerate(strokes):
        x = 20 + 100 * place
        cv2.rectangle(page, (x, 20), (x + 80, 100), 120, 2)
        for stroke in each:
            points = np.rint((np.array(stroke) * 80 + (x, 20)) * 16).astype(np.int32)
            cv2.polylines(page, [points], False, 50, 3, cv2.LINE_AA, 4)
    return page


def test_what_is_cut_holds_the_character_and_no_border() -> None:
    plus: Strokes = [[(0.5, 0.2), (0.5, 0.8)], [(0.2, 0.5), (0.8, 0.5)]]
    full, empty = cut_characters(row(plus, BLANK), boxes(2))
    assert empty.image is None
    assert full.image is not None
    height, width = full.image.shape
    assert 70 <= height < 80
    assert 70 <= width < 80
    edge = np.concatenate([full.image[0], full.image[-1], full.image[:, 0], full.image[:, -1]])
    assert edge.min() > 215
    assert full.image.min() < 70


def test_a_character_that_leaves_its_box_is_whole() -> None:
    bar: Strokes = [[(0.5, -0.12), (0.5, 0.8)]]
    [cut] = cut_characters(row(bar), boxes(1))
    assert cut.image is not None
    dark = (cut.image < 150).any(axis=1)
    assert dark.sum() >= 0.9 * 80
    # The line that it crosses is gone on both sides of it.
    assert cut.image[:, :20].min() > 200


def test_a_neighbour_s_stroke_is_left_out() -> None:
    own: Strokes = [[(0.3, 0.3), (0.7, 0.7)]]
    guest: Strokes = [[(-0.2, 0.4), (0.5, 0.4), (0.5, 0.8)]]
    left, _ = cut_characters(row(own, guest), boxes(2))
    assert left.image is not None
    assert left.image[:, -6:].min() > 200


def test_doubts_are_told_and_others_are_not() -> None:
    others = {
        ("α", 1): BLANK,
        ("α", 2): SCRIBBLE,
        ("A", 0): SPECK,
        ("a", 4): TWO,
        ("E:I", 3): [[(0.15, 0.2), (0.85, 0.8)], [(0.85, 0.2), (0.15, 0.8)], *SCRIBBLE],
    }
    scan = filled(others=others)
    found = find_sheet(scan)
    cuts = cut_characters(scan, found.corners)
    doubts = dict(zip(enumerate(found.labels), find_doubts(cuts, found.labels), strict=True))
    told = {(label, number % PLAN.count): doubt for (number, label), doubt in doubts.items() if doubt}
    # So small a speck may count as nothing at all.
    assert told.pop(("A", 0), "hardly any ink") == "hardly any ink"
    assert told == {("α", 2): "crossed out", ("a", 4): "several characters", ("E:I", 3): "crossed out"}
    assert cuts[1].image is None


def test_a_letter_that_is_often_in_two_parts_is_no_two_letters() -> None:
    scan = filled(others={("A", place): TWO for place in (0, 2, 3)})
    found = find_sheet(scan)
    assert set(find_doubts(cut_characters(scan, found.corners), found.labels)) == {None}


def test_no_boxes() -> None:
    assert cut_characters(np.full((10, 10), 200, np.uint8), np.zeros((0, 4, 2))) == []
