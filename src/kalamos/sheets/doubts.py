"""Which boxes a person should look at: hardly any ink, crossed out, several characters, another character.

A character is compared with the others of its label on the scan: an X is two crossing lines, and a Ξ three
parts, so only what differs from its own kind is doubtful. Whether it is the label's character at all is told
by the base model `glyphs` (`kalamos.datasets.label_errors`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

import cv2
import numpy as np

from kalamos.datasets.label_errors import embed_characters, judge_labels
from kalamos.forms.geometry import Grey
from kalamos.preprocessing.grouping import count_characters
from kalamos.sheets.cutting import CutBox

__all__ = ["Doubt", "find_doubts"]

Doubt = Literal["hardly any ink", "crossed out", "several characters", "unlike its label"]

SPECK_FRACTION: Final = 0.12
"""Of a box's side: ink whose longer side is less is dust, if others of its label are larger."""

SMALL_RATIO, SHORT_RATIO = 0.35, 0.2
"""Of the longer side, and of the length of strokes, usual for the label: less is hardly any ink."""

DENSE_RATIO, DENSE_SIDES, LINE_SIDES = 1.25, 1.0, 0.65
"""A character is crossed out whose strokes are so many times as long as usual for its size, are longer than
so many sides of the box, and among them is a straight one as long as the third;"""

VERY_DENSE_RATIO, VERY_DENSE_SIDES = 1.6, 1.2
"""or, whatever its lines, so many times as long as usual, and longer than so many sides;"""

SCRIBBLED_RATIO, BLACK_RATIO, BLACK_FRACTION = 1.5, 1.3, 0.5
"""or longer than usual, and black in so large a share of the ink's box, which is more than usual too."""

SCRIBBLED_SIDES: Final = 4.0
"""Strokes so long, in sides of the box, are a scribble where there is nothing to compare with."""

USUAL_COUNT_QUANTILE: Final = 0.8
"""Of the parts side by side: what one in five does is a way to write the label."""

ENOUGH: Final = 3
"""Characters of a label that tell what is usual."""


UNLIKE_COSINE: Final = 0.4
"""Of a character's embedding with the others' mean, where a scan has one label alone."""


class _Shape(NamedTuple):
    longer: float
    """Of the ink's box, in sides of the box."""
    length: float
    """Of all strokes, in sides of the box."""
    black: float
    """The share of the ink's box that is ink."""
    line: float
    """The longest straight line, in sides of the box."""
    parts: float
    """Characters side by side or one above the other."""


def find_doubts(cuts: Sequence[CutBox], labels: Sequence[str]) -> list[Doubt | None]:
    """Return for each box why it is doubtful; None for one that is not, or is blank.

    Args:
        cuts: of one scan.
        labels: of each; "" for what is not compared with others.
    """
    shapes = [None if cut.mask is None else _shape(cut.mask, cut.side) for cut in cuts]
    usual = {label: _usual(label, shapes, labels) for label in set(labels)}
    doubts = [
        None if shape is None else _doubt(shape, usual[label], faint=cut.faint)
        for cut, shape, label in zip(cuts, shapes, labels, strict=True)
    ]
    for place in _unlike(cuts, labels, doubts):
        doubts[place] = "unlike its label"
    return doubts


def _unlike(cuts: Sequence[CutBox], labels: Sequence[str], doubts: Sequence[Doubt | None]) -> list[int]:
    """Tell which of the boxes that are not doubtful hold another character than their label says."""
    filled = [
        (place, cut.image)
        for place, (cut, label, doubt) in enumerate(zip(cuts, labels, doubts, strict=True))
        if label and doubt is None and cut.image is not None
    ]
    inked, embeddings = embed_characters([image for _, image in filled])
    places = [filled[row][0] for row in inked.tolist()]
    names, codes = np.unique([labels[place] for place in places], return_inverse=True)
    if len(names) == 1 and len(places) >= ENOUGH:
        others = embeddings.sum(axis=0) - embeddings
        lengths = np.linalg.norm(embeddings, axis=1) * np.linalg.norm(others, axis=1)
        cosines = (embeddings * others).sum(axis=1) / np.maximum(lengths, 1e-9)
        return [places[row] for row in np.flatnonzero(cosines < UNLIKE_COSINE).tolist()]
    return [places[row] for row in judge_labels(embeddings, codes).errors]


def _usual(label: str, shapes: Sequence[_Shape | None], labels: Sequence[str]) -> _Shape | None:
    own = [shape for shape, name in zip(shapes, labels, strict=True) if shape is not None and name == label]
    if len(own) < ENOUGH:
        return None
    table = np.array(own)
    middling = np.median(table, axis=0)
    parts = float(np.quantile(table[:, -1], USUAL_COUNT_QUANTILE, method="lower"))
    longer, length, black, line = map(float, middling[:-1])
    return _Shape(longer, length, black, line, parts)


def _doubt(shape: _Shape, usual: _Shape | None, *, faint: bool) -> Doubt | None:
    if usual is None:
        if faint or shape.longer < SPECK_FRACTION:
            return "hardly any ink"
        return "crossed out" if shape.length > SCRIBBLED_SIDES else None
    if (
        shape.longer < SMALL_RATIO * usual.longer
        or shape.length < SHORT_RATIO * usual.length
        or (shape.longer < SPECK_FRACTION and usual.longer > 1.5 * SPECK_FRACTION)
    ):
        return "hardly any ink"
    if _is_crossed_out(shape, usual):
        return "crossed out"
    return "several characters" if shape.parts > max(1.0, usual.parts) else None


def _is_crossed_out(shape: _Shape, usual: _Shape) -> bool:
    longer = shape.length / max(usual.length, 1e-6)
    denser = longer / max(shape.longer / max(usual.longer, 1e-6), 1e-6)
    lined = denser > DENSE_RATIO and shape.length > DENSE_SIDES and shape.line > LINE_SIDES
    scribbled = longer > SCRIBBLED_RATIO and shape.black > max(BLACK_FRACTION, BLACK_RATIO * usual.black)
    return lined or scribbled or (denser > VERY_DENSE_RATIO and shape.length > VERY_DENSE_SIDES)


def _shape(mask: Grey, side: float) -> _Shape:
    x, y, width, height = cv2.boundingRect(mask)
    ink = mask[y : y + height, x : x + width]
    area = cv2.countNonZero(ink)
    depth = cv2.distanceTransform(cv2.copyMakeBorder(ink, 1, 1, 1, 1, cv2.BORDER_CONSTANT), cv2.DIST_L2, 3)
    # Across a line of width w, distances to its edges are w / 4 in the mean.
    pen = max(4 * float(depth[depth > 0].mean()), 1.0) if area else 1.0
    return _Shape(
        max(width, height) / side,
        area / pen / side,
        area / max(width * height, 1),
        _longest_line(ink) / side,
        count_characters(mask),
    )


def _longest_line(ink: Grey) -> float:
    """Return the length in px of the longest straight line within strokes."""
    shortest = max(4.0, 0.3 * max(ink.shape))
    lines = cv2.HoughLinesP(ink, 1, np.pi / 90, round(0.6 * shortest), minLineLength=shortest, maxLineGap=2)
    if lines is None:
        return 0.0
    ends = np.asarray(lines, np.float64).reshape(-1, 4)
    return float(np.hypot(ends[:, 0] - ends[:, 2], ends[:, 1] - ends[:, 3]).max())
