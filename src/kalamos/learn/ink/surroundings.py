"""What surrounds a character: frames, lines, print, holes, stamps, specks, tables, padding.

Functions that take a page change it in place: float32 [H, W], grey levels of evenly lit paper. `longer` is
the character's longer side in px, which sizes go with; `box` is where it stands.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.strokes import draw_line
from kalamos.learn.synthetic_photos.render import BROAD_GRAIN, Camera, Floats, cut, draw
from kalamos.preprocessing.ink import Box

if TYPE_CHECKING:
    from kalamos.learn.ink.glyphs import GlyphPool

__all__ = [
    "border_frame",
    "draw_frame",
    "draw_grid",
    "draw_hole_row",
    "draw_print",
    "draw_rules",
    "draw_specks",
    "draw_stamp",
    "flash",
    "hard_shadow",
    "lay_on_table",
    "pad_photo",
]

PRINT_HAND: Final = Camera(
    smallest=16, margin=0.0, pencil=0.0, marker=0.3, wobble=0.0, elastic=0.0, rotate=1.0, slant=1.0
)


def _blend(page: Floats, cover: NDArray[np.uint8], level: float, opacity: float) -> None:
    """Mix a grey level into the page where `cover` says so."""
    share = cover.astype(np.float32)
    share *= np.float32(opacity / 255)
    page += share * (np.float32(level) - page)


def _line_level(page: Floats, generator: np.random.Generator) -> float:
    """What lines are printed in: darker than the paper mostly, now and then lighter."""
    if generator.random() < 0.12:
        return float(generator.uniform(200, 255))
    return float(generator.uniform(0, 0.8) * float(page.mean()))


def draw_rules(page: Floats, longer: float, box: Box, generator: np.random.Generator) -> None:
    """Rule the page, a little askew; the character rests on a line or is crossed by some."""
    spacing = longer * generator.uniform(0.5, 1.8)
    base = box.bottom if generator.random() < 0.5 else generator.uniform(0, page.shape[0])
    _rule_all(page, base, spacing, longer, generator)


def draw_grid(page: Floats, longer: float, generator: np.random.Generator) -> None:
    """Square the page; the lines cross the character."""
    height, width = page.shape
    spacing = longer * generator.uniform(0.2, 1.3)
    cover = np.zeros(page.shape, np.uint8)
    thick = max(0.5, longer * generator.uniform(0.004, 0.035))
    slope = math.tan(math.radians(generator.uniform(-6, 6)))
    start = generator.uniform(0, spacing, 2)
    for y in np.arange(start[0] - abs(slope) * width, height + abs(slope) * width, spacing).tolist():
        draw_line(cover, [(-2, y), (width + 2, y + slope * width)], thick)
    for x in np.arange(start[1] - abs(slope) * height, width + abs(slope) * height, spacing).tolist():
        draw_line(cover, [(x, -2), (x - slope * height, height + 2)], thick)
    _blend(page, cover, _line_level(page, generator), generator.uniform(0.08, 0.8) * min(1.0, thick))


def _rule_all(
    page: Floats, base: float, spacing: float, longer: float, generator: np.random.Generator
) -> None:
    height, width = page.shape
    cover = np.zeros(page.shape, np.uint8)
    thick = max(0.5, longer * generator.uniform(0.004, 0.04))
    slope = math.tan(math.radians(generator.uniform(-5, 5)))
    first = base - spacing * math.ceil((base + abs(slope) * width) / spacing)
    turned = generator.random() < 0.15
    for y in np.arange(first, height + abs(slope) * width + 1, spacing).tolist():
        line = [(-2.0, y), (width + 2.0, y + slope * width)]
        draw_line(cover, [(b, a) for a, b in line] if turned else line, thick)
    _blend(page, cover, _line_level(page, generator), generator.uniform(0.1, 0.9) * min(1.0, thick))


def draw_frame(
    page: Floats, longer: float, box: Box, generator: np.random.Generator, *, closed: bool
) -> None:
    """Draw the cell of a form around the character: closed, open, double, or with its neighbours' lines.

    Args:
        closed: draw no open one, some sides of which might be a character's strokes.
    """
    height, width = page.shape
    chance = generator.random
    inset = generator.random(4)
    top = inset[0] * box.top
    left = inset[1] * box.left
    bottom = height - 1 - inset[2] * (height - box.bottom)
    right = width - 1 - inset[3] * (width - box.right)
    if chance() < 0.3:  # close by
        gap = generator.uniform(0.02, 0.2) * longer
        top, left = max(top, box.top - gap), max(left, box.left - gap)
        bottom, right = min(bottom, box.bottom + gap), min(right, box.right + gap)
    if chance() < 0.15:  # crossing the character
        bottom -= generator.uniform(0, 0.25) * longer
    turn = math.tan(math.radians(generator.normal(0, 2)))
    dx, dy = turn * (bottom - top), turn * (right - left)
    corners = [(left, top), (right, top + dy), (right - dx, bottom + dy), (left - dx, bottom)]
    thick = max(0.6, longer * generator.uniform(0.008, 0.09))
    level, opacity = _line_level(page, generator), generator.uniform(0.25, 1.0)
    cover = np.zeros(page.shape, np.uint8)
    is_closed = closed or chance() < 0.6
    sides = list(range(4)) if is_closed else generator.permutation(4)[: generator.integers(1, 4)].tolist()
    # A straight stroke by itself is a character's. What is printed goes on to the border, or meets another.
    beyond = generator.uniform(0, 0.4) * longer if chance() < 0.3 else 0.0
    if not is_closed:
        several = len(sides) > 1 and chance() < 0.15
        beyond = max(beyond, 0.3 * longer) if several else float(height + width)
    for side in sides:
        (x0, y0), (x1, y1) = corners[side], corners[(side + 1) % 4]
        length = max(math.hypot(x1 - x0, y1 - y0), 1.0)
        ax, ay = (x1 - x0) / length * beyond, (y1 - y0) / length * beyond
        draw_line(cover, [(x0 - ax, y0 - ay), (x1 + ax, y1 + ay)], thick)
        if chance() < 0.2:  # double
            apart = generator.uniform(1.5, 4) * thick
            nx, ny = (y1 - y0) / length * apart, -(x1 - x0) / length * apart
            draw_line(cover, [(x0 + nx - ax, y0 + ny - ay), (x1 + nx + ax, y1 + ny + ay)], thick)
    _blend(page, cover, level, opacity * min(1.0, thick))


def draw_hole_row(page: Floats, longer: float, box: Box, generator: np.random.Generator) -> None:
    """Punch the holes of a spiral along one side, where there is room."""
    height, width = page.shape
    left_side = generator.random() < 0.5
    room = box.left if left_side else width - box.right
    radius = min(longer * generator.uniform(0.05, 0.2), room / 2.5)
    if radius < 1:
        return
    x = generator.uniform(radius, room - radius)
    x = x if left_side else width - x
    cover = np.zeros(page.shape, np.uint8)
    spacing = radius * generator.uniform(2.5, 5)
    for y in np.arange(generator.uniform(0, spacing), height, spacing).tolist():
        cv2.circle(cover, (round(x), round(y)), max(1, round(radius)), 255, cv2.FILLED, cv2.LINE_AA)
    _blend(page, cover, generator.uniform(0, 110), generator.uniform(0.6, 1.0))


def draw_print(
    page: Floats, glyphs: GlyphPool, longer: float, box: Box, generator: np.random.Generator
) -> None:
    """Print a line of small type above or below the character."""
    height, width = page.shape
    size = longer * generator.uniform(0.14, 0.32)
    above = generator.random() < 0.5
    room = box.top if above else height - box.bottom
    if size < 4 or room < 1.3 * size:
        return
    start = generator.uniform(0.1, 0.2) * size
    y = round(start if above else height - start - size)
    x = round(generator.uniform(-0.2, 0.3) * width)
    opacity = np.float32(generator.uniform(0.4, 1.0))
    for _ in range(int(generator.integers(3, 9))):
        letter = draw(glyphs.sample(generator), size, PRINT_HAND, generator).ink
        tall, wide = min(letter.shape[0], height - y), letter.shape[1]
        x0, x1 = max(x, 0), min(x + wide, width)
        if x0 < x1 and tall > 0:
            page[y : y + tall, x0:x1] *= 1 - opacity * letter[:tall, x0 - x : x1 - x]
        x += round(wide + size * generator.uniform(0.1, 0.3))


def draw_stamp(page: Floats, longer: float, generator: np.random.Generator) -> None:
    """Press a faint round stamp somewhere onto the page."""
    height, width = page.shape
    cover = np.zeros(page.shape, np.uint8)
    x, y = generator.uniform(0, width), generator.uniform(0, height)
    radius = longer * generator.uniform(0.5, 1.2)
    thick = max(1, round(longer * generator.uniform(0.01, 0.04)))
    centre = round(x), round(y)
    for share in (1.0, 0.8)[: int(generator.integers(1, 3))]:
        axes = round(radius * share), round(radius * share * generator.uniform(0.6, 1.0))
        cv2.ellipse(cover, centre, axes, generator.uniform(0, 180), 0, 360, 255, thick, cv2.LINE_AA)
    _blend(page, cover, generator.uniform(60, 160), generator.uniform(0.1, 0.45))


def draw_specks(page: Floats, longer: float, ink: Floats, generator: np.random.Generator) -> None:
    """Scatter dust, hairs and spots that are too small or too faint for a letter's dot."""
    height, width = page.shape
    cover = np.zeros(page.shape, np.uint8)
    for _ in range(int(generator.integers(1, 12))):
        x, y = generator.uniform(0, width), generator.uniform(0, height)
        radius = generator.uniform(0.25, 1.0) * max(0.5, 0.016 * longer)
        draw_line(cover, [(x, y), (x, y)], 2 * max(0.25, radius))
    if generator.random() < 0.25:
        start = generator.uniform(0, (width, height))
        bend = start + generator.normal(0, 0.25 * longer, 2)
        end = bend + generator.normal(0, 0.25 * longer, 2)
        draw_line(cover, np.stack([start, bend, end]), 1)
    away = cv2.dilate(ink, np.ones((3, 3), np.uint8)) < 0.02
    cover *= away
    _blend(page, cover, generator.uniform(0, 120), generator.uniform(0.2, 0.9))


def hard_shadow(shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """The share of light that a shadow with a straight or wavy edge leaves, float32 [H, W]."""
    height, width = shape
    rows = np.arange(height, dtype=np.float32)[:, np.newaxis] / max(shape)
    columns = np.arange(width, dtype=np.float32) / max(shape)
    angle = generator.uniform(0, 2 * math.pi)
    cos, sin = np.float32(math.cos(angle)), np.float32(math.sin(angle))
    along = np.asarray(cos * rows - sin * columns, np.float32)
    across = np.asarray(cos * columns + sin * rows, np.float32)
    if generator.random() < 0.5:
        across += np.float32(generator.uniform(0.01, 0.05)) * np.sin(
            along * np.float32(generator.uniform(6, 25)) + np.float32(generator.uniform(0, 6))
        )
    across -= np.float32(generator.uniform(float(across.min()), float(across.max())))
    soft = np.float32(max(shape) ** generator.uniform(0.3, 1.0))  # one over the penumbra's width
    shade: Floats = 1 - np.float32(generator.uniform(0.15, 0.65)) * np.clip(soft * across + 0.5, 0, 1)
    return shade


def flash(shape: tuple[int, int], generator: np.random.Generator) -> Floats:
    """The grey levels that a lamp's reflection adds, float32 [H, W]."""
    height, width = shape
    rows = np.arange(height, dtype=np.float32)[:, np.newaxis] - np.float32(generator.uniform(0, height))
    columns = np.arange(width, dtype=np.float32) - np.float32(generator.uniform(0, width))
    reach = np.float32(2 * (generator.uniform(0.05, 0.25) * max(shape)) ** 2)
    spot: Floats = np.float32(generator.uniform(20, 120)) * np.exp(-(rows * rows + columns * columns) / reach)
    return spot


def lay_on_table(page: Floats, box: Box, generator: np.random.Generator) -> None:
    """Let the paper end within the picture, on one side or several: beyond lies a table or a lid."""
    height, width = page.shape
    ground = np.full(page.shape, generator.uniform(0, 255), np.float32)
    if generator.random() < 0.6:
        ground += np.float32(generator.uniform(0, 25)) * cut(BROAD_GRAIN, page.shape, generator)
    if abs(float(ground.mean()) - float(page.mean())) < 25:
        ground -= 60
    rows, columns = np.arange(height, dtype=np.float32)[:, np.newaxis], np.arange(width, dtype=np.float32)
    distance = np.full(page.shape, np.inf, np.float32)
    count = 1 if generator.random() < 0.7 else int(generator.integers(2, 5))
    for side in generator.permutation(4)[:count].tolist():
        slope = np.float32(math.tan(math.radians(generator.normal(0, 5))))
        room = (box.top, width - box.right, height - box.bottom, box.left)[side]
        edge = np.float32(generator.uniform(0, 0.85) * room)
        inside = (
            rows + slope * (columns - width / 2) - edge,
            (width - 1 - edge) - columns + slope * (rows - height / 2),
            (height - 1 - edge) - rows + slope * (columns - width / 2),
            columns + slope * (rows - height / 2) - edge,
        )[side]
        np.minimum(distance, inside, out=distance)
    share = np.clip(distance / np.float32(generator.uniform(0.5, 2.0)) + 0.5, 0, 1)
    if generator.random() < 0.4:  # the shadow that the paper throws, or its lit edge
        depth, reach = generator.uniform(-0.2, 0.5), generator.uniform(1.5, 8)
        ground *= 1 - np.float32(depth) * np.exp(np.minimum(distance, 0) / np.float32(reach))
    page *= share
    page += (1 - share) * ground


def border_frame(grey: NDArray[np.uint8], mask: Floats, generator: np.random.Generator) -> None:
    """Draw a crisp rectangle near the crop's border, as programs and scanners do, over all that is there."""
    height, width = grey.shape
    inset = int(generator.integers(0, max(1, min(height, width) // 7)))
    thick = int(generator.integers(1, max(2, min(height, width) // 14)))
    level = int(generator.integers(0, 256))
    outer = np.zeros(grey.shape, bool)
    outer[inset : height - inset, inset : width - inset] = True
    inner = inset + thick
    outer[inner : height - inner, inner : width - inner] = False
    if float((mask[outer] > 0.5).sum()) > 0.02 * float((mask > 0.5).sum()):
        return  # it would cross the character
    grey[outer] = level
    mask[outer] = 0


def pad_photo(
    grey: NDArray[np.uint8], mask: Floats, proportions: tuple[int, int], generator: np.random.Generator
) -> tuple[NDArray[np.uint8], Floats]:
    """Pad to a larger picture with white, black, a grey or the paper's own level.

    Args:
        proportions: height and width that the result's are proportional to.
    """
    height, width = grey.shape
    grow = generator.uniform(0.0, 1.5) if generator.random() < 0.5 else 0.0
    scale = max(height / proportions[0], width / proportions[1]) * (1 + grow)
    level = (255.0, 0.0, generator.uniform(0, 255), float(np.median(grey)))[int(generator.integers(4))]
    more = [max(0, round(scale * side) - old) for side, old in zip(proportions, grey.shape, strict=True)]
    top, left = (round(side * (0.5 if generator.random() < 0.8 else generator.random())) for side in more)
    bottom, right = more[0] - top, more[1] - left
    padded = cv2.copyMakeBorder(grey, top, bottom, left, right, cv2.BORDER_CONSTANT, value=level)
    return padded, cv2.copyMakeBorder(mask, top, bottom, left, right, cv2.BORDER_CONSTANT, value=0)  # type: ignore[return-value]
