"""The ink of a whole page, found by the ink finder at the page's own scale.

The finder (`kalamos.preprocessing.ink`) knows characters of some 10 to 80 px. A page is looked at as a whole
first, to see how large its writing is, and then in tiles at a scale where that is `TARGET_PX` high.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing.ink import hysteresis, ink_levels

__all__ = ["PageInk", "find_page_ink", "in_even_light", "paper_around", "sharpened", "writing_height"]

Grey = NDArray[np.uint8]

TARGET_PX: Final = 40
"""The height of the writing, on the map."""

OVERVIEWS_PX: Final = (768, 1536)
"""The longer side of the page at its first look, and at its second if the writing was too small on that."""

MIN_OVERVIEW_HEIGHT_PX: Final = 14
"""Writing less high than this is looked at again from nearer."""

MIN_HEIGHT_SHARE: Final = 0.5
"""Of that height: writing that is less high on the map was found from too far, and is looked for anew."""

MAX_MAP_PX: Final = 3400
"""The longer side of the map."""

MAX_ENLARGEMENT: Final = 3.0
"""The map is at most so many times as large as the page: it holds no more than the page."""

TILE_PX: Final = 256
HALO_PX: Final = 32
"""A tile is looked at with so much of its surroundings, which the next tile answers for."""

SPECK_FULLNESS, SPECK_SHARE = 0.55, 0.85
"""How much a speck fills of its box; of small parts, how many are so full at least, or they are letters."""

SPECK_FACTOR, FEWEST_STROKES = 2.0, 8
"""So many times higher than specks so many strokes must be that are to tell the height of writing instead."""

TILES_A_RUN: Final = 8
"""At a time, for memory's sake."""

GROUND_REDUCTION: Final = 4
GROUND_PX, GROUND_BLUR_PX = 15, 1.0
"""The ground is the median of a square of this side, blurred a little, on an image so many times smaller."""

DARKEST_GROUND: Final = 0.4
"""Of the page's level: ground that is darker is not made as light as that: its grain would be strokes."""

MIN_CONTRAST_FRACTION: Final = 0.35
"""Of the typical contrast on the page: tiles that vary less are not made to vary as much."""

MIN_CONTRAST_LEVELS: Final = 6.0
MIN_CONTRAST_NOISE: Final = 2.5
"""Ink differs from the paper around it by so many grey levels, and by so many standard deviations of the
paper's own grain: on an empty page the finder sees shapes in that."""

SURROUNDINGS_PX: Final = 31
"""The paper around a pixel: a square of this side."""

VOTING_HEIGHTS: Final = 0.5, 2.0
"""Times the writing's height: how high the parts are that say whether ink is dark or light."""

MAX_VOTE_PX: Final = TARGET_PX**2 // 16
"""A part has at most so many px (of every fourth) in the vote on whether ink is dark or light."""

SHARPENING: Final = 1.5
SHARPENED_PX: Final = 3.0
"""Unsharp masking: how much of the difference to a blur of this standard deviation is added."""

FAINTEST: Final = 0.2
FULL_QUANTILE: Final = 0.9
"""Of the ink's levels: what becomes black, and what becomes white."""

CORE_QUANTILE: Final = 0.75
"""Likewise, of the middles of wide strokes,"""

WIDE_DEPTH_PX: Final = 2.0
"""whose pixels are on average so far from the ground."""

PAPER_QUANTILE: Final = 0.75
"""Of a page's grey levels: paper in the light."""

DARKEST_FRACTION: Final = 0.7
"""Of that level: what is darker is no paper in a shadow, but a table."""

MAX_BORDER_FACTOR: Final = 1.2
"""Times the writing's height: a character that the image's border cuts lies along it for less."""

MIN_PART_PX: Final = 6
"""The longer side of parts of the overview that count for the writing's height."""

MIN_HEIGHT_FRACTION: Final = 0.3
"""Of the largest common height: lower parts are dots, commas and broken strokes."""


class PageInk(NamedTuple):
    """Where ink is on a page.

    Attributes:
        mask: 255 where a stroke is, else 0, uint8 [h, w].
        grey: the page at the map's scale, uint8 [h, w].
        scale: px of the map for one px of the page.
        height: typical height of the writing, in px of the map.
    """

    mask: Grey
    grey: Grey
    scale: float
    height: float

    def strokes(self) -> Grey:
        """The ink's contrast to the paper around it, sharpened: uint8 [h, w], bright on black.

        The finder says where ink is. How much of it, the page's grey levels say better: of small or blurred
        writing the map closes the loops.
        """
        paper = paper_around(self.grey, self.mask)
        ink = paper - self.grey
        lighter = _is_lighter(ink, self.mask, self.height)
        if not lighter:  # what ink leaves of the light is the same share in a shadow
            least = DARKEST_FRACTION * float(np.quantile(self.grey, PAPER_QUANTILE))
            ink = np.clip(ink * (255 / np.maximum(paper, least)), -255, 255)
        return sharpened(ink, self.mask, lighter=lighter, by_core=True)


def paper_around(grey: NDArray[np.uint8] | NDArray[np.float32], mask: Grey) -> NDArray[np.float32]:
    """Return the level of the paper around each pixel, float32 [h, w], from the pixels without ink."""
    paper = (mask == 0).astype(np.float32)
    size = (SURROUNDINGS_PX, SURROUNDINGS_PX)
    weight = cv2.boxFilter(paper, -1, size)
    level = cv2.boxFilter(grey * paper, -1, size) / np.maximum(weight, 1e-3)
    return level.astype(np.float32)  # type: ignore[no-any-return]


def sharpened(
    ink: NDArray[np.float32],
    mask: Grey,
    amount: float = SHARPENING,
    *,
    lighter: bool | None = None,
    by_core: bool = False,
) -> Grey:
    """Make a picture of ink of its contrast to the paper, float32 [h, w]: uint8, bright on black.

    What lies beyond a pixel from the mask is black.

    Args:
        ink: the contrast, positive where a pixel is darker than its paper.
        mask: where ink is, uint8 [H, W].
        amount: of unsharp masking.
        lighter: whether the ink is lighter than the paper; None tells it by the mean.
        by_core: take the middles of strokes for full ink, though sharpening raises the edges of wide ones.
    """
    inked = mask > 0
    if not inked.any():
        return np.zeros(mask.shape, np.uint8)
    if float(ink[inked].mean()) < 0 if lighter is None else lighter:
        ink = -ink
    ink = ink + amount * (ink - cv2.GaussianBlur(ink, (0, 0), SHARPENED_PX))
    full = float(np.quantile(ink[inked], FULL_QUANTILE))
    full = max(min(full, _core_level(ink, mask)) if by_core else full, 1.0)
    share = np.clip((ink / full - FAINTEST) / (1 - FAINTEST), 0, 1)
    near = cv2.dilate(mask, np.ones((3, 3), np.uint8)) > 0
    return np.where(near, 255 * share, 0).astype(np.uint8)


def _core_level(ink: NDArray[np.float32], mask: Grey) -> float:
    """Return how strong ink is in the middle of wide strokes; infinite where most are narrow."""
    depth = cv2.distanceTransform(mask, cv2.DIST_L2, 3)
    if float(np.median(depth[mask > 0])) < WIDE_DEPTH_PX:
        return math.inf
    core = (mask > 0) & (depth >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))
    return float(np.quantile(ink[core], CORE_QUANTILE))


def _is_lighter(ink: NDArray[np.float32], mask: Grey, height: float) -> bool:
    """Return whether the ink is lighter than its paper, by the parts that are as high as the writing.

    The edge of a table is one of many then, and the table's grain has no say.

    Args:
        height: of the writing, in px.
    """
    half, contrast = np.ascontiguousarray(mask[::2, ::2]), ink[::2, ::2]  # strokes are wider than a px
    _, parts, stats, _ = cv2.connectedComponentsWithStats(half)
    low, high = (factor * height / 2 for factor in VOTING_HEIGHTS)
    votes = (stats[:, cv2.CC_STAT_HEIGHT] >= low) & (stats[:, cv2.CC_STAT_HEIGHT] <= high)
    votes[0] = False
    sums = np.bincount(parts.ravel(), contrast.ravel(), minlength=len(stats))
    signs = np.sign(sums) * np.minimum(stats[:, cv2.CC_STAT_AREA], MAX_VOTE_PX)
    if not votes.any():
        return float(ink[mask > 0].mean()) < 0
    return float(signs[votes].sum()) < 0


def find_page_ink(image: Grey, height: float | None = None, *, even: bool = False) -> PageInk | None:
    """Look for ink on a page, uint8 [H, W], either polarity; None where there is none.

    Args:
        image: the page.
        height: of the writing, in px of the page, where that is known.
        even: whether light and shadow are taken away before: see `in_even_light`.

    >>> page = np.full((300, 400), 230, np.uint8)
    >>> for place in range(5):
    ...     page[120:170, 60 + 60 * place : 66 + 60 * place] = 40       # five upright strokes
    >>> ink = find_page_ink(page)
    >>> round(ink.height / ink.scale / 50, 1)
    1.0
    >>> find_page_ink(np.full((300, 400), 230, np.uint8)) is None
    True
    """
    longer = max(image.shape)
    if height is not None:
        scale = min(TARGET_PX / height, MAX_ENLARGEMENT, MAX_MAP_PX / longer)
        return _map(image, scale, height * scale, even=even)
    overview: PageInk | None = None
    for side in OVERVIEWS_PX:
        found = _map(image, min(side / longer, MAX_ENLARGEMENT), even=even)
        overview = found or overview
        if found is not None and found.height >= MIN_OVERVIEW_HEIGHT_PX:
            break
    if overview is None:
        return None
    scale = overview.scale * TARGET_PX / overview.height
    scale = min(scale, MAX_ENLARGEMENT, MAX_MAP_PX / longer)
    if 0.8 < scale / overview.scale < 1.25:
        return overview
    found = _map(image, scale, overview.height * scale / overview.scale, even=even) or overview
    if found.height < MIN_HEIGHT_SHARE * TARGET_PX:  # edges of the paper were what the overview measured
        nearer = min(found.scale * TARGET_PX / found.height, MAX_ENLARGEMENT, MAX_MAP_PX / longer)
        if nearer > found.scale:
            return _map(image, nearer, found.height * nearer / found.scale, even=even) or found
    return found


def _map(image: Grey, scale: float, expected: float = 0.0, *, even: bool = False) -> PageInk | None:
    height, width = (max(1, round(side * scale)) for side in image.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small: Grey = cv2.resize(image, (width, height), interpolation=method)  # type: ignore[assignment]
    mask = _evident(small, hysteresis(_levels(in_even_light(small) if even else small)))
    typical = writing_height(mask, expected)
    if typical is None:
        return None
    inner = _within(mask, MAX_BORDER_FACTOR * typical)
    return PageInk(inner if inner.any() else mask, small, scale, typical)


def _within(mask: Grey, longest: float) -> Grey:
    """Leave out the parts of a mask that lie along the image's border for more than `longest` px: a table."""
    count, parts = cv2.connectedComponents(mask)
    runs = [
        np.bincount(border, minlength=count) for border in (parts[0], parts[-1], parts[:, 0], parts[:, -1])
    ]
    kept = np.max(runs, axis=0) <= longest
    kept[0] = False
    return np.where(kept, 255, 0).astype(np.uint8)[parts]  # type: ignore[no-any-return]


def in_even_light(image: Grey) -> Grey:
    """Make the ground of an image uint8 [h, w] as light everywhere as most of it.

    The finder sees one tile at a time, made to vary as much as any: where a shadow or the paper's edge goes
    through a tile, little is left of its writing. But table and paper are strewn with more grain so.
    """
    height, width = image.shape
    size = max(1, width // GROUND_REDUCTION), max(1, height // GROUND_REDUCTION)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    ground = cv2.GaussianBlur(cv2.medianBlur(small, GROUND_PX), (0, 0), GROUND_BLUR_PX)
    level = float(np.quantile(ground, PAPER_QUANTILE))
    gain = level / np.maximum(ground, max(1.0, DARKEST_GROUND * level)).astype(np.float32)
    even = image * cv2.resize(gain, (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(even, 0, 255).astype(np.uint8)  # type: ignore[no-any-return]


def _levels(image: Grey) -> Grey:
    """Run the finder on tiles of an image; uint8 of its shape."""
    height, width = image.shape
    rows, columns = math.ceil(height / TILE_PX), math.ceil(width / TILE_PX)
    side = TILE_PX + 2 * HALO_PX
    padded = cv2.copyMakeBorder(
        image,
        HALO_PX,
        HALO_PX + rows * TILE_PX - height,
        HALO_PX,
        HALO_PX + columns * TILE_PX - width,
        cv2.BORDER_REPLICATE,
    )
    corners = [(row * TILE_PX, column * TILE_PX) for row in range(rows) for column in range(columns)]
    tiles: Grey = np.stack(
        [np.asarray(padded[top : top + side, left : left + side], np.uint8) for top, left in corners]
    )
    deviations = np.array([float(cv2.meanStdDev(tile)[1][0, 0]) for tile in tiles])
    floor = MIN_CONTRAST_FRACTION * float(np.quantile(deviations, 0.9))
    levels = np.zeros((rows * TILE_PX, columns * TILE_PX), np.uint8)
    for start in range(0, len(tiles), TILES_A_RUN):
        part = slice(start, start + TILES_A_RUN)
        answers = ink_levels(tiles[part], min_deviation=floor)
        for (top, left), answer in zip(corners[part], answers, strict=True):
            inner = answer[HALO_PX:-HALO_PX, HALO_PX:-HALO_PX]
            levels[top : top + TILE_PX, left : left + TILE_PX] = inner
    return np.ascontiguousarray(levels[:height, :width])


def _evident(image: Grey, mask: Grey) -> Grey:
    """Keep the parts of a mask that stand out from the paper's grain."""
    difference = image - paper_around(image, mask)
    grain = float(np.median(np.abs(difference[mask == 0]))) / 0.6745 if (mask == 0).any() else 0.0
    count, parts = cv2.connectedComponents(mask)
    sizes = np.bincount(parts.ravel(), minlength=count)
    means = np.bincount(parts.ravel(), difference.ravel(), minlength=count) / np.maximum(sizes, 1)
    kept = np.abs(means) >= max(MIN_CONTRAST_LEVELS, MIN_CONTRAST_NOISE * grain)
    kept[0] = False
    return np.where(kept, 255, 0).astype(np.uint8)[parts]  # type: ignore[no-any-return]


def writing_height(mask: Grey, expected: float = 0.0) -> float | None:
    """Estimate how high most characters are on a mask uint8 [h, w], in px; None without ink.

    Args:
        mask: 255 where ink is.
        expected: about how high they are, in px, if a look from farther away said so: from nearer there is
            more dust, which does not count where there are strokes enough of that height.

    >>> mask = np.zeros((100, 200), np.uint8)
    >>> mask[20:50, 10:14] = mask[20:52, 60:64] = mask[22:52, 90:94] = mask[48:51, 120:123] = 255
    >>> writing_height(mask)
    30.0
    """
    stats = cv2.connectedComponentsWithStats(mask)[2][1:]
    sides = stats[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].astype(np.float64)
    parts = sides.max(axis=1) >= MIN_PART_PX
    if np.count_nonzero(sides[:, 1] >= MIN_HEIGHT_FRACTION * expected) >= FEWEST_STROKES:
        parts &= sides[:, 1] >= MIN_HEIGHT_FRACTION * expected
    # A dash alone is as high as it is long.
    if not parts.any():
        return None
    heights, fullness = sides[parts, 1], stats[parts, cv2.CC_STAT_AREA] / sides[parts].prod(axis=1)
    common = float(np.quantile(heights, 0.8))
    # On a worn photocopy specks may be more than characters: they are full, and much smaller than these.
    full, higher = fullness >= SPECK_FULLNESS, heights > SPECK_FACTOR * common
    strokes = heights[higher & ~full]
    if len(strokes) >= FEWEST_STROKES and full[~higher].mean() >= SPECK_SHARE:
        heights, common = strokes, float(np.quantile(strokes, 0.8))
    letters = heights[(heights >= MIN_HEIGHT_FRACTION * common) & (heights <= 3 * common)]
    return max(float(np.median(letters)), 1.0)
