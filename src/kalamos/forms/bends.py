"""Boxes on paper that bends by more than half a box: followed from where they are certain, box by box.

`find_outlines` looks half a box around where a flat sheet has each box. On a sheet that bends by more, some
boxes are taken for their neighbours. Where a sheet bends, neighbours move nearly alike, and what was taken
for another box jumps: the largest part without a jump is believed, and says where the boxes next to it lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.forms.geometry import Grey
from kalamos.forms.outlines import Outlines, find_outlines, middling_side

__all__ = ["ends_are_seen", "find_bent_outlines"]

TOO_FEW, TOO_FEW_MARKED, PLAIN, ENOUGH = 0.6, 0.4, 0.9, 0.97
"""The share of sides whose lines are seen, below which it may be another form, whose boxes must not be made
to fit; the same where markers or print say that it is this one; from which on boxes that lay near are taken
to lie farther off; and there is nothing to mend."""

LARGEST_SLOPE, LARGEST_JUMP = 0.12, 0.3
"""By how much neighbours may move apart, in their distance and in a box's shorter side: bends are less steep,
and what is taken for its neighbour jumps by more."""

MISTAKEN: Final = 0.25
"""By how many shorter sides a box moves at least that is taken for its neighbour."""

MOST_ROUNDS: Final = 3
"""Times that boxes are followed from those that are certain, of which there are more each time."""

FEWEST: Final = 6
"""Boxes that are believed; fewer may be wrong together."""

TELLERS: Final = 40
"""The boxes next to one that tell where it lies: of most forms four or five rows."""

STIFFNESS: Final = (0.0, 0.01, 0.01, 0.003, 0.003, 0.003)
"""What keeps few tellers from telling steep slopes and tight bends: faint observations that there are none,
of each term of `_terms`."""

SURE_SIDES, MIN_SIDES = 4, 2
"""Of a box, whose lines must be seen for it to be believed at first; and where it was told to be, or at a
row's end."""


def find_bent_outlines(
    scan: Grey, predicted: NDArray[np.floating], counts: Sequence[int] = (), *, marked: bool = False
) -> Outlines:
    """Find boxes as `find_outlines` does, some of which may lie farther from where they are predicted.

    Args:
        scan: uint8 [H, W], dark lines on bright paper.
        predicted: [N, 4, 2], px, clockwise from the template's top left.
        counts: how many of the boxes each field has, if that is known: a row that is taken for one that is a
            box farther on has no lines at its end, and is not believed.
        marked: whether the page's markers or its print tell where it lies.

    Returns:
        Boxes; `moved` is against `predicted`.
    """
    boxes = np.asarray(predicted, np.float64).reshape(-1, 4, 2)
    first = find_outlines(scan, boxes)
    if not (TOO_FEW_MARKED if marked else TOO_FEW) <= first.fit < ENOUGH:
        return first
    moved_far = np.linalg.norm(first.moved, axis=1).max() >= MISTAKEN * middling_side(boxes)
    if not moved_far and _in_own_rows(first.found, counts).all():
        return first
    neighbours = _neighbours(boxes.mean(axis=1))
    best = first
    for _ in range(MOST_ROUNDS):
        believed = (best.found.sum(axis=1) >= SURE_SIDES) & _in_own_rows(best.found, counts)
        known = _without_jumps(boxes, neighbours, best.moved, believed)
        if known.sum() < FEWEST:
            break
        followed = _followed(scan, boxes, neighbours, best, known)
        if followed.fit <= best.fit:
            break
        best = followed
        if best.fit >= ENOUGH:
            break
    # A row of a flat page may lack an end's lines for they are faint.
    return best if moved_far or best.fit >= PLAIN else first


def _followed(
    scan: Grey,
    boxes: NDArray[np.float64],
    neighbours: NDArray[np.bool_],
    outlines: Outlines,
    known: NDArray[np.bool_],
) -> Outlines:
    """Find boxes from the known ones outwards, each where those next to it tell."""
    moved, known = outlines.moved.copy(), known.copy()
    while (edge := neighbours[known].any(axis=0) & ~known).any():
        told = _told(boxes, moved, known, edge)
        # Of these alone: a bend that begins there is smooth beside no others.
        found = find_outlines(scan, boxes[edge] + told, near=True)
        seen = found.found.sum(axis=1) >= MIN_SIDES
        moved[edge] = told.mean(axis=1) + np.where(seen[:, None], found.moved, 0.0)
        known |= edge
    everywhere = np.ones(len(boxes), bool)
    told = _told(boxes, moved, everywhere, everywhere)
    last = find_outlines(scan, boxes + told, near=True)
    return last._replace(moved=last.moved + told.mean(axis=1))


def _in_own_rows(found: NDArray[np.bool_], counts: Sequence[int]) -> NDArray[np.bool_]:
    """Return which boxes are of rows whose ends have their lines, bool [N]; all where rows are not known."""
    rows = np.split(found, np.cumsum(counts)[:-1]) if len(counts) else []
    return np.concatenate(
        [np.full(len(row), ends_are_seen(row)) for row in rows] or [np.ones(len(found), bool)]
    )


def ends_are_seen(found: NDArray[np.bool_]) -> bool:
    """Whether the lines of a row's first and last box are seen: not if it is taken for one a box farther on.

    Args:
        found: bool [N, 4], as `Outlines` has it.

    >>> row = np.array([[True, True, True, True], [True, True, True, False], [False, False, False, True]])
    >>> ends_are_seen(row), ends_are_seen(row[:2])
    (False, True)
    """
    return bool(found[[0, -1]].sum(axis=1).min() >= MIN_SIDES)


def _neighbours(middles: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return which boxes are next to each other, bool [N, N]: the nearest in each of four directions."""
    apart = middles[None] - middles[:, None]
    distances = np.linalg.norm(apart, axis=-1)
    np.fill_diagonal(distances, np.inf)
    direction = np.floor((np.arctan2(apart[..., 1], apart[..., 0]) + np.pi / 4) / (np.pi / 2)) % 4
    joined = np.zeros(distances.shape, bool)
    for each in range(4):
        there = np.where(direction == each, distances, np.inf)
        rows = np.flatnonzero(np.isfinite(there.min(axis=1)))
        joined[rows, there[rows].argmin(axis=1)] = True
    return joined | joined.T


def _without_jumps(
    boxes: NDArray[np.float64],
    neighbours: NDArray[np.bool_],
    moved: NDArray[np.float64],
    believed: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Return the largest part of the boxes believed in which neighbours move alike, bool [N]."""
    middles = boxes.mean(axis=1)
    most = LARGEST_JUMP * middling_side(boxes)
    distances = np.linalg.norm(middles[None] - middles[:, None], axis=-1)
    jumps = np.linalg.norm(moved[None] - moved[:, None], axis=-1)
    joined = neighbours & (jumps <= np.minimum(LARGEST_SLOPE * distances, most)) & believed
    largest, left = np.zeros(len(middles), bool), believed.copy()
    while left.any():
        part, edge = np.zeros(len(middles), bool), np.arange(len(middles)) == left.argmax()
        while edge.any():
            part |= edge
            edge = joined[edge].any(axis=0) & ~part
        left &= ~part
        largest = max(largest, part, key=np.count_nonzero)
    return largest


def _told(
    boxes: NDArray[np.float64],
    moved: NDArray[np.float64],
    known: NDArray[np.bool_],
    asked: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return by how much the corners of the boxes asked about move, float64 [K, 4, 2], as known ones do.

    A bend turns and stretches boxes, besides moving them.
    """
    middles = boxes.mean(axis=1)
    told = []
    for box in boxes[asked]:
        away = middles[known] - box.mean(axis=0)
        distances = np.linalg.norm(away, axis=1)
        nearest = np.argsort(distances, kind="stable")[:TELLERS]
        unit = max(float(distances[nearest].mean()), 1.0)
        design = _terms(away[nearest] / unit)
        weights = unit / np.maximum(distances[nearest], 0.1 * unit)
        normal = design.T @ (design * weights[:, None]) + np.diag(STIFFNESS)
        solution = np.linalg.solve(normal, design.T @ (moved[known][nearest] * weights[:, None]))
        told.append(_terms((box - box.mean(axis=0)) / unit) @ solution)
    return np.array(told)


def _terms(places: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the terms of a polynomial of degree two at places [N, 2], float64 [N, 6]."""
    x, y = places.T
    return np.column_stack([np.ones(len(x)), x, y, x * x, x * y, y * y])
