"""Boxes to tick: whether a stroke goes through the inside of each.

Any mark that reaches far through a box is a tick. What lies on its lines or beyond them is none: a printed
option stands next to its box, and of a thick grey line the ink finder takes pieces for strokes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal

import numpy as np

from kalamos.forms.filled import FieldReading
from kalamos.forms.geometry import Grey
from kalamos.forms.template import Field
from kalamos.pages import Box, Character
from kalamos.pages.cells import ink_of
from kalamos.preprocessing.ink import InkMap, find_ink

__all__ = ["TICK_SEPARATOR", "read_ticks", "stroke_lengths"]

TICK_SEPARATOR: Final = ", "
"""Between the options of a field with several ticks."""

TICKED_FRACTION, MAYBE_TICKED_FRACTION = 0.35, 0.18
"""Of a box's side: a stroke as long as the first is a tick, one as long as the second may be one."""

SURE_TICK, UNSURE_TICK = 0.998, 0.6
"""How likely a box to tick is what it seems."""

LINE_FRACTION: Final = 0.16
"""Of a box's side: how far inside its lines their ink may reach, and what belongs to them."""


def stroke_lengths(crops: Sequence[Grey], margin: float) -> list[float]:
    """Measure how long the strokes inside boxes are, each as a share of its box's side.

    Args:
        crops: uint8 [h, w], boxes with their lines and a little around them.
        margin: what is shown around each box, as a share of the crop's shorter side.

    >>> import cv2
    >>> empty = cv2.rectangle(np.full((64, 64), 230, np.uint8), (10, 10), (53, 53), 60, 2)
    >>> crossed = cv2.line(empty.copy(), (16, 18), (48, 44), 40, 3)
    >>> nothing, stroke = stroke_lengths([empty, crossed], 10 / 64)
    >>> nothing, stroke > 0.6
    (0.0, True)
    """
    lengths = []
    for crop, found in zip(crops, find_ink(crops), strict=True):
        ink = ink_of(crop, _inside(found, crop.shape, margin))
        lengths.append(0.0 if ink is None else ink.longer / (1 - 2 * margin))
    return lengths


def _inside(found: InkMap, shape: tuple[int, ...], margin: float) -> InkMap:
    """Take from an ink map what lies outside a box, or on its lines."""
    edge = (margin + LINE_FRACTION * (1 - 2 * margin)) * min(shape)
    view, mask = found.view, np.zeros_like(found.mask)
    down = mask.shape[0] / (view.bottom - view.top)
    across = mask.shape[1] / (view.right - view.left)
    top, bottom = (max(0, round((y - view.top) * down)) for y in (edge, shape[0] - edge))
    left, right = (max(0, round((x - view.left) * across)) for x in (edge, shape[1] - edge))
    mask[top:bottom, left:right] = found.mask[top:bottom, left:right]
    return found._replace(mask=mask)


def read_ticks(
    field: Field,
    lengths: Sequence[float],
    boxes: Sequence[Box],
    corners: tuple[tuple[tuple[float, float], ...], ...],
    scan: int,
) -> FieldReading:
    """Tell which options of a field are ticked, and whether a person has to look.

    Args:
        field: of N boxes to tick.
        lengths: of the strokes in each, see `stroke_lengths`.
        boxes: where each is on the scan.
        corners: of each, (x, y) in px, clockwise from the top left.
        scan: which of the form's scans it is on, from 0.
    """
    ticked = [length >= TICKED_FRACTION for length in lengths]
    unsure = [MAYBE_TICKED_FRACTION <= length < TICKED_FRACTION for length in lengths]
    chosen = [option for option, is_ticked in zip(field.options, ticked, strict=True) if is_ticked]
    probability = float(np.prod([UNSURE_TICK if doubt else SURE_TICK for doubt in unsure]))
    status: Literal["ok", "check", "blank"] = "ok"
    if any(unsure) or (len(chosen) > 1 and not field.several) or not (chosen or field.may_be_blank):
        status = "check"
    elif not chosen:
        status = "blank"
    characters = tuple(
        Character("x", UNSURE_TICK if doubt else SURE_TICK, box) if is_ticked or doubt else None
        for is_ticked, doubt, box in zip(ticked, unsure, boxes, strict=True)
    )
    return FieldReading(TICK_SEPARATOR.join(chosen), status, probability, (), characters, corners, scan)
