"""The characters that scenes are drawn of: strokes of pens, hands of datasets, glyphs of fonts, scribbles.

Each becomes a field (`synthetic_photos.Strokes`), from which any pen draws at any size.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import load_dataset
from kalamos.datasets.fonts import FontFile, GlyphForm, find_families
from kalamos.datasets.strokes import StrokeSet, draw_line
from kalamos.errors import DatasetError
from kalamos.learn.synthetic_photos.render import FIELD_INK_PIXELS, Strokes, trace

__all__ = ["GlyphPool", "draw_bars", "draw_scribble", "font_glyphs", "hand_glyphs", "stroke_glyphs"]

Source = Callable[[np.random.Generator], NDArray[np.uint8]]
"""Draws one character, uint8 [H, W], bright on black."""

PEN_FRACTIONS: Final = 0.045, 0.28
"""Widths of the pen that draws strokes, as shares of the character's longer side."""

CHARACTERS_PER_FONT: Final = 60
"""At most so many characters of a font are drawn; most fonts here are of one script."""

SCRIBBLE_TURNS: Final = 2, 7
"""Points that a scribble's curve passes."""


class GlyphPool:
    """Stroke fields of many characters, at hand.

    Args:
        sources: a name to a way of drawing a character.
        shares: how many of the pool each source draws, as shares of all.
        count: the pool's size.
        seed: makes it reproducible.

    Raises:
        DatasetError: a share without a source.
    """

    def __init__(
        self, sources: Mapping[str, Source], shares: Mapping[str, float], *, count: int, seed: int
    ) -> None:
        unknown = set(shares) - set(sources)
        if unknown:
            raise DatasetError(f"no glyphs are drawn by {min(unknown)!r}")
        names, total = list(shares), sum(shares.values())
        chosen = np.random.default_rng(seed).choice(
            len(names), count, p=[shares[name] / total for name in names]
        )
        self._fields: list[tuple[NDArray[np.float16], NDArray[np.float16], float, float, float]] = []
        for row, which in enumerate(chosen.tolist()):
            strokes = trace(sources[names[which]](np.random.default_rng((seed, row))))
            if strokes is not None:
                self._fields.append(
                    (
                        strokes.depth.astype(np.float16),
                        strokes.radius.astype(np.float16),
                        strokes.typical,
                        strokes.height,
                        strokes.width,
                    )
                )

    def __len__(self) -> int:
        return len(self._fields)

    def sample(self, generator: np.random.Generator) -> Strokes:
        """Return the strokes of a random character."""
        depth, radius, typical, height, width = self._fields[int(generator.integers(len(self._fields)))]
        return Strokes(depth.astype(np.float32), radius.astype(np.float32), typical, height, width)


def stroke_glyphs(strokes: StrokeSet, rows: NDArray[np.int64]) -> Source:
    """Draw the characters at `rows` with a round pen."""

    def draw(generator: np.random.Generator) -> NDArray[np.uint8]:
        row = int(rows[generator.integers(len(rows))])
        width = _pen(generator) * FIELD_INK_PIXELS
        return strokes.draw(row, side=FIELD_INK_PIXELS, width=width)

    return draw


def hand_glyphs(datasets: Mapping[str, bool], data_dir: Path | None) -> Source:
    """Take training images of named datasets; the mapping says of which the ink is dark."""
    splits = [
        (load_dataset(name, data_dir=data_dir).train.images, dark) for name, dark in sorted(datasets.items())
    ]

    def draw(generator: np.random.Generator) -> NDArray[np.uint8]:
        images, dark = splits[int(generator.integers(len(splits)))]
        image = images[int(generator.integers(len(images)))]
        return 255 - image if dark else image

    return draw


def font_glyphs(folder: Path, seed: int) -> Source:
    """Draw letters and digits of all fonts below a folder, whatever their script.

    Raises:
        DatasetError: no font in the folder.
    """
    rng = np.random.default_rng(seed)
    glyphs: list[NDArray[np.uint8]] = []
    for family in find_families(folder):
        for path in family.files:
            try:
                font = FontFile(path)
            except DatasetError:
                continue
            letters = [
                character
                for character in map(chr, sorted(font.code_points))
                if unicodedata.category(character) in {"Ll", "Lu", "Lo", "Nd"}
            ]
            rng.shuffle(letters)
            for letter in letters[:CHARACTERS_PER_FONT]:
                glyph = font.draw(GlyphForm(letter, letter))
                if glyph is not None:
                    glyphs.append(_reduced(glyph))
    if not glyphs:
        raise DatasetError(f"{folder}: no letter in its fonts")
    return lambda generator: glyphs[int(generator.integers(len(glyphs)))]


def _reduced(glyph: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = FIELD_INK_PIXELS / max(glyph.shape)
    shape = tuple(max(1, round(side * scale)) for side in glyph.shape)
    return cv2.resize(glyph, shape[::-1], interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def draw_scribble(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a random curve, a tick or a few strokes, with dots beside them now and then."""
    side = FIELD_INK_PIXELS
    image = np.zeros((side + 16, side + 16), np.uint8)
    width = max(2, round(_pen(generator) * side))
    for _ in range(int(generator.integers(1, 4))):
        corners = generator.uniform(8, side + 8, (int(generator.integers(*SCRIBBLE_TURNS)), 2))
        curve = _smooth(corners) if generator.random() < 0.7 else corners
        draw_line(image, curve, width)
    for _ in range(int(generator.integers(0, 4)) if generator.random() < 0.4 else 0):
        x, y = generator.integers(6, side + 10, 2).tolist()
        cv2.circle(image, (x, y), max(2, round(width * generator.uniform(0.5, 0.8))), 255, cv2.FILLED)
    return image


def draw_bars(generator: np.random.Generator) -> NDArray[np.uint8]:
    """Draw a few straight strokes between the points of a 3 x 3 lattice, as in 1, T, 7, = or +."""
    side, pad = FIELD_INK_PIXELS, 10
    image = np.zeros((side + 2 * pad, side + 2 * pad), np.uint8)
    width = max(2, round(_pen(generator) * side))
    wide, tall = generator.uniform(0.3, 1.0, 2)
    steps = np.array([wide, tall]) * side / 2
    upright = generator.random() < 0.6  # E, F, H, I, L, T: what is most like a printed frame
    last = generator.integers(0, 3, 2)
    for _ in range(int(generator.integers(1, 6))):
        new = generator.integers(0, 3, 2)
        if upright:
            along = int(generator.integers(2))
            new[along] = last[along]
        if (new == last).all():
            continue
        ends = np.stack([last, new]) * steps + pad + generator.normal(0, 0.6, (2, 2))
        draw_line(image, ends, width)
        # Strokes join more often than not.
        last = new if generator.random() < 0.6 else generator.integers(0, 3, 2)
    return image


def _pen(generator: np.random.Generator) -> float:
    """A pen's width as a share of the character's longer side; broad ones are rarer."""
    low, high = PEN_FRACTIONS
    return float(low + (high - low) * generator.random() ** 1.5)


def _smooth(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """A curve near the corners (Chaikin's cutting of corners)."""
    for _ in range(3):
        near, far = 0.75 * corners[:-1] + 0.25 * corners[1:], 0.25 * corners[:-1] + 0.75 * corners[1:]
        corners = np.concatenate([corners[:1], np.stack([near, far], 1).reshape(-1, 2), corners[-1:]])
    return corners
