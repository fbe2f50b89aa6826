"""Which parts of a line are one character: a search over the recogniser's own scores.

Parts that may hold several characters are cut where little ink is in the way (over-segmentation). Every run
of neighbouring pieces that could be a character is read, and the cheapest way to explain the whole line wins
(dynamic programming), as in Casey and Lecolinet 1996.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.lines import Band, TextLine, join
from kalamos.pages.page import Box
from kalamos.pages.parts import Part

__all__ = [
    "MIN_PROBABILITY",
    "SIGN_PROBABILITY",
    "Candidate",
    "Piece",
    "best_path",
    "candidates_of",
    "pieces_of",
]

Grey = NDArray[np.uint8]

MIN_CUT_WIDTH_FACTOR: Final = 0.55
"""Times the line's height: narrower parts are not cut, but for those much wider than their neighbours."""

WHOLE_WIDTH_FACTOR: Final = 1.3
"""Times the line's height: wider parts are cut although one character is known to be there."""

MIN_PIECE_FRACTION: Final = 0.12
"""Of the line's height: pieces are no narrower."""

MAX_CUTS: Final = 12
"""Of a part, the cheapest ones."""

MAX_CUT_COST_FRACTION: Final = 0.5
"""Of the line's height: a cut goes through at most so much ink (px of full ink)."""

MAX_PIECES: Final = 5
"""Of a character."""

MAX_WIDTH_FACTOR: Final = 1.9
"""Times the line's height: no character is wider, unless it is one part."""

MAX_INNER_GAP_FACTOR: Final = 0.45
"""Times the line's height: no gap within a character is wider."""

SLANT_COST: Final = 0.15
"""Of a cut, for each px that it goes sideways, in px of full ink."""

CUT_COST: Final = 0.6
"""In nats, for each cut through ink that is one pen wide."""

NARROW_CUT_COST: Final = 2.5
NARROW_FACTORS: Final = 1.0, 1.6
"""In nats, for each cut through a part that is no wider than the first of these, times the line's height; a
part wider than the second may be cut for nothing."""

UNCUT_COST: Final = 0.8
"""In nats, for a place within a character where a cut would have gone through next to no ink."""

GAP_COST: Final = 3.0
"""In nats, for a character with a gap as wide as the line is high."""

JOIN_COST: Final = 1.5
"""In nats, for two parts that are both high, as letters are: few characters are in two such halves."""

HIGH_FRACTION: Final = 0.6
"""Of the line's height: how high such a part is."""

CHARACTER_COST: Final = 0.1
"""In nats, for each character: of two explanations that are as good, the one with fewer characters."""


MIN_PROBABILITY: Final = 1e-4
"""A character that nobody could read costs no more than this."""

SIGN_PROBABILITY: Final = 0.9
"""Of a part that looks like punctuation being that, where parts are put together to characters."""


class Piece(NamedTuple):
    """A part of a line, or what lies between two cuts of one.

    Attributes:
        part: its ink.
        cut: how much ink the cut to its left went through, in pens' widths; None at a part's left end.
        narrow: of that cut, in nats, because its part is hardly wider than one character.
    """

    part: Part
    cut: float | None = None
    narrow: float = 0.0


class Candidate(NamedTuple):
    """Neighbouring pieces that may be one character.

    Attributes:
        first, last: which pieces, both included.
        part: their ink.
        cost: of their gaps and cuts, in nats.
        whole: whether no cut was made at either end.
    """

    first: int
    last: int
    part: Part
    cost: float
    whole: bool = True


def pieces_of(line: TextLine, pen: float, characters: Sequence[float] = ()) -> list[Piece]:
    """Cut a line's wide parts into pieces.

    Args:
        line: the line.
        pen: the stroke's width in px.
        characters: where characters have their middles, if that is known: columns, in px of the sheet. Parts
            are cut between any two of them, too, and such as hold one are whole unless they are very wide.
    """
    size = line.band.height
    widths = [part.box.width for part in line.parts if part.box.height > 0.5 * size]
    usual = float(np.median(widths)) if len(widths) > 2 else size
    pieces: list[Piece] = []
    for part in line.parts:
        least = min(MIN_CUT_WIDTH_FACTOR * size, 1.25 * max(usual, 0.4 * size))
        inside = _inside(part, characters)
        if len(characters):
            least = WHOLE_WIDTH_FACTOR * size
        if len(inside) < 2 and (part.box.width < least or part.box.height < 0.5 * size):
            pieces.append(Piece(part))
        else:
            # Where characters are known to be, nobody has to guess by the width.
            narrow = 0.0 if len(characters) else _narrow_cost(part.box.width / size)
            pieces += [
                piece._replace(narrow=narrow) for piece in _cut(part, line.band, max(pen, 1.0), inside)
            ]
    return pieces


def _narrow_cost(width: float) -> float:
    """Return what each cut costs of a part so wide, times the line's height, in nats."""
    one, two = NARROW_FACTORS
    return NARROW_CUT_COST * float(np.clip((two - width) / (two - one), 0, 1))


def _inside(part: Part, characters: Sequence[float]) -> list[int]:
    """Return the columns of a part, from its left, that are in the middle of a character and have ink."""
    columns = [round(each - part.box.x) for each in characters]
    return [
        column
        for column in columns
        if 0 <= column < part.box.width and part.ink[:, max(0, column - 2) : column + 3].any()
    ]


def _cut(part: Part, band: Band, pen: float, characters: Sequence[int] = ()) -> list[Piece]:
    """Cut a part along the paths from top to bottom that cross the least ink."""
    ink = part.ink.astype(np.float32) / np.float32(255)
    costs, paths = _seams(ink)
    least = max(2, round(MIN_PIECE_FRACTION * band.height))
    cuts = _cuts_between(ink, characters)
    places = [
        column
        for column in range(least, ink.shape[1] - least)
        if costs[column] <= costs[max(0, column - least // 2) : column + least // 2 + 1].min()
        and costs[column] <= MAX_CUT_COST_FRACTION * band.height
    ]
    limit = max(MAX_CUTS, len(cuts))
    for column in sorted(places, key=lambda column: float(costs[column]))[: 3 * MAX_CUTS]:
        middle = float(paths[:, column].mean())
        if len(cuts) < limit and all(abs(middle - float(path.mean())) >= least for path, _ in cuts):
            cuts.append((paths[:, column], float(costs[column])))
    cuts.sort(key=lambda cut: float(cut[0].mean()))
    edges = [np.zeros(len(ink), np.int64), *(path for path, _ in cuts), np.full(len(ink), ink.shape[1])]
    columns = np.arange(ink.shape[1])
    pieces: list[Piece] = []
    for number, (left, right) in enumerate(pairwise(edges)):
        inside = (columns >= left[:, None]) & (columns < np.maximum(left, right)[:, None])
        own = np.where(inside, part.ink, 0).astype(np.uint8)
        cost = cuts[number - 1][1] / pen if number else None
        piece = _cropped(own, part.box)
        if piece is not None:
            pieces.append(Piece(piece, cost))
    return pieces


def _cuts_between(
    ink: NDArray[np.float32], characters: Sequence[int]
) -> list[tuple[NDArray[np.int64], float]]:
    """Return between each two neighbouring characters the path that crosses the least ink, and how much.

    It stays between the middles of the two.
    """
    half = len(ink) // 2
    cuts = []
    for left, right in pairwise(characters):
        if right - left < 2:
            continue
        between = ink[:, left + 1 : right]
        above, up = _seams(between[: half + 1])
        below, down = _seams(between[half:][::-1])
        total = above + below - between[half]
        column = int(total.argmin())
        path = left + 1 + np.concatenate([up[:, column], down[::-1][1:, column]])
        cuts.append((path, float(total[column])))
    return cuts


def _seams(ink: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """For each column at the bottom, the cheapest path to the top: cost [W], and its columns int64 [H, W]."""
    height, width = ink.shape
    cost = ink[0].copy()
    steps = np.zeros((height, width), np.int64)
    for row in range(1, height):
        padded = np.pad(cost, 1, constant_values=np.inf)
        options = np.stack([padded[1:-1], padded[:-2] + SLANT_COST, padded[2:] + SLANT_COST])
        choice = options.argmin(axis=0)
        steps[row] = np.array([0, -1, 1])[choice]
        cost = options[choice, np.arange(width)] + ink[row]
    paths = np.empty((height, width), np.int64)
    paths[-1] = np.arange(width)
    for row in range(height - 1, 0, -1):
        paths[row - 1] = paths[row] + steps[row, paths[row]]
    return cost, paths


def _cropped(ink: Grey, box: Box) -> Part | None:
    rows, columns = np.flatnonzero(ink.any(axis=1)), np.flatnonzero(ink.any(axis=0))
    if not len(rows):
        return None
    top, bottom, left, right = (int(each) for each in (rows[0], rows[-1] + 1, columns[0], columns[-1] + 1))
    place = Box(box.x + left, box.y + top, right - left, bottom - top)
    return Part(place, np.ascontiguousarray(ink[top:bottom, left:right]))


def candidates_of(pieces: Sequence[Piece], band: Band) -> list[Candidate]:
    """Return every run of neighbouring pieces that may be one character."""
    found = []
    size = band.height
    for first in range(len(pieces)):
        cost = 0.0
        parts: list[Part] = []
        for last in range(first, min(first + MAX_PIECES, len(pieces))):
            piece = pieces[last]
            if parts:
                gap = piece.part.box.x - max(part.right for part in parts)
                if gap > MAX_INNER_GAP_FACTOR * size:
                    break
                if piece.cut is not None:
                    cost += UNCUT_COST * max(0.0, 1 - piece.cut)
                else:
                    cost += GAP_COST * max(gap, 0) / size
                    if min(piece.part.box.height, parts[-1].box.height) >= HIGH_FRACTION * size:
                        cost += JOIN_COST
            parts.append(piece.part)
            together = join(parts)
            if last > first and together.box.width > MAX_WIDTH_FACTOR * size and piece.cut is None:
                break
            begin = pieces[first]
            ends = 0.0 if begin.cut is None else CUT_COST * begin.cut + begin.narrow
            following = pieces[last + 1].cut if last + 1 < len(pieces) else None
            whole = pieces[first].cut is None and following is None
            found.append(Candidate(first, last, together, cost + ends, whole))
    return found


def best_path(candidates: Sequence[Candidate], losses: Iterable[float], count: int) -> list[int]:
    """Choose candidates that cover all pieces at the least cost.

    Args:
        candidates: of one line.
        losses: of each, in nats: how unlikely it is to be a character that was read right.
        count: how many pieces there are.

    Returns:
        Indices of the chosen candidates, from left to right.

    >>> part = Part(Box(0, 0, 1, 1), np.zeros((1, 1), np.uint8))
    >>> two = [Candidate(0, 0, part, 0), Candidate(1, 1, part, 0), Candidate(0, 1, part, 0)]
    >>> best_path(two, [0.1, 0.1, 1.6], 2), best_path(two, [1.2, 1.6, 0.1], 2)
    ([0, 1], [2])
    """
    costs = [
        candidate.cost + CHARACTER_COST + loss for candidate, loss in zip(candidates, losses, strict=True)
    ]
    best: list[tuple[float, list[int]]] = [(0.0, []), *((math.inf, []) for _ in range(count))]
    for index in sorted(range(len(candidates)), key=lambda index: candidates[index].first):
        candidate = candidates[index]
        before, path = best[candidate.first]
        if before + costs[index] < best[candidate.last + 1][0]:
            best[candidate.last + 1] = (before + costs[index], [*path, index])
    return best[count][1]
