"""What stands in cells: characters, dark or faint; not what lies on and beyond their lines; nothing."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.pages.cells import ink_of, inks_of, read_cells, without_bowed_lines, without_frame
from kalamos.predict_options import PredictOptions
from kalamos.preprocessing.ink import find_ink
from kalamos.recognizer import load

Grey = NDArray[np.uint8]

AROUND = 8
"""Px of what is shown around a cell of 40 x 48 px."""
MARGIN = AROUND / (40 + 2 * AROUND)


def cell(*, neighbours: bool, digit: bool) -> Grey:
    picture = np.full((48 + 2 * AROUND, 40 + 2 * AROUND), 235, np.uint8)
    cv2.rectangle(picture, (AROUND, AROUND), (AROUND + 40, AROUND + 48), 40, 2)
    if neighbours:  # with a gap between: their lines are in the picture
        for x in (3, 40 + 2 * AROUND - 3):
            cv2.line(picture, (x, AROUND), (x, AROUND + 48), 40, 2)
    if digit:
        cv2.line(picture, (AROUND + 20, AROUND + 10), (AROUND + 18, AROUND + 40), 40, 3, cv2.LINE_AA)
    return picture


def test_lines_of_the_cells_beside_are_no_ink_of_this_one() -> None:
    for neighbours in (False, True):
        empty, one = (cell(neighbours=neighbours, digit=digit) for digit in (False, True))
        found = [without_frame(each, empty.shape, MARGIN) for each in find_ink([empty, one])]
        assert ink_of(empty, found[0], MARGIN + 0.12) is None
        ink = ink_of(one, found[1], MARGIN + 0.12)
        assert ink is not None
        assert not ink.stray


def test_strokes_along_both_lines_are_stray_though_together_they_fill_the_cell() -> None:
    picture = cell(neighbours=False, digit=False)
    [found] = find_ink([cell(neighbours=False, digit=True)])
    mask = np.zeros_like(found.mask)
    rows, columns = mask.shape
    view = found.view
    for x in (AROUND + 3, AROUND + 36):
        at = round((x - view.left) / (view.right - view.left) * columns)
        mask[rows // 3 : 2 * rows // 3, max(at - 1, 0) : at + 1] = 255
    ink = ink_of(picture, found._replace(mask=mask), MARGIN + 0.12)
    assert ink is None or ink.stray
    both = mask.copy()
    middle = round((AROUND + 20 - view.left) / (view.right - view.left) * columns)
    both[rows // 3 : 2 * rows // 3, middle - 1 : middle + 1] = 255
    ink = ink_of(cell(neighbours=False, digit=True), found._replace(mask=both), MARGIN + 0.12)
    assert ink is not None
    assert not ink.stray


def bowed(*, digit: bool) -> Grey:
    """A cell of a page that is not flat: its lower line runs into it from the corner."""
    picture = np.full((64, 64), 225, np.uint8)
    for start, end in (((5, 0), (5, 58)), ((58, 0), (58, 48)), ((0, 5), (63, 5)), ((0, 60), (63, 46))):
        cv2.line(picture, start, end, 50, 2, cv2.LINE_AA)
    if digit:
        cv2.putText(picture, "2", (22, 40), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 40, 2, cv2.LINE_AA)
    return picture


def test_lines_that_bow_into_their_cell_are_no_ink() -> None:
    assert inks_of([bowed(digit=False)], 5 / 64, photographed=True) == [None]
    written = bowed(digit=True)
    reader = load("digits")
    [ink] = inks_of([written], 5 / 64, photographed=True)
    assert ink is not None
    assert reader.infer_ink([ink.image]).probabilities.argmax() == 2


@pytest.mark.parametrize(
    ("box", "kept"),
    [
        ((6, 43, 58, 50), False),  # a level line from side to side, low in the cell
        ((6, 28, 58, 34), True),  # the same through the middle: a dash, or what crosses a digit out
        ((6, 43, 20, 47), True),  # too short
        ((12, 6, 18, 58), False),  # an upright from line to line
        ((14, 12, 20, 48), True),  # a 1 that stands to the left
    ],
)
def test_only_long_lines_along_a_side_are_bowed(box: tuple[int, int, int, int], kept: bool) -> None:
    left, top, right, bottom = box
    mask = np.zeros((64, 64), np.uint8)
    mask[top:bottom, left:right] = 255
    [found] = find_ink([np.full((64, 64), 225, np.uint8)])
    found = found._replace(mask=mask)
    assert without_bowed_lines(found, (64, 64), 5 / 64).mask.any() == kept


def printed(label: str, level: int, seed: int) -> Grey:
    drawn = np.full((64, 64), 225, np.uint8)
    cv2.rectangle(drawn, (5, 5), (58, 58), 120, 2)
    if label:
        cv2.putText(drawn, label, (22, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.1, level, 3, cv2.LINE_AA)
    grain = np.random.default_rng(seed).normal(0, 1, drawn.shape)
    return np.clip(drawn + grain, 0, 255).astype(np.uint8)


def test_faint_print_beside_dark_pens_is_read_and_empty_cells_stay_empty() -> None:
    faint = [(label, 208) for label in "472"]
    truth = [*((label, 25) for label in "2345678923456"), *faint, ("", 0), ("", 0)]
    cells = [printed(label, level, seed) for seed, (label, level) in enumerate(truth)]
    reader = load("digits")
    read = read_cells(reader, cells, reader.answer_rule(PredictOptions()), margin=5 / 64)
    assert ["" if one.answer is None else one.answer.label for one in read] == [label for label, _ in truth]
    assert all(one.blank < 0.5 for one in read[:-2])
