"""Read the cells of grids and the boxes of forms: a character in each, or nothing."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.capital_shapes import bars_as_capitals
from kalamos.pages.ink_map import sharpened
from kalamos.postprocessing import AnswerRule, Inference, predictions_of
from kalamos.predictions import Prediction
from kalamos.preprocessing.ink import InkMap, find_ink
from kalamos.recognizer import CHUNK, Recognizer

__all__ = [
    "CELL_PX",
    "LEAST",
    "CellReading",
    "Ink",
    "averaged",
    "blanks_of",
    "ink_of",
    "inks_of",
    "read_cells",
    "readings_of",
    "without_bowed_lines",
    "without_frame",
]

Grey = NDArray[np.uint8]

CELL_PX: Final = 64
"""The side that cells are best cut out at: what the ink finder looks at."""

MAX_SPECK_FRACTION: Final = 0.14
"""Of a cell's side: ink whose longer side is less is dust, or the end of a neighbour's stroke."""

RIM_FRACTION: Final = 0.12
"""Of a cell's side: ink that lies nearer to one line as a whole, or beyond it, is no character."""

LINE_FRACTION: Final = 0.05
"""Of a cell's side: how far to either side of where a line must be it is looked for."""

FRAMED_FRACTION: Final = 0.45
"""Of a side's length: where so much of it is ink, the finder took the line for a stroke."""

NEIGHBOUR_FRACTION: Final = 0.7
"""Of a cell's side: ink of this length beyond the cell's line is another cell's."""

BOWED_FRACTION, BOWED_ASPECT = 0.4, 3.0
BOWED_REACH, BOWED_BESIDE, BOWED_END = 0.32, 0.2, 0.11
"""A line that bows into its cell: it is so long, as a share of the cell's side, and so many times longer than
wide; it lies so near to the side along it, and nearer or so near to a side across."""

STROKE_PX: Final = 23
"""On the ink map: strokes are no wider."""

MIN_CONTRAST_LEVELS: Final = 6.0
MIN_CONTRAST_GRAIN: Final = 2.5
"""Ink differs from the paper around it by so many grey levels, and by so many standard deviations of the
picture's finest grain."""

FAINTEST_LEVELS: Final = 4.0
"""On a photograph ink may differ by only so many grey levels, if it is very probably a character."""

USUAL_QUANTILE: Final = 0.75
FAINTEST_FRACTION, KNOWN_FAINTEST = 0.2, 0.7
"""Ink of less than this part of the contrast that most cells' ink has is the paper's own, unless it is so
probably a character: grey print stands beside black pens."""

LONE_FRACTION, KNOWN_LONE = 0.5, 0.95
"""Ink of less than this part of the least contrast that proves print has no other cell's like it, and must be
more probably a character still: paper's own relief may look like one."""

FAINT_FRACTION, KNOWN_FAINT = 0.35, 0.5
"""Likewise, up to that part it is perhaps a stain."""

SOFT: Final = 0.5
"""How much ink is sharpened at a second look (the first is `kalamos.pages.ink_map.SHARPENING`)."""

BLANK, MAYBE_BLANK, INKED = 0.999, 0.9, 0.0005
"""The probability that a cell is blank: without ink; with what may be dust; with a character's ink."""

LEAST: Final = 1e-9
"""No probability counts as less."""


class CellReading(NamedTuple):
    """What is in a cell.

    Attributes:
        answer: the best labels, whatever the thresholds; None for a blank cell.
        blank: the probability in [0, 1] that nothing is written.
        ink: the longer side of the ink, as a share of the cell's.
    """

    answer: Prediction | None
    blank: float
    ink: float


def read_cells(
    reader: Recognizer,
    cells: Sequence[Grey],
    rule: AnswerRule,
    *,
    margin: float = 0.0,
    capitals: Sequence[Collection[str] | None] | None = None,
    again: Sequence[Grey] | None = None,
) -> list[CellReading]:
    """Read pictures of cells, with a little around them.

    Args:
        reader: the model.
        cells: uint8 [H, W] each; of one shape they share the networks' runs.
        rule: charset and number of candidates; its thresholds do not count.
        margin: what is shown around each cell, in shares of the picture's width: the lines lie there.
        capitals: of each cell, the labels that it may have where small letters are none of them, else None:
            see `kalamos.capital_shapes`.
        again: other pictures of the same cells: the labels that are seen in either count alike. What is blank
            is told by the first.

    >>> from kalamos.recognizer import load
    >>> from kalamos.predict_options import PredictOptions
    >>> reader = load("digits")
    >>> cell = np.full((64, 64), 230, np.uint8)
    >>> _ = cv2.rectangle(cell, (6, 6), (57, 57), 60, 2)
    >>> one = cv2.line(cell.copy(), (34, 16), (31, 48), 40, 4)
    >>> empty, full = read_cells(reader, [cell, one], reader.answer_rule(PredictOptions()))
    >>> empty.answer, empty.blank, full.answer.label
    (None, 0.999, '1')
    """
    read: list[CellReading] = []
    for start in range(0, len(cells), CHUNK):
        inks = inks_of(cells[start : start + CHUNK], margin)
        images = {place: ink.image for place, ink in enumerate(inks) if ink is not None}
        if again is None:
            inference = reader.infer_ink([*images.values()], rule.class_mask)
        else:
            others = inks_of(again[start : start + CHUNK], margin)
            inference = _seen_twice(reader, inks, others, rule)
        if capitals is not None:
            places = np.array([*images], np.int64)[inference.rows].tolist()
            asked = [capitals[start + place] for place in places]
            inference = bars_as_capitals(inference, [images[place] for place in places], rule.labels, asked)
        read += readings_of(inks, inference, rule)
    return read


def _seen_twice(
    reader: Recognizer, inks: Sequence[Ink | None], others: Sequence[Ink | None], rule: AnswerRule
) -> Inference:
    """Ask about the ink of N cells, and about that of other pictures of them."""
    pairs = [(ink, other or ink) for ink, other in zip(inks, others, strict=True) if ink is not None]
    first, second = (
        reader.infer_ink([ink.soft_image for ink in look], rule.class_mask)
        for look in (zip(*pairs, strict=True) if pairs else ((), ()))
    )
    return averaged(first, second)


def averaged(first: Inference, second: Inference) -> Inference:
    """Average two looks at the same cells: their log-probabilities, and the other probabilities.

    What the second could not read stays as it was at the first.
    """
    _, mine, others = np.intersect1d(first.rows, second.rows, return_indices=True)
    logs = np.log(np.maximum(first.probabilities, LEAST))
    logs[mine] = (logs[mine] + np.log(np.maximum(second.probabilities[others], LEAST))) / 2
    shares, known, removed = np.exp(logs), first.known, first.removed
    if removed is not None and second.removed is not None:
        removed = removed.copy()
        removed[mine] = (removed[mine] + second.removed[others]) / 2
    if known is not None and second.known is not None:
        known = known.copy()
        known[mine] = (known[mine] + second.known[others]) / 2
    shares /= shares.sum(axis=1, keepdims=True)
    return first._replace(probabilities=shares, known=known, removed=removed)


def inks_of(cells: Sequence[Grey], margin: float, *, photographed: bool = False) -> list[Ink | None]:
    """Find the ink of cells; None where there is none. See `read_cells`.

    Args:
        photographed: whether lines may bow into their cell, and print may be so faint that only the model can
            tell it from nothing.
    """
    found = zip(find_ink(cells), cells, strict=True)
    maps = [without_frame(ink_map, cell.shape, margin) for ink_map, cell in found]
    levels = MIN_CONTRAST_LEVELS
    if photographed:
        shapes = zip(maps, cells, strict=True)
        maps = [without_bowed_lines(ink_map, cell.shape, margin) for ink_map, cell in shapes]
        levels = FAINTEST_LEVELS
    return [
        ink_of(cell, ink_map, margin + RIM_FRACTION, levels)
        for cell, ink_map in zip(cells, maps, strict=True)
    ]


def readings_of(
    inks: Sequence[Ink | None], inference: Inference, rule: AnswerRule, blanks: Sequence[float] | None = None
) -> list[CellReading]:
    """Tell what is in cells from their ink and what the model says to it.

    Args:
        inks: of each cell.
        inference: the answers to those that are not None.
        rule: charset and number of candidates; its thresholds do not count.
        blanks: see `blanks_of`, which tells by default.
    """
    rule = rule._replace(threshold=0.0, known_threshold=0.0)
    read = [CellReading(None, BLANK, 0.0)] * len(inks)
    inked = {row: ink for row, ink in enumerate(inks) if ink is not None}
    blanks = blanks_of([*inked.values()], inference) if blanks is None else blanks
    rows = [*inked]
    answers = predictions_of(inference, [None] * len(inference.rows), rule)
    for place, blank, answer in zip(inference.rows.tolist(), blanks, answers, strict=True):
        if blank < BLANK:
            read[rows[place]] = CellReading(answer, blank, inked[rows[place]].longer)
    return read


def blanks_of(inks: Sequence[Ink], inference: Inference, *, proven: float = math.inf) -> list[float]:
    """Tell how likely cells are blank though there is ink: it may be the paper's own, a stain, dust.

    Args:
        inks: N inks.
        inference: the model's answers to those, of N, that it could read.
        proven: contrast from which on no ink is taken for the paper's own.

    Returns:
        Of each that could be read `INKED`, `MAYBE_BLANK` or `BLANK`.
    """
    if not inks:
        return []
    usual = float(np.quantile([ink.contrast for ink in inks], USUAL_QUANTILE))
    nothing: Sequence[float | None] = [None] * len(inference.rows)
    chances = nothing if inference.known is None else inference.known.tolist()
    blanks = []
    for row, known in zip(inference.rows.tolist(), chances, strict=True):
        ink = inks[row]
        share = ink.contrast / usual if ink.contrast < proven else math.inf
        faint = share < FAINTEST_FRACTION or ink.contrast < MIN_CONTRAST_LEVELS
        lone = math.isfinite(proven) and ink.contrast < LONE_FRACTION * proven
        if faint and (known or 0.0) < (KNOWN_LONE if lone else KNOWN_FAINTEST):
            blanks.append(BLANK)
        else:
            stain = share < FAINT_FRACTION and known is not None and known < KNOWN_FAINT
            blanks.append(MAYBE_BLANK if ink.stray or stain else INKED)
    return blanks


class Ink(NamedTuple):
    """A cell's ink.

    Attributes:
        strokes: contrast to the paper, float32 [h, w], in grey levels.
        mask: where strokes are, uint8 [h, w].
        contrast: the mean on the strokes.
        longer: its longer side, as a share of the cell's.
        stray: whether it may be dust, or left of a line or a neighbour.
    """

    strokes: NDArray[np.float32]
    mask: Grey
    contrast: float
    longer: float
    stray: bool

    @property
    def image(self) -> Grey:
        """What the model reads: uint8 [h, w], bright on black."""
        return sharpened(self.strokes, self.mask)

    @property
    def soft_image(self) -> Grey:
        """The same less sharpened, which keeps an 8 of blurred print from running full."""
        return sharpened(self.strokes, self.mask, SOFT)


def ink_of(
    cell: Grey, found: InkMap, rim: float = RIM_FRACTION, levels: float = MIN_CONTRAST_LEVELS
) -> Ink | None:
    """Take a cell's ink from its grey levels, where the finder saw some; None without any.

    Ink differs from the paper by at least so many levels. See `kalamos.pages.ink_map.PageInk.strokes`.
    """
    extent = _extent(found, cell.shape, rim)
    if extent is None:
        return None
    view, shape = found.view, found.mask.shape
    part = cell[view.top : view.bottom, view.left : view.right].astype(np.float32)
    if part.shape != shape:
        method = cv2.INTER_AREA if part.shape[0] > shape[0] else cv2.INTER_CUBIC
        part = cv2.resize(part, (shape[1], shape[0]), interpolation=method)  # type: ignore[assignment]
    inked, free = found.mask > 0, found.mask == 0
    sign = np.float32(1 if float(np.median(part[free] if free.any() else part)) >= part[inked].mean() else -1)
    # What is thinner than a stroke may be is filled: box lines too, which are no paper.
    filled = cv2.morphologyEx(sign * part, cv2.MORPH_CLOSE, np.ones((STROKE_PX, STROKE_PX), np.uint8))
    ink = cv2.GaussianBlur(filled, (0, 0), STROKE_PX / 2) - sign * part
    if free.any():
        ink -= float(np.median(ink[free]))  # closing takes the grain's bright side
    contrast = float(ink[inked].mean())
    fine = part - cv2.GaussianBlur(part, (0, 0), 1.0)
    grain = float(np.median(np.abs(fine))) / 0.6745
    if contrast < max(levels, MIN_CONTRAST_GRAIN * grain):
        return None
    return Ink(ink, found.mask, contrast, *extent)


def without_frame(found: InkMap, shape: tuple[int, ...], margin: float) -> InkMap:
    """Take lines from an ink map that the finder took for strokes: those along where a cell's lines must be.

    Args:
        found: the map.
        shape: of the cell's picture.
        margin: see `read_cells`.
    """
    mask, view = found.mask, found.view
    if not cv2.countNonZero(mask):
        return found
    down, across = mask.shape[0] / (view.bottom - view.top), mask.shape[1] / (view.right - view.left)
    around = margin * shape[1]
    width = max(1.0, LINE_FRACTION * (min(shape) - 2 * around))
    cleaned = mask
    for axis, scale, start, length in ((0, down, view.top, shape[0]), (1, across, view.left, shape[1])):
        other, origin, extent = (across, view.left, shape[1]) if axis == 0 else (down, view.top, shape[0])
        ends = [round((place - origin) * other) for place in (around, extent - around)]
        for line in (around, length - around):
            low, high = (round((line + side - start) * scale) for side in (-width, width))
            if high < 0 or low >= mask.shape[axis]:
                continue
            band = slice(max(0, low), high + 1)
            run = slice(max(0, ends[0]), max(0, ends[1]))
            piece = mask[band, run] if axis == 0 else mask[run, band]
            if piece.size and (piece.any(axis=axis)).mean() >= FRAMED_FRACTION:
                cleaned = cleaned.copy() if cleaned is mask else cleaned
                if axis == 0:
                    cleaned[band] = 0
                else:
                    cleaned[:, band] = 0
    cleaned = _without_lines_beside(cleaned, found, shape, around, width)
    return found if cleaned is mask else found._replace(mask=cleaned)


def _without_lines_beside(
    mask: Grey, found: InkMap, shape: tuple[int, ...], around: float, width: float
) -> Grey:
    """Take the lines of other cells from a mask: parts as long as a cell that lie beyond this one's line."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask)
    beside = []
    for part in range(1, count):
        left, top, right, bottom = _seen_at(found, stats[part, :4].tolist())
        off_x = right <= around + width or left >= shape[1] - around - width
        off_y = bottom <= around + width or top >= shape[0] - around - width
        if (off_x and bottom - top >= NEIGHBOUR_FRACTION * (shape[0] - 2 * around)) or (
            off_y and right - left >= NEIGHBOUR_FRACTION * (shape[1] - 2 * around)
        ):
            beside.append(part)
    if not beside:
        return mask
    cleaned = mask.copy()
    cleaned[np.isin(labels, beside)] = 0
    return cleaned


def without_bowed_lines(found: InkMap, shape: tuple[int, ...], margin: float) -> InkMap:
    """Take lines of a page that is not flat from an ink map: near to where they must be, and not straight.

    Args:
        found: the map.
        shape: of the cell's picture.
        margin: see `read_cells`.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(found.mask)
    bowed = [part for part in range(1, count) if _is_bowed(_seen_at(found, stats[part, :4]), shape, margin)]
    if not bowed:
        return found
    return found._replace(mask=np.where(np.isin(labels, bowed), 0, found.mask).astype(np.uint8))


def _is_bowed(box: tuple[float, float, float, float], shape: tuple[int, ...], margin: float) -> bool:
    around = margin * shape[1]
    left, top, right, bottom = (edge - around for edge in box)
    width, height = shape[1] - 2 * around, shape[0] - 2 * around
    if right - left >= max(BOWED_FRACTION * width, BOWED_ASPECT * (bottom - top)):
        ends = left <= BOWED_END * width or right >= (1 - BOWED_END) * width
        return min(bottom / height, 1 - top / height) <= (BOWED_REACH if ends else BOWED_BESIDE)
    # Many characters have an upright; a line runs all the way.
    through = top <= BOWED_END * height and bottom >= (1 - BOWED_END) * height
    beside = min(right / width, 1 - left / width) <= BOWED_REACH
    return through and beside and bottom - top >= BOWED_ASPECT * (right - left)


def _seen_at(found: InkMap, box: Iterable[int]) -> tuple[float, float, float, float]:
    """Return left, top, right and bottom, px of the picture, of a box [x, y, width, height] on a map."""
    rows, columns = found.mask.shape
    view = found.view
    down, across = (view.bottom - view.top) / rows, (view.right - view.left) / columns
    x, y, wide, high = box
    left, top = view.left + x * across, view.top + y * down
    return left, top, left + wide * across, top + high * down


def _extent(found: InkMap, shape: tuple[int, ...], rim: float) -> tuple[float, bool] | None:
    """How large the ink is, as a share of the cell's side, and whether it may be none; None without ink."""
    if not cv2.countNonZero(found.mask):
        return None
    side, (height, width) = min(shape), shape[:2]
    within = rim * side
    count, _, stats, _ = cv2.connectedComponentsWithStats(found.mask)
    parts = [_seen_at(found, stats[part, :4].tolist()) for part in range(1, count)]
    # Each part by itself: two neighbours' lines are as far apart as a character is wide.
    at_rim = all(
        right <= within or left >= width - within or bottom <= within or top >= height - within
        for left, top, right, bottom in parts
    )
    lefts, tops, rights, bottoms = zip(*parts, strict=True)
    longer = max(max(rights) - min(lefts), max(bottoms) - min(tops)) / side
    return longer, longer < MAX_SPECK_FRACTION or at_rim
