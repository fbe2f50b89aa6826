"""Estimate the paper: which side of it the ink is on, and how bright it is under the ink.

Two estimates lie above paper and ink alike, each tight where the light is as it expects; the lower
one counts. A morphological closing wider than any stroke follows shadows with their hard edges. The
same closing after a robust quadratic surface has been taken away follows light that falls off towards
a lens's corners, which the closing alone would cut off.
"""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.crowded import estimate_background_dense, monomials
from kalamos.preprocessing.resizing import SQUARE_3X3, enlarge, halve, shrink

__all__ = ["estimate_background"]

Grey = NDArray[np.uint8]
Levels = NDArray[np.float32]

OVERVIEW_SIDE_PX = 64
"""The paper is estimated on a copy whose longer side is at most this many pixels."""

MAX_STROKE_FRACTION = 1 / 3
"""No stroke is wider than this share of the longer side; what is dark and wider is shadow or table."""

SHADOW_STEP = 0.92
"""Paper that falls to this share of its light within a pixel of the overview has a shadow's edge there."""

MIN_SIDE_FOR_SHADOWS_PX = 24
"""An overview with a shorter side of fewer pixels is one stroke's crop: no shadow's edge is looked for."""

NEAR_EDGE_RANGE_FRACTION = 0.35
"""An edge is near where the range of light around is at least this share of the picture's greatest."""

MAX_CROP_SIDE_PX = 40
"""Pictures of at most so many pixels are crops of a dataset as often as photographs."""

DARK_INK_PRIOR = 0.7
"""On a photograph light ink needs so much more of the vote than dark ink: boards are rarer than paper."""

FIT_SIDE_PX = 16
"""The surface of the light is fitted to a copy of this many pixels a side."""

FIT_ROUNDS = 4
"""The fit's least squares, reweighted all but the first time: more move it by less than a grey level."""

FIT_RIDGE = np.eye(6, dtype=np.float32) * np.float32(1e-3)
"""Too small to bend the surface, it keeps the fit's equations solvable."""


def estimate_background(image: Grey) -> tuple[Grey, Grey, bool]:
    """The image with its ink dark, and the paper's light under each of its pixels.

    Args:
        image: uint8 [H, W], either polarity.

    Returns:
        The image, inverted if its ink was light, and its paper, both uint8 [H, W]; and whether there is so
        much ink that the paper shows little of its grain.
    """
    small = _overview(image)
    full = estimate_background_dense(small)
    if full is not None:
        dark, paper = full
        if not dark:
            image, paper = cv2.bitwise_not(image), 255 - paper  # type: ignore[assignment]
        return image, _enlarged(paper, image), True
    overview: Levels = small.astype(np.float32)
    if max(overview.shape) > 32:
        # Closing takes maxima, and single bright pixels would lift the paper.
        overview = cv2.GaussianBlur(overview, (3, 3), 0)  # type: ignore[assignment]
    light = _surface_of_light(overview)
    if not _ink_is_dark(overview, light, 0 if max(image.shape) <= MAX_CROP_SIDE_PX else DARK_INK_PRIOR):
        image = cv2.bitwise_not(image)  # type: ignore[assignment]
        overview, light = 255 - overview, 255 - light
    paper = np.minimum(_close(overview), light + _close(overview - light))
    # Enlarged, the estimate is smooth where a shadow's edge is not: better too dark on its lit side
    # than too bright within, which would draw a line along it.
    if min(paper.shape) >= MIN_SIDE_FOR_SHADOWS_PX:
        darkest = cv2.erode(paper, SQUARE_3X3)
        paper = np.where(darkest < SHADOW_STEP * paper, darkest, paper)
    return image, _enlarged(paper, image), False


def _enlarged(paper: Levels, image: Grey) -> Grey:
    under: Grey = cv2.convertScaleAbs(paper)  # type: ignore[assignment]
    return enlarge(under, image.shape)


def _overview(image: Grey) -> Grey:
    # Three quarters of its size are as good as all of it where halving alone gets there.
    image = halve(image, 1.5 * OVERVIEW_SIDE_PX)
    return shrink(image, OVERVIEW_SIDE_PX / max(image.shape))


def _window(shape: tuple[int, ...], share: float) -> int:
    """An odd number of pixels, about `share` of the longer side and at least 3."""
    return 2 * max(1, round(max(shape) * share / 2)) + 1


def _close(levels: Levels) -> Levels:
    """A closing that takes the picture to go on beyond its border as it is at it."""
    width = _window(levels.shape, MAX_STROKE_FRACTION)
    reach = width // 2
    wide = cv2.copyMakeBorder(levels, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    return closed[reach:-reach, reach:-reach]  # type: ignore[return-value]


def _ink_is_dark(overview: Levels, light: Levels, lean: float) -> bool:
    # Where there is much ink, the surface is fitted to it as well, and the picture itself knows better.
    # Elsewhere it is the light that has to go first.
    votes = 2 * _vote_for_dark_ink(overview - light) + lean
    return votes >= 1 or (votes >= -1 and votes + _vote_for_dark_ink(overview) >= 0)


def _vote_for_dark_ink(levels: Levels) -> float:
    """From -1 to 1: how much plainer the paper around the ink is if the ink is dark.

    Where the brightest and the darkest pixel around differ, an edge is near. On the rim of that
    neighbourhood is paper: as bright as the brightest around dark ink, as dark as the darkest around
    light ink. The two rims of a shadow's edge outvote each other.
    """
    kernel = np.ones((_window(levels.shape, MAX_STROKE_FRACTION / 2),) * 2, np.uint8)
    darkest = cv2.erode(levels, kernel)
    between = cv2.subtract(cv2.dilate(levels, kernel), darkest)
    greatest = cv2.minMaxLoc(between)[1]
    if not greatest:
        return 0.0
    near = (between > NEAR_EDGE_RANGE_FRACTION * greatest).view(np.uint8)
    within = cv2.erode(near, SQUARE_3X3, borderType=cv2.BORDER_CONSTANT, borderValue=0)
    # Shares of the range: a table's edge has no more votes than a pencil's.
    shares = cv2.divide(cv2.subtract(levels, darkest), between)
    return 2 * cv2.mean(shares, mask=cv2.subtract(near, within))[0] - 1


def _surface_of_light(overview: Levels) -> Levels:
    """The quadratic surface that most pixels lie near (iteratively reweighted least squares).

    Nowhere is it darker or brighter than the picture: bent by much ink, it would be so in the corners.
    """
    height, width = overview.shape
    values, products = _surface_monomials(FIT_SIDE_PX, FIT_SIDE_PX), _products()
    levels: Levels = cv2.resize(overview, (FIT_SIDE_PX, FIT_SIDE_PX), interpolation=cv2.INTER_AREA).ravel()  # type: ignore[assignment]
    middle = levels.size // 2
    coefficients = _least_squares() @ levels
    for _ in range(FIT_ROUNDS - 1):
        residuals = levels - coefficients @ values
        # Scaled to a standard deviation; light that is even to a grey level needs no weighing.
        spread = max(1.0, 1.4826 * float(np.partition(np.abs(residuals), middle)[middle]))
        weights = 1 / (1 + (residuals * (0.5 / spread)) ** 2) ** 2
        equations = (products @ weights).reshape(FIT_RIDGE.shape) + FIT_RIDGE
        sums = values @ (weights * levels)
        # NumPy's own solver takes longer to call than to solve.
        coefficients = cv2.solve(equations, sums[:, np.newaxis], flags=cv2.DECOMP_CHOLESKY)[1].ravel()  # type: ignore[assignment]
    surface = (coefficients @ _surface_monomials(height, width)).reshape(height, width)
    darkest, brightest, _, _ = cv2.minMaxLoc(overview)
    return np.clip(surface, darkest, brightest)


@lru_cache(maxsize=1)
def _least_squares() -> Levels:
    """From the fit's levels [FIT_SIDE_PX^2] to the surface's coefficients [6], all weighing the same."""
    values = _surface_monomials(FIT_SIDE_PX, FIT_SIDE_PX)
    coefficients: Levels = np.linalg.solve(values @ values.T + FIT_RIDGE, values)
    return coefficients


@lru_cache(maxsize=1)
def _products() -> Levels:
    """The products of any two monomials at each of the fit's pixels: [6 * 6, FIT_SIDE_PX * FIT_SIDE_PX].

    Weighted sums of them are the weighted least squares' equations.
    """
    values = _surface_monomials(FIT_SIDE_PX, FIT_SIDE_PX)
    return (values[:, np.newaxis] * values).reshape(-1, FIT_SIDE_PX * FIT_SIDE_PX)


@lru_cache(maxsize=64)
def _surface_monomials(height: int, width: int) -> Levels:
    """1, x, y, x^2, xy, y^2 at the pixels' centres, the picture from -1 to 1: [6, H * W]."""
    return monomials(_centres(height), _centres(width), degree=2)


def _centres(side: int) -> Levels:
    return np.asarray((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1, np.float32)
