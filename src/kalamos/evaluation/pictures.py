"""Pictures with OpenCV alone, so that they need nothing but the reading half."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import Split
from kalamos.errors import ImageError
from kalamos.evaluation.evaluate import Evaluation
from kalamos.recognizer import Recognizer

__all__ = ["encode_png", "mistakes_sheet"]

TILE, CAPTION, GAP, COLUMNS, MOST = 84, 20, 8, 8, 64
PAPER, INK, FAINT = 255, 0, 130
WIDTH = 2 * TILE + 2


def mistakes_sheet(measured: Evaluation, split: Split, reader: Recognizer) -> NDArray[np.uint8]:
    """The surest mistakes first: each image beside what the model saw; below: its row, truth and answer.

    Returns:
        uint8 [H, W], grey; at most 64 mistakes.
    """
    wrong = np.flatnonzero(~measured.correct)
    wrong = wrong[np.argsort(-measured.confidence[wrong], kind="stable")][:MOST]
    cells = [_cell(measured, split, reader, int(row)) for row in wrong]
    if not cells:
        cells = [np.full((TILE + CAPTION, WIDTH), PAPER, np.uint8)]
    height, width = cells[0].shape
    rows = -(-len(cells) // COLUMNS)
    columns = min(COLUMNS, len(cells))
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP), PAPER, np.uint8)
    for index, cell in enumerate(cells):
        top = GAP + index // COLUMNS * (height + GAP)
        left = GAP + index % COLUMNS * (width + GAP)
        sheet[top : top + height, left : left + width] = cell
    return sheet


def encode_png(image: NDArray[np.uint8]) -> bytes:
    _, content = cv2.imencode(".png", image)
    return content.tobytes()


def _cell(measured: Evaluation, split: Split, reader: Recognizer, row: int) -> NDArray[np.uint8]:
    try:
        seen = reader.prepare(split.images[row])
    except ImageError:
        seen = np.zeros((1, 1), np.uint8)
    answer = measured.labels[measured.predicted[row]] if measured.predicted[row] >= 0 else "unread"
    truth = measured.labels[measured.truth[row]]
    cell = np.full((TILE + CAPTION, WIDTH), PAPER, np.uint8)
    cell[:TILE, :TILE] = _tile(split.images[row])
    cell[:TILE, -TILE:] = _tile(seen)
    middle = WIDTH // 2
    _write(cell, f"#{row}", 0, 0.0, FAINT)
    # One by one: in one string, two Arabic labels would change places.
    _write(cell, truth, middle - 10, 1.0, INK)
    _write(cell, ">", middle, 0.5, FAINT)
    _write(cell, answer, middle + 10, 0.0, INK)
    _write(cell, f"{measured.confidence[row]:.0%}", WIDTH, 1.0, FAINT)
    return cell


def _write(cell: NDArray[np.uint8], text: str, x: int, share: float, shade: int) -> None:
    """Text in the caption, with this share of its width to the left of `x`."""
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.42
    (width, _), _ = cv2.getTextSize(text, font, size, 1)
    at = round(x - share * width), TILE + CAPTION - 6
    cv2.putText(cell, text, at, font, size, shade, 1, cv2.LINE_AA)


def _tile(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(image, (TILE, TILE), interpolation=cv2.INTER_NEAREST)  # type: ignore[return-value]
