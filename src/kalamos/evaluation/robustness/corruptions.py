"""The corruptions, one function each, registered by decorator.

MNIST-C's fifteen are applied to the frame: blur, geometry (what leaves the frame is lost), foreign marks,
noise, brightness, stripes and fog. The photographs' fifteen are drawn on a page: camera, light, paper, pens,
placement.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import InvalidArrayError, UsageError, suggest
from kalamos.evaluation.robustness.canvas import (
    GLYPH_SIDE,
    MNIST_C,
    PAGE_SIDE,
    PAPER_LEVEL,
    PEN_LEVEL,
    PHOTOGRAPH,
    STRENGTHS,
    Corruption,
    Field,
    Grey,
    clouds,
    coordinates,
    corruption,
    draw_glyph,
    framed,
    grain,
    photograph_page,
    registered,
    strokes,
    thinned,
)

__all__ = ["CORRUPTIONS", "corrupt"]

SNAPSHOT_SIDE, SNAPSHOT_GLYPH_SIDE = 96, 64
"""Sides in px of a page and of the character on it: small, so that a block of 8 px is large."""

LINE_HALF_WIDTH = 2.3
"""Px of 28 from the middle at which a line, as in MNIST-C, has faded to nothing."""

SPATTER_LEVEL = 63
"""Grey level of the drops."""

WIDE_PAGE_SIDE = 256
"""Side in px of a page on which a character of usual size need not stand in the middle."""


@corruption(MNIST_C, ((0.5, 1, 1), (0.7, 1, 2), (0.9, 2, 2)))
def glass_blur(ink: Grey, glass: tuple[float, int, int], rng: np.random.Generator) -> Grey:
    """Seen through frosted glass: neighbouring pixels change places, then blur."""
    sigma, reach, times = glass
    scale = len(ink) / 28
    sigma, reach = sigma * scale, round(reach * scale)
    image = cv2.GaussianBlur(ink, (0, 0), sigma)
    rows, columns = np.indices(ink.shape, np.float32)
    for _ in range(times):
        # Half of the pixels stay, as in the paper; the others come from up to `reach` px away.
        moved = rng.integers(-reach, reach + 1, (2, *ink.shape)) * (rng.random(ink.shape) < 0.5)
        image = cv2.remap(
            image,
            columns + moved[0].astype(np.float32),
            rows + moved[1].astype(np.float32),
            cv2.INTER_NEAREST,
        )
    return cv2.GaussianBlur(image, (0, 0), sigma)  # type: ignore[return-value]


@corruption(MNIST_C, (1.6, 3.0, 5.0))
def motion_blur(ink: Grey, sigma: float, rng: np.random.Generator) -> Grey:
    """Moved while it was taken, within 45 degrees of the horizontal."""
    sigma *= len(ink) / 28
    angle = rng.uniform(-math.pi / 4, math.pi / 4)
    side = 2 * math.ceil(2.5 * sigma) + 1
    kernel = np.zeros((side, side), np.float32)
    # One-sided, as a hand that starts to move: most of the light before, the trail after.
    steps = np.linspace(0, side // 2, 2 * side)
    columns = np.rint(side // 2 + steps * math.cos(angle)).astype(int)
    rows = np.rint(side // 2 + steps * math.sin(angle)).astype(int)
    np.add.at(kernel, (rows, columns), np.exp(-(steps**2) / (2 * sigma**2)))
    return cv2.filter2D(ink, -1, kernel / kernel.sum(), borderType=cv2.BORDER_CONSTANT)  # type: ignore[return-value]


@corruption(PHOTOGRAPH, (12, 6, 3))
def jpeg(ink: Grey, quality: int, rng: np.random.Generator) -> Grey:
    """A small picture compressed hard: blocks, ringing around the strokes."""
    cover = draw_glyph(ink, rng, side=SNAPSHOT_SIDE, longer=SNAPSHOT_GLYPH_SIDE)
    page = photograph_page(PAPER_LEVEL, PEN_LEVEL, cover, rng, noise=4)
    _, content = cv2.imencode(".jpg", page, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)  # type: ignore[return-value]


@corruption(PHOTOGRAPH, (3, 5, 8))
def defocus(ink: Grey, radius: int, rng: np.random.Generator) -> Grey:
    """Out of focus: every point a disk of 3, 5 or 8 px, the character being 64 px high."""
    cover = draw_glyph(ink, rng, side=SNAPSHOT_SIDE, longer=SNAPSHOT_GLYPH_SIDE)
    disk = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1)).astype(np.float32)
    blurred = cv2.filter2D(cover, -1, disk / disk.sum(), borderType=cv2.BORDER_REPLICATE)
    return photograph_page(PAPER_LEVEL, PEN_LEVEL, blurred, rng)  # type: ignore[arg-type]


@corruption(MNIST_C, (0.2, 0.4, 0.6))
def shear(ink: Grey, slant: float, rng: np.random.Generator) -> Grey:
    """Slanted to either side."""
    return _mapped(ink, np.array([[1.0, _either_way(slant, rng)], [0.0, 1.0]]))


@corruption(MNIST_C, (0.85, 0.7, 0.5))
def scale(ink: Grey, factor: float, rng: np.random.Generator) -> Grey:  # noqa: ARG001
    """Smaller, in a frame of the old size."""
    return _mapped(ink, np.eye(2) * factor)


@corruption(MNIST_C, (0.2, 0.4, 0.6))
def rotate(ink: Grey, radians: float, rng: np.random.Generator) -> Grey:
    """Turned by 11, 23 or 34 degrees to either side."""
    angle = _either_way(radians, rng)
    cos, sin = math.cos(angle), math.sin(angle)
    return _mapped(ink, np.array([[cos, -sin], [sin, cos]]))


@corruption(MNIST_C, (2, 3, 5))
def translate(ink: Grey, pixels: int, rng: np.random.Generator) -> Grey:
    """Moved towards a corner by 2, 3 or 5 pixels of 28."""
    distance = round(pixels * len(ink) / 28)
    x, y = _either_way(distance, rng), _either_way(distance, rng)
    return _mapped(ink, np.eye(2), (x, y))


def _either_way(amount: float, rng: np.random.Generator) -> float:
    return amount if rng.integers(2) else -amount


def _mapped(ink: Grey, linear: NDArray[np.float64], shift: tuple[float, float] = (0, 0)) -> Grey:
    """The frame under a linear map about its centre, then shifted, in px."""
    middle = (len(ink) - 1) / 2
    offset = middle - linear @ (middle, middle) + shift
    size = ink.shape[1], ink.shape[0]
    return cv2.warpAffine(ink, np.column_stack((linear, offset)), size, flags=cv2.INTER_LINEAR)  # type: ignore[return-value]


@corruption(PHOTOGRAPH, (0.35, 0.55, 0.7))
def soft_shadow(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """The blurred shadow of a hand or a head over part of the page."""
    shadow = 1 / (1 + np.exp(_beyond_an_edge(rng, bend=18) / 14))
    return _under(1 - dark * shadow, ink, rng)


@corruption(PHOTOGRAPH, (0.3, 0.45, 0.6))
def hard_shadow(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """A shadow with a sharp edge that runs through the character."""
    shadow = np.clip(0.5 - _beyond_an_edge(rng, bend=0) / 3, 0, 1)
    return _under(1 - dark * shadow, ink, rng)


@corruption(PHOTOGRAPH, (70, 45, 32))
def low_contrast(ink: Grey, levels: int, rng: np.random.Generator) -> Grey:
    """Grey ink on grey paper: 70, 45 or 32 levels apart, of 255."""
    paper = rng.uniform(130, 190)
    return photograph_page(paper, paper - levels, draw_glyph(ink, rng), rng)


@corruption(PHOTOGRAPH, ((12, 245, 0), (45, 205, 14), (75, 180, 26)))
def inverted(ink: Grey, board: tuple[int, int, int], rng: np.random.Generator) -> Grey:
    """Light on dark: a negative, then chalk on a board wiped badly."""
    ground, chalk, smear = board
    wiped = ground + smear * clouds(PAGE_SIDE, (2, 5), 1.5, rng)
    return photograph_page(wiped, chalk, draw_glyph(ink, rng), rng)


def _under(light: Field, ink: Grey, rng: np.random.Generator) -> Grey:
    cover = draw_glyph(ink, rng)
    return photograph_page(PAPER_LEVEL * light, PEN_LEVEL * light, cover, rng)


def _beyond_an_edge(rng: np.random.Generator, *, bend: float) -> Field:
    """Signed distance in px, [PAGE_SIDE, PAGE_SIDE], to an edge near the middle; `bend` makes it wavy."""
    angle, offset = rng.uniform(0, 2 * math.pi), rng.uniform(-25, 25)
    x, y = coordinates()
    edge = x * math.cos(angle) + y * math.sin(angle) - offset
    return edge + bend * clouds(PAGE_SIDE, (3,), 1, rng) if bend else edge


@corruption(MNIST_C, (0.88, 0.8, 0.68))
def spatter(ink: Grey, threshold: float, rng: np.random.Generator) -> Grey:
    """Drops of dark grey that cover the character in places."""
    scale = len(ink) / 28
    liquid = cv2.GaussianBlur(rng.standard_normal(ink.shape, np.float32), (0, 0), scale)
    drops = cv2.GaussianBlur((liquid > 0).astype(np.float32), (0, 0), 1.5 * scale)
    cover = np.where(drops < threshold, 0, drops)
    covered: Grey = (ink * (1 - cover) + SPATTER_LEVEL * cover).astype(np.uint8)
    return covered


@corruption(MNIST_C, ((1, 0.55), (1, 1.0), (2, 1.0)))
def dotted_line(ink: Grey, lines: tuple[int, float], rng: np.random.Generator) -> Grey:
    """A bright dotted line from left to right, or two of them."""
    count, width = lines
    image = ink
    side = len(ink)
    dot = max(1, round(2 * side / 28))
    gaps = np.arange(side) // dot % 2 == 0
    for _ in range(count):
        start, end = rng.uniform(0, side - 1, 2).tolist()
        line = _polyline([(0, start), (side - 1, end)], side, width)
        line[:, gaps] = 0
        image = cv2.add(image, line)  # type: ignore[assignment]
    return image


@corruption(MNIST_C, ((1, 0.55), (1, 1.0), (2, 1.0)))
def zigzag(ink: Grey, lines: tuple[int, float], rng: np.random.Generator) -> Grey:
    """A bright zigzag from left to right, or two of them."""
    count, width = lines
    image = ink
    side = len(ink)
    tooth = 2 * side / 28
    for _ in range(count):
        start = rng.uniform(0, side - 1)
        slope = rng.uniform(-5, 5) / 23
        along = np.arange(tooth, side - tooth, 2 * tooth)
        up = np.where(np.arange(len(along)) % 2, tooth, -tooth)
        across, down = along - slope * up, start + slope * along + up
        image = cv2.add(image, _polyline([*zip(across.tolist(), down.tolist(), strict=True)], side, width))  # type: ignore[assignment]
    return image


@corruption(MNIST_C, ((110, 0.0), (0, 0.0), (0, 0.18)))
def canny_edges(ink: Grey, outline: tuple[int, float], rng: np.random.Generator) -> Grey:
    """Only the outline of the strokes, whole or with gaps (Canny 1986)."""
    fill, gaps = outline
    sigma = len(ink) / 28
    smooth = cv2.GaussianBlur(ink, (0, 0), sigma)
    edges = cv2.Canny(smooth, 80, 160, L2gradient=True)
    if gaps:
        edges[rng.random(ink.shape, np.float32) < gaps] = 0
    faded = cv2.convertScaleAbs(ink, alpha=fill / 255)
    return cv2.max(edges, faded)  # type: ignore[return-value]


def _polyline(points: list[tuple[float, float]], side: int, width: float) -> Grey:
    """Bright line segments with soft edges, uint8 [side, side]; `width` 1 is the paper's."""
    # Drawn in 1/16 px, then the profile of the paper's lines from the distance to them.
    blank = np.full((side, side), 255, np.uint8)
    fine = np.rint(np.array(points) * 16).astype(np.int32)
    cv2.polylines(blank, [fine], isClosed=False, color=0, thickness=1, shift=4)
    distance = cv2.distanceTransform(blank, cv2.DIST_L2, 3)
    reach = LINE_HALF_WIDTH * width * side / 28
    inside = np.minimum(distance / reach, 1 - math.exp(-1))
    line: Grey = (255 * (1 + np.log1p(-inside))).astype(np.uint8)
    return line


@corruption(MNIST_C, (8.0, 3.0, 1.5))
def shot_noise(ink: Grey, photons: float, rng: np.random.Generator) -> Grey:
    """Photon counts: bright ink flickers, black stays black."""
    counted = rng.poisson(ink * (photons / 255)) * (255 / photons)
    noisy: Grey = np.minimum(counted, 255).astype(np.uint8)
    return noisy


@corruption(MNIST_C, (0.08, 0.17, 0.27))
def impulse_noise(ink: Grey, share: float, rng: np.random.Generator) -> Grey:
    """Salt and pepper: single pixels white or black."""
    drawn = rng.random(ink.shape, np.float32)
    noisy = ink.copy()
    noisy[drawn < share] = 0
    noisy[drawn < share / 2] = 255
    return noisy


@corruption(PHOTOGRAPH, (0.2, 0.35, 0.55))
def ruled_paper(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """Exercise paper with lines, one or two of them through the character."""
    lines = _lines(rng.uniform(70, 100), upright=False, rng=rng)
    return photograph_page(PAPER_LEVEL * (1 - dark * lines), PEN_LEVEL, draw_glyph(ink, rng), rng)


@corruption(PHOTOGRAPH, (0.12, 0.25, 0.42))
def squared_paper(ink: Grey, dark: float, rng: np.random.Generator) -> Grey:
    """Squared paper, three to five squares to a character."""
    spacing = rng.uniform(28, 46)
    lines = np.maximum(_lines(spacing, upright=False, rng=rng), _lines(spacing, upright=True, rng=rng))
    return photograph_page(PAPER_LEVEL * (1 - dark * lines), PEN_LEVEL, draw_glyph(ink, rng), rng)


@corruption(PHOTOGRAPH, ((7, 0.2), (13, 0.4), (20, 0.6)))
def rough_paper(ink: Grey, sheet: tuple[float, float], rng: np.random.Generator) -> Grey:
    """Rough recycled paper under light that falls off to one side."""
    texture, falloff = sheet
    fibres = clouds(PAGE_SIDE, (12, 40, 90), 0.8, rng) * 2.2 + 0.35 * grain(PAGE_SIDE, rng)
    angle = rng.uniform(0, 2 * math.pi)
    x, y = coordinates()
    # From 1 at the bright end to 1 - falloff at the dark one.
    light = 1 - falloff * (0.5 + (x * math.cos(angle) + y * math.sin(angle)) / (1.42 * PAGE_SIDE))
    cover = draw_glyph(ink, rng)
    return photograph_page(
        (PAPER_LEVEL - 15 + texture * fibres) * light,
        (PEN_LEVEL + 0.3 * texture * fibres) * light,
        cover,
        rng,
    )


def _lines(spacing: float, *, upright: bool, rng: np.random.Generator) -> Field:
    """Coverage in [0, 1], [PAGE_SIDE, PAGE_SIDE], of parallel lines 2 px wide, up to two degrees off."""
    x, y = coordinates()
    along, across = (y, x) if upright else (x, y)
    position = across + math.tan(math.radians(rng.uniform(-2, 2))) * along + rng.uniform(0, spacing)
    distance = np.abs(position - spacing * np.rint(position / spacing))
    return np.clip(1.6 - distance, 0, 1)


@corruption(PHOTOGRAPH, (0.4, 0.62, 0.8))
def thin_pen(ink: Grey, taken: float, rng: np.random.Generator) -> Grey:
    """Written with a pen of about 60, 40 or 20 % of the width."""
    return photograph_page(PAPER_LEVEL, PEN_LEVEL, thinned(draw_glyph(ink, rng), taken), rng)


@corruption(PHOTOGRAPH, (3, 6, 9))
def thick_pen(ink: Grey, pixels: int, rng: np.random.Generator) -> Grey:
    """Written with a marker: the strokes wider by 6, 12 or 18 px of a character of 140."""
    cover = draw_glyph(ink, rng)
    distance = cv2.distanceTransform((cover < 0.5).view(np.uint8), cv2.DIST_L2, 5)
    return photograph_page(PAPER_LEVEL, PEN_LEVEL, strokes(pixels + 0.5 - distance), rng)


@corruption(PHOTOGRAPH, ((95, 0.5), (70, 0.75), (45, 0.9)))
def pencil(ink: Grey, lead: tuple[int, float], rng: np.random.Generator) -> Grey:
    """A pencil's line: thin, faint, broken up by the paper's tooth."""
    contrast, roughness = lead
    cover = thinned(draw_glyph(ink, rng), 0.45)
    tooth = grain(PAGE_SIDE, rng, blur=1.1)
    pressure = 0.75 + 0.25 * clouds(PAGE_SIDE, (3,), 1, rng)
    cover = cover * np.clip(pressure - roughness * (0.35 + 0.45 * tooth), 0, 1)
    return photograph_page(PAPER_LEVEL, PAPER_LEVEL - contrast, cover, rng)


@corruption(PHOTOGRAPH, (0.5, 0.8, 1.0))
def off_centre(ink: Grey, share: float, rng: np.random.Generator) -> Grey:
    """Towards an edge or a corner of the page, at last right at it."""
    room = share * (WIDE_PAGE_SIDE / 2 - GLYPH_SIDE / 2 - 10)  # all of it stays on the page
    angle = rng.integers(8) * math.pi / 4
    # To the corner itself, not on a circle about the middle.
    x, y = round(math.cos(angle)) * room, round(math.sin(angle)) * room
    cover = draw_glyph(ink, rng, side=WIDE_PAGE_SIDE, middle=(x, y))
    return photograph_page(PAPER_LEVEL, PEN_LEVEL, cover, rng)


@corruption(PHOTOGRAPH, (64, 36, 24))
def small_on_page(ink: Grey, pixels: int, rng: np.random.Generator) -> Grey:
    """A small character somewhere on a page of 256 px: 64, 36 or 24 px high."""
    room = WIDE_PAGE_SIDE / 2 - pixels / 2 - 12
    x, y = rng.uniform(-room, room, 2).tolist()
    cover = draw_glyph(ink, rng, side=WIDE_PAGE_SIDE, longer=pixels, middle=(x, y))
    return photograph_page(PAPER_LEVEL, PEN_LEVEL, cover, rng)


@corruption(PHOTOGRAPH, (5.0, 10.0, 15.0))
def tilted(ink: Grey, degrees: float, rng: np.random.Generator) -> Grey:
    """The page turned by 5, 10 or 15 degrees to either side."""
    turned = degrees if rng.integers(2) else -degrees
    return photograph_page(PAPER_LEVEL, PEN_LEVEL, draw_glyph(ink, rng, degrees=turned), rng)


@corruption(MNIST_C, (64, 128, 178))
def brightness(ink: Grey, levels: int, rng: np.random.Generator) -> Grey:  # noqa: ARG001
    """Everything brighter, the ink saturated."""
    return cv2.add(ink, np.full_like(ink, levels))  # type: ignore[return-value]


@corruption(MNIST_C, ((1, 0.25), (2, 0.25), (2, 0.33)))
def stripe(ink: Grey, stripes: tuple[int, float], rng: np.random.Generator) -> Grey:
    """Upright stripes at one side or at both, in which ink and ground are exchanged."""
    count, share = stripes
    width = round(share * len(ink))
    inverted = ink.copy()
    left = bool(rng.integers(2))
    if left or count == 2:
        inverted[:, :width] = 255 - ink[:, :width]
    if not left or count == 2:
        inverted[:, -width:] = 255 - ink[:, -width:]
    return inverted


@corruption(MNIST_C, (1.2, 3.0, 4.5))
def fog(ink: Grey, thickness: float, rng: np.random.Generator) -> Grey:
    """Patches of fog, rough down to the pixel, before the character."""
    # A cut-out of a far larger cloud has a level of its own; what varies in it are the finer octaves.
    level = rng.uniform(0.35, 0.65)
    mist = level + 0.35 * clouds(len(ink), (2, 4, 8, 15, 27), 1.25, rng)
    return np.clip((ink + 255 * thickness * mist) / (1 + thickness), 0, 255).astype(np.uint8)


CORRUPTIONS: Final[Mapping[str, Corruption]] = MappingProxyType(
    dict(sorted(registered.items(), key=lambda entry: entry[1].group != MNIST_C))
)
"""By name, MNIST-C's fifteen first."""


def corrupt(image: Grey, name: str, strength: int, seed: int | Sequence[int] = 0) -> Grey:
    """Corrupt one image; the same arguments give the same image.

    Args:
        image: uint8 [H, W], ink bright on black, any size.
        name: one of `CORRUPTIONS`.
        strength: 1, 2 or 3.
        seed: whole numbers from 0; the suite passes (its seed, the image's row in its split).

    Returns:
        uint8 [H', W']: for MNIST-C's kinds ink bright on black, 28 to 64 px; for the photographs a
        page of 96 to 256 px, mostly dark ink on light paper.

    Raises:
        UsageError: no such name, strength or seed.
        InvalidArrayError: not uint8, not of two dimensions, or without pixels.

    >>> stroke = np.zeros((28, 28), np.uint8); stroke[4:24, 12:16] = 255
    >>> corrupt(stroke, "brightness", 2)[0, 0], corrupt(stroke, "ruled_paper", 1).shape
    (np.uint8(128), (200, 200))
    """
    if name not in CORRUPTIONS:
        raise UsageError(f"unknown corruption {name!r}", remedy=suggest(name, CORRUPTIONS))
    if strength not in STRENGTHS:
        raise UsageError(f"strength {strength!r} of {name}", remedy="choose 1, 2 or 3")
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 2 or not image.size:
        shape = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise InvalidArrayError(f"{name} corrupts uint8 [H, W], not {shape}")
    seeds = [seed] if isinstance(seed, (int, np.integer)) else list(seed)
    if any(number < 0 for number in seeds):
        raise UsageError(f"seed {seed} is negative", remedy="use whole numbers from 0")
    chosen = CORRUPTIONS[name]
    # A checksum, not hash(): that differs from one process to the next.
    rng = np.random.default_rng([*seeds, strength, zlib.crc32(name.encode())])
    return chosen.how(framed(image), chosen.amounts[strength - 1], rng)
