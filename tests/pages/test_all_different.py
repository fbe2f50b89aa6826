"""A grid in which nothing repeats tells what a doubtful cell holds; one that repeats does not."""

from __future__ import annotations

from collections import Counter

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import kalamos
from kalamos.pages.all_different import all_different

Shares = NDArray[np.float64]

SOLVED = [[(3 * (row % 3) + row // 3 + column) % 9 for column in range(9)] for row in range(9)]
PLACES = [(row, column) for row in range(9) for column in range(9)]


def cells_of(labels: list[int], sure: float = 0.99) -> Shares:
    """What a recogniser of ten classes says of cells that hold these, from 1 on as puzzles have them."""
    cells = np.full((len(labels), 10), (1 - sure) / 9)
    cells[np.arange(len(labels)), np.array(labels) + 1] = sure
    return cells


def doubtful(seen: int, other: int, share: float) -> Shares:
    cell = np.full(10, 1e-6)
    cell[seen + 1], cell[other + 1] = share, 1 - share
    cell /= cell.sum()
    return cell


def settled(cells: Shares, kept: list[int] | None = None, votes: Shares | None = None) -> Shares:
    kept = [*range(81)] if kept is None else kept
    votes = np.ones(len(kept)) if votes is None else votes
    return all_different(cells, [PLACES[place] for place in kept], (9, 9), votes)


def test_a_doubtful_cell_of_a_full_puzzle_is_what_nothing_else_in_its_units_is() -> None:
    labels = [label for row in SOLVED for label in row]
    cells = cells_of(labels)
    wrong = (labels[40] + 1) % 9
    cells[40] = doubtful(wrong, labels[40], 0.97)
    found = settled(cells)
    assert found[40].argmax() == labels[40] + 1
    assert (found.argmax(axis=1) == np.array(labels) + 1).all()


def test_what_is_written_plainly_stays_though_it_breaks_the_rule() -> None:
    labels = [label for row in SOLVED for label in row]
    cells = cells_of(labels, 0.9999)
    mistake = (labels[40] + 1) % 9
    cells[40] = doubtful(mistake, labels[40], 0.9999)
    found = settled(cells)
    assert found[40].argmax() == mistake + 1
    others = [place for place in range(81) if place != 40]
    assert (found[others].argmax(axis=1) == np.array(labels)[others] + 1).all()


@pytest.mark.parametrize("seed", range(5))
def test_a_third_of_the_cells_is_enough_to_show_the_rule(seed: int) -> None:
    draw = np.random.default_rng(seed)
    labels = [label for row in SOLVED for label in row]
    kept = sorted({*draw.choice(81, 28, replace=False).tolist(), 40, 41})
    cells = cells_of([labels[place] for place in kept])
    # The neighbour on the right holds what the doubtful cell may seem to hold.
    cells[kept.index(40)] = doubtful(labels[41], labels[40], 0.8)
    assert settled(cells, kept)[kept.index(40)].argmax() == labels[40] + 1


@pytest.mark.parametrize("seed", range(20))
def test_a_table_of_any_digits_is_left_as_it_is(seed: int) -> None:
    cells = cells_of(np.random.default_rng(seed).integers(0, 9, 81).tolist(), 0.9)
    assert np.array_equal(settled(cells), cells)


def test_few_characters_show_no_rule() -> None:
    few = cells_of([0, 1, 2, 3, 4])
    assert np.array_equal(settled(few, [0, 1, 9, 10, 40]), few)
    assert settled(few[:0], []).shape == (0, 10)


def test_what_is_no_character_excludes_nothing() -> None:
    labels = [label for row in SOLVED for label in row]
    cells = cells_of(labels)
    cells[41] = cells_of([labels[40]])[0]
    cells[40] = doubtful(labels[40], labels[41], 0.6)
    votes = np.ones(81)
    votes[41] = 0.0
    assert settled(cells, votes=votes)[40].argmax() == labels[40] + 1


def test_columns_alone_may_show_it() -> None:
    # Each row holds one label again and again, as sheets of examples do; no column repeats any.
    labels = [row for row in range(9) for _ in range(9)]
    cells = cells_of(labels)
    cells[40] = doubtful(0, labels[40], 0.9)
    assert settled(cells)[40].argmax() == labels[40] + 1


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 8), st.integers(1, 8), st.integers(1, 12))
def test_probabilities_stay_probabilities(seed: int, rows: int, columns: int, classes: int) -> None:
    draw = np.random.default_rng(seed)
    places = [(row, column) for row in range(rows) for column in range(columns)]
    cells = draw.dirichlet(np.full(classes, 0.05), len(places))
    found = all_different(cells, places, (rows, columns), draw.random(len(places)))
    assert found.shape == cells.shape
    assert (found >= 0).all()
    assert np.allclose(found.sum(axis=1), 1)


def drawn(labels: list[list[str]], changed: tuple[int, int] | None = None) -> NDArray[np.uint8]:
    """A ruled page of printed digits; `changed` is drawn as a 7 whose bar is nearly gone."""
    side = 60
    page = np.full((side * 9 + 80, side * 9 + 80), 235, np.uint8)
    for line in range(10):
        place, wide = 40 + line * side, 3 if line % 3 == 0 else 1
        cv2.line(page, (place, 40), (place, 40 + 9 * side), 60, wide)
        cv2.line(page, (40, place), (40 + 9 * side, place), 60, wide)
    for row in range(9):
        for column in range(9):
            left, top = 40 + column * side, 40 + row * side
            if (row, column) == changed:
                cv2.line(page, (left + 32, top + 15), (left + 28, top + 44), 50, 3, cv2.LINE_AA)
                cv2.line(page, (left + 23, top + 15), (left + 32, top + 15), 50, 3, cv2.LINE_AA)
            else:
                at = (left + 19, top + 44)
                cv2.putText(page, labels[row][column], at, cv2.FONT_HERSHEY_DUPLEX, 1, 50, 2, cv2.LINE_AA)
    return page


def test_a_puzzle_is_read_by_its_rule_and_its_look() -> None:
    labels = [[str(label + 1) for label in row] for row in SOLVED]
    row = 4
    column = labels[row].index("1")
    page = drawn(labels, (row, column))
    puzzle = kalamos.read(page, model="digits", layout="grid")
    assert puzzle.grid == labels
    # Among others that repeat, the same picture is what it looks like.
    repeated = [[str(1 + (3 * row + column * column) % 9) for column in range(9)] for row in range(9)]
    assert max(Counter(repeated[row]).values()) > 1
    table = kalamos.read(drawn(repeated, (row, column)), model="digits", layout="grid")
    assert table.grid[row][column] == "7"
