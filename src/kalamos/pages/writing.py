"""Which of a page's parts are writing: not the paper's edges, pieces of its squares, dirt, or dust."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.page import Box
from kalamos.pages.parts import Part, Sheet

__all__ = [
    "LIKELY",
    "MIN_SIGN_DARKNESS",
    "MIN_VOTES",
    "SURE",
    "darkness",
    "is_bar",
    "parts_of_writing",
    "typical_height",
]

SURE: Final = 0.5
"""The probability from which on a part is taken for a character by itself."""

LIKELY: Final = 0.1
LIKELY_HEIGHTS: Final = 0.7, 1.5
MAX_LIKELY_FACTOR: Final = 4.0
"""Likewise on a line with such a part, of one about as high as the writing: the probability, heights as times
the writing's, and how far apart they are at most."""

MIN_VOTES: Final = 2
"""Fewer characters say nothing of the page."""

MIN_SIGN_DARKNESS: Final = 0.4
"""Of a line's characters: punctuation is about as dark, specks of the paper are less."""

MAX_NEARBY_FACTOR: Final = 1.6
"""Times the writing's height: parts that are no sure characters count so near to one."""

MAX_ABOVE_FACTOR: Final = 0.5
"""Times the writing's height: likewise, above or below it."""

JOINED_ASPECT: Final = 1.2
JOINED_HEIGHTS: Final = 0.6, 1.8
"""Width over height, and heights as times the writing's, of what may be several characters that touch."""

MIN_BAR_ASPECT: Final = 2.2
"""Longer side over shorter from which on a character, or a part, is a bar."""

WRITING_HEIGHTS: Final = 0.45, 2.4
"""Times the writing's height: how high characters are."""

MAX_DUST_FRACTION: Final = 0.3
"""Of the writing's height: dust is no larger."""

MIN_DUST: Final = 12
"""Specks far from all writing; fewer may be anything."""

DUST_QUANTILE: Final = 0.95
"""Of these specks' sizes: what is no larger, near writing, may be dust too."""

MIN_DUST_SHARE: Final = 0.5
"""Of such small parts near writing that dust alone would bring there: from that share on all are dust."""


def typical_height(parts: Sequence[Part], scores: Sequence[float]) -> float | None:
    """Return the median height of the parts that are characters, in px; None where too few are.

    Bars do not count: pieces of ruling and grain are as good a 1 as any.
    """
    sure = [
        part.box.height
        for part, score in zip(parts, scores, strict=True)
        if score >= SURE and not is_bar(part.box)
    ]
    return float(np.median(sure)) if len(sure) >= MIN_VOTES else None


def is_bar(box: Box) -> bool:
    """Return whether a character, or a part, is no more than a stroke: it says nothing of how writing lies.

    >>> is_bar(Box(0, 0, 8, 40)), is_bar(Box(0, 0, 30, 40))
    (True, False)
    """
    return max(box.width, box.height) >= MIN_BAR_ASPECT * min(box.width, box.height)


def parts_of_writing(
    parts: Sequence[Part],
    scores: Sequence[float],
    dark: Sequence[float],
    height: float,
    shape: tuple[int, ...],
) -> list[Part]:
    """Leave out what stands by itself and is no character: edges of the paper, pieces of its squares, dirt.

    Where specks are strewn over the whole page, as on photocopies, those beside characters are left out too.

    Args:
        parts: of the sheet, with the probability of each being a character.
        scores: these.
        dark: how dark each is on the page.
        height: of the writing, in px.
        shape: of the sheet: rows and columns.
    """
    low, high = (factor * height for factor in WRITING_HEIGHTS)
    sure = [
        part for part, score in zip(parts, scores, strict=True) if score >= SURE and part.box.height >= low
    ]
    if not sure:
        return list(parts)
    boxes = _with_likely(np.array([part.box for part in sure], np.float64), parts, scores, height)
    usual = float(np.median([level for level, score in zip(dark, scores, strict=True) if score >= SURE]))
    kept = []
    for part, score, level in zip(parts, scores, dark, strict=True):
        width, tall = part.box.width, part.box.height
        if tall > high or level < MIN_SIGN_DARKNESS * usual:
            continue
        joined = (
            width > JOINED_ASPECT * tall and JOINED_HEIGHTS[0] * height <= tall <= JOINED_HEIGHTS[1] * height
        )
        if (score >= SURE and tall >= low) or joined or _is_near(part, boxes, height):
            kept.append(part)
    largest = _largest_dust(parts, kept, boxes, height, shape)
    return [part for part in kept if _size(part) > largest]


def _is_near(part: Part, boxes: NDArray[np.float64], height: float, reach: float = MAX_NEARBY_FACTOR) -> bool:
    """Return whether a part is beside one of the boxes: farther along the line than across it.

    It may be a point, a bar, a character that is hard to read.

    Args:
        reach: how far along the line, in times the writing's height.
    """
    x, y, width, tall = part.box
    across = np.maximum(boxes[:, 0] - (x + width), x - (boxes[:, 0] + boxes[:, 2])).clip(0)
    down = np.maximum(boxes[:, 1] - (y + tall), y - (boxes[:, 1] + boxes[:, 3])).clip(0)
    near = (across <= reach * height) & (down <= MAX_ABOVE_FACTOR * height)
    return bool(near.any())


def _with_likely(
    boxes: NDArray[np.float64], parts: Sequence[Part], scores: Sequence[float], height: float
) -> NDArray[np.float64]:
    """Add to sure characters' boxes those of likely ones that go on their lines, one after the other."""
    low, high = (factor * height for factor in LIKELY_HEIGHTS)
    left = [
        part
        for part, score in zip(parts, scores, strict=True)
        if LIKELY <= score < SURE and low <= part.box.height <= high
    ]
    while True:
        near = [_is_near(part, boxes, height, MAX_LIKELY_FACTOR) for part in left]
        if True not in near:
            return boxes
        added = [part.box for part, beside in zip(left, near, strict=True) if beside]
        boxes = np.concatenate([boxes, np.array(added, np.float64)])
        left = [part for part, beside in zip(left, near, strict=True) if not beside]


def _largest_dust(
    parts: Sequence[Part],
    kept: Sequence[Part],
    characters: NDArray[np.float64],
    height: float,
    shape: tuple[int, ...],
) -> int:
    """Return up to which size parts near writing are dust, in px; 0 where dots are more than dust.

    Dust lies everywhere: as many specks as there are in the rest of the page, for its area, are expected
    near the writing.

    Args:
        parts: all of the sheet.
        kept: those near writing.
        characters: boxes, float64 [n, 4]: x, y, width and height.
        height: of the writing, in px.
        shape: of the sheet.
    """
    # By place alone: faint specks beside characters are not kept, and say nothing of the rest of the page.
    far = [
        _size(part)
        for part in parts
        if _size(part) <= MAX_DUST_FRACTION * height and not _is_near(part, characters, height)
    ]
    if len(far) < MIN_DUST:
        return 0
    largest = int(np.quantile(far, DUST_QUANTILE))
    beside = np.zeros(shape, np.uint8)
    across, down = int(MAX_NEARBY_FACTOR * height), int(MAX_ABOVE_FACTOR * height)
    for x, y, width, tall in np.rint(characters).astype(int).tolist():
        beside[max(0, y - down) : y + tall + down, max(0, x - across) : x + width + across] = 1
    area = float(beside.mean())
    expected = len(far) * area / (1 - area)
    small = sum(_size(part) <= largest for part in kept)
    return largest if expected >= MIN_DUST_SHARE * small else 0


def _size(part: Part) -> int:
    return max(part.box.width, part.box.height)


def darkness(part: Part, sheet: Sheet) -> float:
    """How dark a part is on the page, against the other parts."""
    box = part.box
    strokes = sheet.strokes[box.y : box.y + box.height, box.x : box.x + box.width]
    inked = part.ink[: strokes.shape[0], : strokes.shape[1]] > 0
    return float(strokes[inked].mean()) if inked.any() else 0.0
