"""Scanners, photocopiers and telephones of drawn forms.

Each takes a page, float32 [H, W] of grey levels in even light, and returns the picture with a function from
the page's px to the picture's, so that it is known where everything went. The telephone is a pinhole over a
table; the page before it is flat or a cylinder. None of it is shared with what the models and the ink
finder learnt from.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Final, NamedTuple

import cv2
import numpy as np
from drawn_paper import Floats, noise, table_top
from numpy.typing import NDArray

__all__ = ["PHOTOGRAPHS", "SCANS", "Shot", "photograph", "quarter_turns", "scan"]

SCANS: Final = ("clean", "turned", "photocopy", "100 dpi", "upside down")
PHOTOGRAPHS: Final = ("perspective", "shadow", "curved", "all together", "sideways")

Points = NDArray[np.float64]
"""[N, 2], x and y in px, whole numbers in the middle of pixels."""


class Shot(NamedTuple):
    """A picture, uint8 [H, W], and where the page's points lie in it."""

    image: NDArray[np.uint8]
    place: Callable[[Points], Points]


def quarter_turns(shot: Shot, turns: int) -> Shot:
    """Turn a picture by quarters, counter-clockwise."""
    height, width = shot.image.shape
    last = {0: (0, 0), 1: (0, width - 1), 2: (width - 1, height - 1), 3: (height - 1, 0)}[turns % 4]
    turn = np.array(
        [[[1, 0], [0, 1]], [[0, 1], [-1, 0]], [[-1, 0], [0, -1]], [[0, -1], [1, 0]]][turns % 4], float
    )
    return Shot(
        np.ascontiguousarray(np.rot90(shot.image, turns)), lambda points: shot.place(points) @ turn.T + last
    )


def scan(page: Floats, kind: str, generator: np.random.Generator) -> Shot:
    """Scan a page as one of `SCANS`."""
    height, width = page.shape
    turn = generator.uniform(-15, 15) if kind == "turned" else generator.normal(0, 0.4)
    stretch = generator.uniform(0.99, 1.01, 2) if kind == "photocopy" else np.ones(2)
    angle = math.radians(turn)
    spin = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    linear = spin @ np.diag(stretch)
    if kind == "turned":  # the glass is as large as it needs to be
        reach = np.abs(linear) @ (width, height)
        size = tuple(math.ceil(side) + 8 for side in reach)
    else:
        size = (width + int(generator.integers(-6, 12)), height + int(generator.integers(-6, 12)))
    shift = (
        (np.array(size) - 1) / 2
        - linear @ ((np.array([width, height]) - 1) / 2)
        + generator.uniform(-8, 8, 2)
    )
    lid = generator.choice([250.0, 235.0, 30.0], p=[0.5, 0.3, 0.2])
    picture = cv2.warpAffine(
        page, np.column_stack([linear, shift]), size, flags=cv2.INTER_LINEAR, borderValue=float(lid)
    )
    if kind == "photocopy":
        picture = _photocopied(picture, generator)
    scale = 1.0
    if kind == "100 dpi":
        scale = 0.5
        size = (round(size[0] * scale), round(size[1] * scale))
        step = np.array(size) / picture.shape[::-1]
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    else:
        step = np.ones(2)
        picture = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.45, 0.75))
    _scanned(picture, generator)
    image = _compressed(picture, generator.uniform(72, 95))

    def place(points: Points) -> Points:
        return (points @ linear.T + shift + 0.5) * step - 0.5

    return quarter_turns(Shot(image, place), 2 if kind == "upside down" else 0)


def _scanned(picture: Floats, generator: np.random.Generator) -> None:
    """Set a scanner's black and white point in place, with its columns' unequal gains and its noise."""
    columns = generator.normal(1.0, 0.004, picture.shape[1]).astype(np.float32)
    black, white = generator.uniform(0, 30), generator.uniform(236, 262)
    picture -= np.float32(black)
    picture *= np.float32(255 / (white - black)) * columns
    picture += _sensor_noise(picture.shape, generator) * np.float32(generator.uniform(1.0, 3.5))


def _photocopied(picture: Floats, generator: np.random.Generator) -> Floats:
    """Return a copy: hard contrast, starved solids, specks of toner, streaks, and a dark edge."""
    picture = cv2.GaussianBlur(picture, (0, 0), generator.uniform(0.7, 1.1))
    shape = picture.shape
    middle = generator.uniform(120, 185)
    picture += noise(shape, (260, 260), generator) * 10 + noise(shape, (2.2, 2.2), generator) * 14
    levels = np.arange(256, dtype=np.float32)
    curve = 255 / (1 + np.exp(-(levels - middle) / generator.uniform(9, 22)))
    floor = generator.uniform(5, 45)
    table = np.rint(floor + curve * (1 - floor / 255)).astype(np.uint8)
    copy = cv2.LUT(_bytes(picture), table)
    for level, most in ((30, 800), (250, 700)):
        count = int(generator.integers(most // 8, most))
        places = generator.uniform(0, 1, (count, 2)) * (shape[1], shape[0])
        for (x, y), radius in zip(places, generator.exponential(0.55, count) + 0.3, strict=True):
            cv2.circle(
                copy, (round(x * 16), round(y * 16)), round(min(radius, 2.2) * 16), level, -1, cv2.LINE_AA, 4
            )
    for _ in range(int(generator.integers(0, 3))):
        x = int(generator.integers(0, shape[1]))
        streak = copy[:, x : x + int(generator.integers(1, 3))]
        streak[:] = np.minimum(streak, int(generator.integers(150, 235)))
    if generator.random() < 0.5:
        reach = int(generator.integers(4, 26))
        edge = [copy[:, :reach], copy[:, -reach:], copy[:reach], copy[-reach:]][int(generator.integers(4))]
        edge[:] = np.minimum(edge, int(generator.integers(20, 120)))
    return copy.astype(np.float32)


@dataclass(frozen=True)
class _Sheet:
    """A page on a table as a cylinder: its height above the table is a function of one direction.

    Lengths are in page widths, from the page's middle; x to the right, y downwards, z away from the camera.
    """

    along: NDArray[np.float64]
    """The unit vector that the height changes along."""
    stations: NDArray[np.float64]
    heights: NDArray[np.float64]
    arcs: NDArray[np.float64]
    """At each station, the height and the paper's length from the middle."""

    @classmethod
    def bent(cls, height_share: float, generator: np.random.Generator) -> _Sheet:
        """Return a sheet that rises at an edge like an open book's, or bows, by a share of its width."""
        angle = generator.choice([0.0, 90.0]) + generator.normal(0, 9)
        along = np.array([math.cos(math.radians(angle)), math.sin(math.radians(angle))])
        stations = np.linspace(-1.3, 1.3, 521)
        if height_share == 0:
            heights = np.zeros_like(stations)
        elif generator.random() < 0.5:  # a book's back
            side = generator.choice([-1.0, 1.0])
            heights = height_share * np.exp(-(0.55 + side * stations) / generator.uniform(0.18, 0.35))
            heights = np.minimum(heights, 2.2 * height_share)
            heights = np.convolve(np.pad(heights, 20, mode="edge"), np.full(41, 1 / 41), mode="valid")
        else:  # folded in a pocket: it bows or sags
            width = generator.uniform(0.3, 0.6)
            centre = generator.normal(0, 0.2)
            heights = height_share * np.exp(-(((stations - centre) / width) ** 2))
            heights += height_share * generator.normal(0, 0.12) * np.sin(stations * generator.uniform(5, 9))
        steps = np.hypot(np.diff(stations), np.diff(heights))
        arcs = np.concatenate([[0.0], np.cumsum(steps)])
        return cls(along, stations, heights, arcs - np.interp(0.0, stations, arcs))

    @property
    def across(self) -> NDArray[np.float64]:
        return np.array([-self.along[1], self.along[0]])

    def lifted(self, points: Points) -> NDArray[np.float64]:
        """Return where points of the paper are in space, [N, 3]."""
        station = np.interp(points @ self.along, self.arcs, self.stations)
        flat = station[:, None] * self.along + (points @ self.across)[:, None] * self.across
        return np.column_stack([flat, -np.interp(station, self.stations, self.heights)])

    def depth_at(self, places: Points) -> NDArray[np.float64]:
        return -np.interp(places @ self.along, self.stations, self.heights)

    def slope_at(self, places: Points) -> NDArray[np.float64]:
        return np.interp(places @ self.along, self.stations, np.gradient(self.heights, self.stations))

    def flattened(self, places: Points) -> Points:
        """Return the paper's points above places of the table, both [N, 2]."""
        arc = np.interp(places @ self.along, self.stations, self.arcs)
        return arc[:, None] * self.along + (places @ self.across)[:, None] * self.across


@dataclass(frozen=True)
class _Pinhole:
    """A camera: it sees p at `focal * q[:2] / q[2] + centre`; q is `rotation @ p + (0, 0, distance)`.

    Pixels are those of the picture; lengths in space are in page widths.
    """

    rotation: NDArray[np.float64]
    distance: float
    focal: float
    centre: NDArray[np.float64]

    def seen(self, places: NDArray[np.float64]) -> Points:
        there = places @ self.rotation.T + (0.0, 0.0, self.distance)
        return self.focal * there[:, :2] / there[:, 2:] + self.centre

    def meets(self, pixels: Points, sheet: _Sheet) -> Points:
        """Return the places of the table, [N, 2], above which the rays of pixels meet a sheet."""
        rays = np.column_stack([(pixels - self.centre) / self.focal, np.ones(len(pixels))]) @ self.rotation
        eye = -self.distance * self.rotation[2]
        depth = np.zeros(len(pixels))
        for _ in range(10):  # heights change slowly: this converges
            reach = (depth - eye[2]) / rays[:, 2]
            places = eye[:2] + reach[:, None] * rays[:, :2]
            depth = sheet.depth_at(places)
        return places


COARSE: Final = 16
"""Px between the places for which the page's point under a pixel is computed; linear between."""


def photograph(page: Floats, kind: str, generator: np.random.Generator, *, shorter: int = 1800) -> Shot:
    """Photograph a page as one of `PHOTOGRAPHS`.

    Args:
        shorter: px of the picture's shorter side; the longer is 4/3 of it.
    """
    every = kind == "all together"
    tilt = (
        generator.uniform(10, 24) if every or kind in {"perspective", "sideways"} else generator.uniform(0, 6)
    )
    bend = generator.uniform(0.03, 0.09) if every or kind == "curved" else 0.0
    sheet = _Sheet.bent(bend, generator)
    height, width = page.shape
    size = (shorter, round(shorter * 4 / 3)) if height > width else (round(shorter * 4 / 3), shorter)
    camera = _aimed(sheet, height / width, size, math.radians(tilt), generator)

    def on_paper(points: Points) -> Points:
        return (points + 0.5 - np.array([width, height]) / 2) / width

    def place(points: Points) -> Points:
        return camera.seen(sheet.lifted(on_paper(np.asarray(points, float))))

    xs, ys = (np.arange(0, side + COARSE, COARSE, dtype=float) for side in size)
    pixels = np.stack(np.meshgrid(xs, ys), axis=-1).reshape(-1, 2)
    places = camera.meets(pixels, sheet)
    sources = sheet.flattened(places) * width + np.array([width, height]) / 2 - 0.5
    coarse = (len(ys), len(xs))
    maps = _finer(sources.reshape(*coarse, 2).astype(np.float32), size)
    outline = place(_outline(width, height))
    mask = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(mask, [np.rint(outline * 16).astype(np.int32)], 255, cv2.LINE_8, 4)

    picture = table_top(size, generator)
    seen = cv2.remap(cv2.convertScaleAbs(page), maps, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    cv2.copyTo(seen, mask, picture)
    shade = 1 + 1.2 * sheet.slope_at(places).reshape(coarse) * generator.choice([-1.0, 1.0])
    light = _light(coarse, generator, lamp=every or kind != "perspective") * np.clip(shade, 0.45, 1.4)
    lit = _finer(light.astype(np.float32), size)
    if every or kind == "shadow":
        lit *= _shadows(size, generator)
    paper_level = float(np.median((picture[::16, ::16] * lit[::16, ::16])[mask[::16, ::16] > 0]))
    lit *= np.float32(generator.uniform(150, 220) / paper_level)
    image = _telephone(picture, lit, generator)
    turns = int(generator.integers(1, 4)) if kind == "sideways" else 0
    return quarter_turns(Shot(image, place), turns)


def _outline(width: int, height: int, steps: int = 40) -> Points:
    """Return points along a page's edge, clockwise, [4 * steps, 2]."""
    ways = np.arange(steps) / steps
    right, down = ways * width, ways * height
    edges = [
        np.column_stack([right, np.zeros(steps)]),
        np.column_stack([np.full(steps, width), down]),
        np.column_stack([width - right, np.full(steps, height)]),
        np.column_stack([np.zeros(steps), height - down]),
    ]
    return np.concatenate(edges) - 0.5


def _aimed(
    sheet: _Sheet, aspect: float, size: tuple[int, int], tilt: float, generator: np.random.Generator
) -> _Pinhole:
    """Return a camera that looks at a sheet from aside and has all of it in the picture."""
    toward, roll = generator.uniform(0, 2 * math.pi), math.radians(generator.normal(0, 3.5))
    axis = np.array([math.cos(toward), math.sin(toward), 0.0]) * tilt
    rotation = cv2.Rodrigues(np.array([0.0, 0.0, roll]))[0] @ cv2.Rodrigues(axis)[0]
    focal = generator.uniform(0.72, 0.95) * max(size)
    fill = generator.uniform(0.86, 0.96)
    paper = sheet.lifted(_outline(1000, round(1000 * aspect)) / 1000 - (0.5, aspect / 2))
    distance = 2.0
    for _ in range(12):
        seen = _Pinhole(rotation, distance, focal, np.zeros(2)).seen(paper)
        distance *= float((np.ptp(seen, axis=0) / (np.array(size) * fill)).max())
    seen = _Pinhole(rotation, distance, focal, np.zeros(2)).seen(paper)
    spare = (np.array(size) - np.ptp(seen, axis=0)) / 2
    centre = np.array(size) / 2 - (seen.min(axis=0) + seen.max(axis=0)) / 2
    return _Pinhole(rotation, distance, focal, centre + generator.uniform(-0.7, 0.7, 2) * spare)


def _finer(coarse: Floats, size: tuple[int, int]) -> Floats:
    """Return values on a grid of `COARSE` px for every pixel of a picture of (width, height)."""
    return cv2.warpAffine(
        coarse, np.array([[1 / COARSE, 0, 0], [0, 1 / COARSE, 0]]), size,
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip


def _light(shape: tuple[int, int], generator: np.random.Generator, *, lamp: bool) -> Floats:
    """Return a room's light, and a lamp's spot if there is one, float32 [H, W], about 0.3 to 1.1."""
    height, width = shape
    ys, xs = np.mgrid[0:height, 0:width].astype(np.float32)
    angle = generator.uniform(0, 2 * math.pi)
    ramp = ((xs / width - 0.5) * math.cos(angle) + (ys / height - 0.5) * math.sin(angle)) * 2
    light = 0.85 + generator.uniform(0.02, 0.14) * ramp
    if lamp:
        x, y = generator.uniform(-0.1, 1.1, 2) * (width, height)
        reach = generator.uniform(0.5, 1.1) * max(shape)
        spot = 1 / (1 + ((xs - x) ** 2 + (ys - y) ** 2) / reach**2)
        share = generator.uniform(0.2, 0.6)
        light *= 1 - share + share * 1.15 * spot
    corner = ((xs / width - 0.5) ** 2 + (ys / height - 0.5) ** 2) * generator.uniform(0.1, 0.45)
    return (light * (1 - corner)).astype(np.float32)


def _shadows(size: tuple[int, int], generator: np.random.Generator) -> Floats:
    """Return what one or two shadows leave of the light, float32 [H, W]: of a hand, a telephone, an arm."""
    step = 4
    width, height = size[0] // step, size[1] // step
    left = np.ones((height, width), np.float32)
    for _ in range(int(generator.integers(1, 3))):
        cover = np.zeros((height, width), np.uint8)
        entry = generator.uniform(0, 2 * math.pi)
        middle = np.array([width / 2, height / 2]) + np.array([math.cos(entry), math.sin(entry)]) * (
            generator.uniform(0.25, 0.7) * np.array([width, height])
        )
        angles = np.sort(generator.uniform(0, 2 * math.pi, int(generator.integers(4, 9))))
        radii = generator.uniform(0.18, 0.5, len(angles)) * max(size) / step
        corners = middle + np.column_stack([np.cos(angles), np.sin(angles)]) * radii[:, None]
        cv2.fillPoly(cover, [np.rint(corners).astype(np.int32)], 255)
        penumbra = generator.uniform(0.003, 0.04) * width
        soft = cv2.GaussianBlur(cover, (0, 0), penumbra).astype(np.float32) / 255
        left *= 1 - np.float32(generator.uniform(0.25, 0.6)) * soft
    return cv2.resize(left, size, interpolation=cv2.INTER_LINEAR)


def _telephone(
    picture: NDArray[np.uint8], light: Floats, generator: np.random.Generator
) -> NDArray[np.uint8]:
    """Return what a telephone makes of a scene in a light: lens, exposure, sensor, its sharpening, JPEG."""
    picture = _defocused(picture, generator.uniform(0.6, 1.7))
    exposed = cv2.multiply(picture, light, dtype=cv2.CV_8U)
    levels = np.arange(256, dtype=np.float32)
    # Shot noise grows with the root of the light; a share of it is there in the dark.
    deviations = np.sqrt(np.maximum(levels, 12)) * np.float32(generator.uniform(0.8, 3.0) / 11)
    grain = _sensor_noise(picture.shape, generator)
    grain *= cv2.LUT(exposed, deviations)
    image = cv2.add(exposed, grain, dtype=cv2.CV_8U)
    gamma = generator.uniform(0.85, 1.1)
    image = cv2.LUT(image, np.rint(255 * (levels / 255) ** gamma).astype(np.uint8))
    strength = generator.uniform(0.0, 0.9)
    image = cv2.addWeighted(image, 1 + strength, cv2.blur(image, (3, 3)), -strength, 0)
    return _compressed(image, generator.uniform(70, 93))


def _defocused(picture: NDArray[np.uint8], radius: float) -> NDArray[np.uint8]:
    """Return a picture through a round aperture: a disc of a radius in px."""
    reach = math.ceil(radius)
    ys, xs = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = np.clip(radius + 0.5 - np.hypot(xs, ys), 0, 1).astype(np.float32)
    return cv2.filter2D(picture, -1, disc / disc.sum())


NOISE_SIDE: Final = 1024


@cache
def _noise_tile() -> Floats:
    """Return the noise of a colour sensor after its mosaic was filled in and turned grey, of deviation 1.

    Half of the pixels measure green, a quarter red and a quarter blue; what lies between is the neighbours'
    mean, so that noise is correlated, and unlike in rows and diagonals.
    """
    generator = np.random.default_rng(20_011)
    raw = generator.standard_normal((NOISE_SIDE, NOISE_SIDE)).astype(np.float32)
    ys, xs = np.mgrid[0:NOISE_SIDE, 0:NOISE_SIDE]
    green = ((ys + xs) % 2 == 0).astype(np.float32)
    red = ((ys % 2 == 0) & (xs % 2 == 1)).astype(np.float32)
    blue = ((ys % 2 == 1) & (xs % 2 == 0)).astype(np.float32)
    cross = np.array([[0, 0.25, 0], [0.25, 1, 0.25], [0, 0.25, 0]], np.float32)
    square = np.array([[0.25, 0.5, 0.25], [0.5, 1, 0.5], [0.25, 0.5, 0.25]], np.float32)
    colours = ((0.587, green, cross), (0.299, 1.9 * red, square), (0.114, 1.6 * blue, square))
    grey = np.zeros_like(raw)
    for share, where, kernel in colours:
        grey += share * cv2.filter2D(raw * where, -1, kernel, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(grey / grey.std(), np.float32)


def _sensor_noise(shape: tuple[int, ...], generator: np.random.Generator) -> Floats:
    """Return noise of deviation 1, float32 [H, W]."""
    y, x = generator.integers(0, NOISE_SIDE, 2)
    tile = np.roll(_noise_tile(), (int(y), int(x)), axis=(0, 1))
    if generator.random() < 0.5:
        tile = tile[::-1]
    height, width = shape
    below, beside = max(0, height - NOISE_SIDE), max(0, width - NOISE_SIDE)
    return cv2.copyMakeBorder(tile, 0, below, 0, beside, cv2.BORDER_WRAP)[:height, :width]


def _bytes(picture: Floats) -> NDArray[np.uint8]:
    """Return grey levels rounded and clipped, uint8."""
    return cv2.convertScaleAbs(np.maximum(picture, 0, out=picture))


def _compressed(picture: Floats | NDArray[np.uint8], quality: float) -> NDArray[np.uint8]:
    """Return a picture as a JPEG file keeps it."""
    image = picture if picture.dtype == np.uint8 else _bytes(picture)
    content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, round(quality)])[1]
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
