"""Render a synthetic photograph: stroke field, pen, paper and light, lens.

A small antialiased glyph knows its outline to a fraction of a pixel. Enlarged smoothly, cut at half of
its strokes' own level and turned into a signed distance field, it gives clean outlines far beyond its
own size (Green 2007, "Improved alpha-tested magnification"). Beside the distance stands the half width
of the stroke around each place: their difference is the distance from the stroke's middle line. From the two
fields a pen of any width draws at any size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Annotated, NamedTuple

import cv2
import numpy as np
from msgspec import Meta
from numpy.typing import NDArray

from kalamos.errors import RecipeError
from kalamos.learn.recipe import Fraction, NonNegative, Probability, check_fields

__all__ = [
    "BROAD_GRAIN",
    "FINE_GRAIN",
    "MARKER",
    "MEDIUM_GRAIN",
    "WHITE_NOISE",
    "Camera",
    "Drawing",
    "Floats",
    "Strokes",
    "compress",
    "cut",
    "draw",
    "expose",
    "light",
    "paper",
    "trace",
]

InkSize = Annotated[int, Meta(ge=8, description="a whole number of at least 8")]

Floats = NDArray[np.float32]

WHITE_NOISE, FINE_GRAIN, MEDIUM_GRAIN, BROAD_GRAIN = 0.0, 0.8, 2.0, 6.0
"""Standard deviation, in px, of the blur that gives noise its grain."""

TEXTURE_SIDE_PIXELS = 1024

FIELD_INK_PIXELS = 56
"""The ink's longer side in the field, in its px."""

FIELD_PAD_FRACTION = 0.22
"""Field around the ink, in which strokes may become wider, as a share of `FIELD_INK_PIXELS`."""

SMALL_INK_PIXELS = 8
"""Ink whose longer side has fewer px than this (a full stop) stays small against its picture."""

MIN_PEAK_LEVEL = 40
"""What never reaches this level (of 255) is ground."""

STROKE_EDGE_FRACTION = 0.45
"""A stroke ends at this share of its own level. Below half, so that a dot beside a darker stroke stays."""

MAX_BLOB_WIDTH_FACTOR = 1.15
"""Times the strokes' own half width; what is wider is no stroke."""

MIN_WIDTH_FACTOR, MAX_WIDTH_FACTOR = 0.35, 1.5
"""How many times as wide a stroke may become. Beyond that counters fill and dots run together, or vanish."""

MIN_MARGIN_FRACTION = 0.06
"""The least margin around the ink, as a share of its longer side."""

DEFORMATION_POINTS = 24
"""Points a side on which the deformation is computed: between them no bend is left to see."""

PAPER_LEVELS = 120.0, 248.0
"""Grey levels of well-lit paper."""

LIGHT_GRID_POINTS = 48
"""Light is drawn on so many points a side: nothing in it is finer than a shadow's edge."""

LIGHT_AXIS = np.linspace(-1, 1, LIGHT_GRID_POINTS, dtype=np.float32)

JPEG_QUALITY_RANGE = 35, 95
"""JPEG quality, from a messenger's to a camera's."""


@dataclass(frozen=True)
class Camera:
    """From a careful person's photographs to a careless one's.

    Whatever is not a probability is an extent: every photograph draws its own value, uniformly between
    none and that much. Sizes are shares of the ink's longer side, contrasts shares of the paper's light.

    Raises:
        RecipeError: a value of the wrong type or out of range.

    >>> Camera(pencil=0.8, marker=0.3)
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: pencil = 0.8 and marker = 0.3 are more than all photographs; ...
    """

    smallest: InkSize = 8
    """The ink's longer side on the photograph, in px; small ones are the most frequent."""
    largest: InkSize = 320
    margin: NonNegative = 0.4
    """Paper on each side of the ink, beyond the little that is always there."""

    pencil: Probability = 0.3
    """The share of photographs whose pen is a pencil; a ballpoint or a fineliner draws the rest."""
    marker: Probability = 0.2
    wobble: Fraction = 0.12
    """How far the outline strays, as a share of the stroke's width (standard deviation)."""
    elastic: Fraction = 0.04
    """How far a place is displaced against others (standard deviation)."""
    rotate: NonNegative = 5.0
    """Degrees, either way; likewise `slant`."""
    slant: NonNegative = 6.0

    texture: NonNegative = 3.5
    """The paper's texture: standard deviation in grey levels (of 255)."""
    ruled: Probability = 0.08
    squared: Probability = 0.06
    cell: Probability = 0.08
    """The share of photographs with one to four lines of a form's cell at their edges."""
    specks: Probability = 0.15

    light: Fraction = 0.3
    """Light that falls off from one side of the photograph to the other."""
    vignette: Fraction = 0.2
    shadow: Probability = 0.35
    """The share of photographs with a shadow; its edge is soft mostly, and sometimes hard."""

    defocus: Fraction = 0.018
    """Standard deviation of the blur."""
    motion: Probability = 0.12
    haze: Fraction = 0.2
    """Stray light, which takes contrast away."""
    noise: NonNegative = 5.0
    """The sensor's noise: standard deviation in grey levels (of 255)."""
    jpeg: Probability = 0.5
    inverted: Probability = 0.03
    """The share of photographs that are of light ink on a dark ground."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.smallest > self.largest:
            raise RecipeError(
                f"smallest = {self.smallest} is above largest = {self.largest}", remedy="exchange the two"
            )
        for one, other in (("pencil", "marker"), ("ruled", "squared")):
            first, second = getattr(self, one), getattr(self, other)
            if first + second > 1:
                raise RecipeError(
                    f"{one} = {first} and {other} = {second} are more than all photographs",
                    remedy="let their sum be at most 1",
                )


def cut(grain: float, shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """A random piece of texture, float32 [H, W] of mean 0 and standard deviation 1. Read it only.

    Textures are made once: cutting a piece costs a hundredth of making one.

    >>> cut(FINE_GRAIN, (40, 60), np.random.default_rng(0)).shape
    (40, 60)
    """
    tile = _tile(grain)
    height, width = shape
    if max(shape) > TEXTURE_SIDE_PIXELS // 2:
        # A piece much smaller than its tile can lie in many places; pieces of one photograph differ.
        tile = _wrapped(grain, math.ceil(max(shape) / TEXTURE_SIDE_PIXELS))
        tile = tile[: TEXTURE_SIDE_PIXELS + height, : TEXTURE_SIDE_PIXELS + width]
    top = int(generator.random() * (tile.shape[0] - height))
    left = int(generator.random() * (tile.shape[1] - width))
    return tile[top : top + height, left : left + width]


@cache
def _tile(grain: float) -> Floats:
    """float32 [TEXTURE_SIDE_PIXELS, TEXTURE_SIDE_PIXELS], whose opposite edges fit together."""
    noise = np.random.default_rng(0).standard_normal((TEXTURE_SIDE_PIXELS, TEXTURE_SIDE_PIXELS), np.float32)
    if grain:
        reach = int(4 * grain) + 1
        wide = cv2.copyMakeBorder(noise, reach, reach, reach, reach, cv2.BORDER_WRAP)
        noise = cv2.GaussianBlur(wide, (0, 0), grain)[reach:-reach, reach:-reach]  # type: ignore[assignment]
    tile: Floats = (noise - noise.mean()) / noise.std()
    tile.setflags(write=False)
    return tile


@cache
def _wrapped(grain: float, times: int) -> Floats:
    """A tile with so many more of it to the right and below."""
    wrapped = np.tile(_tile(grain), (1 + times, 1 + times))
    wrapped.setflags(write=False)
    return wrapped


class Strokes(NamedTuple):
    """Float32 [h, w] fields in px of their own, with the ink's box in their middle."""

    depth: Floats
    """Distance to the outline, positive inside."""
    radius: Floats
    """Half width of the stroke at or near a place."""
    typical: float
    """Half width of the strokes, on average."""
    height: float
    width: float
    """Of the ink's box."""


def trace(glyph: NDArray[np.uint8]) -> Strokes | None:
    """The strokes of a glyph uint8 [H, W], bright on black; None if there is nothing to draw."""
    x, y, width, height = cv2.boundingRect((glyph >= MIN_PEAK_LEVEL).view(np.uint8))
    if not width:
        return None
    ink = glyph[y : y + height, x : x + width]
    longer = max(width, height, SMALL_INK_PIXELS)
    if longer > FIELD_INK_PIXELS:
        width, height = (
            max(1, round(width * FIELD_INK_PIXELS / longer)),
            max(1, round(height * FIELD_INK_PIXELS / longer)),
        )
        ink = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        longer = FIELD_INK_PIXELS
    scale, pad = FIELD_INK_PIXELS / longer, math.ceil(FIELD_PAD_FRACTION * longer)
    ink = cv2.copyMakeBorder(ink, pad, pad, pad, pad, cv2.BORDER_CONSTANT, value=0)  # type: ignore[assignment]
    # About half of each stroke's own level: faint strokes are drawn as wide as dark ones, and small counters
    # stay open. Blurred first, or a dot of one pixel would be lost.
    smooth = cv2.GaussianBlur(ink.astype(np.float32), (3, 3), 0.5)
    peak = cv2.max(cv2.dilate(smooth, np.ones((5, 5), np.uint8)), MIN_PEAK_LEVEL)  # type: ignore[call-overload]
    level = smooth / peak - np.float32(STROKE_EDGE_FRACTION)
    size = round(ink.shape[1] * scale), round(ink.shape[0] * scale)
    large = cv2.resize(level, size, interpolation=cv2.INTER_CUBIC)
    large = cv2.GaussianBlur(large, (5, 5), 1.0)
    inside = large > 0
    if not inside.any():
        return None
    depth = cv2.distanceTransform(inside.view(np.uint8), cv2.DIST_L2, 3)
    # On the middle line no neighbour lies half a pixel deeper; on a slope one lies a whole pixel deeper.
    ridge = inside & (depth + np.float32(0.5) >= cv2.dilate(depth, np.ones((3, 3), np.uint8)))
    typical = float(depth[ridge].mean())
    # The mean over the ridges nearby, for a maximum would cut thin strokes off where they meet thick ones.
    # Deep ridges weigh more: shallow ones also run from a stroke's end into its corners.
    weight = depth * ridge
    spread = 0.85 * typical
    nearby = (2 * round(2.5 * spread) + 1,) * 2
    total = cv2.GaussianBlur(depth * weight, nearby, spread)
    local = total / np.maximum(cv2.GaussianBlur(weight, nearby, spread), np.float32(1e-4))
    # A blob is a filled loop or a dot: thinned to its middle it would be neither.
    local = np.minimum(local, np.float32(MAX_BLOB_WIDTH_FACTOR * typical))
    # Outside, where only a wider pen comes, thin strokes grow no more than others.
    radius = np.where(inside, local, np.maximum(local, np.float32(typical)))
    depth = cv2.subtract(depth, cv2.distanceTransform((~inside).view(np.uint8), cv2.DIST_L2, 3))
    depth = cv2.GaussianBlur(depth, (5, 5), 1.0)  # the steps of the field's own pixels
    return Strokes(depth, radius, typical, height * scale, width * scale)


class Pen(NamedTuple):
    """Ranges (low, high); widths are shares of the ink's longer side."""

    width: tuple[float, float]
    darkness: tuple[float, float]
    """The share of the paper's light that full ink takes away."""
    load: tuple[float, float]
    """How much ink the paper takes on average; above 1 the grain hardly shows."""
    grain: tuple[float, float]
    """How much less or more of it the paper's tooth takes (standard deviation)."""
    softness: tuple[float, float]
    """Width of the stroke's edge in px."""


class Drawing(NamedTuple):
    ink: Floats
    """The share of its light that the paper loses, float32 [H, W]."""
    margins: tuple[int, int, int, int]
    """Paper above, right of, below and left of the ink's box, in px."""
    coverage: Floats
    """The share of each pixel that lies within a stroke, float32 [H, W], however dark the pen is."""


def draw(
    strokes: Strokes,
    longer: float,
    camera: Camera,
    generator: np.random.Generator,
    *,
    thinnest: float = 0.0,
    pen: Pen | None = None,
) -> Drawing:
    """The strokes anew, with some pen, on a piece of paper somewhat larger than they.

    Args:
        longer: px that the ink's longer side shall have, before it is turned.
        thinnest: in `coverage`, strokes of a smaller width, in px, are drawn so wide.
        pen: None takes one of the camera's.
    """
    pen = _choose(camera, generator) if pen is None else pen
    wider = generator.uniform(*pen.width) * FIELD_INK_PIXELS / (2 * strokes.typical)
    half = strokes.typical * min(max(wider, MIN_WIDTH_FACTOR), MAX_WIDTH_FACTOR)
    growth = 2 * (half - strokes.typical)  # of the ink's box, whose strokes keep their middle lines
    scale = longer / (max(strokes.width, strokes.height, FIELD_INK_PIXELS) + growth)
    # Between the glyph's own rhythm of thin and thick, and one width throughout.
    rhythm = half * generator.uniform(0.0, 0.7) / strokes.typical
    field = strokes.depth + (rhythm - 1) * strokes.radius + (half - rhythm * strokes.typical)

    turn = math.radians(generator.uniform(-camera.rotate, camera.rotate))
    slant = math.tan(math.radians(generator.uniform(-camera.slant, camera.slant)))
    cos, sin = math.cos(turn), math.sin(turn)
    forth = np.array([[cos, cos * slant - sin], [sin, sin * slant + cos]]) * scale
    back = np.array([[cos + sin * slant, sin - cos * slant], [-sin, cos]]) / scale
    width, height = np.abs(forth) @ (strokes.width + growth, strokes.height + growth)
    least = MIN_MARGIN_FRACTION * longer
    top, right, bottom, left = (
        np.rint(least + generator.random(4) * camera.margin * longer).astype(int).tolist()
    )
    shape = max(1, round(height) + top + bottom), max(1, round(width) + left + right)

    middle = (field.shape[1] - 1) / 2, (field.shape[0] - 1) / 2
    strength = generator.random() * camera.elastic * FIELD_INK_PIXELS
    places = _places(shape, (left + width / 2 - 0.5, top + height / 2 - 0.5), back, middle)
    places += cv2.resize(
        _swell(strength, generator), (DEFORMATION_POINTS, DEFORMATION_POINTS), interpolation=cv2.INTER_CUBIC
    )
    places = cv2.resize(places, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    depth: Floats = cv2.remap(field, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    wobble = generator.random() * camera.wobble * half
    if wobble:
        depth += np.float32(wobble) * cut(BROAD_GRAIN, shape, generator)

    wider = max(0.0, thinnest / 2 - half * scale)
    coverage: Floats = np.clip(depth * np.float32(scale) + np.float32(wider + 0.5), 0, 1)
    depth *= np.float32(scale / generator.uniform(*pen.softness))
    depth += np.float32(0.5)
    ink = np.clip(depth, 0, 1, out=depth)
    tooth = cut(FINE_GRAIN if generator.random() < 0.5 else MEDIUM_GRAIN, shape, generator)
    load = tooth * np.float32(generator.uniform(*pen.grain))
    load += np.float32(generator.uniform(*pen.load))
    ink *= np.clip(load, 0, 1, out=load)
    ink *= np.float32(generator.uniform(*pen.darkness))
    return Drawing(ink, (top, right, bottom, left), coverage)


def _choose(camera: Camera, generator: np.random.Generator) -> Pen:
    chance = generator.random()
    if chance < camera.pencil:
        return PENCIL
    return MARKER if chance < camera.pencil + camera.marker else BALLPOINT


def _places(
    shape: tuple[int, int],
    centre: tuple[float, float],
    back: NDArray[np.float64],
    middle: tuple[float, float],
) -> Floats:
    """Where in the field (x, y) the paper comes from, float32 [DEFORMATION_POINTS, DEFORMATION_POINTS, 2]."""
    y, x = ((np.arange(DEFORMATION_POINTS) + 0.5) * (side / DEFORMATION_POINTS) - 0.5 for side in shape)
    across = (x - centre[0])[:, np.newaxis] * back[:, 0] + middle
    down = (y - centre[1])[:, np.newaxis, np.newaxis] * back[:, 1]
    places: Floats = (across + down).astype(np.float32)
    return places


def _swell(strength: float, generator: np.random.Generator) -> Floats:
    """A random displacement (x, y) at a few places, float32 [5, 5, 2]."""
    return generator.standard_normal((5, 5, 2), np.float32) * np.float32(strength)


def paper(
    shape: tuple[int, int],
    longer: float,
    margins: tuple[int, int, int, int],
    camera: Camera,
    generator: np.random.Generator,
) -> Floats:
    """Grey levels of evenly lit paper, float32 [H, W].

    Args:
        longer: the ink's longer side in px, which the lines and their distances go with.
        margins: px above, right of, below and left of the ink.
    """
    page = cut(FINE_GRAIN if generator.random() < 0.5 else MEDIUM_GRAIN, shape, generator) * np.float32(
        generator.random() * camera.texture
    )
    page += np.float32(generator.random() * camera.texture) * cut(BROAD_GRAIN, shape, generator)
    page += np.float32(generator.uniform(*PAPER_LEVELS))
    chance = generator.random()
    if chance < camera.ruled + camera.squared:
        _rule(page, longer, margins, generator, squared=chance >= camera.ruled)
    if generator.random() < camera.cell:
        _frame(page, longer, margins, generator)
    if generator.random() < camera.specks:
        spots = np.clip(cut(MEDIUM_GRAIN, shape, generator) - np.float32(generator.uniform(3.0, 3.5)), 0, 1)
        page *= 1 - np.float32(generator.uniform(0.2, 0.8)) * spots
    return page


def light(shape: tuple[int, int], camera: Camera, generator: np.random.Generator) -> Floats:
    """The share of the light that reaches each place, float32 [H, W]."""
    x, y = LIGHT_AXIS, LIGHT_AXIS[:, np.newaxis]
    angle = generator.uniform(0, 2 * math.pi)
    fall = generator.random() * camera.light / 2
    lit = (1 - fall) + np.float32(fall * math.cos(angle)) * x + np.float32(fall * math.sin(angle)) * y
    lit -= np.float32(generator.random() * camera.vignette / 2) * (x * x + y * y)
    if generator.random() < camera.shadow:
        lit *= _shadow(x, y, generator)
    return cv2.resize(lit, (shape[1], shape[0]), interpolation=cv2.INTER_LINEAR)  # type: ignore[return-value]


def _shadow(x: Floats, y: Floats, generator: np.random.Generator) -> Floats:
    """A hand's or a head's: dark on one side of a slightly bent edge."""
    angle = generator.uniform(0, 2 * math.pi)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along = cos * y - sin * x
    across = cos * x + sin * y + np.float32(generator.uniform(-0.4, 0.4)) * along * along
    across += np.float32(generator.uniform(-0.9, 0.9))
    edge = generator.uniform(0.03, 0.1) if generator.random() < 0.2 else generator.uniform(0.2, 1.0)
    depth = generator.uniform(0.08, 0.4)
    shade: Floats = 1 - np.float32(depth) / (1 + np.exp(np.clip(across * np.float32(4 / edge), -30, 30)))
    return shade


def _rule(
    page: Floats,
    longer: float,
    margins: tuple[int, int, int, int],
    generator: np.random.Generator,
    *,
    squared: bool,
) -> None:
    """Print lines on the page, a little askew as it lay; in half of the cases the ink rests on one."""
    height, width = page.shape
    spacing = longer * (generator.uniform(0.3, 0.8) if squared else generator.uniform(0.7, 1.6))
    slope = math.tan(math.radians(generator.uniform(-3, 3)))
    print_ = _print(longer, generator)
    rows, columns = np.arange(height, dtype=np.float32)[:, np.newaxis], np.arange(width, dtype=np.float32)
    base = height - margins[2] + 0.03 * longer if generator.random() < 0.5 else generator.uniform(0, height)
    page *= print_(rows + np.float32(slope) * columns - np.float32(base), spacing)
    if squared:
        start = generator.uniform(0, spacing)
        page *= print_(columns - np.float32(slope) * rows - np.float32(start), spacing)


def _frame(
    page: Floats, longer: float, margins: tuple[int, int, int, int], generator: np.random.Generator
) -> None:
    """Print some sides of a form's cell between the ink and the edges, which cut a bit of it off."""
    height, width = page.shape
    print_ = _print(longer, generator)
    rows, columns = np.arange(height, dtype=np.float32)[:, np.newaxis], np.arange(width, dtype=np.float32)
    slope = np.float32(math.tan(math.radians(generator.uniform(-2, 2))))
    top, right, bottom, left = (generator.random(4) * 0.7 * margins).tolist()
    sides = (
        rows + slope * columns - np.float32(top),
        columns - slope * rows - np.float32(width - 1 - right),
        rows + slope * columns - np.float32(height - 1 - bottom),
        columns - slope * rows - np.float32(left),
    )
    for side in generator.permutation(4)[: generator.integers(1, 5)].tolist():
        page *= print_(sides[side], math.inf)


def _print(longer: float, generator: np.random.Generator) -> Callable[[Floats, float], Floats]:
    """One printer's lines: from the distance to the first, and theirs, to the share of light they leave."""
    half = np.float32(max(0.4, longer * generator.uniform(0.004, 0.014)))
    faint = np.float32(generator.uniform(0.06, 0.4))

    def leave(distance: Floats, spacing: float) -> Floats:
        if spacing < math.inf:
            distance = distance - np.float32(spacing) * np.rint(distance / np.float32(spacing))
        left: Floats = 1 - faint * np.clip(half + np.float32(0.5) - np.abs(distance), 0, 1)
        return left

    return leave


def expose(scene: Floats, longer: float, camera: Camera, generator: np.random.Generator) -> NDArray[np.uint8]:
    """The file that the camera writes, decoded: uint8 [H, W].

    Args:
        scene: grey levels, float32 [H, W]; changed in place.
        longer: the ink's longer side in px, which the blur goes with.
    """
    blur = generator.random() * camera.defocus * longer
    if blur > 0.3:
        scene = cv2.GaussianBlur(scene, (0, 0), blur)  # type: ignore[assignment]
    if generator.random() < camera.motion:
        scene = cv2.filter2D(scene, -1, _streak(generator.uniform(0.02, 0.06) * longer, generator))  # type: ignore[assignment]
    haze = generator.random() * camera.haze
    scene *= np.float32(1 - haze)
    scene += np.float32(255 * haze * generator.random())
    # What a phone has denoised is left with coarser grains than what its sensor saw.
    grain = WHITE_NOISE if generator.random() < 0.5 else FINE_GRAIN
    scene += np.float32(generator.random() * camera.noise) * cut(grain, scene.shape, generator)
    if generator.random() < camera.inverted:
        np.subtract(255, scene, out=scene)
    photo: NDArray[np.uint8] = np.clip(scene, 0, 255, out=scene).astype(np.uint8)
    return compress(photo, generator) if generator.random() < camera.jpeg else photo


def compress(photo: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """A photograph uint8 [H, W] written as a JPEG of some quality, and read again."""
    quality = int(generator.integers(*JPEG_QUALITY_RANGE, endpoint=True))
    _, data = cv2.imencode(".jpg", photo, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return cv2.imdecode(data, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]


def _streak(length: float, generator: np.random.Generator) -> Floats:
    """The path of a point while the shutter is open, as a kernel of sum 1."""
    reach = max(1, math.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.uint8)
    angle = generator.uniform(0, math.pi)
    x, y = (round(16 * length / 2 * part) for part in (math.cos(angle), math.sin(angle)))
    middle = 16 * reach
    cv2.line(kernel, (middle - x, middle - y), (middle + x, middle + y), 255, 1, cv2.LINE_AA, shift=4)
    return kernel.astype(np.float32) / np.float32(kernel.sum(dtype=np.int64))


BALLPOINT = Pen((0.035, 0.11), (0.4, 0.9), (0.95, 1.3), (0.0, 0.25), (1.0, 1.6))

PENCIL = Pen((0.04, 0.12), (0.2, 0.6), (0.6, 1.0), (0.2, 0.45), (1.4, 2.4))

MARKER = Pen((0.11, 0.2), (0.6, 0.95), (1.0, 1.3), (0.0, 0.12), (1.0, 2.2))
