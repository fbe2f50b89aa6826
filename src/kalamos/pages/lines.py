"""Lines of writing: parts beside each other, dots with their letters, and where words end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np

from kalamos.pages.page import around
from kalamos.pages.parts import Part

__all__ = ["Band", "TextLine", "find_lines", "join", "single_line", "word_gap"]

SMALL_FRACTION: Final = 0.6
"""Of the writing's height: parts smaller in both directions are dots, bars and punctuation."""

FLAT_FRACTION: Final = 0.3
"""Of the writing's height: parts less high are dashes and bars, however long."""

MIN_OVERLAP_FRACTION: Final = 0.35
"""Of the lower part's height: parts of one line overlap at least so far from top to bottom."""

MAX_GAP_FACTOR: Final = 10.0
"""Times the writing's height: parts farther apart are on lines of their own, as in columns of a list."""

MAX_LINE_DISTANCE_FACTOR: Final = 1.1
"""Times the writing's height: how far a small part may be from the middle of its line."""

RECENT_LETTERS: Final = 4
"""The last letters of a line, which say where it runs now."""

STACKED_FRACTION: Final = 0.55
"""Of the narrower part's width: parts that overlap so far from left to right are one character."""

MAX_STACK_FACTOR: Final = 1.9
"""Times the writing's height: no character is higher."""

WORD_GAP_FACTOR: Final = 0.75
"""Times the writing's height: a gap between words is at least so wide,"""

WORD_GAP_MEDIANS: Final = 1.9
"""and at least so many times as wide as most gaps of the page."""


class Band(NamedTuple):
    """From where to where a line's letters reach, in px."""

    top: float
    bottom: float

    @property
    def height(self) -> float:
        """Between the two."""
        return max(self.bottom - self.top, 1.0)


class TextLine(NamedTuple):
    """A line's characters, or pieces of them, from left to right.

    Attributes:
        parts: each with its dots and bars.
        band: the letters' extent.
    """

    parts: tuple[Part, ...]
    band: Band


def is_small(part: Part, height: float) -> bool:
    """Return whether a part is a dot, a bar or punctuation, by its size."""
    return (
        max(part.box.width, part.box.height) < SMALL_FRACTION * height
        or part.box.height < FLAT_FRACTION * height
    )


def find_lines(parts: Sequence[Part], height: float) -> list[TextLine]:
    """Group parts into lines, from top to bottom.

    >>> from kalamos.pages.page import Box
    >>> part = lambda x, y: Part(Box(x, y, 20, 30), np.full((30, 20), 255, np.uint8))
    >>> lines = find_lines([part(10, 10), part(40, 14), part(12, 80), part(70, 8)], 30)
    >>> [[piece.box.x for piece in line.parts] for line in lines]
    [[10, 40, 70], [12]]
    """
    letters = [part for part in parts if not is_small(part, height)]
    lines: list[list[Part]] = []
    for part in sorted(letters, key=lambda part: part.box.x):
        fits = [(score, row) for row, line in enumerate(lines) if (score := _fit(part, line, height)) > 0]
        if fits:
            lines[max(fits)[1]].append(part)
        else:
            lines.append([part])
    lines = _rejoined(lines, height)
    small = [part for part in parts if is_small(part, height)]
    if not lines and small:
        lines, small = [small], []
    for part in small:
        distances = [_distance(part, line, height) for line in lines]
        nearest = int(np.argmin(distances))
        if distances[nearest] <= MAX_LINE_DISTANCE_FACTOR * height:
            lines[nearest].append(part)
    made = [_line(line, height) for line in lines]
    return sorted(made, key=lambda line: (line.band.top + line.band.bottom) / 2)


def single_line(parts: Sequence[Part], height: float) -> list[TextLine]:
    """Take all parts for one line."""
    return [_line(list(parts), height)] if parts else []


def _fit(part: Part, line: Sequence[Part], height: float) -> float:
    """How well a part follows on a line: the share of its height that it shares with the last letters."""
    last = sorted(line, key=lambda other: other.right)[-RECENT_LETTERS:]
    if part.box.x - last[-1].right > MAX_GAP_FACTOR * height:
        return 0.0
    top = float(np.median([other.box.y for other in last]))
    bottom = float(np.median([other.bottom for other in last]))
    shared = min(part.bottom, bottom) - max(part.box.y, top)
    share = shared / max(min(part.box.height, bottom - top), 1)
    return share if share >= MIN_OVERLAP_FRACTION else 0.0


def _rejoined(lines: list[list[Part]], height: float) -> list[list[Part]]:
    """Join lines that lie at the same height and do not overlap from left to right."""
    lines = sorted(lines, key=lambda line: -len(line))
    kept: list[list[Part]] = []
    for line in lines:
        extent = around([part.box for part in line])
        for other in kept:
            there = around([part.box for part in other])
            near = [
                part
                for part in other
                if part.right > extent.x - MAX_GAP_FACTOR * height
                and part.box.x < extent.x + extent.width + MAX_GAP_FACTOR * height
            ]
            if not near:
                continue
            top, bottom = np.median([part.box.y for part in near]), np.median([part.bottom for part in near])
            shared = min(extent.y + extent.height, bottom) - max(extent.y, top)
            if shared >= 0.5 * min(extent.height, max(bottom - top, 1)) and there.width + extent.width:
                other.extend(line)
                break
        else:
            kept.append(line)
    return kept


def _distance(part: Part, line: Sequence[Part], height: float) -> float:
    """From a small part to the nearest letters of a line, up and down, in px; infinite where none is near."""
    x, y = part.middle
    gaps = np.array([max(other.box.x - x, x - other.right, 0.0) for other in line])
    near = [line[row] for row in np.argsort(gaps, kind="stable")[:3].tolist()]
    top = min(other.box.y for other in near)
    bottom = max(other.bottom for other in near)
    down = max(top - y, y - bottom, 0.0)
    return down if gaps.min() <= MAX_GAP_FACTOR * height else float("inf")


def _line(parts: list[Part], height: float) -> TextLine:
    letters = [part for part in parts if not is_small(part, height)] or parts
    top = float(np.median([part.box.y for part in letters]))
    bottom = float(np.median([part.bottom for part in letters]))
    return TextLine(tuple(_stacked(parts, height)), Band(top, bottom))


def _stacked(parts: list[Part], height: float) -> list[Part]:
    """Join parts above each other: a dot and its letter, the bar of a 5, the strokes of an E."""
    ordered = sorted(parts, key=lambda part: part.box.x)
    merged = True
    while merged:
        merged = False
        for first in range(len(ordered)):
            for second in range(first + 1, len(ordered)):
                if ordered[second].box.x >= ordered[first].right:
                    break
                if _are_stacked(ordered[first], ordered[second], height):
                    both = join([ordered[first], ordered[second]])
                    ordered = sorted(
                        [*ordered[:first], *ordered[first + 1 : second], *ordered[second + 1 :], both],
                        key=lambda part: part.box.x,
                    )
                    merged = True
                    break
            if merged:
                break
    return ordered


def _are_stacked(one: Part, other: Part, height: float) -> bool:
    shared = min(one.right, other.right) - max(one.box.x, other.box.x)
    if shared < STACKED_FRACTION * min(one.box.width, other.box.width):
        return False
    return around([one.box, other.box]).height <= MAX_STACK_FACTOR * height


def join(parts: Sequence[Part]) -> Part:
    """Put parts together into one.

    >>> from kalamos.pages.page import Box
    >>> joined = join([Part(Box(0, 0, 2, 2), np.full((2, 2), 9, np.uint8)),
    ...                Part(Box(3, 1, 1, 1), np.full((1, 1), 7, np.uint8))])
    >>> joined.box, joined.ink.tolist()
    (Box(x=0, y=0, width=4, height=2), [[9, 9, 0, 0], [9, 9, 0, 7]])
    """
    if len(parts) == 1:
        return parts[0]
    box = around([part.box for part in parts])
    ink = np.zeros((box.height, box.width), np.uint8)
    for part in parts:
        y, x = part.box.y - box.y, part.box.x - box.x
        place = ink[y : y + part.box.height, x : x + part.box.width]
        np.maximum(place, part.ink, out=place)
    return Part(box, ink)


def word_gap(gaps: Sequence[float], height: float) -> float:
    """Return how wide a gap between words is at least, from all gaps between characters of a page, in px.

    >>> word_gap([5, 6, 4, 30, 5], 40)
    30.0
    """
    typical = float(np.median(gaps)) if len(gaps) else 0.0
    return max(WORD_GAP_FACTOR * height, WORD_GAP_MEDIANS * max(typical, 0.0))
