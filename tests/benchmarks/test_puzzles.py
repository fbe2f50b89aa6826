"""What the benchmark of puzzles counts as right."""

from __future__ import annotations

from puzzles import SIDE, table, wrong_cells

from kalamos.pages import Box, Cell, Character, Page

TRUTH = tuple("" if number % 3 else str(1 + number % 9) for number in range(SIDE**2))


def page(labels: list[str | None], rows: int = SIDE) -> Page:
    """A grid with these labels; "" for a blank cell, None for one whose label is withheld."""
    box = Box(0, 0, 10, 10)
    cells = tuple(
        Cell(1 + number // SIDE, 1 + number % SIDE, box, None if label == "" else Character(label, 0.9, box))
        for number, label in enumerate(labels[: SIDE * rows])
    )
    return Page(cells=cells[::-1], layout="grid")


def test_a_cell_is_right_where_it_was_read_as_it_is() -> None:
    assert wrong_cells(page([*TRUTH]), TRUTH) == []
    read: list[str | None] = [*TRUTH]
    read[0], read[1], read[2], read[3] = "9", "1", None, None
    assert wrong_cells(page(read), TRUTH) == [0, 1, 2, 3]


def test_all_cells_are_wrong_without_nine_by_nine_of_them() -> None:
    assert wrong_cells(page([*TRUTH], rows=8), TRUTH) == list(range(81))
    assert wrong_cells(Page(), TRUTH) == list(range(81))


def test_the_table_says_what_is_reached() -> None:
    lines = table([("cells right", 95, 100, 0.95), ("puzzles right", 0, 2, 0.9)]).splitlines()
    assert lines[2].startswith("| cells right | 100 | 95.00% (88.82% to 97.85%) | at least 95.0%: reached")
    assert lines[3].endswith("at least 90.0%: **not reached** |")
