"""Draw scenes: a character on some paper, in some light, among all that may surround it, and its true ink.

A scene is drawn at the camera's own resolution or at twice it, in the order in which it comes about: paper
and what is printed on it, ink and neighbours, light, lens, sensor, and at last what software does to a file
(thresholds, frames, padding, JPEG).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.learn.ink.glyphs import GlyphPool
from kalamos.learn.ink.surroundings import (
    border_frame,
    draw_frame,
    draw_grid,
    draw_hole_row,
    draw_print,
    draw_rules,
    draw_specks,
    draw_stamp,
    flash,
    hard_shadow,
    lay_on_table,
    pad_photo,
)
from kalamos.learn.recipe import Probability, check_fields
from kalamos.learn.synthetic_photos.render import (
    BALLPOINT,
    BROAD_GRAIN,
    FINE_GRAIN,
    MARKER,
    MEDIUM_GRAIN,
    WHITE_NOISE,
    Camera,
    Drawing,
    Floats,
    compress,
    cut,
    draw,
    expose,
    light,
)
from kalamos.preprocessing.ink import Box

__all__ = ["Scene", "SceneRanges", "draw_scene"]

HAND: Final = Camera(
    smallest=16, margin=0.0, pencil=0.4, marker=0.22, wobble=0.15, elastic=0.05, rotate=10, slant=10
)
"""The pens and the hand that draw the ink."""

RULER: Final = replace(HAND, pencil=0.1, wobble=0.0, elastic=0.0, rotate=3, slant=3)
"""A program's pen, or a very steady hand."""

FELT_PEN, FELT_PEN_SHARE = MARKER._replace(width=(0.18, 0.34)), 0.12
"""Broader than a marker: a brush, a finger on glass; and the share of characters that it draws."""

FINELINER, FINELINER_SHARE = BALLPOINT._replace(width=(0.012, 0.04)), 0.22
"""Finer than a ballpoint, on letters as large as a hand."""

LENS: Final = Camera(smallest=16, light=0.45, vignette=0.3, shadow=0.3, haze=0.3, noise=7.0, inverted=0.0)
"""The light and the camera."""

MAX_CANVAS_PX: Final = 176
"""Larger photographs are drawn at this size: they are reduced to fewer pixels before ink is looked for."""

DOUBLE_CANVAS_PX: Final = 80
"""Smaller photographs are drawn at twice their size and reduced, as a lens does."""

INK_PX: Final = 7.0, 150.0
"""The ink's longer side in px of the camera; both ends are as rare as their logarithms say."""

RECOMPRESSED_SHARE: Final = 0.3
"""Of the photographs: they were cut out of another and compressed again."""

MIN_CUT_OUT_PX: Final = 12.0
"""Of crops along the ink: with fewer pixels and no paper around, nothing is to be made out."""

MIN_NET_STROKE_PX: Final = 1.5
"""In the true mask strokes are at least so wide, in px of the network's own input."""

MAX_EXCESS: Final = 1.08
"""A character's extent over its crop's: a crop may cut as much as a pen's width off it."""

MIN_SEEN_STEP: Final = 6.0
"""A scene is drawn anew where ink and the paper around it differ by fewer grey levels,"""

MIN_SEEN_DEVIATIONS: Final = 0.7
"""or by fewer standard deviations of that paper, lines and shadows included."""

MAX_TRIES: Final = 4

MIN_VISIBLE_STEP: Final = 18.0
"""Ink differs from its paper by at least so many grey levels, before haze and light."""


@dataclass(frozen=True)
class SceneRanges:
    """How often what surrounds a character does so: shares of all scenes.

    Raises:
        RecipeError: a value of the wrong type or out of range.
    """

    blank: Probability = 0.05
    """Scenes with no character at all, whatever else is on them."""
    several: Probability = 0.06
    """Scenes with a second whole character: both are ink."""
    cut_out: Probability = 0.14
    """Crops along the ink's own box, a little wider or a little narrower on each side."""
    tight: Probability = 0.12
    """Crops whose longer side is the ink's."""
    tiny: Probability = 0.16
    """Ink that spans less than a quarter of the crop."""
    steady: Probability = 0.3
    """Characters that are not bent: those of straight strokes stay straight."""
    frame: Probability = 0.26
    grid: Probability = 0.14
    ruled: Probability = 0.1
    neighbours: Probability = 0.18
    table: Probability = 0.12
    """Another ground beside the paper: a table, a scanner's lid."""
    holes: Probability = 0.03
    printed: Probability = 0.06
    stamp: Probability = 0.03
    specks: Probability = 0.2
    hard_shadow: Probability = 0.1
    flash: Probability = 0.05
    inverted: Probability = 0.14
    """Light ink on a dark ground: boards, negatives, screens."""
    digital: Probability = 0.2
    """Paper of one grey level without light, lens or grain: paint programs and screens."""
    thresholded: Probability = 0.08
    """Scans whose paper is white nearly throughout."""
    border: Probability = 0.1
    """A crisp frame of a program around the crop."""
    padded: Probability = 0.1

    def __post_init__(self) -> None:
        check_fields(self)


class Scene(NamedTuple):
    photo: NDArray[np.uint8]
    """Grey levels, uint8 [H, W]."""
    ink: Floats
    """The share of each pixel that is the character's stroke, float32 [H, W] in [0, 1]."""


@dataclass
class _Layers:
    """What a scene is made of while it is drawn, float32 [H, W] each."""

    paper: Floats
    """Grey levels of what carries the ink."""
    ink: Floats
    """The share of its light that the paper loses to strokes, the character's and its neighbours'."""
    mask: Floats
    boxes: list[Box] = field(default_factory=list)
    """Of whole characters."""


def draw_scene(
    glyphs: GlyphPool, ranges: SceneRanges, shape: tuple[int, int], generator: np.random.Generator
) -> Scene:
    """Draw a scene for a network whose input has a shape [h, w].

    Args:
        glyphs: the characters.
        ranges: how often what happens.
        shape: of the network's input; the scene has about its proportions, at another size.
        generator: makes it reproducible.
    """
    for _ in range(MAX_TRIES - 1):
        scene = _draw_once(glyphs, ranges, shape, generator)
        if _is_visible(scene):
            return scene
    return _draw_once(glyphs, ranges, shape, generator)


def _is_visible(scene: Scene) -> bool:
    """Return whether a reader could tell ink from paper; of a scene without ink, true."""
    inside = scene.ink > 0.6
    if not inside.any():
        return not scene.ink.any()
    near = cv2.dilate((scene.ink > 0.2).view(np.uint8), np.ones((7, 7), np.uint8)) > 0
    paper = scene.photo[near & (scene.ink < 0.05)]
    if not len(paper):
        return True
    contrast = abs(float(scene.photo[inside].mean()) - float(paper.mean()))
    return contrast >= max(MIN_SEEN_STEP, MIN_SEEN_DEVIATIONS * float(paper.std()))


def _draw_once(
    glyphs: GlyphPool, ranges: SceneRanges, shape: tuple[int, int], generator: np.random.Generator
) -> Scene:
    chance, net = generator.random, max(shape)
    cut_out, padded = chance() < ranges.cut_out, chance() < ranges.padded
    is_digital, is_thresholded = chance() < ranges.digital, chance() < ranges.thresholded
    share = 1.0 if cut_out else _share(ranges, generator)
    longer = math.exp(generator.uniform(*np.log(INK_PX)))
    longer = float(np.clip(longer, MIN_CUT_OUT_PX if cut_out else INK_PX[0], share * MAX_CANVAS_PX))
    canvas = longer / share
    scale = 2 if canvas <= DOUBLE_CANVAS_PX else 1
    inner = _narrowed(shape, generator) if padded else shape
    height, width = (max(8, round(side / net * canvas)) * scale for side in inner)
    thinnest = MIN_NET_STROKE_PX * canvas * scale / net
    ink_size = longer * scale
    layers = _write(glyphs, ranges, (height, width), ink_size, thinnest, generator, digital=is_digital)
    if cut_out and layers.boxes:
        layers = _cut_out(layers, scale, generator)
    _surround(layers, glyphs, ranges, ink_size, generator)
    page = layers.paper
    if not (is_digital or is_thresholded):
        page *= light(page.shape, LENS, generator)
        if chance() < ranges.hard_shadow:
            page *= hard_shadow(page.shape, generator)
        if chance() < ranges.flash:
            page += flash(page.shape, generator)
    photo, mask = _reduced(page, scale), _reduced(layers.mask, scale)
    if chance() < ranges.inverted:
        np.subtract(255, photo, out=photo)
    if is_digital:
        grey = _captured(photo, generator)
    else:
        grey = expose(photo, longer, LENS, generator)
        if is_thresholded:
            grey = _thresholded(grey, generator)
    if chance() < ranges.border:
        border_frame(grey, mask, generator)
    if padded:
        grey, mask = pad_photo(grey, mask, shape, generator)
    if not is_digital and chance() < RECOMPRESSED_SHARE:
        grey = compress(grey, generator)
    return Scene(grey, mask)


def _surround(
    layers: _Layers, glyphs: GlyphPool, ranges: SceneRanges, size: float, generator: np.random.Generator
) -> None:
    """Print and lay on the paper whatever surrounds the characters, and their ink over it."""
    chance, page, ink = generator.random, layers.paper, layers.ink
    box = _around(layers.boxes, ink.shape) if layers.boxes else _vacant(size, ink.shape, generator)
    if chance() < ranges.ruled:
        draw_rules(page, size, box, generator)
    elif chance() < ranges.grid:
        draw_grid(page, size, generator)
    if chance() < ranges.frame:
        draw_frame(page, size, box, generator, closed=not layers.boxes)
    if chance() < ranges.holes:
        draw_hole_row(page, size, box, generator)
    if chance() < ranges.printed:
        draw_print(page, glyphs, size, box, generator)
    if chance() < ranges.stamp:
        draw_stamp(page, size, generator)
    if chance() < ranges.specks:
        draw_specks(page, size, ink, generator)
    page *= 1 - ink
    if chance() < ranges.table:
        lay_on_table(page, box, generator)


def _captured(photo: Floats, generator: np.random.Generator) -> NDArray[np.uint8]:
    """What a program draws: no lens, hardly any noise, and at times only two levels."""
    if generator.random() < 0.4:
        photo += np.float32(generator.uniform(0, 3)) * cut(WHITE_NOISE, photo.shape, generator)
    grey: NDArray[np.uint8] = np.clip(photo, 0, 255).astype(np.uint8)
    if generator.random() < 0.3:
        _, grey = cv2.threshold(grey, 0, 255, cv2.THRESH_BINARY | cv2.THRESH_OTSU)  # type: ignore[assignment]
    return grey


def _cut_out(layers: _Layers, scale: int, generator: np.random.Generator) -> _Layers:
    """Cut a scene along its characters' box. The network stretches it, though no more than twofold."""
    height, width = layers.ink.shape
    box = _around(layers.boxes, (height, width))
    margins = generator.uniform(-0.04, 0.1, 4) * max(box.bottom - box.top, box.right - box.left)
    top, bottom = max(round(box.top - margins[0]), 0), min(round(box.bottom + margins[2]), height)
    left, right = max(round(box.left - margins[3]), 0), min(round(box.right + margins[1]), width)
    short = max(0, height // 2 - (bottom - top)), max(0, width // 2 - (right - left))
    top, left = max(top - short[0] // 2, 0), max(left - short[1] // 2, 0)
    bottom = min(max(bottom + short[0] // 2, top + height // 2), height)
    right = min(max(right + short[1] // 2, left + width // 2), width)
    # Sides of whole pixels once the scene is reduced.
    bottom, right = bottom - (bottom - top) % scale, right - (right - left) % scale
    part = slice(top, bottom), slice(left, right)
    moved = [
        Box(
            max(each.top - top, 0),
            max(each.left - left, 0),
            min(each.bottom, bottom) - top,
            min(each.right, right) - left,
        )
        for each in layers.boxes
    ]
    return _Layers(layers.paper[part].copy(), layers.ink[part].copy(), layers.mask[part].copy(), moved)


def _share(ranges: SceneRanges, generator: np.random.Generator) -> float:
    """The ink's longer side as a share of the crop's."""
    chance = generator.random()
    if chance < ranges.tight:
        return float(generator.uniform(0.88, 1.06))
    if chance < ranges.tight + ranges.tiny:
        return float(generator.uniform(0.09, 0.25))
    return float(generator.uniform(0.25, 0.9))


def _narrowed(shape: tuple[int, int], generator: np.random.Generator) -> tuple[int, int]:
    """The shape of what is padded, to a square most often."""
    narrow = int(generator.integers(3))  # its height, its width, or neither
    height, width = shape
    share = generator.uniform(0.35, 0.9)
    return round(height * share) if narrow == 0 else height, round(width * share) if narrow == 1 else width


def _write(
    glyphs: GlyphPool,
    ranges: SceneRanges,
    shape: tuple[int, int],
    longer: float,
    thinnest: float,
    generator: np.random.Generator,
    *,
    digital: bool,
) -> _Layers:
    """Lay down paper, the character and its neighbours."""
    level = generator.uniform(70, 250) if generator.random() < 0.6 else generator.uniform(190, 255)
    if digital and generator.random() < 0.7:
        level = 255.0
    layers = _Layers(
        np.full(shape, level, np.float32), np.zeros(shape, np.float32), np.zeros(shape, np.float32)
    )
    if not digital:
        grain = FINE_GRAIN if generator.random() < 0.5 else MEDIUM_GRAIN
        layers.paper += np.float32(generator.random() * 5) * cut(grain, shape, generator)
        layers.paper += np.float32(generator.random() * 4) * cut(BROAD_GRAIN, shape, generator)
    if generator.random() < ranges.blank:
        return layers
    height, width = shape
    first = _fitting(glyphs, longer, thinnest, ranges.steady, shape, generator)
    tall, wide = first.ink.shape
    _place(layers, first, _spot(height, tall, generator), _spot(width, wide, generator), level)
    if generator.random() < ranges.several:
        second = _drawn(glyphs, longer * generator.uniform(0.7, 1.3), thinnest, ranges.steady, generator)
        _place_apart(layers, second, level, generator)
    if generator.random() < ranges.neighbours:
        for _ in range(int(generator.integers(1, 4))):
            other = _drawn(glyphs, longer * generator.uniform(0.7, 1.4), thinnest, ranges.steady, generator)
            _place_cut(layers, other, level, generator)
    return layers


def _drawn(
    glyphs: GlyphPool, longer: float, thinnest: float, steady: float, generator: np.random.Generator
) -> Drawing:
    hand = RULER if generator.random() < steady else HAND
    chance = generator.random()
    pen = FELT_PEN if chance < FELT_PEN_SHARE else FINELINER if chance > 1 - FINELINER_SHARE else None
    return draw(glyphs.sample(generator), longer, hand, generator, thinnest=thinnest, pen=pen)


def _fitting(
    glyphs: GlyphPool,
    longer: float,
    thinnest: float,
    steady: float,
    shape: tuple[int, int],
    generator: np.random.Generator,
) -> Drawing:
    """Draw a character that a canvas holds, cut by a little at most."""
    for _ in range(4):
        drawing = _drawn(glyphs, longer, thinnest, steady, generator)
        excess = max(drawing.ink.shape[0] / shape[0], drawing.ink.shape[1] / shape[1])
        if excess <= MAX_EXCESS:
            return drawing
    return _drawn(glyphs, longer / excess * generator.uniform(0.8, 1.0), thinnest, steady, generator)


def _spot(room: int, extent: int, generator: np.random.Generator) -> int:
    """Where along a side a character begins; in the middle more often than not."""
    free = room - extent
    if free <= 0:
        return round(free / 2 + generator.uniform(-0.04, 0.04) * extent)
    middle, spread = free / 2, free / 2
    where = generator.uniform(-1, 1) if generator.random() < 0.5 else generator.normal(0, 0.3)
    return round(middle + spread * float(np.clip(where, -1, 1)))


def _place(
    layers: _Layers, drawing: Drawing, top: int, left: int, level: float, *, whole: bool = True
) -> None:
    """Lay a drawing's ink on the paper, and into the mask where it is a whole character."""
    height, width = layers.ink.shape
    tall, wide = drawing.ink.shape
    y0, y1, x0, x1 = max(top, 0), min(top + tall, height), max(left, 0), min(left + wide, width)
    if y0 >= y1 or x0 >= x1:
        return
    part = slice(y0 - top, y1 - top), slice(x0 - left, x1 - left)
    there = slice(y0, y1), slice(x0, x1)
    ink, peak = drawing.ink[part], float(drawing.ink.max())
    least = MIN_VISIBLE_STEP / level
    if 0 < peak < least:  # too faint for any reader
        ink = ink * np.float32(least / peak)
    np.maximum(layers.ink[there], ink, out=layers.ink[there])
    if whole:
        np.maximum(layers.mask[there], drawing.coverage[part], out=layers.mask[there])
        layers.boxes.append(Box(y0, x0, y1, x1))


def _place_apart(layers: _Layers, drawing: Drawing, level: float, generator: np.random.Generator) -> None:
    """Place a second whole character beside the first, if there is room."""
    height, width = layers.ink.shape
    tall, wide = drawing.ink.shape
    if tall > height or wide > width:
        return
    for _ in range(4):
        top, left = int(generator.integers(height - tall + 1)), int(generator.integers(width - wide + 1))
        if not any(box.overlaps(Box(top, left, top + tall, left + wide)) for box in layers.boxes):
            _place(layers, drawing, top, left, level)
            return


def _place_cut(layers: _Layers, drawing: Drawing, level: float, generator: np.random.Generator) -> None:
    """Let a neighbour look in over the crop's border, no farther than the character's own box allows."""
    height, width = layers.ink.shape
    tall, wide = drawing.ink.shape
    around = _around(layers.boxes, (height, width))
    seen = generator.uniform(0.08, 0.6)
    side = int(generator.integers(4))
    room = (around.top, width - around.right, height - around.bottom, around.left)[side]
    extent = tall if side in {0, 2} else wide
    visible = round(min(seen * extent, 0.85 * room))
    if visible < 2:
        return
    across = round(generator.random() * (width - 0.4 * wide) - 0.3 * wide)
    down = round(generator.random() * (height - 0.4 * tall) - 0.3 * tall)
    top, left = (
        (visible - tall, across),
        (down, width - visible),
        (height - visible, across),
        (down, visible - wide),
    )[side]
    _place(layers, drawing, top, left, level, whole=False)


def _vacant(size: float, shape: tuple[int, ...], generator: np.random.Generator) -> Box:
    """Where a character might stand on a scene that has none."""
    tall, wide = (min(round(size * generator.uniform(0.4, 1.0)), side - 2) for side in shape)
    top, left = round(generator.random() * (shape[0] - tall)), round(generator.random() * (shape[1] - wide))
    return Box(top, left, top + tall, left + wide)


def _around(boxes: list[Box], shape: tuple[int, ...]) -> Box:
    """The box of all characters; the whole scene where there are none."""
    if not boxes:
        return Box(0, 0, shape[0], shape[1])
    return Box(
        min(box.top for box in boxes),
        min(box.left for box in boxes),
        max(box.bottom for box in boxes),
        max(box.right for box in boxes),
    )


def _reduced(image: Floats, scale: int) -> Floats:
    if scale == 1:
        return image
    height, width = image.shape
    return cv2.resize(image, (width // scale, height // scale), interpolation=cv2.INTER_AREA)  # type: ignore[return-value]


def _thresholded(grey: NDArray[np.uint8], generator: np.random.Generator) -> NDArray[np.uint8]:
    """What a scanner's software makes of paper and ink: more contrast, until little but the two is left."""
    low, high = np.percentile(grey, (generator.uniform(0, 3), generator.uniform(30, 70))).tolist()
    gain = generator.uniform(1.0, 6.0) / max(high - low, 8)
    middle = generator.uniform(0.4, 0.75)
    levels = (grey.astype(np.float32) - np.float32(low + middle * (high - low))) * np.float32(gain) + 0.5
    thresholded: NDArray[np.uint8] = (np.clip(levels, 0, 1) * 255).astype(np.uint8)
    return thresholded
