"""What corruptions are made of: their registry, frames, noise fields, and a character drawn on a page.

A frame holds a character of any dataset in one form, without the preprocessing that is being measured.
Coverage is float32 [side, side] in [0, 1]: how much of each pixel the pen has covered.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, Literal, TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "GLYPH_SIDE",
    "MNIST_C",
    "PAGE_SIDE",
    "PAPER_LEVEL",
    "PEN_LEVEL",
    "PHOTOGRAPH",
    "STRENGTHS",
    "Corruption",
    "Field",
    "Grey",
    "Group",
    "bright_ink",
    "clouds",
    "coordinates",
    "corruption",
    "dark_on_light",
    "draw_glyph",
    "framed",
    "grain",
    "ink_box",
    "photograph_page",
    "registered",
    "strokes",
    "thinned",
]

Grey: TypeAlias = NDArray[np.uint8]
Field: TypeAlias = NDArray[np.floating]
Group: TypeAlias = Literal["MNIST-C", "photograph"]
Amount = TypeVar("Amount")

MNIST_C: Final = "MNIST-C"
"""At the dataset's own size (Mu and Gilmer 2019); strength 2 is about as strong as the paper's single one."""
PHOTOGRAPH: Final = "photograph"
"""The character drawn smoothly and large on a page, as a camera or a scanner sees it."""

STRENGTHS: Final = (1, 2, 3)

NOISE_SHEET_SIDE = 512
"""Side in px of the sheet from which grain is cut."""

MIN_FRAME_SIDE, MAX_FRAME_SIDE = 28, 64
"""Sides (px) of a frame: MNIST's own, and what MNIST-C's kinds can be made on quickly."""

INK_FRACTION = 20 / 28
"""The ink's longer side as a share of the frame's: MNIST's geometry (LeCun et al. 1998)."""

MAX_INK_FRACTION = 0.8
"""Ink up to this share of a square image leaves room to move it: such an image is a frame already."""

MIN_STRETCHED_CONTRAST_LEVELS = 24
"""Contrast below this (grey levels of 255) is not stretched: it would be noise only."""

FULL_INK_LEVEL, MIN_INK_LEVEL = 250, 25
"""Grey levels from which ink needs no stretching, and above which it counts."""

PAGE_SIDE, GLYPH_SIDE = 200, 140
"""Sides in px: of a page, and of a character's longer side on it."""

PAPER_LEVEL, PEN_LEVEL = 228.0, 45.0
"""Grey levels of a well-lit page and of a ball pen."""

ENLARGING_BLUR = 0.55
"""Blur of the enlarged source, as a fraction of one of its pixels."""

MIN_PEN_HALF_WIDTH = 1.5
"""Half the width in px of the finest pen: a dot keeps to the paper however thin the pen."""

EDGE_INK_FRACTION = 0.36
"""Share of full ink at which a pen's edge is drawn: below a half, so that faint strokes stay whole."""

FAINT_INK_FRACTION, MIN_FAINT_INK_FRACTION = 0.6, 0.1
"""A dot of one source pixel reaches no edge once it is blurred. Ink whose level around stays below the share
`FAINT_INK_FRACTION` of full is taken for full, down to the share `MIN_FAINT_INK_FRACTION`."""

INK_LEVEL_WINDOW = 5
"""Source pixels across which the ink's level is measured."""


@dataclass(frozen=True)
class Corruption:
    """One way in which images can differ from the training data.

    Attributes:
        name: in lower case, words joined by `_`; MNIST-C's kinds have its names.
        group: "MNIST-C" or "photograph".
        description: one line.
        amounts: the second argument of `how` at the strengths 1, 2 and 3.
        how: frame uint8 [S, S] (see `framed`), amount, generator -> uint8 [H, W].
    """

    name: str
    group: Group
    description: str
    amounts: tuple[Any, Any, Any]
    how: Callable[[Grey, Any, np.random.Generator], Grey]


registered: dict[str, Corruption] = {}


def corruption(
    group: Group, amounts: tuple[Amount, Amount, Amount]
) -> Callable[
    [Callable[[Grey, Amount, np.random.Generator], Grey]],
    Callable[[Grey, Amount, np.random.Generator], Grey],
]:
    """Register a function under its name; the first line of its docstring describes it.

    Args:
        amounts: the function's second argument at strengths 1, 2 and 3.
    """

    def enter(
        how: Callable[[Grey, Amount, np.random.Generator], Grey],
    ) -> Callable[[Grey, Amount, np.random.Generator], Grey]:
        description = (how.__doc__ or "").partition("\n")[0].rstrip(".")
        if how.__name__ in registered:
            raise ValueError(f"corruption {how.__name__!r} is registered twice")
        registered[how.__name__] = Corruption(how.__name__, group, description, amounts, how)
        return how

    return enter


def grain(side: int, rng: np.random.Generator, *, blur: float = 0.0) -> Field:
    """Cut noise of mean 0 and standard deviation 1, float32 [side, side]; side at most 256.

    A random cut of one large sheet: drawing 40,000 normal numbers for each image would take longer
    than everything else that is done to it.

    Args:
        blur: px; 0 makes it white.
    """
    top, left = rng.integers(0, NOISE_SHEET_SIDE - side, 2).tolist()
    return _sheet(blur)[top : top + side, left : left + side]


def clouds(side: int, cells: Sequence[int], decay: float, rng: np.random.Generator) -> Field:
    """Draw smooth noise float32 [side, side], about -1 to 1, the sum of octaves (value noise; Perlin 1985).

    Args:
        cells: grid cells along a side, an octave each, the coarsest first.
        decay: each octave's amplitude is that of the one before divided by this.
    """
    total = np.zeros((side, side), np.float32)
    amplitude, sum_of_amplitudes = 1.0, 0.0
    for count in cells:
        grid = rng.random((count + 1, count + 1), np.float32)
        grid *= 2 * amplitude
        grid -= amplitude
        total += cv2.resize(grid, (side, side), interpolation=cv2.INTER_CUBIC)
        sum_of_amplitudes += amplitude
        amplitude /= decay
    total /= sum_of_amplitudes
    return total


@lru_cache(maxsize=4)
def _sheet(blur: float) -> Field:
    sheet: Field = np.random.default_rng(0).standard_normal((NOISE_SHEET_SIDE, NOISE_SHEET_SIDE), np.float32)
    if blur:
        sheet = cv2.GaussianBlur(sheet, (0, 0), blur)  # type: ignore[assignment]
        sheet /= sheet.std()
    sheet.flags.writeable = False  # every image is cut from it
    return sheet


def dark_on_light(images: Iterable[Grey]) -> bool:
    """Say whether most images have a light border, hence dark ink.

    It takes all of them: a tight crop of one thick stroke shows no paper.
    """
    votes = [_ground(image) > 127 for image in images]
    return 2 * sum(votes) > len(votes)


def bright_ink(image: Grey, *, dark_on_light: bool) -> Grey:
    """Make ink bright on black, the paper's level subtracted: uint8 [H, W] -> uint8 [H, W]."""
    image = _reduced(image, 4 * MAX_FRAME_SIDE)
    ink = 255 - image if dark_on_light else image
    ground = _ground(ink)
    if 0 < ground <= 127:
        ink = cv2.subtract(ink, np.full_like(ink, ground))  # type: ignore[assignment]
    peak = int(ink.max())
    if not MIN_STRETCHED_CONTRAST_LEVELS <= peak < FULL_INK_LEVEL:
        return ink
    return cv2.convertScaleAbs(ink, alpha=255 / peak)  # type: ignore[return-value]


def framed(ink: Grey) -> Grey:
    """Put ink bright on black, uint8 [H, W], into a square frame uint8 [S, S] with a margin; 28 <= S <= 64.

    An image that is a frame already (MNIST, EMNIST, most of AHCD) is returned unchanged.
    """
    height, width = ink.shape
    x, y, across, down = ink_box(ink)
    longer = max(across, down)
    if height == width and MIN_FRAME_SIDE <= height <= MAX_FRAME_SIDE and longer <= MAX_INK_FRACTION * height:
        return ink
    side = min(max(round(longer / INK_FRACTION), MIN_FRAME_SIDE), MAX_FRAME_SIDE)
    wanted = round(side * INK_FRACTION)
    character = _scaled(ink[y : y + down, x : x + across], wanted / longer)
    frame = np.zeros((side, side), np.uint8)
    down, across = character.shape
    top, left = (side - down) // 2, (side - across) // 2
    frame[top : top + down, left : left + across] = character
    return frame


def ink_box(ink: Grey) -> tuple[int, int, int, int]:
    """Return left, top, width and height of the ink; the whole image if there is none."""
    x, y, width, height = cv2.boundingRect((ink > MIN_INK_LEVEL).view(np.uint8))
    return (x, y, width, height) if width else (0, 0, ink.shape[1], ink.shape[0])


def _ground(image: Grey) -> int:
    border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
    return int(np.partition(border, len(border) // 2)[len(border) // 2])


def _reduced(image: Grey, longest: int) -> Grey:
    scale = longest / max(image.shape)
    return _scaled(image, scale) if scale < 1 else image


def _scaled(image: Grey, scale: float) -> Grey:
    height, width = image.shape
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    if shape == (width, height):
        return image
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, shape, interpolation=how)  # type: ignore[return-value]


def draw_glyph(
    ink: Grey,
    rng: np.random.Generator,
    *,
    side: int = PAGE_SIDE,
    longer: int = GLYPH_SIDE,
    middle: tuple[float, float] = (0.0, 0.0),
    degrees: float = 0.0,
) -> Field:
    """Draw the frame's character with smooth strokes, as coverage [side, side].

    Args:
        ink: a frame, uint8 [S, S].
        longer: px of the character's longer side.
        middle: its centre, in px from the page's; a jitter of up to 2 % of its size is added.
        degrees: clockwise rotation.
    """
    x, y, width, height = ink_box(ink)
    scale = longer / max(width, height)
    centre = (side - 1) / 2 + np.array(middle) + rng.uniform(-0.02, 0.02, 2) * longer
    angle = math.radians(degrees)
    cos, sin = scale * math.cos(angle), scale * math.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]])
    source = x + (width - 1) / 2, y + (height - 1) / 2
    move = np.column_stack((linear, centre - linear @ source))
    enlarged = cv2.warpAffine(ink, move, (side, side), flags=cv2.INTER_LINEAR)
    # About as wide as a source pixel, the blur leaves none of its stairs; the edge is then drawn anew,
    # one pixel of the page wide whatever the scale.
    soft = cv2.GaussianBlur(enlarged, (0, 0), ENLARGING_BLUR * scale)
    gain = cv2.warpAffine(_gain(ink), move, (side, side), flags=cv2.INTER_LINEAR, borderValue=1)
    edge: Field = np.clip((soft * gain / 255 - EDGE_INK_FRACTION) * np.float32(1.5 * scale) + 0.5, 0, 1)
    return edge


def _gain(ink: Grey) -> Field:
    # What the enlargement's blur will leave of each stroke, its own bilinear interpolation included.
    left = cv2.GaussianBlur(ink, (0, 0), math.hypot(ENLARGING_BLUR, 0.41))
    level = cv2.dilate(left, np.ones((INK_LEVEL_WINDOW, INK_LEVEL_WINDOW), np.uint8)).astype(np.float32) / 255
    gain: Field = FAINT_INK_FRACTION / np.clip(
        level, MIN_FAINT_INK_FRACTION * FAINT_INK_FRACTION, FAINT_INK_FRACTION
    )
    return gain


def photograph_page(
    paper: Field | float, pen: Field | float, cover: Field, rng: np.random.Generator, *, noise: float = 2.0
) -> Grey:
    """Photograph paper and pen (grey levels) with a little blur and noise: uint8 [side, side]."""
    page = (paper + (pen - paper) * cover).astype(np.float32, copy=False)
    page = cv2.GaussianBlur(page, (3, 3), 0.7)  # type: ignore[assignment]
    page += noise * grain(len(page), rng)
    seen: Grey = np.clip(page, 0, 255).astype(np.uint8)
    return seen


def strokes(inside: Field) -> Field:
    """Turn signed distances in px into the ink into coverage, anti-aliased."""
    cover: Field = np.clip(inside + 0.5, 0, 1)
    return cover


def thinned(cover: Field, taken: float) -> Field:
    """Make strokes narrower by the share `taken` in (0, 1) of their own width, without breaking any."""
    depth = cv2.distanceTransform((cover >= 0.5).view(np.uint8), cv2.DIST_L2, 5)
    ridge = float(depth.sum() / max(np.count_nonzero(depth), 1)) * 2  # a stroke's mean depth is half of it
    # A pixel goes whose depth is below this share of what is deepest near it. Within so much of the
    # middle it sees the middle; any wider, and a thick part would take the thin ones beside it away.
    reach = 2 * math.ceil((1 - taken) * ridge) + 1
    middle = cv2.dilate(depth, np.ones((reach, reach), np.uint8))
    return strokes(depth - 0.5 - np.minimum(taken * middle, np.maximum(middle - MIN_PEN_HALF_WIDTH, 0)))


@lru_cache(maxsize=1)
def coordinates() -> tuple[Field, Field]:
    """Return each pixel's x and y in px from the page's centre, float32 [PAGE_SIDE, PAGE_SIDE]."""
    y, x = np.indices((PAGE_SIDE, PAGE_SIDE), np.float32) - np.float32((PAGE_SIDE - 1) / 2)
    return x, y
