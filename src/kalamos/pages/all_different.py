"""What a grid's own cells show of a rule that puzzles have: in a row, a column or a block nothing repeats.

That all cells of a unit differ is the constraint `alldifferent` of constraint programming. It is not assumed:
where a grid's cells keep to it as cells that know nothing of each other would not by chance, it counts for
the doubtful ones. People break rules by mistake, and a reader that mends their mistakes is of no use: what is
plainly written stays, see `BROKEN`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.cells import LEAST

__all__ = ["all_different"]

Shares = NDArray[np.float64]
Flags = NDArray[np.bool_]

BROKEN: Final = 0.02
"""The probability that a character breaks the rule, by whichever label: of ten labels, one that is some 500
times as probable by its picture as what the rule asks for stays."""

REPEATED: Final = 0.02
"""Where the rule holds, two cells of a unit are alike so many times as often as without it: misreadings."""

MIN_EVIDENCE_NATS: Final = 7.0
"""The log-likelihood ratio, of a grid with the rule against one without, from which on it is believed."""

MAX_CELLS: Final = 1024
"""Larger grids are tables; each cell is compared with each."""

MAX_ROUNDS: Final = 50
DAMPING: Final = 0.5
TOLERANCE: Final = 1e-4
"""Rounds end once no probability changes by more."""


def all_different(
    probabilities: Shares, places: Sequence[tuple[int, int]], shape: tuple[int, int], votes: Shares
) -> Shares:
    """Adjust what cells may hold to what the others of their rows, columns and blocks hold, if none repeats.

    Mean-field inference: a label is as probable in a cell as that no other cell of its units holds it.

    Args:
        probabilities: [N, K] of the cells with a character; rows sum to 1.
        places: of each its row and column.
        shape: the grid's rows and columns; blocks are looked at where these are the same square number.
        votes: the probability of each of holding a character at all, [N]: what holds none excludes nothing.

    Returns:
        float64 [N, K], rows sum to 1; the same where the grid does not show the rule.

    >>> latin = [[(row + column) % 5 for column in range(5)] for row in range(5)]
    >>> cells = np.eye(5)[np.ravel(latin)] * 0.95 + 0.01
    >>> cells[12] = [0.01, 0.5, 0.01, 0.01, 0.47]  # the third row holds 2 3 . 0 1
    >>> places = [(row, column) for row in range(5) for column in range(5)]
    >>> all_different(cells, places, (5, 5), np.ones(25))[12].round(2).tolist()
    [0.0, 0.0, 0.0, 0.0, 1.0]
    >>> cells[12] = [0.0, 0.999, 0.0, 0.0, 0.001]  # a 1 beyond doubt
    >>> all_different(cells, places, (5, 5), np.ones(25))[12].round(2).tolist()
    [0.0, 0.8, 0.0, 0.0, 0.2]
    """
    count, classes = probabilities.shape
    if not 2 <= count <= MAX_CELLS:
        return probabilities
    peers = _believed(probabilities, [_same(unit) for unit in _units_of(places, shape)], votes)
    if peers is None:
        return probabilities
    adjusted = probabilities
    for _ in range(MAX_ROUNDS):
        free = np.log(np.maximum(1 - votes[:, None] * adjusted, LEAST))
        asked = np.exp(peers @ free)  # [N, K]: no peer holds it
        asked = (1 - BROKEN) * asked / np.maximum(asked.sum(axis=1, keepdims=True), LEAST) + BROKEN / classes
        found = np.maximum(probabilities, LEAST) * asked
        found = DAMPING * adjusted + (1 - DAMPING) * found / found.sum(axis=1, keepdims=True)
        if np.abs(found - adjusted).max() <= TOLERANCE:
            break
        adjusted = found
    return adjusted


def _units_of(places: Sequence[tuple[int, int]], shape: tuple[int, int]) -> list[list[int]]:
    """Return the unit that each place is in: by rows, by columns and, of a grid like 9 x 9, by blocks.

    >>> _units_of([(0, 0), (1, 3), (3, 3)], (4, 4))
    [[0, 1, 3], [0, 3, 3], [0, 1, 3]]
    """
    rows, columns = shape
    units = [[row for row, _ in places], [column for _, column in places]]
    side = math.isqrt(rows)
    if rows == columns and side > 1 and side**2 == rows:
        units.append([row // side * side + column // side for row, column in places])
    return units


def _same(units: Sequence[int]) -> Flags:
    """Which pairs of places are in one unit: [N, N], no place with itself."""
    places = np.array(units)
    same: Flags = places[:, None] == places
    np.fill_diagonal(same, val=False)
    return same


def _believed(probabilities: Shares, families: Sequence[Flags], votes: Shares) -> Flags | None:
    """Return which pairs of cells differ by the rule, [N, N]; None where the cells do not show any."""
    held = votes[:, None] * probabilities
    shares = held.sum(axis=0) / max(votes.sum(), LEAST)
    chance = float(shares @ shares)
    if chance > 1 - LEAST:
        return None
    odds = (1 - REPEATED * chance) / (1 - chance)
    both, alike = np.outer(votes, votes), held @ held.T
    ratios = np.log(1 - both + (both - alike) * odds + alike * REPEATED)  # [N, N]: of each pair by itself
    kept, evidence = [], 0.0
    for family in families:
        ratio = float(ratios[family].sum()) / 2
        if ratio > 0:
            kept.append(family)
            evidence += ratio
    if evidence < MIN_EVIDENCE_NATS:
        return None
    return np.logical_or.reduce(kept)  # type: ignore[no-any-return]
