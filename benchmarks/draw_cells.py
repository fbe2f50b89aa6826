"""Draw digits in ruled cells as a phone out of focus sees them, and keep the ink that is found: a dataset.

Usage: python benchmarks/draw_cells.py FONTS LIST OUTPUT
FONTS is the folder of printed faces that `make fonts` gets, LIST names those to learn from. Newspapers print
bold digits in small cells; photographed, an 8's holes run full, which no other training image shows. Hands of
MNIST's training images stand in a share of the cells. The ink is taken as `kalamos read --layout grid` takes
it. Writes OUTPUT/digits.csv and a folder for each digit, or nothing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from drawn_dataset import write_dataset
from numpy.typing import NDArray

from kalamos.datasets import load_dataset
from kalamos.datasets.fonts import FontFile, GlyphForm, find_families, read_list, select_families
from kalamos.pages.cells import CELL_PX, RIM_FRACTION, ink_of, without_frame
from kalamos.pages.grid import SHOWN_FRACTION
from kalamos.preprocessing.ink import find_ink

Grey = NDArray[np.uint8]

SEED: Final = 42
A_GLYPH: Final = 70
"""Drawings of each digit of each face."""
HANDS: Final = 5_000
"""Images of MNIST's training images."""

FINE: Final = 3
"""Cells are drawn so many times larger than they are looked at, and reduced."""

HEIGHT_FRACTION: Final = (0.36, 0.72)
"""Of the cell's side: how high a digit stands in it."""
WIDTH_FACTOR: Final = (0.7, 1.1)
"""Newspapers print narrow faces."""
BOLD_FRACTION: Final = 0.12
"""Of a glyph's height: how much wider its strokes become at most."""
BLUR_FRACTION: Final = (0.01, 0.125)
"""Standard deviation of the blur, as a share of the digit's height; beyond it nobody can tell an 8."""
MAX_INK_FRACTION: Final = 0.9
"""Of the cell's side: larger ink is the cell's, not a digit's."""
CONTRAST: Final = (0.08, 0.85)
"""Of the paper's level: how much darker the ink is."""
CAMERA_PX: Final = (22, 64)
"""How many pixels of the camera a cell's side has."""


def glyphs(fonts: Path, listed: Path) -> Iterator[tuple[str, str, Grey]]:
    """Yield the printed digits, each `A_GLYPH` times, then the hands: group, label, ink uint8 [H, W]."""
    families, _ = select_families(find_families(fonts), read_list(listed), "train")
    for family in families:
        font = FontFile(family.files[0])
        for label in "0123456789":
            drawn = font.draw(GlyphForm(label, label))
            if drawn is not None:
                yield from [(family.name, label, drawn)] * A_GLYPH
    train = load_dataset("mnist").train
    rows = np.random.default_rng(SEED).choice(len(train), HANDS, replace=False)
    for row in rows.tolist():
        image = np.asarray(train.images[row], np.uint8)
        x, y, width, height = cv2.boundingRect((image > 0).astype(np.uint8))
        yield f"mnist-{row}", str(int(train.labels[row])), image[y : y + height, x : x + width]


def photographed(glyph: Grey, rng: np.random.Generator) -> Grey:
    """Return a cell that holds a glyph, as `read_grid` cuts it out of a photograph: uint8 [64, 64]."""
    side = FINE * CELL_PX
    paper = rng.uniform(120, 245)
    cell = np.full((side, side), paper, np.float32)
    margin = SHOWN_FRACTION * side
    line = paper * rng.uniform(0.1, 0.85)
    for axis in (0, 1):
        for place in (margin, side - margin):
            half = rng.uniform(0.006, 0.03) * side
            band = slice(max(0, round(place + rng.normal(0, 0.01 * side) - half)), round(place + half) + 1)
            cell[(band, slice(None)) if axis == 0 else (slice(None), band)] = line
    if rng.random() < 0.7:
        bold = 2 * round(rng.uniform(0, BOLD_FRACTION / 2) * max(glyph.shape)) + 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (bold, bold))
        glyph = cv2.dilate(np.pad(glyph, bold // 2), kernel)  # type: ignore[assignment]
    height = rng.uniform(*HEIGHT_FRACTION) * side
    scale = height / glyph.shape[0]
    turn, width = np.deg2rad(rng.normal(0, 2.5)), scale * rng.uniform(*WIDTH_FACTOR)
    matrix = np.array(
        [[width * np.cos(turn), -scale * np.sin(turn)], [width * np.sin(turn), scale * np.cos(turn)]]
    )
    centre = side / 2 + rng.normal(0, 0.035 * side, 2)
    shift = centre - matrix @ (np.array(glyph.shape[::-1]) - 1) / 2
    coverage = cv2.warpAffine(glyph, np.column_stack([matrix, shift]), (side, side), flags=cv2.INTER_AREA)
    ink = paper * (1 - rng.uniform(*CONTRAST))
    blur = BLUR_FRACTION[0] + (BLUR_FRACTION[1] - BLUR_FRACTION[0]) * rng.random() ** 0.6
    cell += (ink - paper) * coverage.astype(np.float32) / 255
    cell = cv2.GaussianBlur(cell, (0, 0), max(1.0, blur * height))  # type: ignore[assignment]
    ramp = np.linspace(-1, 1, side, dtype=np.float32) * rng.uniform(-0.06, 0.06)
    cell *= 1 + (ramp if rng.random() < 0.5 else ramp[:, None])
    pixels = int(rng.integers(CAMERA_PX[0], CAMERA_PX[1] + 1))
    small = cv2.resize(cell, (pixels, pixels), interpolation=cv2.INTER_AREA)
    small = np.clip(small + rng.normal(0, rng.uniform(0, 3), small.shape), 0, 255).astype(np.uint8)
    _, encoded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(45, 98))])
    seen = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE)
    return np.asarray(cv2.resize(seen, (CELL_PX, CELL_PX), interpolation=cv2.INTER_LINEAR), np.uint8)


def images(fonts: Path, listed: Path) -> Iterator[tuple[str, str, Grey]]:
    """Yield group, label and the ink that is found of each cell with ink."""
    for number, (group, label, glyph) in enumerate(glyphs(fonts, listed)):
        cell = photographed(glyph, np.random.default_rng((SEED, number)))
        found = without_frame(find_ink([cell])[0], cell.shape, SHOWN_FRACTION)
        ink = ink_of(cell, found, SHOWN_FRACTION + RIM_FRACTION)
        if ink is not None and not ink.stray and ink.longer <= MAX_INK_FRACTION:
            yield group, label, ink.image


if __name__ == "__main__":
    write_dataset(images(Path(sys.argv[1]), Path(sys.argv[2])), Path(sys.argv[3]))
