"""Crops that a thick pen fills, or cut out along the stroke's own box: as much ink as paper, or more.

Elsewhere ink is what is narrower than the paper around it. Here it is told by two plain levels with a sharp
outline between them, by the paper that shows on all its sides, and by being nowhere as wide as a sheet.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3

__all__ = ["estimate_background_dense", "explained_variance", "monomials"]

Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]

MIN_INK_FRACTION, MIN_PAPER_FRACTION = 0.3, 0.05
"""Shares of the picture."""

MIN_FILLING_INK_FRACTION, MAX_TOUCHED_BORDER_FRACTION = 0.12, 0.9
"""Less ink is enough where it reaches all four sides and not more of the border than this is paper: strokes
run along it, and would be taken for what looks in from beyond."""

MAX_BORDER_GAP_PX = 2
"""Ink reaches a side that is at most so many px away."""

MIN_EXPLAINED_VARIANCE = 0.75
"""Ink and paper explain at least this share of the grey levels' variance: of noise split in two they explain
0.64, and more where outlines are blurred."""

MIN_DENSE_CONTRAST_LEVELS = 20
"""Of grey levels at least, between ink and paper."""

MIN_DENSE_EDGE_RISE = 0.3
"""Along the outline the levels change within two pixels by this share of the contrast, on average."""

MIN_BORDER_PAPER_FRACTION, MIN_CLEAR_BORDER_PAPER_FRACTION = 0.6, 0.75
"""The paper's share of the border at least; the greater one, where ink fills a corner."""

MIN_CUT_BORDER_PAPER_FRACTION, MIN_INK_IN_HULL_FRACTION = 0.45, 0.5
"""The border's share is less where strokes run along it or are cut by it. Then so much of the ink lies within
the convex hull of the paper: a shadow, or the table beside a sheet, lies beyond it."""

PLAIN_BORDER_FRACTION = 0.95
"""With more of the border on one side, light is even: there is as little ink as the first guess says."""

AMBIGUOUS_BORDER_FRACTION = 0.3
"""Where the darker or the lighter pixels have at least this share of the border, either may be the ink."""

MAX_STROKE_DEPTH_FRACTION = 0.3
"""No stroke's middle is farther from its outline than this share of the longer side."""

DENSE_FIT_ROUNDS = 2
"""Uneven light moves pixels to the wrong side, until it has been taken away."""

FLAT_BACKGROUND_LEVEL = 64
"""Stands for the paper's level where light is taken away: its noise has room below."""


def estimate_background_dense(overview: Grey) -> tuple[bool, Levels] | None:
    """Whether the ink is dark, and the paper, float32 [H, W], on a crop full of ink; None for other pictures.

    Args:
        overview: uint8 [H, W], at most some 64 px a side.

    >>> crop = np.full((60, 10), 220, np.uint8)
    >>> crop[5:55, 1:9] = 40
    >>> dark, paper = estimate_background_dense(crop)
    >>> dark, float(paper[30, 5])
    (True, 220.0)
    """
    _, bright = cv2.threshold(overview, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)
    light = _border_share(bright)  # type: ignore[arg-type]
    likelier = light >= 0.5
    share = cv2.mean(bright)[0]
    if (
        max(light, 1 - light) > PLAIN_BORDER_FRACTION
        and (1 - share if likelier else share) < MIN_INK_FRACTION
    ):
        return None
    for dark in (
        (likelier, not likelier)
        if AMBIGUOUS_BORDER_FRACTION < light < 1 - AMBIGUOUS_BORDER_FRACTION
        else (likelier,)
    ):
        paper = _paper(overview, bright if dark else 1 - bright, dark=dark)  # type: ignore[arg-type]
        # What has the less of the border is the ink, unless that is cut out along it.
        if paper is not None and (dark == likelier or _fills(1 - paper)):
            return dark, _plane(overview, paper)
    return None


def explained_variance(levels: Grey, mask: Grey) -> float:
    """The share of the variance of levels that a mask of 0 and 1 explains: both uint8 [H, W]."""
    total = float(cv2.meanStdDev(levels)[1][0, 0]) ** 2
    share = cv2.mean(mask)[0]
    gap = cv2.mean(levels, mask=mask)[0] - cv2.mean(levels, mask=1 - mask)[0]
    return share * (1 - share) * gap**2 / max(total, 1e-9)


def _paper(overview: Grey, paper: Grey, *, dark: bool) -> Grey | None:
    """Where there is paper, uint8 [H, W] of 0 and 1; None where it is no crop full of such ink.

    Args:
        paper: the first guess.
        dark: whether the ink is.
    """
    for _ in range(DENSE_FIT_ROUNDS):
        if not MIN_PAPER_FRACTION <= cv2.mean(paper)[0] <= 1 - MIN_PAPER_FRACTION:
            return None
        under = _plane(overview, paper)
        deep = under - overview if dark else overview - under
        flat: Grey = np.clip(deep + FLAT_BACKGROUND_LEVEL, 0, 255).astype(np.uint8)
        ink: Grey = cv2.threshold(flat, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1]  # type: ignore[assignment]
        paper, depth = 1 - ink, _depth(ink)
        if depth > max(MAX_STROKE_DEPTH_FRACTION * max(overview.shape), 2):
            return None
    fills = _fills(ink)
    least = (
        MIN_FILLING_INK_FRACTION
        if fills and _border_share(paper) <= MAX_TOUCHED_BORDER_FRACTION
        else MIN_INK_FRACTION
    )
    if (
        not least <= cv2.mean(ink)[0] <= 1 - MIN_PAPER_FRACTION
        or explained_variance(flat, ink) < MIN_EXPLAINED_VARIANCE
    ):
        return None
    found = _is_drawn(flat, ink) and (_surrounds(paper) or (fills and _is_cut(paper, ink, depth)))
    return paper if found else None


def _fills(ink: Grey) -> bool:
    """Whether ink reaches all four sides, as where a picture was cut out along it."""
    x, y, width, height = cv2.boundingRect(ink)
    return bool(max(x, y, ink.shape[1] - x - width, ink.shape[0] - y - height) <= MAX_BORDER_GAP_PX)


def _border_share(mask: Grey) -> float:
    border = b"".join([edge.tobytes() for edge in (mask[0], mask[-1], mask[:, 0], mask[:, -1])])
    return border.count(1) / len(border)


def _depth(mask: Grey) -> float:
    """How far the middle is from the nearest outline, in px."""
    return cv2.minMaxLoc(cv2.distanceTransform(mask, cv2.DIST_L2, 3))[1]


def _is_drawn(flat: Grey, ink: Grey) -> bool:
    """Whether it has a pen's outline: a flash or a vignette has not."""
    contrast = cv2.mean(flat, mask=ink)[0] - cv2.mean(flat, mask=1 - ink)[0]
    outline = cv2.subtract(ink, cv2.erode(ink, SQUARE_3X3))
    rise = cv2.mean(cv2.morphologyEx(flat, cv2.MORPH_GRADIENT, SQUARE_3X3), mask=outline)[0]
    return contrast >= MIN_DENSE_CONTRAST_LEVELS and rise >= MIN_DENSE_EDGE_RISE * contrast


def _surrounds(paper: Grey) -> bool:
    """Whether the border is mostly paper."""
    corners = paper[0, 0] and paper[0, -1] and paper[-1, 0] and paper[-1, -1]
    return _border_share(paper) >= (MIN_BORDER_PAPER_FRACTION if corners else MIN_CLEAR_BORDER_PAPER_FRACTION)


def _is_cut(paper: Grey, ink: Grey, depth: float) -> bool:
    """Whether strokes that reach the border are told from paper by running through it, and being narrower."""
    if _border_share(paper) < MIN_CUT_BORDER_PAPER_FRACTION or _depth(paper) < depth:
        return False
    hull = cv2.fillConvexPoly(np.zeros_like(ink), cv2.convexHull(cv2.findNonZero(paper)), 1)
    cut = _at_border(ink)
    return cv2.countNonZero(cv2.bitwise_and(hull, cut)) >= MIN_INK_IN_HULL_FRACTION * cv2.countNonZero(cut)


def _at_border(ink: Grey) -> Grey:
    """The ink without the parts that keep clear of the border."""
    count, labels = cv2.connectedComponents(ink)
    there = np.zeros(count, np.uint8)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        there[edge] = 1
    there[0] = 0
    found: Grey = there[labels]
    return found


def _plane(overview: Grey, paper: Grey) -> Levels:
    """The plane through the paper's levels, off the ink's blurred outline where there is as much of it."""
    plain: Grey = cv2.erode(paper, SQUARE_3X3, borderType=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    chosen = plain if cv2.countNonZero(plain) >= cv2.countNonZero(paper) / 2 else paper
    monomial_values, products = _plane_monomials(*overview.shape)
    weights = chosen.ravel().astype(np.float32)
    # A ridge: where the paper is on one line, the plane does not tilt across it.
    ridge = np.diag([0.0, 0.01, 0.01]) * weights.sum()
    sums = monomial_values @ (weights * overview.ravel())
    coefficients = np.linalg.solve((products @ weights).reshape(3, 3) + ridge, sums).astype(np.float32)
    darkest, brightest, _, _ = cv2.minMaxLoc(overview, mask=chosen)
    plane: Levels = np.clip((coefficients @ monomial_values).reshape(overview.shape), darkest, brightest)
    return plane


@lru_cache(maxsize=64)
def _plane_monomials(height: int, width: int) -> tuple[Levels, Levels]:
    """1, x, y, the picture from -1/2 to 1/2, at each pixel: [3, H * W]; and the products of any two."""
    y, x = (np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in (height, width))
    values = monomials(y, x, degree=1)
    return values, (values[:, np.newaxis] * values).reshape(9, -1)


def monomials(y: Levels, x: Levels, *, degree: int) -> Levels:
    """1, x, y and, of degree 2, x^2, xy, y^2 at each pixel: [3 or 6, H * W].

    `y` [H] and `x` [W] are the coordinates of the rows and the columns.
    """
    y, x = np.meshgrid(y, x, indexing="ij")
    values = [np.ones_like(x), x, y] if degree == 1 else [np.ones_like(x), x, y, x * x, x * y, y * y]
    return np.stack(values).reshape(len(values), -1)
