"""Contact sheets: what was corrupted how, what the model saw of it, and whether it was read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import cv2
import numpy as np

from kalamos.evaluation.pictures import Colour, Picture, seen_by, tile, write_text
from kalamos.recognizer import Recognizer
from kalamos.shift.catalogue import STRENGTHS
from kalamos.shift.suite import Outcomes

__all__ = ["corruption_sheet", "misreads_sheet"]

COLUMNS, WORST = 10, 6
TILE, FRAME, CAPTION, GAP, HEAD = 84, 3, 20, 10, 132
WIDTH, HEIGHT = TILE + 2 * FRAME, 2 * TILE + 3 * FRAME + CAPTION

# Blue, green, red, as OpenCV orders them; told apart by colour-blind readers (Okabe and Ito 2008).
RIGHT: Final[Colour] = (178, 114, 0)
WRONG: Final[Colour] = (0, 94, 213)
NO_INK: Final[Colour] = (36, 31, 27)
INK: Final[Colour] = (36, 31, 27)
FAINT: Final[Colour] = (128, 114, 107)
GROUND: Final[Colour] = (128, 128, 128)


def corruption_sheet(outcomes: Outcomes, name: str, reader: Recognizer) -> Picture:
    """A row for each strength: the same ten images, corrupted, above what the model saw of each.

    The frame is blue where the answer was right, orange where it was wrong, black where no ink was
    found; below stand label, answer if another, and confidence.

    Returns:
        uint8 [H, W, 3], BGR.
    """
    place = outcomes.names.index(name)
    shown = _columns(outcomes)
    rows = []
    for index, strength in enumerate(STRENGTHS):
        right = outcomes.correct[place, index]
        head = _head(name, f"strength {strength}", f"{right.mean():.2%} right")
        cells = [_cell(outcomes, reader, place, index, position) for position in shown]
        rows.append(_row(head, cells, len(shown)))
    return _stacked(rows)


def misreads_sheet(outcomes: Outcomes, names: Sequence[str], reader: Recognizer) -> Picture:
    """A row for each of some corruptions: the surest misreadings, whichever the strength.

    Returns:
        uint8 [H, W, 3], BGR; at most six rows.
    """
    rows = []
    for name in names[:WORST]:
        place = outcomes.names.index(name)
        right, sure = outcomes.correct[place], outcomes.confidence[place]
        wrong = np.argwhere(~right & (outcomes.predicted[place] >= 0))
        surest = wrong[np.argsort(-sure[tuple(wrong.T)], kind="stable")][:COLUMNS].tolist()
        head = _head(name, f"{right.mean():.2%} right", f"{len(wrong):,} misread")
        cells = []
        for index, position in surest:
            cell = _cell(outcomes, reader, place, index, position)
            cell[FRAME : FRAME + 16, FRAME : FRAME + 14] = 255
            write_text(cell, f"{STRENGTHS[index]}", FRAME + 7, 0.5, INK, TILE, baseline=FRAME + 13)
            cells.append(cell)
        rows.append(_row(head, cells, COLUMNS))
    return _stacked(rows)


def _columns(outcomes: Outcomes) -> list[int]:
    """Positions of up to ten images, of as many classes as there can be, spread over the alphabet."""
    present = np.unique(outcomes.truth)
    chosen = present[np.linspace(0, len(present) - 1, min(COLUMNS, len(present))).round().astype(int)]
    first = [int(np.flatnonzero(outcomes.truth == label)[0]) for label in chosen]
    others = [position for position in range(len(outcomes.truth)) if position not in first]
    return first + others[: COLUMNS - len(first)]


def _cell(outcomes: Outcomes, reader: Recognizer, place: int, index: int, position: int) -> Picture:
    """Corrupted input above what the model saw of it, framed, with a caption."""
    image = outcomes.corrupted(outcomes.names[place], STRENGTHS[index], position)
    truth, answer = int(outcomes.truth[position]), int(outcomes.predicted[place, index, position])
    colour = RIGHT if truth == answer else WRONG if answer >= 0 else NO_INK
    cell = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    cell[: HEIGHT - CAPTION] = colour
    for row, picture in enumerate((image, seen_by(reader, image))):
        top = FRAME + row * (TILE + FRAME)
        cell[top : top + TILE, FRAME : FRAME + TILE] = tile(picture, TILE, GROUND)
    labels, baseline = outcomes.clean.labels, HEIGHT - 6
    confidence = f"{outcomes.confidence[place, index, position]:.0%}"
    # One by one: in one string, two Arabic labels would change places.
    write_text(cell, labels[truth], 2, 0.0, INK, 24, baseline=baseline)
    if answer < 0:
        write_text(cell, "no ink", WIDTH, 1.0, NO_INK, TILE, baseline=baseline, size=0.36)
        return cell
    if answer != truth:
        cv2.arrowedLine(cell, (27, baseline - 4), (37, baseline - 4), FAINT, 1, cv2.LINE_AA, tipLength=0.4)
        write_text(cell, labels[answer], 42, 0.0, WRONG, 22, baseline=baseline)
    write_text(cell, confidence, WIDTH, 1.0, FAINT, TILE, baseline=baseline, size=0.34)
    return cell


def _head(name: str, *lines: str) -> Picture:
    head = np.full((HEIGHT, HEAD, 3), 255, np.uint8)
    write_text(head, name, 0, 0.0, INK, HEAD, baseline=18, size=0.46)
    for row, line in enumerate(lines):
        write_text(head, line, 0, 0.0, FAINT, HEAD, baseline=40 + 18 * row, size=0.38)
    return head


def _row(head: Picture, cells: Sequence[Picture], columns: int) -> Picture:
    row = np.full((HEIGHT, HEAD + columns * (WIDTH + GAP), 3), 255, np.uint8)
    row[:, :HEAD] = head
    for index, cell in enumerate(cells):
        left = HEAD + index * (WIDTH + GAP)
        row[:, left : left + WIDTH] = cell
    return row


def _stacked(rows: Sequence[Picture]) -> Picture:
    return cv2.copyMakeBorder(  # type: ignore[return-value]
        np.vstack([np.pad(row, ((GAP, 0), (0, 0), (0, 0)), constant_values=255) for row in rows]),
        0, GAP, GAP, 0, cv2.BORDER_CONSTANT, value=(255, 255, 255),
    )  # fmt: skip
