"""A character drawn smoothly on a page, and the page photographed.

Coverage is float32 [side, side] in [0, 1]: how much of each pixel the pen has covered.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np

from kalamos.shift.catalogue import Grey
from kalamos.shift.fields import Field, grain
from kalamos.shift.frame import ink_box

__all__ = ["GLYPH", "PAGE", "PAPER", "PEN", "coordinates", "photographed", "strokes", "thinned", "written"]

PAGE, GLYPH = 200, 140
"""Sides in px: of a page, and of a character's longer side on it."""

PAPER, PEN = 228.0, 45.0
"""Grey levels of a well-lit page and of a ball pen."""

BLUR = 0.55
"""Of the enlarged source, as a share of what one of its pixels has become."""

FINEST = 1.5
"""Half the width in px of the finest pen: a dot keeps to the paper however thin the pen."""

EDGE = 0.36
"""Share of full ink at which a pen's edge is drawn: below a half, so that faint strokes stay whole."""

FAINT, FAINTEST = 0.6, 0.1
"""A dot of one source pixel reaches no edge once it is blurred. Ink whose level around stays below the share
`FAINT` of full is taken for full, down to the share `FAINTEST`."""

AROUND = 5
"""Source pixels across which its level is looked for."""


def written(
    ink: Grey,
    rng: np.random.Generator,
    *,
    side: int = PAGE,
    longer: int = GLYPH,
    middle: tuple[float, float] = (0.0, 0.0),
    degrees: float = 0.0,
) -> Field:
    """The frame's character with smooth strokes, as coverage [side, side].

    Args:
        ink: a frame, uint8 [S, S].
        longer: px of the character's longer side.
        middle: where its middle lies, in px from the page's; a jitter of up to 2 % of its size is added.
        degrees: turned so much, clockwise.
    """
    x, y, width, height = ink_box(ink)
    scale = longer / max(width, height)
    centre = (side - 1) / 2 + np.array(middle) + rng.uniform(-0.02, 0.02, 2) * longer
    angle = math.radians(degrees)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    source = x + (width - 1) / 2, y + (height - 1) / 2
    move = np.column_stack((linear, centre - linear @ source))
    enlarged = cv2.warpAffine(ink, move, (side, side), flags=cv2.INTER_LINEAR)
    # About as wide as a source pixel, the blur leaves none of its stairs; the edge is then drawn anew,
    # one pixel of the page wide whatever the scale.
    soft = cv2.GaussianBlur(enlarged, (0, 0), BLUR * scale)
    gain = cv2.warpAffine(_gain(ink), move, (side, side), flags=cv2.INTER_LINEAR, borderValue=1)
    edge: Field = np.clip((soft * gain / 255 - EDGE) * np.float32(1.5 * scale) + 0.5, 0, 1)
    return edge


def _gain(ink: Grey) -> Field:
    # What the enlargement's blur will leave of each stroke, its own bilinear interpolation included.
    left = cv2.GaussianBlur(ink, (0, 0), math.hypot(BLUR, 0.41))
    level = cv2.dilate(left, np.ones((AROUND, AROUND), np.uint8)).astype(np.float32) / 255
    gain: Field = FAINT / np.clip(level, FAINTEST * FAINT, FAINT)
    return gain


def photographed(
    paper: Field | float, pen: Field | float, cover: Field, rng: np.random.Generator, *, noise: float = 2.0
) -> Grey:
    """Paper and pen (grey levels) seen by a camera: a little blur, a little noise; uint8 [side, side]."""
    page = (paper + (pen - paper) * cover).astype(np.float32, copy=False)
    page = cv2.GaussianBlur(page, (3, 3), 0.7)  # type: ignore[assignment]
    page += noise * grain(len(page), rng)
    seen: Grey = np.clip(page, 0, 255).astype(np.uint8)
    return seen


def strokes(inside: Field) -> Field:
    """Signed distance in px into the ink -> coverage, anti-aliased."""
    cover: Field = np.clip(inside + 0.5, 0, 1)
    return cover


def thinned(cover: Field, taken: float) -> Field:
    """Strokes narrower by the share `taken` in (0, 1) of their own width, none of them broken."""
    depth = cv2.distanceTransform((cover >= 0.5).view(np.uint8), cv2.DIST_L2, 5)
    ridge = float(depth.sum() / max(np.count_nonzero(depth), 1)) * 2  # a stroke's mean depth is half of it
    # A pixel goes whose depth is below this share of what is deepest near it. Within so much of the
    # middle it sees the middle; any wider, and a thick part would take the thin ones beside it away.
    reach = 2 * math.ceil((1 - taken) * ridge) + 1
    middle = cv2.dilate(depth, np.ones((reach, reach), np.uint8))
    return strokes(depth - 0.5 - np.minimum(taken * middle, np.maximum(middle - FINEST, 0)))


@lru_cache(maxsize=1)
def coordinates() -> tuple[Field, Field]:
    """Each pixel's x and y in px from the page's middle, float32 [PAGE, PAGE]."""
    y, x = np.indices((PAGE, PAGE), np.float32) - np.float32((PAGE - 1) / 2)
    return x, y
