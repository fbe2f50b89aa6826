"""Read a line of digits as a whole: what stands where, without cutting it into characters first.

The network (`digit_lines.onnx`, beside this file) is trained on drawn lines by `kalamos.learn.lines`, with
CTC loss. It looks at a straightened strip of ink and answers, every two px, which digit or sign has its
middle there, or none.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kalamos.pages.lines import TextLine, is_small
from kalamos.pages.strips import cut_strip
from kalamos.utils.sessions import open_once

__all__ = [
    "LABELS",
    "LEAST_LOG",
    "LINE_FILE",
    "STRIDE",
    "LineScores",
    "Spike",
    "Strip",
    "read_strips",
    "strip_of",
]

Grey = NDArray[np.uint8]

LINE_FILE: Final = Path(__file__).with_name("digit_lines.onnx")

LABELS: Final = "0123456789.,-/:"
"""What the network tells, in the order of its classes; before them comes CTC's blank."""

STRIDE: Final = 2
"""Px of a strip for one row of scores."""

MARGIN_FACTOR: Final = 0.6
"""Times the line's height: ground before the first part and after the last."""

LEVEL_LETTERS: Final = 3
"""With fewer pieces, a line is taken to lie level."""

BENT_LETTERS: Final = 7
"""From so many on, it may be bent."""


MIN_SPIKE: Final = 0.3
"""The probability from which on there may be a character at a place."""

LEAST_LOG: Final = -14.0
"""Nothing is less likely: what the network has not learnt can be there all the same."""


class Strip(NamedTuple):
    """A line as the network sees it.

    Attributes:
        ink: uint8 [STRIP_PX, w].
        left: the sheet's column where it begins.
        scale: px of the strip for one px of the sheet.
    """

    ink: Grey
    left: float
    scale: float


class Spike(NamedTuple):
    """A character: the sheet's column of its middle, and its likeliest label."""

    column: float
    label: str


class LineScores(NamedTuple):
    """What the network says of a line.

    Attributes:
        logs: natural logarithms of probabilities, float64 [T, 1 + classes]: of the blank, then of `LABELS`.
        left: the sheet's column where the first row begins.
        step: px of the sheet from one row to the next.
    """

    logs: NDArray[np.float64]
    left: float
    step: float

    def spikes(self) -> list[Spike]:
        """Return where characters have their middles, or may have, from left to right."""
        likely = self.logs[:, 0] < math.log(1 - MIN_SPIKE)
        best = np.where(likely, 1 + self.logs[:, 1:].argmax(axis=1), 0)
        firsts = np.flatnonzero((best > 0) & (np.diff(best, prepend=0) != 0))
        lasts = np.flatnonzero((best > 0) & (np.diff(best, append=0) != 0))
        columns = self.left + ((firsts + lasts) / 2 + 0.5) * self.step
        labels = [LABELS[each - 1] for each in best[firsts].tolist()]
        return [Spike(column, label) for column, label in zip(columns.tolist(), labels, strict=True)]

    def single(self, left: float, right: float) -> NDArray[np.float64]:
        """Return how likely each label is to be all that stands between two columns: logarithms, [classes].

        It is the sum over all of CTC's paths there: blanks, then the label, then blanks.

        >>> sure = np.log(np.array([[0.98, 0.01, 0.01], [0.01, 0.98, 0.01], [0.98, 0.01, 0.01]]))
        >>> np.exp(LineScores(sure, 0.0, 2.0).single(0, 6)).round(2).tolist()
        [0.96, 0.01]
        >>> np.exp(LineScores(sure, 0.0, 2.0).single(4, 6)).round(2).tolist()
        [0.01, 0.01]
        """
        rows = self._rows(left, right)
        blank = np.concatenate([[0.0], rows[:, 0].cumsum()])[:, None]
        own = np.concatenate([np.zeros((1, rows.shape[1] - 1)), rows[:, 1:].cumsum(axis=0)])
        # The label begins at row s and ends before row e: a sum over all s < e.
        begun = np.logaddexp.accumulate((blank - own)[:-1], axis=0)
        total: NDArray[np.float64] = np.logaddexp.reduce(begun + (own - blank)[1:], axis=0) + blank[-1]
        return total

    def nothing(self, left: float, right: float) -> float:
        """Return how likely it is that nothing stands between two columns: its logarithm."""
        return float(self._rows(left, right)[:, 0].sum())

    def _rows(self, left: float, right: float) -> NDArray[np.float64]:
        """Return the rows between two columns, at least one."""
        ends = np.clip((np.array([left, right]) - self.left) / self.step, 0, len(self.logs))
        first = min(round(float(ends[0])), len(self.logs) - 1)
        return self.logs[first : max(round(float(ends[1])), first + 1)]


def read_strips(strips: Sequence[Strip], allowed: Sequence[str]) -> list[LineScores]:
    """Run the network on strips of any widths.

    Args:
        allowed: the labels that may be answered; signs always may.
    """
    found = []
    for strip in strips:
        ink = strip.ink[None, None].astype(np.float32) / np.float32(255)
        [[logits]] = open_once(LINE_FILE).run(None, {"strips": ink})
        scores = logits.astype(np.float64)
        logs = _restricted(scores - np.logaddexp.reduce(scores, axis=1, keepdims=True), allowed)
        found.append(LineScores(np.maximum(logs, LEAST_LOG), strip.left, STRIDE / strip.scale))
    return found


def _restricted(logs: NDArray[np.float64], allowed: Sequence[str]) -> NDArray[np.float64]:
    """Share the probability of digits that may not be answered among the others: some digit is there."""
    digits = 1 + np.array([index for index, label in enumerate(LABELS) if label.isdigit()])
    kept = 1 + np.array([index for index, label in enumerate(LABELS) if label.isdigit() and label in allowed])
    if len(kept) == len(digits):
        return logs
    restricted = logs.copy()
    restricted[:, digits] = -np.inf
    total, left = (np.logaddexp.reduce(logs[:, some], axis=1, keepdims=True) for some in (digits, kept))
    restricted[:, kept] = logs[:, kept] + total - left
    return restricted


def strip_of(line: TextLine, strokes: Grey) -> Strip:
    """Cut a line out of a sheet's strokes, uint8 [H, W]: straightened, with what lies around it."""
    size = line.band.height
    pieces = _chunks(line)
    height = float(np.median(pieces[:, 2])) if len(pieces) else size
    left = min(part.box.x for part in line.parts) - MARGIN_FACTOR * height
    right = max(part.right for part in line.parts) + MARGIN_FACTOR * height
    columns = np.arange(int(left), int(right) + 1)
    middles = _middles(pieces, columns, (line.band.top + line.band.bottom) / 2, height)
    ink = cut_strip(strokes, int(left), middles, height)
    return Strip(ink, float(columns[0]), ink.shape[1] / len(columns))


def _chunks(line: TextLine) -> NDArray[np.float64]:
    """Cut a line's letters at every height: x, y and height of the ink between, float64 [n, 3]."""
    size = line.band.height
    found = []
    for part in line.parts:
        if is_small(part, size):
            continue
        count = max(1, round(part.box.width / (0.8 * size)))
        for columns in np.array_split(np.arange(part.box.width), count):
            ink = part.ink[:, columns]
            rows = np.flatnonzero((ink > 64).any(axis=1))
            if len(rows) and rows[-1] - rows[0] >= 0.5 * size:
                top, bottom = part.box.y + rows[0], part.box.y + rows[-1] + 1
                found.append((part.box.x + float(columns.mean()), (top + bottom) / 2, bottom - top))
    return np.array(found, np.float64).reshape(-1, 3)


def _middles(
    pieces: NDArray[np.float64], columns: NDArray[np.int64], level: float, height: float
) -> NDArray[np.float64]:
    """Return how far down the line is at each column."""
    if len(pieces) < LEVEL_LETTERS:
        return np.full(len(columns), float(np.median(pieces[:, 1])) if len(pieces) else level)
    x, y = pieces[:, 0], pieces[:, 1]
    degree = 2 if len(pieces) >= BENT_LETTERS else 1
    kept = np.ones(len(x), bool)
    for _ in range(2):  # the second time without what stands out
        curve = np.polynomial.Polynomial.fit(x[kept], y[kept], degree)
        apart = np.abs(curve(x) - y)
        near = apart <= max(0.25 * height, 2 * float(np.median(apart)))
        if near.sum() <= degree + 1:
            break
        kept = near
    return np.asarray(curve(np.clip(columns, x.min(), x.max())), np.float64)
