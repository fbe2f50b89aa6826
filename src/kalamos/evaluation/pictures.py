"""Pictures with OpenCV alone, so that they need nothing but the reading half.

OpenCV 5 draws labels of any script; OpenCV 4 only ASCII ones, with question marks for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import ImageError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.examples import confused_pairs, right_samples, surest_mistakes, unread_rows
from kalamos.recognizer import Recognizer

__all__ = [
    "Colour",
    "Picture",
    "confused_pairs_sheet",
    "encode_png",
    "fitted",
    "mistakes_sheet",
    "samples_sheet",
    "seen_by",
    "tile",
    "write_text",
]

Picture: TypeAlias = NDArray[np.uint8]
Colour: TypeAlias = tuple[int, int, int]

TILE, CAPTION, GAP = 84, 24, 14
SMALL = 0.34
"""Of row numbers, which have six digits in a large split."""
MISTAKES, UNREAD, SAMPLES, PAIRS, EACH = 48, 16, 60, 12, 8
PAPER: Colour = (255, 255, 255)
GROUND: Colour = (240, 238, 236)
INK: Colour = (36, 31, 27)
FAINT: Colour = (140, 132, 125)
WRONG: Colour = (0, 72, 200)
"""Colours are blue, green, red, as OpenCV orders them."""


def mistakes_sheet(measured: Evaluation, split: Split, reader: Recognizer) -> Picture:
    """The surest mistakes first: each image beside what the model saw; below: truth, answer, confidence.

    Images that could not be read come last.

    Returns:
        uint8 [H, W, 3], BGR; at most 48 mistakes and 16 unread images.
    """
    rows = [*surest_mistakes(measured, MISTAKES).tolist(), *unread_rows(measured, UNREAD).tolist()]
    return _grid([_mistake(measured, split, reader, row) for row in rows], columns=6)


def samples_sheet(measured: Evaluation, split: Split, *, seed: int = 42) -> Picture:
    """Images read rightly, drawn at random by seed, at most 60; uint8 [H, W, 3], BGR."""
    cells = []
    for row in right_samples(measured, SAMPLES, seed).tolist():
        cell = _cell(TILE, tile(split.images[row], TILE))
        write_text(cell, measured.labels[measured.truth[row]], 0, 0.0, INK, TILE // 2)
        write_text(cell, f"{measured.confidence[row]:.0%}", TILE, 1.0, FAINT, TILE // 2, size=SMALL)
        cells.append(cell)
    return _grid(cells, columns=10)


def confused_pairs_sheet(measured: Evaluation, split: Split) -> Picture:
    """A row for each of the 12 most frequent kinds of mistake; uint8 [H, W, 3], BGR.

    From the left: what was read as what and how often, a right reading of either label to compare
    with, then up to 8 of the mistakes, the surest first.
    """
    band = 2 * TILE
    cells = []
    for pair in confused_pairs(measured, PAIRS, EACH):
        head = np.full((TILE + CAPTION, band, 3), PAPER, np.uint8)
        middle = band // 2
        size = 0.9 if max(len(pair.truth), len(pair.predicted)) <= 3 else 0.42
        room = middle - 18
        write_text(head, pair.truth, middle - 14, 1.0, INK, room, baseline=46, size=size)
        _arrow(head, middle, 40)
        write_text(head, pair.predicted, middle + 14, 0.0, WRONG, room, baseline=46, size=size)
        write_text(head, pair.frequency, middle, 0.5, FAINT, band, baseline=74)
        shown = [head]
        for row, label in zip(pair.like, (pair.truth, pair.predicted), strict=True):
            cell = _cell(TILE, _blank() if row is None else tile(split.images[row], TILE))
            write_text(cell, f"right {label}", TILE // 2, 0.5, FAINT, TILE)
            shown.append(cell)
        for row, _ in zip_longest(pair.rows, range(EACH)):
            cell = _cell(TILE, _blank() if row is None else tile(split.images[row], TILE))
            if row is not None:
                write_text(cell, f"#{row}", 0, 0.0, FAINT, TILE, size=SMALL)
                write_text(cell, f"{measured.confidence[row]:.0%}", TILE, 1.0, FAINT, TILE, size=SMALL)
            shown.append(cell)
        space = np.full((TILE + CAPTION, GAP, 3), PAPER, np.uint8)
        cells.append(np.hstack([part for cell in shown for part in (cell, space)][:-1]))
    return _grid(cells, columns=1)


def seen_by(reader: Recognizer, image: Picture) -> Picture:
    """What the model saw of an image, uint8 [S, S]; a black pixel where it saw no ink."""
    try:
        return reader.prepare(image)
    except ImageError:
        return np.zeros((1, 1), np.uint8)


def fitted(image: Picture, side: int) -> Picture:
    """The image uint8 [H, W], enlarged or reduced so that its longer side is `side` px."""
    height, width = image.shape
    scale = side / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    how = cv2.INTER_NEAREST if scale >= 1 else cv2.INTER_AREA
    return cv2.resize(image, size, interpolation=how)  # type: ignore[return-value]


def tile(image: Picture, side: int, ground: Colour = GROUND) -> Picture:
    """The image uint8 [H, W], `fitted` and in the middle of a square of `ground`: uint8 [side, side, 3]."""
    small = fitted(image, side)
    height, width = small.shape
    square = np.full((side, side, 3), ground, np.uint8)
    top, left = (side - height) // 2, (side - width) // 2
    square[top : top + height, left : left + width] = small[..., np.newaxis]
    return square


def encode_png(image: Picture) -> bytes:
    """uint8 [H, W] grey or [H, W, 3] BGR -> the bytes of a PNG file."""
    _, content = cv2.imencode(".png", image)
    return content.tobytes()


def _mistake(measured: Evaluation, split: Split, reader: Recognizer, row: int) -> Picture:
    image = split.images[row]
    width = 2 * TILE + 2
    cell = _cell(
        width,
        np.hstack([tile(image, TILE), np.full((TILE, 2, 3), PAPER), tile(seen_by(reader, image), TILE)]),
    )
    middle, room = width // 2, 28
    # One by one: in one string, two Arabic labels would change places.
    write_text(cell, f"#{row}", 0, 0.0, FAINT, TILE, size=SMALL)
    write_text(cell, measured.labels[measured.truth[row]], middle - 10, 1.0, INK, room)
    _arrow(cell, middle, TILE + CAPTION - 13)
    if measured.read[row]:
        write_text(cell, measured.labels[measured.predicted[row]], middle + 10, 0.0, WRONG, room)
        write_text(cell, f"{measured.confidence[row]:.0%}", width, 1.0, FAINT, TILE, size=SMALL)
    else:
        write_text(cell, "unread", middle + 10, 0.0, WRONG, TILE)
    return cell


def _grid(cells: Sequence[Picture], columns: int) -> Picture:
    if not cells:
        cells = [np.full((TILE + CAPTION, 5 * TILE, 3), PAPER, np.uint8)]
        write_text(cells[0], "none", 5 * TILE // 2, 0.5, FAINT, 5 * TILE, baseline=TILE // 2, size=0.6)
    height, width, _ = cells[0].shape
    columns = min(columns, len(cells))
    rows = -(-len(cells) // columns)
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), PAPER, np.uint8)
    for index, cell in enumerate(cells):
        top = GAP + index // columns * (height + GAP)
        left = GAP + index % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def _cell(width: int, tile: Picture) -> Picture:
    cell = np.full((TILE + CAPTION, width, 3), PAPER, np.uint8)
    cell[:TILE, : tile.shape[1]] = tile
    return cell


def _blank() -> Picture:
    return np.full((TILE, TILE, 3), PAPER, np.uint8)


def _arrow(cell: Picture, x: int, y: int) -> None:
    cv2.arrowedLine(cell, (x - 5, y), (x + 5, y), FAINT, 1, cv2.LINE_AA, tipLength=0.4)


def write_text(
    cell: Picture,
    text: str,
    x: int,
    share: float,
    colour: Colour,
    room: int,
    *,
    baseline: int = TILE + CAPTION - 8,
    size: float = 0.42,
) -> None:
    """Draw text, with this share of its width to the left of `x`, cut where it needs more than `room` px."""
    width = _width(text, size)
    while width > room and len(text) > 1:
        text = text.removesuffix("..")[:-1] + ".."
        if text == "..":
            break
        width = _width(text, size)
    at = round(x - share * width), baseline
    cv2.putText(cell, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)


def _width(text: str, size: float) -> int:
    (width, _), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, size, 1)
    return width
