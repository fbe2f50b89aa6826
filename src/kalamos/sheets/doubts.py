"""Which boxes a person should look at: hardly any ink, crossed out, several characters.

A character is compared with the others of its label on the scan: an X is two crossing lines, and a Ξ three
parts, so only what differs from its own kind is doubtful.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np

from kalamos.forms.geometry import Grey
from kalamos.preprocessing.grouping import count_characters
from kalamos.sheets.cutting import CutBox

__all__ = ["Doubt", "find_doubts"]

Doubt = Literal["hardly any ink", "crossed out", "several characters"]

SPECK_FRACTION: Final = 0.12
"""Of a box's side: ink whose longer side is less is dust, if others of its label are larger."""

SMALL_RATIO: Final = 0.35
"""Of the longer side usual for the label: less is hardly any ink."""

CROSSED_RATIO: Final = 1.7
"""Of the length of strokes usual for the label: more is crossed out,"""

CROSSED_SIDES: Final = 2.2
"""if the strokes are together longer than so many sides of the box."""

SCRIBBLED_SIDES: Final = 7.0
"""Strokes so long, in sides of the box, are a scribble where there is nothing to compare with."""

BLACK_FRACTION: Final = 0.5
"""Of the ink's box: more of it is black only where strokes were drawn over and over,"""

BLACK_RATIO: Final = 2.0
"""if it is so many times what is usual for the label."""

ENOUGH: Final = 3
"""Characters of a label that tell what is usual."""


class _Shape(NamedTuple):
    longer: float
    """Of the ink's box, in sides of the box."""
    length: float
    """Of all strokes, in sides of the box."""
    black: float
    """The share of the ink's box that is ink."""
    count: int
    """Characters side by side or one above the other."""


def find_doubts(cuts: Sequence[CutBox], labels: Sequence[str]) -> list[Doubt | None]:
    """Return for each box why it is doubtful; None for one that is not, or is blank.

    Args:
        cuts: of one scan.
        labels: of each.
    """
    shapes = [None if cut.mask is None else _shape(cut.mask, cut.side) for cut in cuts]
    usual = {}
    for label in set(labels):
        own = [
            shape for shape, name in zip(shapes, labels, strict=True) if shape is not None and name == label
        ]
        if len(own) >= ENOUGH:
            usual[label] = _Shape(*(np.median([shape[part] for shape in own]) for part in range(4)))
    return [
        None if shape is None else _doubt(shape, usual.get(label), faint=cut.faint)
        for cut, shape, label in zip(cuts, shapes, labels, strict=True)
    ]


def _doubt(shape: _Shape, usual: _Shape | None, *, faint: bool) -> Doubt | None:
    if usual is None:
        if faint or shape.longer < SPECK_FRACTION:
            return "hardly any ink"
        if shape.length > SCRIBBLED_SIDES:
            return "crossed out"
        return "several characters" if shape.count > 1 else None
    small = min(SPECK_FRACTION, 0.7 * usual.longer) if faint else SPECK_FRACTION
    if shape.longer < SMALL_RATIO * usual.longer or (
        shape.longer < small and usual.longer > 1.5 * SPECK_FRACTION
    ):
        return "hardly any ink"
    if shape.length > max(CROSSED_SIDES, CROSSED_RATIO * usual.length):
        return "crossed out"
    if shape.black > max(BLACK_FRACTION, BLACK_RATIO * usual.black) and shape.longer > 0.3:
        return "crossed out"
    return "several characters" if shape.count > max(1, usual.count) else None


def _shape(mask: Grey, side: float) -> _Shape:
    x, y, width, height = cv2.boundingRect(mask)
    ink = mask[y : y + height, x : x + width]
    area = cv2.countNonZero(ink)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    # Across a line of width w, distances to its edges are w / 4 in the mean.
    pen = max(4 * float(depth[depth > 0].mean()), 1.0) if area else 1.0
    return _Shape(
        max(width, height) / side, area / pen / side, area / max(width * height, 1), count_characters(mask)
    )
