"""Find white areas with four straight sides that dark lines enclose, and lay their sides onto the lines.

A cell of a table is a hole in the mask of what is dark. How dark a line is differs within one photograph,
so the mask is cut at several levels, and the quadrilaterals of all levels are tried on the lines themselves.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["MIN_SIDE_PX", "SideFit", "darkness", "fit_sides", "quads_of", "side_lengths", "upright_quads"]

Grey = NDArray[np.uint8]
Quads = NDArray[np.float32]
"""[N, 4, 2]: x and y in px of the corners, clockwise from the top left."""

MIN_SIDE_PX: Final = 9
"""The least side of a cell's white inside; a box of 15 px with lines of 4 px has 11."""

MAX_AREA_FRACTION: Final = 0.5
"""Of the image; a larger area is the page, or the frame around it."""

LEVELS: Final = (24, 12, 48, 8, 110)
"""Darkness from which on a pixel may be of a line: a faint one's on even paper, or a black one's on noise."""

MAX_NOISE_SHARE: Final = 2.0
"""A level below so many standard deviations of the paper's noise is left out: it would show noise alone."""

PAPER_REDUCTION, PAPER_REACH = 4, 15
"""The paper's level is looked for on an image reduced so many times, in squares with a side of so many
px: lines and strokes are narrower, shadows wider."""

MIN_PAPER_SHARE: Final = 0.35
"""Of the brightest paper's level; darker ground is not paper in the shade."""

SIMPLIFICATIONS: Final = (0.02, 0.04, 0.07)
"""Of an outline's length: how far four straight sides may lie from it, tried in turn."""

MIN_RECTANGLE: Final = 0.9
"""An outline that fills so much of the least rectangle around it is that rectangle, to begin with."""

MAX_ROUND_SHARE: Final = 1.25
"""Area of the convex hull over that of its quadrilateral; a circle has 1.57."""

MIN_FILL: Final = 0.5
"""The share of its quadrilateral that the white area has to fill: strokes that touch the lines take the
rest."""

SIDE_POINTS, SIDE_OFFSETS = 16, 25
"""A side is sampled at so many points along it, and so many across it."""

SIDE_MARGIN: Final = 0.15
"""The share of a side, at both its ends, that is not sampled: the other lines are there."""

MAX_SKEW, MAX_SKEW_PX = 0.1, 0.6
"""How far opposite sides may be from parallel: a share of their length, and px more."""

USUAL_POINT, MIN_PRESENCE = 3 * SIDE_POINTS // 4, 0.55
"""A line is there where it is at least so dark, as a share of the darkness at the point so high in order,"""

MIN_FIRST, MIN_LEVEL, MAX_DIP = 0.15, 4.0, 0.6
"""A ridge counts from this share of the darkest on, and this darkness; it ends where darkness falls to
this share."""

INSIDE_PX: Final = 3
"""So far within a cell, beside its line, its paper is looked for,"""

MAX_INSIDE: Final = 0.6
"""and is light if it is less dark than this share of the line, somewhere near."""

MAX_BEND_PX: Final = 1.5
"""How far a line may leave its straight fit, plus a tenth of its width."""


def darkness(image: Grey) -> Grey:
    """Compute how much darker each pixel is than the paper around it: 0 is paper, 255 black.

    >>> page = np.full((64, 64), 120, np.uint8)
    >>> page[30:33] = 60
    >>> dark = darkness(page)
    >>> int(dark[31, 9]), int(dark[9, 9])
    (127, 0)
    """
    height, width = image.shape
    small = (max(1, width // PAPER_REDUCTION), max(1, height // PAPER_REDUCTION))
    paper = cv2.resize(image, small, interpolation=cv2.INTER_AREA)
    square = cv2.getStructuringElement(cv2.MORPH_RECT, (PAPER_REACH, PAPER_REACH))
    paper = cv2.blur(cv2.morphologyEx(paper, cv2.MORPH_CLOSE, square), (PAPER_REACH, PAPER_REACH))
    # What is much darker than the page is the table it lies on, and no paper to see ink on.
    paper = np.maximum(paper, np.uint8(round(float(np.percentile(paper, 95)) * MIN_PAPER_SHARE)))
    paper = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    # NumPy's maximum: OpenCV takes a picture of one pixel for a number.
    light = cv2.divide(cv2.GaussianBlur(image, (3, 3), 0), np.maximum(paper, np.uint8(1)), scale=255)
    return np.asarray(cv2.bitwise_not(light), np.uint8).reshape(image.shape)


def quads_of(dark: Grey) -> tuple[Quads, NDArray[np.bool_]]:
    """Return the quadrilaterals that dark lines enclose, and whether they are the lines' outer edges.

    One cell may come several times, as each level shows it; of much the same ones the best is kept.
    """
    found: list[Quads] = []
    qualities: list[float] = []
    noise = _noise(dark)
    for level in LEVELS:
        if level >= MAX_NOISE_SHARE * noise:
            _add_holes(dark, level, found, qualities)
    angle = _angle(found)
    thick = cv2.dilate(dark, _SQUARE)
    for length, levels in LINE_LEVELS.items():
        lines = _along_lines(thick, length, angle)  # type: ignore[arg-type]
        for level in levels:
            if level >= MAX_NOISE_SHARE * noise:
                _add_holes(lines, level, found, qualities)
    if not found:
        return np.zeros((0, 4, 2), np.float32), np.zeros(0, bool)
    quads = np.stack(found)
    kept = distinct(quads, np.abs(qualities))
    return quads[kept], np.array(qualities)[kept] < 0


_SQUARE = np.ones((3, 3), np.uint8)

LINE_LEVELS: Final = {15: (12, 24, 48), 35: (12, 24)}


def _noise(dark: Grey) -> float:
    # Of the differences of neighbours, few are of edges: their upper quartile tells the noise.
    sample = dark[:: max(1, dark.shape[0] // 256)].astype(np.int16)
    return float(np.percentile(np.abs(np.diff(sample, axis=1)), 75)) if sample.shape[1] > 1 else 0.0


def _angle(found: list[Quads]) -> float:
    if not found:
        return 0.0
    quads = np.stack(found)
    along = (np.roll(quads, -1, axis=1) - quads).reshape(-1, 2)
    angles, weights = 4 * np.arctan2(along[:, 1], along[:, 0]), np.hypot(along[:, 0], along[:, 1])
    return float(np.arctan2((weights * np.sin(angles)).sum(), (weights * np.cos(angles)).sum()) / 4)


def _along_lines(dark: Grey, length: int, angle: float) -> Grey:
    """Keep what is as dark over so many px in one of two directions at right angles: lines, not strokes."""
    opened = []
    for turn in (angle, angle + np.pi / 2):
        reach = (length - 1) / 2
        x, y = round(abs(reach * np.cos(turn))), round(abs(reach * np.sin(turn)))
        kernel = np.zeros((2 * y + 1, 2 * x + 1), np.uint8)
        rising = np.cos(turn) * np.sin(turn) < 0
        cv2.line(kernel, (0, 2 * y if rising else 0), (2 * x, 0 if rising else 2 * y), 1)
        opened.append(cv2.morphologyEx(dark, cv2.MORPH_OPEN, kernel))
    return np.asarray(cv2.max(*opened), np.uint8)


def _add_holes(dark: Grey, level: int, found: list[Quads], qualities: list[float]) -> None:
    mask = cv2.threshold(dark, level, 1, cv2.THRESH_BINARY)[1]
    contours, tree = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if tree is None:
        return  # type: ignore[unreachable]
    largest = MAX_AREA_FRACTION * mask.size
    for number, outline in enumerate(contours):
        is_hole = tree[0, number, 3] >= 0
        if len(outline) < 3 * MIN_SIDE_PX:
            continue
        area = cv2.contourArea(outline)
        if not MIN_SIDE_PX**2 <= area <= largest:
            continue
        hull = cv2.convexHull(outline)
        hull_area = cv2.contourArea(hull)
        if area < MIN_FILL * hull_area or (not is_hole and tree[0, number, 2] < 0):
            continue
        quad = _quad(hull, hull_area)  # type: ignore[arg-type]
        if quad is None:
            continue
        found.append(quad)
        # An outer edge's is negative.
        qualities.append(area / hull_area if is_hole else -area / hull_area)


def _quad(hull: NDArray[np.int32], area: float) -> Quads | None:
    """Return the quadrilateral that a convex outline is, [4, 2], or None."""
    rectangle = cv2.minAreaRect(hull)
    if area >= MIN_RECTANGLE * rectangle[1][0] * rectangle[1][1]:
        return np.asarray(cv2.boxPoints(rectangle), np.float32)
    length = cv2.arcLength(hull, True)
    for share in SIMPLIFICATIONS:
        quad = cv2.approxPolyDP(hull, share * length, True)
        if len(quad) <= 4:
            break
    if len(quad) != 4 or area > MAX_ROUND_SHARE * cv2.contourArea(quad):
        return None
    return quad[:, 0].astype(np.float32)


def distinct(quads: Quads, qualities: NDArray[np.float64]) -> NDArray[np.intp]:
    """Return the indices of quadrilaterals of which none is much the same as a better one."""
    centres, areas = quads.mean(axis=1), _areas(quads)
    reach = 0.15 * np.sqrt(areas)
    kept: list[int] = []
    seen: dict[tuple[int, int], list[int]] = {}
    cell = 32.0
    for index in np.argsort(-qualities, kind="stable"):
        x, y = centres[index]
        column, row = int(x // cell), int(y // cell)
        near = (
            other for dy in (-1, 0, 1) for dx in (-1, 0, 1) for other in seen.get((column + dx, row + dy), ())
        )
        for other in near:
            apart = abs(x - centres[other, 0]) + abs(y - centres[other, 1])
            if apart < min(reach[index], reach[other]) and 0.6 < areas[index] / areas[other] < 1.6:
                break
        else:
            kept.append(int(index))
            seen.setdefault((column, row), []).append(int(index))
    return np.array(kept, np.intp)


def _areas(quads: Quads) -> NDArray[np.float32]:
    x, y = quads[..., 0], quads[..., 1]
    doubled = (x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1)
    areas: NDArray[np.float32] = np.abs(doubled) / 2
    return areas


def side_lengths(quads: Quads) -> NDArray[np.float32]:
    """Return the lengths in px of the upper, right, lower and left side, float32 [N, 4]."""
    ends = np.roll(quads, -1, axis=1) - quads
    return np.hypot(ends[..., 0], ends[..., 1])  # type: ignore[no-any-return]


def upright_quads(quads: Quads) -> Quads:
    """Let all corners run clockwise from the top left, as the page lies (turned by less than 45 degrees)."""
    if not len(quads):
        return quads
    x, y = quads[..., 0], quads[..., 1]
    clockwise = (x * np.roll(y, -1, 1) - y * np.roll(x, -1, 1)).sum(axis=1) > 0
    quads = np.where(clockwise[:, None, None], quads, quads[:, ::-1])
    across = quads[:, 1] - quads[:, 0] + quads[:, 2] - quads[:, 3]
    angles = np.arctan2(across[:, 1], across[:, 0])
    # Four times an angle is the same for all four sides of a rectangle.
    weights = np.hypot(across[:, 0], across[:, 1])
    page = np.arctan2((weights * np.sin(4 * angles)).sum(), (weights * np.cos(4 * angles)).sum()) / 4
    turns = np.rint((angles - page) / (np.pi / 2)).astype(int) % 4
    # A side too far clockwise by one turn is the right one: the upper one is the corner before.
    order = (np.arange(4)[None] - turns[:, None]) % 4
    return np.take_along_axis(quads, order[..., None], axis=1)


def are_parallel(quads: Quads) -> NDArray[np.bool_]:
    """Return whether opposite sides are about parallel, [N]: strokes that bound parts of cells seldom are."""
    along = np.roll(quads, -1, axis=1) - quads
    first, second = along[:, :2], -along[:, 2:]
    cross = np.abs(first[..., 0] * second[..., 1] - first[..., 1] * second[..., 0])
    lengths = np.hypot(first[..., 0], first[..., 1]), np.hypot(second[..., 0], second[..., 1])
    shorter = np.maximum(np.minimum(*lengths), 1)
    sine = cross / np.maximum(lengths[0] * lengths[1], 1e-3)
    return np.asarray((sine <= MAX_SKEW + MAX_SKEW_PX / shorter).all(axis=1))


def are_convex(quads: Quads) -> NDArray[np.bool_]:
    """Return whether quadrilaterals are convex, run clockwise, and have no side that is too short, [N]."""
    along = np.roll(quads, -1, axis=1) - quads
    turn = along[..., 0] * np.roll(along[..., 1], -1, 1) - along[..., 1] * np.roll(along[..., 0], -1, 1)
    return np.asarray((turn > 0).all(axis=1) & (side_lengths(quads).min(axis=1) >= MIN_SIDE_PX))


class SideFit(NamedTuple):
    """How quadrilaterals lie on lines; N of them, sides in the order upper, right, lower, left."""

    quads: Quads
    """[N, 4, 2], sides along the middle of the lines."""
    coverage: NDArray[np.float32]
    """[N, 4], the share of each side along which there is a line, 0..1."""
    light: NDArray[np.float32]
    """[N, 4], the share of each side along which the cell is light beside it, 0..1."""
    width: NDArray[np.float32]
    """[N, 4], of the lines, px; infinite where a dark area begins."""
    level: NDArray[np.float32]
    """[N, 4], the lines' darkness, 0..255."""


def fit_sides(
    dark: Grey,
    quads: Quads,
    inward: NDArray[np.float32],
    outward: NDArray[np.float32],
    *,
    level: float = 0.0,
    is_outer: NDArray[np.bool_] | None = None,
) -> SideFit:
    """Lay the sides of quadrilaterals onto the middle of dark lines.

    Args:
        dark: darkness, uint8 [H, W].
        quads: float32 [N, 4, 2], clockwise.
        inward, outward: how far to look for the line, in px, [N].
        level: a darkness that lines are known to have; a fainter one is no line.
        is_outer: whether quadrilaterals are the outer edges of their lines, or the inner ones, [N]: the
        line then is the first one beyond the edge. By default it is the nearest dark one.
    """
    count = len(quads)
    starts, ends = quads, np.roll(quads, -1, axis=1)
    along = ends - starts
    lengths = np.maximum(np.hypot(along[..., 0], along[..., 1]), 1e-3)
    normals = np.stack([along[..., 1], -along[..., 0]], axis=-1) / lengths[..., None]
    shares = np.linspace(SIDE_MARGIN, 1 - SIDE_MARGIN, SIDE_POINTS, dtype=np.float32)
    steps = np.linspace(0, 1, SIDE_OFFSETS, dtype=np.float32)
    deepest = inward + INSIDE_PX
    offsets = (-deepest[:, None] + steps * (deepest + outward)[:, None])[:, None, None, :]  # [N, 1, 1, K]
    feet = starts[:, :, None] + shares[:, None] * along[:, :, None]  # [N, 4, P, 2]
    x = feet[..., 0, None] + offsets * normals[:, :, None, 0, None]
    y = feet[..., 1, None] + offsets * normals[:, :, None, 1, None]
    shape = (count, 4, SIDE_POINTS, SIDE_OFFSETS)
    flat = (count * 4, SIDE_POINTS * SIDE_OFFSETS)
    values = cv2.remap(
        dark,
        np.ascontiguousarray(x.reshape(flat), np.float32),
        np.ascontiguousarray(y.reshape(flat), np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
    ).reshape(shape)
    profile = np.partition(values, SIDE_POINTS // 2, axis=2)[:, :, SIDE_POINTS // 2].astype(np.float32)
    floor = profile.min(axis=2, keepdims=True)
    profile -= floor
    offsets = offsets[:, 0]  # [N, 1, K]
    # Nothing is looked for where only the cell's inside is sampled.
    seen = profile * (offsets >= -inward[:, None, None] - 1e-3)
    top = _nearest(seen, offsets, inward, outward)
    if is_outer is not None:
        outwards, inwards = _first(seen), SIDE_OFFSETS - 1 - _first(seen[..., ::-1])
        top = np.where(is_outer[:, None], inwards, outwards)
    begin, end, peak = _ridge(profile, top, offsets)
    step = ((deepest + outward) / (SIDE_OFFSETS - 1))[:, None]
    is_open = end > outward[:, None] - 0.5 * step
    middle = np.where(is_open, begin + 1, (begin + end) / 2)
    width = np.where(is_open, np.float32(np.inf), end - begin)

    reach = np.where(is_open, 2.5, np.maximum((end - begin) / 2, 0.5) + 1.5 * np.maximum(step, 0.7))
    near = np.abs(offsets - middle[..., None]) <= reach[..., None]  # [N, 4, K]
    ink = np.minimum(np.maximum(values - floor[:, :, None], 0), peak[..., None, None]) * near[:, :, None]
    mass = ink.sum(axis=3)
    places = (ink * offsets[:, :, None]).sum(axis=3) / np.maximum(mass, 1e-3)  # [N, 4, P]
    depth = ink.max(axis=3)  # [N, 4, P]
    usual = np.partition(depth, USUAL_POINT, axis=2)[:, :, USUAL_POINT]
    present = depth >= np.maximum(MIN_PRESENCE * np.maximum(usual, 1), level)[..., None]
    inside = (offsets < (middle - reach)[..., None])[:, :, None]
    lightest = np.where(inside, values, np.float32(255)).min(axis=3) - floor
    light = ((lightest <= MAX_INSIDE * depth) | ~inside.any(axis=3)).mean(axis=2, dtype=np.float32)
    slope, intercept, miss = _lines(places, present, shares, middle, reach)
    bend = MAX_BEND_PX + 0.1 * np.where(is_open, 0, end - begin)
    coverage = (present & (np.abs(miss) <= bend[..., None])).mean(axis=2, dtype=np.float32)

    first = starts + normals * intercept[..., None]
    second = ends + normals * (intercept + slope)[..., None]
    corners = _corners(first, second, quads)
    return SideFit(corners, coverage, light, width.astype(np.float32), peak.astype(np.float32))


def _ridge(
    profile: NDArray[np.float32], top: NDArray[np.intp], offsets: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return where the ridge around `top` begins and ends, at half its height, and that height: [N, 4]."""
    top = top[..., None]
    peak = np.take_along_axis(profile, top, 2)
    half = np.maximum(peak / 2, 0.5)
    index = np.arange(SIDE_OFFSETS)
    low = profile < half
    before = np.where(low & (index < top), index, -1).max(axis=2)
    after = np.where(low & (index > top), index, SIDE_OFFSETS).min(axis=2)
    step = offsets[..., 1] - offsets[..., 0]

    def crossing(outside: NDArray[np.intp], inside: NDArray[np.intp]) -> NDArray[np.float32]:
        clipped = np.clip(outside, 0, SIDE_OFFSETS - 1)[..., None]
        low_value = np.take_along_axis(profile, clipped, 2)[..., 0]
        high_value = np.take_along_axis(profile, inside[..., None], 2)[..., 0]
        share = (half[..., 0] - low_value) / np.maximum(high_value - low_value, 1e-3)
        position = outside + (inside - outside) * np.clip(share, 0, 1)
        return np.asarray(offsets[..., 0] + step * np.clip(position, 0, SIDE_OFFSETS - 1), np.float32)

    begin = crossing(before, np.minimum(before + 1, SIDE_OFFSETS - 1))
    end = crossing(after, np.maximum(after - 1, 0))
    return begin, end, peak[..., 0]


def _nearest(
    profile: NDArray[np.float32],
    offsets: NDArray[np.float32],
    inward: NDArray[np.float32],
    outward: NDArray[np.float32],
) -> NDArray[np.intp]:
    """Return the index of the darkest place near 0, [N, 4]."""
    reach = np.maximum(inward, outward)[:, None, None]
    return np.asarray((profile * (1 - 0.6 * np.abs(offsets) / reach)).argmax(axis=2))


def _first(profile: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the index of the first ridge from the left, [N, 4], however dark others are."""
    highest = np.maximum.accumulate(profile, axis=2)
    enough = np.maximum(MIN_FIRST * highest[..., -1:], MIN_LEVEL)
    past = (highest >= enough) & (profile < MAX_DIP * highest)
    end = np.where(past.any(axis=2), past.argmax(axis=2), SIDE_OFFSETS)
    return np.asarray(np.where(np.arange(SIDE_OFFSETS) < end[..., None], profile, -1).argmax(axis=2))


def _lines(
    places: NDArray[np.float32],
    present: NDArray[np.bool_],
    shares: NDArray[np.float32],
    middle: NDArray[np.float32],
    reach: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Fit places [N, 4, P] across a side by a line: slope a side, place at its start, misses [N, 4, P]."""
    weights = present.astype(np.float32)
    slope, intercept = np.zeros_like(middle), middle
    enough = present.sum(axis=2) >= SIDE_POINTS // 3
    for _ in range(3):
        total = np.maximum(weights.sum(axis=2), 1e-3)
        mean_share = (weights * shares).sum(axis=2) / total
        mean_place = (weights * places).sum(axis=2) / total
        spread = (weights * (shares - mean_share[..., None]) ** 2).sum(axis=2) / total
        joint = (weights * (shares - mean_share[..., None]) * (places - mean_place[..., None])).sum(
            axis=2
        ) / total
        bound = 2 * reach
        slope = np.where(enough, np.clip(joint / np.maximum(spread, 0.02), -bound, bound), 0)
        intercept = np.where(enough, mean_place - slope * mean_share, middle)
        miss = places - intercept[..., None] - slope[..., None] * shares
        weights = present / (1 + (miss / 0.7) ** 2)  # type: ignore[assignment]
    return slope, intercept, miss


def _corners(first: Quads, second: Quads, fallback: Quads) -> Quads:
    """Intersect each side, from `first` to `second`, with the one before it."""
    along = second - first
    before, start = np.roll(along, 1, axis=1), np.roll(first, 1, axis=1)
    cross = before[..., 0] * along[..., 1] - before[..., 1] * along[..., 0]
    apart = first - start
    share = apart[..., 0] * along[..., 1] - apart[..., 1] * along[..., 0]
    steep = np.abs(cross) > 0.1 * np.hypot(before[..., 0], before[..., 1]) * np.hypot(
        along[..., 0], along[..., 1]
    )
    share = share / np.where(steep, cross, 1)
    return np.where(steep[..., None], start + share[..., None] * before, fallback).astype(np.float32)
