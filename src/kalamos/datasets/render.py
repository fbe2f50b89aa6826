"""Render a dataset from fonts: one folder per class, and a manifest that names the font of each image.

Each glyph is varied as a hand varies it: size, slant, rotation, stroke width, and a slight bend.
Needs `pip install 'kalamos[fonts]'`.
"""

from __future__ import annotations

import csv
import io
import os
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_DIGITS, Alphabet
from kalamos.datasets.dataset import SkippedFile
from kalamos.datasets.fonts import (
    FontFamily,
    FontFile,
    GlyphForm,
    ListedFont,
    find_families,
    glyph_forms,
    read_list,
    require_fonts,
    side_of,
)
from kalamos.datasets.local import folder_of
from kalamos.datasets.named.arabic_digits import MAX_DOT_HOLE_FRACTION
from kalamos.errors import DatasetError, OutputError
from kalamos.utils.atomic_write import temporary_folder

__all__ = [
    "GLYPH_IMAGE_SIDE_PX",
    "FontFamily",
    "ListedFont",
    "RenderedDataset",
    "find_families",
    "read_list",
    "render_dataset",
    "side_of",
    "vary_glyph",
]

GLYPH_IMAGE_SIDE_PX: Final = 64
"""Side of the rendered images."""

INK_SIDE_FRACTION: Final = (0.62, 0.88)
"""The longer side of the ink, as a share of `GLYPH_IMAGE_SIDE_PX`."""

MAX_ROTATION_DEGREES: Final = 8.0
"""Either way. More is left to the augmentation of a training."""

MAX_SLANT: Final = 0.2
MAX_LOG_STRETCH: Final = 0.12
STROKE_RADIUS_CHANGE_PX: Final = (-1.5, 2.5)
"""Change of the pen's radius, for glyphs drawn 128 px to the em."""

BEND_STD_FRACTION: Final = 0.025
"""Standard deviation of the bend, as a share of the longer side."""

MIN_INK_LEFT_FRACTION: Final = 0.5
"""A thinner pen that leaves less of the ink than this has cut a hairline, and is not used."""


def vary_glyph(glyph: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return a random variation of a glyph, as the same hand would write it another time.

    Args:
        glyph: white on black, uint8 [H, W], cut to its ink.
        rng: source of randomness; the same state gives the same image.

    Returns:
        uint8 [64, 64], white on black, all the ink inside.

    >>> bar = np.full((90, 12), 255, np.uint8)
    >>> image = vary_glyph(bar, np.random.default_rng(0))
    >>> image.shape, bool(image[0].any()), bool(image[32].any())
    ((64, 64), False, True)
    """
    margin = max(glyph.shape) // 3 + 4
    page = _change_stroke(np.pad(glyph, margin), rng.uniform(*STROKE_RADIUS_CHANGE_PX))
    page = _deform(page, rng, max(glyph.shape))
    return _place(page, rng)


def _change_stroke(page: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    side = 2 * round(abs(radius)) + 1
    if side == 1:
        return page
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    changed = (cv2.dilate if radius > 0 else cv2.erode)(page, kernel)
    return np.asarray(changed if changed.sum() >= MIN_INK_LEFT_FRACTION * page.sum() else page, np.uint8)


def _deform(page: NDArray[np.uint8], rng: np.random.Generator, longer: int) -> NDArray[np.uint8]:
    """Apply the affine map and the bend in one resampling, about the centre."""
    height, width = page.shape
    turn = np.deg2rad(rng.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
    slant = rng.uniform(-MAX_SLANT, MAX_SLANT)
    stretch = np.exp(rng.uniform(-MAX_LOG_STRETCH, MAX_LOG_STRETCH))
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[stretch, slant], [0, 1 / stretch]])
    # Three by three knots bend a stroke; more would make it tremble.
    knots = rng.normal(0, BEND_STD_FRACTION * longer, (2, 3, 3)).astype(np.float32)
    bend = [cv2.resize(knot, (width, height), interpolation=cv2.INTER_CUBIC) for knot in knots]
    x, y = np.meshgrid(np.arange(width) - (width - 1) / 2, np.arange(height) - (height - 1) / 2)
    from_x = matrix[0, 0] * x + matrix[0, 1] * y + (width - 1) / 2 + bend[0]
    from_y = matrix[1, 0] * x + matrix[1, 1] * y + (height - 1) / 2 + bend[1]
    moved = cv2.remap(page, from_x.astype(np.float32), from_y.astype(np.float32), cv2.INTER_LINEAR)
    return np.asarray(moved, np.uint8)


def _place(page: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Crop to the ink, resize, and place near the middle."""
    rows, columns = np.flatnonzero(page.any(axis=1)), np.flatnonzero(page.any(axis=0))
    ink = page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    scale = rng.uniform(*INK_SIDE_FRACTION) * GLYPH_IMAGE_SIDE_PX / max(ink.shape)
    height, width = (max(1, round(side * scale)) for side in ink.shape)
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    image = np.zeros((GLYPH_IMAGE_SIDE_PX, GLYPH_IMAGE_SIDE_PX), np.uint8)
    top, left = (_jittered_margin(GLYPH_IMAGE_SIDE_PX - side, rng) for side in (height, width))
    image[top : top + height, left : left + width] = small
    return image


def _hole_fraction(glyph: NDArray[np.uint8]) -> float:
    """The share of the ink's area, holes included, that is holes."""
    _, ink = cv2.threshold(glyph, 127, 255, cv2.THRESH_BINARY)
    outlines, _ = cv2.findContours(ink, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    whole = cv2.drawContours(np.zeros_like(ink), outlines, -1, 255, cv2.FILLED)
    return 1 - cv2.countNonZero(ink) / max(cv2.countNonZero(whole), 1)


def _jittered_margin(free: int, rng: np.random.Generator) -> int:
    return round(free * rng.uniform(0.4, 0.6))


@dataclass(frozen=True)
class RenderedDataset:
    """What was rendered from the fonts.

    Attributes:
        manifest: the CSV file with each image's path, label and font, named after the alphabet.
        images: how many were written.
        classes: labels with an image, of the alphabet's.
        families: fonts with an image.
        left_out: characters a font does not have, has no ink for, or draws as it draws the capital; an Arabic
            zero that is an open ring.
        unreadable: font files that are damaged or not fonts.
    """

    manifest: Path
    images: int
    classes: int
    families: int
    left_out: tuple[SkippedFile, ...]
    unreadable: tuple[SkippedFile, ...]


def render_dataset(
    families: Iterable[FontFamily],
    alphabet: Alphabet,
    folder: Path,
    *,
    per_glyph: int = 4,
    seed: int = 0,
) -> RenderedDataset:
    """Draw every label of an alphabet in every font, as a folder with one sub-folder per class.

    The images are PNG, white on black, 64 x 64 px: `LABEL/FAMILY-uCODE-N.png`. Beside them a manifest,
    `ALPHABET.csv`, names the font of each image as its group, so that a split can keep a font on one side.
    The folder appears whole or not at all. An image depends on the seed, the family and the character alone,
    not on what else is drawn.

    Args:
        families: see `find_families`; the files of a family take turns.
        alphabet: a merged label ("C" of latin-47) is drawn in both cases, an Arabic letter in all its forms,
            an Arabic digit in its Persian form too.
        folder: where to write; missing parents are created.
        per_glyph: images of each character (case, form) in each family.
        seed: random seed of the variations.

    Raises:
        MissingExtraError: `kalamos[fonts]` is not installed.
        OutputError: the folder is there already or cannot be written.
        DatasetError: fewer than two labels could be drawn.
    """
    require_fonts()
    if os.path.lexists(folder):
        raise OutputError(f"{folder} already exists", remedy="choose another folder, or move it away")
    try:
        with temporary_folder(folder) as writing:
            done = _DatasetWriter(alphabet, writing, per_glyph, seed)
            for family in families:
                done.add(family)
            rendered = done.finish(folder)
            writing.rename(folder)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{folder}: cannot be written ({reason})", remedy="choose another folder"
        ) from error
    return rendered


class _DatasetWriter:
    def __init__(self, alphabet: Alphabet, folder: Path, per_glyph: int, seed: int) -> None:
        self._alphabet, self._folder, self._per_glyph, self._seed = alphabet, folder, per_glyph, seed
        self._drawings = [
            (label, drawing) for label in alphabet.labels for drawing in glyph_forms(alphabet, label)
        ]
        self._rows: list[tuple[str, str, str]] = []
        self._left_out: list[SkippedFile] = []
        self._unreadable: list[SkippedFile] = []

    def add(self, family: FontFamily) -> None:
        fonts = []
        for path in family.files:
            try:
                fonts.append(FontFile(path))
            except DatasetError as error:
                self._unreadable.append(SkippedFile(f"{family.name}/{path.name}", error.problem))
        absent: list[GlyphForm] = []
        repeated: list[GlyphForm] = []
        rings: list[GlyphForm] = []
        for label, drawing in self._drawings:
            drawn = [(font, glyph) for font in fonts if (glyph := font.draw(drawing)) is not None]
            dots = [(font, glyph) for font, glyph in drawn if not self._is_five(label, glyph)]
            glyphs = [glyph for font, glyph in dots if not self._is_capital(drawing, font, glyph)]
            if glyphs:
                self._write(family, label, drawing, glyphs)
            else:
                (repeated if dots else rings if drawn else absent).append(drawing)
        if fonts and len(absent) == len(self._drawings):
            self._left_out.append(SkippedFile(family.name, f"has no character of {self._alphabet.name!r}"))
        elif fonts:
            self._note(family, "has no", absent)
            self._note(family, "draws as their capitals:", repeated)
            self._note(family, "draws as a ring, which is ٥ once it is as large:", rings)

    def finish(self, folder: Path) -> RenderedDataset:
        count = len({label for _, label, _ in self._rows})
        if count < 2:
            hint = next(iter(self._unreadable), None) or next(iter(self._left_out), None)
            first = f" (the first: {hint})" if hint else ""
            raise DatasetError(
                f"{count} labels of {self._alphabet.name!r} could be drawn, where two are needed{first}",
                remedy="choose fonts that have its characters",
            )
        table = io.StringIO(newline="")
        csv.writer(table, lineterminator="\n").writerows([("path", "label", "group"), *self._rows])
        # A dataset is named as its file, and by that name an alphabet knows which labels are merged.
        manifest = f"{self._alphabet.name}.csv"
        (self._folder / manifest).write_bytes(table.getvalue().encode())
        return RenderedDataset(
            folder / manifest,
            len(self._rows),
            count,
            len({group for _, _, group in self._rows}),
            tuple(self._left_out),
            tuple(self._unreadable),
        )

    def _is_five(self, label: str, glyph: NDArray[np.uint8]) -> bool:
        """Whether an Arabic zero is drawn as an open ring: only its size tells it from a five."""
        return label == ARABIC_DIGITS.labels[0] and _hole_fraction(glyph) > MAX_DOT_HOLE_FRACTION

    def _is_capital(self, drawing: GlyphForm, font: FontFile, glyph: NDArray[np.uint8]) -> bool:
        """Whether a small letter is drawn as its capital: it would teach its class the other's shape."""
        capital = drawing.character.upper()
        if capital in {drawing.character, *self._alphabet.merged} or capital not in self._alphabet:
            return False
        large = font.draw(GlyphForm(capital, capital))
        return large is not None and np.array_equal(glyph, large)

    def _write(
        self, family: FontFamily, label: str, drawing: GlyphForm, glyphs: list[NDArray[np.uint8]]
    ) -> None:
        # A folder's name need not be valid text, but a manifest must be.
        group = family.name.encode("utf-8", "backslashreplace").decode().replace("\\udc", "%")
        name = f"{group}-{drawing.key}"
        rng = np.random.default_rng([self._seed, zlib.crc32(name.encode())])
        class_folder = self._folder / folder_of(label)
        class_folder.mkdir(exist_ok=True)
        for number in range(self._per_glyph):
            image = vary_glyph(glyphs[number % len(glyphs)], rng)
            path = class_folder / f"{name}-{number}.png"
            path.write_bytes(cv2.imencode(".png", image)[1].tobytes())
            self._rows.append((path.relative_to(self._folder).as_posix(), label, group))

    def _note(self, family: FontFamily, what: str, left: list[GlyphForm]) -> None:
        if left:
            characters = dict.fromkeys(drawing.character for drawing in left)
            self._left_out.append(SkippedFile(family.name, f"{what} {' '.join(characters)}"))
