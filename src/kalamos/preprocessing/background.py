"""Separate the ink from the paper, whatever the light and whichever of the two is darker.

**The background.** Two estimates lie above paper and ink alike, each tight if the light is as it expects; the
lower one counts. A morphological closing wider than any stroke follows shadows with their hard edges. The
same closing, after a robust quadratic surface has been taken away, follows light that falls off towards a
lens's corners, which the closing alone would cut off.

**Dense crops.** A thick pen may fill a crop, or the crop may be cut out along the stroke's own box: there is
as much ink as paper, or more. Elsewhere ink is what is narrower than the paper around it; on such a crop, ink
and paper are two plain levels with a sharp outline between them, paper shows on all sides of the ink, and the
ink is nowhere as wide as a sheet.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.resizing import SQUARE_3X3, border_bytes, enlarge, halve, shrink

__all__ = [
    "estimate_background_dense",
    "explained_variance",
    "foreground_intensity",
    "foreground_intensity_small",
]

Grey = NDArray[np.uint8]

Levels = NDArray[np.float32]

MIN_INK_FRACTION, MIN_PAPER_FRACTION = 0.3, 0.05
"""Shares of a dense crop that are ink, and paper."""

MIN_FILLING_INK_FRACTION, MAX_TOUCHED_BORDER_FRACTION = 0.12, 0.9
"""Less ink is enough if it reaches all four sides and at most this share of the border is paper: strokes run
along it, and would be taken for neighbouring content."""

MAX_BORDER_GAP_PX = 2
"""Ink at most so many px away from a side reaches it."""

MIN_EXPLAINED_VARIANCE = 0.75
"""Ink and paper explain at least this share of the grey levels' variance: of noise split in two they explain
0.64, and more where outlines are blurred."""

MIN_DENSE_CONTRAST_LEVELS = 20
"""Between ink and paper."""

MIN_DENSE_EDGE_RISE = 0.3
"""Along the outline the levels change within two pixels by this share of the contrast, on average."""

MIN_BORDER_PAPER_FRACTION, MIN_CLEAR_BORDER_PAPER_FRACTION = 0.6, 0.75
"""The paper's share of the border; the second if ink fills a corner."""

MIN_CUT_BORDER_PAPER_FRACTION, MIN_INK_IN_HULL_FRACTION = 0.45, 0.5
"""The paper's share of the border is smaller if strokes run along it or are cut by it. Then so much of the
ink lies within the convex hull of the paper: a shadow, or the table beside a sheet, lies outside."""

PLAIN_BORDER_FRACTION = 0.95
"""With more of the border on one side of the threshold, light is even, and the first guess of how much ink
there is holds."""

AMBIGUOUS_BORDER_FRACTION = 0.3
"""If both the darker and the lighter pixels have at least this share of the border, either may be the ink."""

MAX_STROKE_DEPTH_FRACTION = 0.3
"""No stroke's middle is farther from its outline than this share of the longer side."""

DENSE_FIT_ROUNDS = 2
"""Rounds of thresholding: uneven light moves pixels to the wrong side until it has been taken away."""

FLAT_BACKGROUND_LEVEL = 64
"""The level given to the paper once light is taken away: its noise has room below."""

OVERVIEW_SIDE_PX = 64
"""The paper is estimated on a copy whose longer side is at most this many pixels."""

MAX_STROKE_FRACTION = 1 / 3
"""No stroke is wider than this share of the longer side; what is dark and wider is shadow or table."""

SHADOW_STEP = 0.92
"""Paper that falls to this share of its light within one pixel of the overview has a shadow's edge there."""

MIN_SIDE_FOR_SHADOWS_PX = 24
"""An overview with a shorter side is one stroke's crop, in which no shadow's edge is looked for."""

NEAR_EDGE_RANGE_FRACTION = 0.35
"""An edge is near where the range of light around is at least this share of the picture's greatest."""

MAX_CROP_SIDE_PX = 40
"""Pictures of at most so many pixels are crops of a dataset as often as photographs."""

DARK_INK_PRIOR = 0.7
"""Prior towards dark ink on photographs: boards are rarer than paper."""

FIT_SIDE_PX = 16
"""The surface of the light is fitted to a copy of so many pixels a side."""

FIT_ROUNDS = 4
"""Least squares, reweighted all but the first time: more rounds move the fit by less than a grey level."""

FIT_RIDGE = np.eye(6, dtype=np.float32) * np.float32(1e-3)
"""Too small to bend the surface, it keeps the fit's equations solvable."""

TEXTURE_FRACTION = 0.2
"""On small crops, differences from the paper below this share of the ink's are texture."""

NOISE_DEVIATIONS = 3
"""Levels within so many standard deviations of the paper's are paper."""

SIGNIFICANT_DEVIATIONS = 6
"""No pixel of a blank page reaches so many standard deviations, errors of the estimate included."""

NOISE_SAMPLE_PIXELS = 2_000
"""About so many pixels are sampled to measure the noise."""

LARGE_SIDE_PX = 256
"""Above this longer side a wider blur takes away noise and no detail."""


def foreground_intensity(image: Grey) -> tuple[Grey, float]:
    """Compute the share of the paper's light that each pixel absorbs.

    A share, because a stroke in a shadow differs from its paper by fewer grey levels than one in the light.

    Args:
        image: uint8 [H, W], either polarity.

    Returns:
        uint8 [H, W], 0 for paper, 255 if no light is left; and by how many grey levels
        the image differs from its paper at most, or 0 where noise explains it.

    >>> page = np.full((120, 120), 210, np.uint8)
    >>> page[30:90, 55:65] = 42
    >>> ink, difference = foreground_intensity(page)
    >>> int(ink[60, 60]), int(ink[10, 10]), difference       # 255 * (210 - 42) / 210
    (204, 0, 168.0)
    """
    image, paper, dense = estimate_background(image)
    side = 3 if max(image.shape) <= LARGE_SIDE_PX else 5
    smooth: Grey = cv2.GaussianBlur(image, (side, side), 0)  # type: ignore[assignment]
    offset, deviation = (0.0, 0.0) if dense else _noise(paper, smooth)
    gap = cv2.subtract(paper, smooth)
    difference = cv2.minMaxLoc(gap)[1] - offset
    floor = round(offset + NOISE_DEVIATIONS * deviation)  # OpenCV is faster with whole numbers
    ink = cv2.divide(cv2.subtract(gap, floor), paper, scale=255)  # type: ignore[call-overload]
    return np.asarray(ink, np.uint8), difference if difference >= SIGNIFICANT_DEVIATIONS * deviation else 0.0


def foreground_intensity_small(image: Grey) -> tuple[Grey, float]:
    """Do the same on crops whose strokes leave too little paper to measure its grain."""
    image, paper, _ = estimate_background(image)
    ink: Grey = cv2.subtract(paper, image)  # type: ignore[assignment]
    return _without_texture(ink), cv2.minMaxLoc(ink)[1]


def estimate_background(image: Grey) -> tuple[Grey, Grey, bool]:
    """Make the ink dark, and estimate the paper's light under each pixel.

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


def estimate_background_dense(overview: Grey) -> tuple[bool, Levels] | None:
    """Estimate the paper of a crop full of ink.

    Args:
        overview: uint8 [H, W], at most some 64 px a side.

    Returns:
        Whether the ink is dark, and the paper, float32 [H, W]; None for other pictures.

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
    even_light = max(light, 1 - light) > PLAIN_BORDER_FRACTION
    if even_light and (1 - share if likelier else share) < MIN_INK_FRACTION:
        return None
    ambiguous = AMBIGUOUS_BORDER_FRACTION < light < 1 - AMBIGUOUS_BORDER_FRACTION
    for dark in (likelier, not likelier) if ambiguous else (likelier,):
        paper = _paper(overview, bright if dark else 1 - bright, dark=dark)  # type: ignore[arg-type]
        # What has less of the border is the ink, unless the crop is cut out along it.
        if paper is not None and (dark == likelier or _fills(1 - paper)):
            return dark, _plane(overview, paper)
    return None


def explained_variance(levels: Grey, mask: Grey) -> float:
    """Return the share of the variance of levels that a mask of 0 and 1 explains; both are uint8 [H, W]."""
    total = float(cv2.meanStdDev(levels)[1][0, 0]) ** 2
    share = cv2.mean(mask)[0]
    gap = cv2.mean(levels, mask=mask)[0] - cv2.mean(levels, mask=1 - mask)[0]
    return share * (1 - share) * gap**2 / max(total, 1e-9)


def _paper(overview: Grey, paper: Grey, *, dark: bool) -> Grey | None:
    """Return a mask of the paper, uint8 [H, W] of 0 and 1; None if this is not a crop full of such ink.

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
    filling = fills and _border_share(paper) <= MAX_TOUCHED_BORDER_FRACTION
    least = MIN_FILLING_INK_FRACTION if filling else MIN_INK_FRACTION
    if not least <= cv2.mean(ink)[0] <= 1 - MIN_PAPER_FRACTION:
        return None
    if explained_variance(flat, ink) < MIN_EXPLAINED_VARIANCE:
        return None
    found = _is_drawn(flat, ink) and (_surrounds(paper) or (fills and _is_cut(paper, ink, depth)))
    return paper if found else None


def _fills(ink: Grey) -> bool:
    """Return whether ink reaches all four sides, as in a picture that was cut out along it."""
    x, y, width, height = cv2.boundingRect(ink)
    return bool(max(x, y, ink.shape[1] - x - width, ink.shape[0] - y - height) <= MAX_BORDER_GAP_PX)


def _border_share(mask: Grey) -> float:
    border = border_bytes(mask)
    return border.count(1) / len(border)


def _depth(mask: Grey) -> float:
    """Return the largest distance from the outline, in px."""
    return cv2.minMaxLoc(cv2.distanceTransform(mask, cv2.DIST_L2, 3))[1]


def _is_drawn(flat: Grey, ink: Grey) -> bool:
    """Return whether the ink has a pen's sharp outline: a flash or a vignette has not."""
    contrast = cv2.mean(flat, mask=ink)[0] - cv2.mean(flat, mask=1 - ink)[0]
    outline = cv2.subtract(ink, cv2.erode(ink, SQUARE_3X3))
    rise = cv2.mean(cv2.morphologyEx(flat, cv2.MORPH_GRADIENT, SQUARE_3X3), mask=outline)[0]
    return contrast >= MIN_DENSE_CONTRAST_LEVELS and rise >= MIN_DENSE_EDGE_RISE * contrast


def _surrounds(paper: Grey) -> bool:
    """Return whether the border is mostly paper."""
    corners = paper[0, 0] and paper[0, -1] and paper[-1, 0] and paper[-1, -1]
    return _border_share(paper) >= (MIN_BORDER_PAPER_FRACTION if corners else MIN_CLEAR_BORDER_PAPER_FRACTION)


def _is_cut(paper: Grey, ink: Grey, depth: float) -> bool:
    """Return whether strokes that reach the border run through the paper, and are narrower than it."""
    if _border_share(paper) < MIN_CUT_BORDER_PAPER_FRACTION or _depth(paper) < depth:
        return False
    hull = cv2.fillConvexPoly(np.zeros_like(ink), cv2.convexHull(cv2.findNonZero(paper)), 1)
    cut = _at_border(ink)
    return cv2.countNonZero(cv2.bitwise_and(hull, cut)) >= MIN_INK_IN_HULL_FRACTION * cv2.countNonZero(cut)


def _at_border(ink: Grey) -> Grey:
    """Return the components of the ink that touch the border."""
    count, labels = cv2.connectedComponents(ink)
    there = np.zeros(count, np.uint8)
    for edge in (labels[0], labels[-1], labels[:, 0], labels[:, -1]):
        there[edge] = 1
    there[0] = 0
    found: Grey = there[labels]
    return found


def _plane(overview: Grey, paper: Grey) -> Levels:
    """Fit a plane to the paper's levels, without the ink's blurred outline if enough paper is left."""
    plain: Grey = cv2.erode(paper, SQUARE_3X3, borderType=cv2.BORDER_REPLICATE)  # type: ignore[assignment]
    chosen = plain if cv2.countNonZero(plain) >= cv2.countNonZero(paper) / 2 else paper
    values, products = _plane_monomials(*overview.shape)
    weights = chosen.ravel().astype(np.float32)
    # A ridge: if the paper is on one line, the plane does not tilt across it.
    ridge = np.diag([0.0, 0.01, 0.01]) * weights.sum()
    sums = values @ (weights * overview.ravel())
    coefficients = np.linalg.solve((products @ weights).reshape(3, 3) + ridge, sums).astype(np.float32)
    darkest, brightest, _, _ = cv2.minMaxLoc(overview, mask=chosen)
    plane: Levels = np.clip((coefficients @ values).reshape(overview.shape), darkest, brightest)
    return plane


@lru_cache(maxsize=64)
def _plane_monomials(height: int, width: int) -> tuple[Levels, Levels]:
    """Return 1, x, y at each pixel, from -1/2 to 1/2: [3, H * W]; and the products of any two: [9, H * W]."""
    y, x = (np.linspace(-0.5, 0.5, side, dtype=np.float32) for side in (height, width))
    values = monomials(y, x, degree=1)
    return values, (values[:, np.newaxis] * values).reshape(9, -1)


def monomials(y: Levels, x: Levels, *, degree: int) -> Levels:
    """Return 1, x, y and, of degree 2, x^2, xy, y^2 at each pixel: [3 or 6, H * W].

    `y` [H] and `x` [W] are the coordinates of the rows and the columns.
    """
    y, x = np.meshgrid(y, x, indexing="ij")
    values = [np.ones_like(x), x, y] if degree == 1 else [np.ones_like(x), x, y, x * x, x * y, y * y]
    return np.stack(values).reshape(len(values), -1)


def _enlarged(paper: Levels, image: Grey) -> Grey:
    under: Grey = cv2.convertScaleAbs(paper)  # type: ignore[assignment]
    return enlarge(under, image.shape)


def _overview(image: Grey) -> Grey:
    # Three quarters of the size are as good as all of it if halving alone gets there.
    image = halve(image, 1.5 * OVERVIEW_SIDE_PX)
    return shrink(image, OVERVIEW_SIDE_PX / max(image.shape))


def _window(shape: tuple[int, ...], share: float) -> int:
    """Return an odd number of pixels, about `share` of the longer side and at least 3."""
    return 2 * max(1, round(max(shape) * share / 2)) + 1


def _close(levels: Levels) -> Levels:
    """Apply a closing as if the picture went on beyond its border as it is at it."""
    width = _window(levels.shape, MAX_STROKE_FRACTION)
    reach = width // 2
    wide = cv2.copyMakeBorder(levels, reach, reach, reach, reach, cv2.BORDER_REPLICATE)
    closed = cv2.morphologyEx(wide, cv2.MORPH_CLOSE, np.ones((width, width), np.uint8))
    return closed[reach:-reach, reach:-reach]  # type: ignore[return-value]


def _ink_is_dark(overview: Levels, light: Levels, lean: float) -> bool:
    # With much ink, the surface is fitted to the ink as well, and the picture itself is the better voter.
    # Otherwise the light has to be taken away first.
    votes = 2 * _vote_for_dark_ink(overview - light) + lean
    return votes >= 1 or (votes >= -1 and votes + _vote_for_dark_ink(overview) >= 0)


def _vote_for_dark_ink(levels: Levels) -> float:
    """Vote for dark ink (1) or light ink (-1).

    If the brightest and the darkest pixel around differ, an edge is near. On the rim of that neighbourhood
    is paper: as bright as the brightest around dark ink, as dark as the darkest around light ink. The two
    rims of a shadow's edge outvote each other.
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
    """Fit the quadratic surface that most pixels lie near (iteratively reweighted least squares).

    It is clipped to the picture's range: bent by much ink, it would leave it in the corners.
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
    """Return the matrix from the fit's levels [FIT_SIDE_PX^2] to the surface's coefficients [6]."""
    values = _surface_monomials(FIT_SIDE_PX, FIT_SIDE_PX)
    coefficients: Levels = np.linalg.solve(values @ values.T + FIT_RIDGE, values)
    return coefficients


@lru_cache(maxsize=1)
def _products() -> Levels:
    """Return the products of any two monomials at each of the fit's pixels: [6 * 6, FIT_SIDE_PX^2].

    Weighted sums of them are the weighted least squares' equations.
    """
    values = _surface_monomials(FIT_SIDE_PX, FIT_SIDE_PX)
    return (values[:, np.newaxis] * values).reshape(-1, FIT_SIDE_PX * FIT_SIDE_PX)


@lru_cache(maxsize=64)
def _surface_monomials(height: int, width: int) -> Levels:
    """Return 1, x, y, x^2, xy, y^2 at the pixels' centres, from -1 to 1: [6, H * W]."""
    return monomials(_centres(height), _centres(width), degree=2)


def _centres(side: int) -> Levels:
    return np.asarray((np.arange(side, dtype=np.float32) + 0.5) / side * 2 - 1, np.float32)


def _noise(paper: Grey, image: Grey) -> tuple[float, float]:
    """Measure how far the paper lies below its estimate, and its deviation, in grey levels.

    Both from the pixels brighter than the median, none of which is ink.
    """
    stride = max(1, math.isqrt(image.size // NOISE_SAMPLE_PIXELS))
    gap = np.subtract(paper[::stride, ::stride], image[::stride, ::stride], dtype=np.int16).ravel()
    # The quartile: where a frame is printed near the border, an eighth or more lies above its paper.
    low, middle = (gap.size - 1) // 4, (gap.size - 1) // 2
    ordered = np.partition(gap, (low, middle))
    return max(0.0, float(ordered[middle])), 1.4826 * float(ordered[middle] - ordered[low])


def _without_texture(ink: Grey) -> Grey:
    threshold, _ = cv2.threshold(ink, 0, 255, cv2.THRESH_OTSU)
    strokes = ink[ink > threshold]
    level = float(strokes.mean()) if strokes.size else 0.0
    floor = level * TEXTURE_FRACTION
    if level - floor < 1:
        return ink
    # Linear between the floor (0) and the mean stroke; brighter pixels saturate only in contrast
    # that is already beyond the typical stroke, and the peak stays a measure of the real contrast.
    gain = level / (level - floor)
    return cv2.convertScaleAbs(cv2.subtract(ink, floor), alpha=gain)  # type: ignore[call-overload, return-value]
