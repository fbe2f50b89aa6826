"""Whose digits are drawn: images of hands, pens of UNIPEN's writers, glyphs of fonts; and signs between."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import load_dataset, stratified_split
from kalamos.datasets.named import data_dir
from kalamos.datasets.named.unipen import UNIPEN
from kalamos.datasets.strokes import StrokeSet, draw_line, read_strokes
from kalamos.errors import DatasetError
from kalamos.learn.synthetic_photos.render import FIELD_INK_PIXELS, Floats, trace

__all__ = ["DIGITS", "SIGNS", "Drawn", "Hand", "ImageHand", "Pen", "StrokeHands", "draw_sign", "image_hand"]

DIGITS: Final = "0123456789"
SIGNS: Final = ".,-/:"

VALIDATION_FRACTION, VALIDATION_SEED = 0.05, 42
"""Of MNIST's training images: the part that `recipes/digits.toml` keeps for validation is not learnt from."""

HELD_OUT_WRITERS: Final = 7
"""One in so many of UNIPEN's writers is kept for validation."""

MIN_CHARACTERS: Final = 40
"""Digits that a writer of UNIPEN has at least: others are too few for a line of one hand."""

WIDTH_FACTORS: Final = 0.45, 1.6
"""Times its own width: how thin or wide a stroke of an image is drawn."""

MAX_SIDEWAYS: Final = 1.2
"""Width over height: a digit that is wider lies on its side, or is none."""


class Pen(NamedTuple):
    """What a line is written with.

    Attributes:
        width: of the line, in px.
        rhythm: how much of the hand's own thick and thin stays, in [0, 1].
    """

    width: float
    rhythm: float


class Drawn(NamedTuple):
    """A character: its cover, float32 [h, w] in [0, 1], close around; `rise` px above the base line."""

    cover: Floats
    rise: float = 0.0


class Hand(Protocol):
    """Draws digits as one writer, or as many."""

    def draw(self, digit: str, height: float, pen: Pen, turn: float, generator: np.random.Generator) -> Drawn:
        """Draw a digit: `height` px for its longer side, turned clockwise by so many degrees."""
        ...


class ImageHand:
    """Images of digits, each of them traced and drawn anew.

    Args:
        images: of each digit, uint8 [h, w], bright on black.
    """

    def __init__(self, images: dict[str, list[NDArray[np.uint8]]]) -> None:
        self._images = images

    def draw(self, digit: str, height: float, pen: Pen, turn: float, generator: np.random.Generator) -> Drawn:
        """See `Hand`."""
        pool = self._images[digit]
        while True:
            strokes = trace(pool[int(generator.integers(len(pool)))])
            if strokes is not None and strokes.width <= MAX_SIDEWAYS * strokes.height:
                break
        scale = height / FIELD_INK_PIXELS
        low, high = WIDTH_FACTORS
        half = strokes.typical * min(max(pen.width / (2 * scale * strokes.typical), low), high)
        rhythm = half * pen.rhythm / strokes.typical
        field = strokes.depth + (rhythm - 1) * strokes.radius + (half - rhythm * strokes.typical)
        side = math.ceil(max(strokes.depth.shape) * scale * 1.1) + 2
        middle = (field.shape[1] - 1) / 2, (field.shape[0] - 1) / 2
        there = cv2.getRotationMatrix2D(middle, -turn, scale)
        there[:, 2] += (side - 1) / 2 - np.array(middle)
        depth = cv2.warpAffine(field, there, (side, side), flags=cv2.INTER_LINEAR, borderValue=-9.0)
        return Drawn(_close_around(np.clip(depth * np.float32(scale) + np.float32(0.5), 0, 1)))


class StrokeHands:
    """The digits of pens that moved, by writer.

    Args:
        strokes: of which digits are taken.
        held_out: take the writers that are kept for validation, and no others.

    Raises:
        DatasetError: no writer has enough of all digits.
    """

    def __init__(self, strokes: StrokeSet, *, held_out: bool = False) -> None:
        self._strokes = strokes
        labels = np.array(strokes.labels)
        writers: list[dict[str, NDArray[np.int64]]] = []
        kept = (strokes.writers % HELD_OUT_WRITERS == 0) == held_out
        for writer in np.unique(strokes.writers[kept]).tolist():
            own = strokes.writers == writer
            rows = {digit: np.flatnonzero(own & (labels == digit)) for digit in DIGITS}
            counts = [len(each) for each in rows.values()]
            if min(counts) and sum(counts) >= MIN_CHARACTERS:
                writers.append(rows)
        if not writers:
            raise DatasetError("no writer has enough of all digits", remedy="use the dataset unipen")
        self._writers = writers

    def someone(self, generator: np.random.Generator) -> Hand:
        """Return one writer's hand."""
        return _StrokeHand(self._strokes, self._writers[int(generator.integers(len(self._writers)))])


class _StrokeHand(NamedTuple):
    strokes: StrokeSet
    rows: dict[str, NDArray[np.int64]]

    def draw(self, digit: str, height: float, pen: Pen, turn: float, generator: np.random.Generator) -> Drawn:
        """See `Hand`."""
        for _ in range(8):
            row = int(self.rows[digit][generator.integers(len(self.rows[digit]))])
            # Twice as large and reduced: lines are of whole px.
            image = self.strokes.draw(
                row, side=max(2 * (height - pen.width), 8.0), width=max(2 * pen.width, 1.0)
            )
            if image.shape[1] <= MAX_SIDEWAYS * image.shape[0]:
                break
        side = math.ceil(1.2 * max(image.shape) / 2) + 2
        middle = (image.shape[1] - 1) / 2, (image.shape[0] - 1) / 2
        there = cv2.getRotationMatrix2D(middle, -turn, 0.5)
        there[:, 2] += (side - 1) / 2 - np.array(middle)
        soft = cv2.blur(image, (2, 2)).astype(np.float32) / np.float32(255)
        reduced = cv2.warpAffine(soft, there, (side, side), flags=cv2.INTER_LINEAR)
        return Drawn(_close_around(np.asarray(reduced, np.float32)))


def image_hand(dataset: str, data: Path | None, *, held_out: bool | None = None) -> ImageHand:
    """Take the training images of a dataset of digits.

    Args:
        dataset: a name, or a folder of drawn digits.
        data: where named datasets lie.
        held_out: take the part that is kept for validation, or all but that; None takes all.

    Raises:
        DatasetError: it is absent, or lacks a digit.
    """
    split = load_dataset(dataset, data_dir=data).train
    rows = np.arange(len(split))
    if held_out is not None:
        rows = stratified_split(split.labels, VALIDATION_FRACTION, VALIDATION_SEED)[int(held_out)]
    images: dict[str, list[NDArray[np.uint8]]] = {digit: [] for digit in DIGITS}
    for row in rows.tolist():
        images[DIGITS[split.labels[row]]].append(split.images[row])
    if not all(images.values()):
        raise DatasetError(f"{dataset}: a digit has no image")
    return ImageHand(images)


def unipen_strokes(data: Path | None) -> StrokeSet:
    """Read the strokes of the dataset unipen.

    Raises:
        DatasetError: it is absent.
    """
    return read_strokes(UNIPEN.find(data_dir(data))[0])


def draw_sign(sign: str, height: float, pen: Pen, generator: np.random.Generator) -> Drawn:
    """Draw a point, comma, minus, slash or colon as it stands beside digits of a height."""
    side = math.ceil(2 * height) + 4
    image = np.zeros((side, side), np.uint8)
    x, y = side / 2, side / 2
    between = generator.uniform

    def stroke(*points: tuple[float, float]) -> None:
        draw_line(image, np.array(points) * height + (x, y), max(pen.width, 1.0))

    def point(up: float) -> None:
        reach = pen.width / height * between(0.1, 0.7)
        stroke((0, -up), (between(-1, 1) * reach, -up + between(0.2, 1) * reach))

    if sign == ".":
        point(0.0)
        rise = between(-0.08, 0.08)
    elif sign == ":":
        point(0.0)
        point(between(0.3, 0.65))
        rise = between(0.0, 0.25)
    elif sign == ",":
        reach = between(0.15, 0.34)
        stroke((0.02, 0), (0.0, 0.5 * reach), (-between(0.1, 0.8) * reach, reach))
        rise = -reach * between(0.3, 1.0)
    elif sign == "-":
        stroke((0, 0), (between(0.28, 0.65), between(-0.07, 0.07)))
        rise = between(0.3, 0.6)
    else:
        stroke((between(0.2, 0.6), 0), (0, between(0.95, 1.4)))
        rise = -between(0.0, 0.25)
    return Drawn(_close_around(image.astype(np.float32) / np.float32(255)), rise * height)


def _close_around(cover: Floats) -> Floats:
    x, y, width, height = cv2.boundingRect((cover > 0.1).astype(np.uint8))
    if not width:
        return np.ones((1, 1), np.float32)
    return np.ascontiguousarray(cover[y : y + height, x : x + width])
