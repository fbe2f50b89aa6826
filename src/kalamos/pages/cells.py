"""Read the cells of grids and the boxes of forms: a character in each, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.postprocessing import AnswerRule, predictions_of
from kalamos.predictions import Prediction
from kalamos.preprocessing.ink import InkMap, find_ink
from kalamos.recognizer import Recognizer

__all__ = ["CELL_PX", "CellReading", "read_cells"]

Grey = NDArray[np.uint8]

CELL_PX: Final = 64
"""The side that cells are best cut out at: what the ink finder looks at."""

CHUNK: Final = 64
"""Cells a run of the networks."""

MAX_SPECK_FRACTION: Final = 0.14
"""Of a cell's side: ink whose longer side is less is dust, or the end of a neighbour's stroke."""

MAX_RIM_FRACTION: Final = 0.2
"""Of a cell's side: how deep ink along the rim may be that is left of a line or of a neighbour."""

RIM_PX_FRACTION: Final = 0.1
"""Of a cell's side: ink that begins nearer to the edge touches the rim."""

BLANK, MAYBE_BLANK, INKED = 0.999, 0.9, 0.0005
"""The probability that a cell is blank: without ink; with what may be dust; with a character's ink."""


class CellReading(NamedTuple):
    """What is in a cell.

    Attributes:
        answer: the best labels, whatever the thresholds; None for a blank cell.
        blank: the probability in [0, 1] that nothing is written.
        ink: the longer side of the ink, as a share of the cell's.
    """

    answer: Prediction | None
    blank: float
    ink: float


def read_cells(reader: Recognizer, cells: Sequence[Grey], rule: AnswerRule) -> list[CellReading]:
    """Read pictures of cells, with their lines and a little around them.

    Args:
        reader: the model.
        cells: uint8 [H, W] each; of one shape they share the networks' runs.
        rule: charset and number of candidates; its thresholds do not count.

    >>> from kalamos.recognizer import load
    >>> from kalamos.predict_options import PredictOptions
    >>> reader = load("digits")
    >>> cell = np.full((64, 64), 230, np.uint8)
    >>> _ = cv2.rectangle(cell, (6, 6), (57, 57), 60, 2)
    >>> one = cv2.line(cell.copy(), (34, 16), (31, 48), 40, 4)
    >>> empty, full = read_cells(reader, [cell, one], reader.answer_rule(PredictOptions()))
    >>> empty.answer, empty.blank, full.answer.label
    (None, 0.999, '1')
    """
    rule = rule._replace(threshold=0.0, known_threshold=0.0)
    read: list[CellReading] = []
    for start in range(0, len(cells), CHUNK):
        read += _read_some(reader, cells[start : start + CHUNK], rule)
    return read


def _read_some(reader: Recognizer, cells: Sequence[Grey], rule: AnswerRule) -> list[CellReading]:
    maps = find_ink(cells)
    extents = [_extent(found, cell.shape) for found, cell in zip(maps, cells, strict=True)]
    read = [CellReading(None, BLANK, 0.0)] * len(cells)
    inked = [row for row, extent in enumerate(extents) if extent is not None]
    if not inked:
        return read
    found = reader.infer_ink([maps[row].strokes() for row in inked], rule.class_mask)
    answers = dict(
        zip(found.rows.tolist(), predictions_of(found, [None] * len(found.rows), rule), strict=True)
    )
    for place, row in enumerate(inked):
        extent = extents[row]
        if place in answers and extent is not None:
            longer, stray = extent
            read[row] = CellReading(answers[place], MAYBE_BLANK if stray else INKED, longer)
    return read


def _extent(found: InkMap, shape: tuple[int, ...]) -> tuple[float, bool] | None:
    """How large the ink is, as a share of the cell's side, and whether it may be none; None without ink."""
    x, y, width, height = cv2.boundingRect(found.mask)
    if not width:
        return None
    rows, columns = found.mask.shape
    view, side = found.view, min(shape)
    down, across = (view.bottom - view.top) / rows, (view.right - view.left) / columns
    wide, high = width * across, height * down
    left, top = view.left + x * across, view.top + y * down
    edge, deep = RIM_PX_FRACTION * side, MAX_RIM_FRACTION * side
    at_rim = (
        ((left <= edge or left + wide >= shape[1] - edge) and wide <= deep)
        or ((top <= edge or top + high >= shape[0] - edge) and high <= deep)
    )  # fmt: skip
    longer = max(wide, high) / side
    return longer, longer < MAX_SPECK_FRACTION or at_rim
