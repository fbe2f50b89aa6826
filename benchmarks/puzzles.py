"""How photographed number puzzles are read: printed digits with blanks, and all cells filled by hand.

Usage: python benchmarks/puzzles.py [--write] [--sheets] [--every N]
Needs puzzles-dev.zip in the data folder: 83 photographs of newspapers from phones, some of them sideways,
and a manifest of their cells. Of the filled ones each is read once more with mistakes in it: pictures of
digits put over others, which must be read as what they are. Prints a table; `--write` keeps it in
docs/results.md; `--sheets` draws what was misread to build/puzzles (the photographs have no clear licence:
they are looked at, and not passed on).
`--every 5` reads every fifth photograph of each kind.
"""

from __future__ import annotations

import argparse
import csv
import io
import sys
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

import kalamos
from kalamos.datasets.named import data_dir
from kalamos.evaluation.metrics import wilson_interval
from kalamos.pages import Box

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

PAGE, SHEETS = ROOT / "docs" / "results.md", ROOT / "build" / "puzzles"

SIDE: Final = 9
"""Cells of a puzzle's row, and of its column."""

MISTAKES: Final = 3
"""Cells of a puzzle that another's picture is put over,"""
PUT_FRACTION: Final = 0.8
"""as much of it, of its width and of its height: not its lines."""

KINDS: Final = {"plain": ("as printed", 0.999, 0.95), "mixed": ("filled by hand", 0.998, 0.9)}
"""A kind of photograph -> what is on it, and which shares of cells and of puzzles are wanted right."""


Row = tuple[str, int, int, float | None]
"""What was read, how many are right, of how many, and the share that is wanted."""


@dataclass(frozen=True)
class Puzzle:
    """A photograph, encoded, and the label of each of its cells, row by row; "" for a blank."""

    name: str
    photograph: bytes
    cells: tuple[str, ...]


def puzzles(archive: Path, kind: str) -> Iterator[Puzzle]:
    """Yield the photographs of a kind, in name order."""
    with zipfile.ZipFile(archive) as opened:
        rows = csv.DictReader(io.StringIO(opened.read("manifest.csv").decode()))
        for row in sorted((row for row in rows if row["kind"] == kind), key=lambda row: row["path"]):
            cells = tuple(cell.replace("0", "") for cell in row["cells"])
            yield Puzzle(row["path"], opened.read(row["path"]), cells)


def wrong_cells(page: kalamos.Page, truth: tuple[str, ...]) -> list[int]:
    """Return which cells were not read as they are: all of them where no grid of 9 x 9 cells was found.

    A cell is right where its label is the true one, or nothing was read and it is blank; a withheld digit is
    wrong, and so is what is read in a blank cell and then withheld.
    """
    labels = {
        (cell.row, cell.column): "" if cell.character is None else cell.character.label for cell in page.cells
    }
    if len(labels) != SIDE**2 or max(labels) != (SIDE, SIDE):
        return list(range(SIDE**2))
    return [number for number, place in enumerate(sorted(labels)) if labels[place] != truth[number]]


def mistaken(puzzle: Puzzle, page: kalamos.Page, seed: int) -> tuple[bytes, dict[int, str]] | None:
    """Put pictures of digits over others of the same photograph: it, and the new label of each such cell.

    Args:
        puzzle: the photograph, all cells filled.
        page: how it was read, which tells where the cells are; None is returned where they were not found.
        seed: of the draw.
    """
    if len(page.cells) != SIDE**2:
        return None
    boxes = [cell.box for cell in sorted(page.cells, key=lambda cell: (cell.row, cell.column))]
    before = cv2.imdecode(np.frombuffer(puzzle.photograph, np.uint8), cv2.IMREAD_COLOR)
    image, draw, changed = np.array(before), np.random.default_rng(seed), {}
    for place in draw.choice(SIDE**2, MISTAKES, replace=False).tolist():
        others = [number for number, label in enumerate(puzzle.cells) if label != puzzle.cells[place]]
        source = int(draw.choice(others))
        (top, bottom, left, right), theirs = _inside(boxes[place]), _inside(boxes[source])
        picture = cv2.resize(before[slice(*theirs[:2]), slice(*theirs[2:])], (right - left, bottom - top))
        light = np.median(before[top:bottom, left:right]) - np.median(picture)
        image[top:bottom, left:right] = np.clip(picture + light, 0, 255)
        changed[place] = puzzle.cells[source]
    return cv2.imencode(".png", image)[1].tobytes(), changed


def _inside(box: Box) -> tuple[int, int, int, int]:
    """Return top, bottom, left and right of the inside of a cell."""
    aside, across = (round(side * (1 - PUT_FRACTION) / 2) for side in (box.width, box.height))
    return box.y + across, box.y + box.height - across, box.x + aside, box.x + box.width - aside


def measure(kind: str, every: int, *, sheets: bool) -> list[Row]:
    """Read the puzzles of a kind."""
    what, cells_wanted, puzzles_wanted = KINDS[kind]
    cells = whole = count = 0
    mistakes: list[bool] = []
    for puzzle in list(puzzles(data_dir(None) / "puzzles-dev.zip", kind))[::every]:
        page = kalamos.read(puzzle.photograph, model="digits", layout="grid")
        wrong = wrong_cells(page, puzzle.cells)
        cells, whole, count = cells + SIDE**2 - len(wrong), whole + (not wrong), count + 1
        if wrong:
            print(f"{puzzle.name}: {len(wrong)} of {SIDE**2} cells are wrong", flush=True)
            if sheets:
                draw(puzzle, page, wrong)
        with_mistakes = mistaken(puzzle, page, count) if "" not in puzzle.cells else None
        if with_mistakes is not None:
            photograph, changed = with_mistakes
            truth = [changed.get(number, label) for number, label in enumerate(puzzle.cells)]
            wrong = wrong_cells(kalamos.read(photograph, model="digits", layout="grid"), tuple(truth))
            mistakes += [number not in wrong for number in changed]
    rows: list[Row] = [
        (f"{what}: cells right", cells, SIDE**2 * count, cells_wanted),
        (f"{what}: puzzles wholly right", whole, count, puzzles_wanted),
    ]
    if mistakes:
        rows.append((f"{what}: digits put over others, read as they are", sum(mistakes), len(mistakes), None))
    return rows


def draw(puzzle: Puzzle, page: kalamos.Page, wrong: list[int]) -> None:
    """Draw what was read, and each wrong cell in magenta with what is in it."""
    SHEETS.mkdir(parents=True, exist_ok=True)
    shown: NDArray[np.uint8] = cv2.cvtColor(page.render(), cv2.COLOR_RGB2BGR)  # type: ignore[assignment]
    if len(page.cells) == SIDE**2:
        for number in wrong:
            box = sorted(page.cells, key=lambda cell: (cell.row, cell.column))[number].box
            end = (box.x + box.width, box.y + box.height)
            cv2.rectangle(shown, (box.x, box.y), end, (200, 0, 200), 3)
            said, size = puzzle.cells[number] or "blank", box.height / 60
            cv2.putText(
                shown, said, (box.x + 3, end[1] - 4), cv2.FONT_HERSHEY_SIMPLEX, size, (200, 0, 200), 2
            )
    cv2.imwrite(str(SHEETS / f"{puzzle.name.replace('/', '-')}.png"), shown)


def table(rows: list[Row]) -> str:
    """Return the table of `measure`'s rows."""
    lines = ["| what | n | share (95 % interval) | wanted |", "|---|---|---|---|"]
    for what, right, n, wanted in rows:
        low, high = wilson_interval(right, n)
        share, goal = f"{right / n:.2%} ({low:.2%} to {high:.2%})", ""
        if wanted is not None:
            goal = f"at least {wanted:.1%}: {'reached' if right >= wanted * n else '**not reached**'}"
        lines.append(f"| {what} | {n:,} | {share} | {goal} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/results.md")
    parser.add_argument("--sheets", action="store_true", help="draw what was misread to build/puzzles")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="read every N-th of each kind")
    given = parser.parse_args()
    if given.every < 1:
        parser.error("--every is 1 or more")
    rows = [row for kind in KINDS for row in measure(kind, given.every, sheets=given.sheets)]
    print(table(rows))
    if given.write:
        every = f" --every {given.every}" if given.every > 1 else ""
        date = datetime.now(UTC).date().isoformat()
        measured = f"Measured by `python benchmarks/puzzles.py --write{every}` on {date}."
        PAGE.write_text(
            replace_part(PAGE.read_text("utf-8"), "puzzles", f"{table(rows)}\n\n{measured}"), "utf-8"
        )


if __name__ == "__main__":
    main()
