"""The images that benchmarks read: digits drawn by program, as MNIST's, as crops and as whole photographs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "samples")]
from make_samples import ink, paper  # noqa: E402  (the path must be set first)

__all__ = ["CROP", "PHOTO", "crop", "draw_crops", "draw_digits", "draw_photos", "small_digits"]

CROP = 200
"""Side of a crop, in px."""

PHOTO = 4000, 3000
"""Width and height of a photograph: 12 megapixels."""

JPEG = [cv2.IMWRITE_JPEG_QUALITY, 85]
TINT = np.array([0.9, 0.97, 1.0])
"""Paper is never grey: blue, green and red, as shares of the light."""


def small_digits(count: int) -> Iterator[NDArray[np.uint8]]:
    """Digits of varied pen and slant, 28x28 in MNIST's own geometry."""
    generator = np.random.default_rng(0)
    prepare = Preprocessor(DEFAULT_STEPS)
    for index in range(count):
        width, slant = int(generator.integers(9, 16)), float(generator.uniform(-0.2, 0.3))
        drawn = ink(str(index % 10), width, size=112, slant=slant)
        yield prepare.image((drawn * 255).astype(np.uint8))


def draw_digits(folder: Path, count: int) -> None:
    """`count` grey 28x28 PNGs."""
    for index, image in enumerate(small_digits(count)):
        cv2.imwrite(str(folder / f"{index:06d}.png"), image)


def crop(digit: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A photographed digit, cut out, BGR: uneven light, grain, a pen of varied width and darkness."""
    light, shadow = generator.uniform(170, 230), generator.uniform(20, 90)
    page = paper(CROP, generator, light=light, shadow=shadow, grain=generator.uniform(1, 4))
    drawn = ink(str(digit), int(generator.integers(6, 18)), size=CROP, slant=generator.uniform(-0.2, 0.3))
    return _coloured(page * (1 - generator.uniform(0.4, 0.8) * drawn))


def draw_crops(folder: Path, count: int) -> None:
    """`count` colour JPEGs of 200x200 px."""
    generator = np.random.default_rng(0)
    for index in range(count):
        cv2.imwrite(str(folder / f"{index:06d}.jpg"), crop(index % 10, generator), JPEG)


def draw_photos(folder: Path, count: int) -> None:
    """`count` colour JPEGs of 12 megapixels, a digit on a page."""
    generator = np.random.default_rng(0)
    width, height = PHOTO
    # One sheet of grain, turned and shifted: noise takes longer to draw than all the rest.
    grain = generator.normal(0, 5, (height, width)).astype(np.float32)
    light = np.float32(215) - np.linspace(0, 70, width, dtype=np.float32)
    for index in range(count):
        page = light + np.roll(grain, int(generator.integers(width)), axis=1)[:: 1 if index % 2 else -1]
        side = int(generator.integers(1200, 2800))
        top, left = int(generator.integers(height - side)), int(generator.integers(width - side))
        drawn = ink(str(index % 10), side // 18, size=side).astype(np.float32)
        page[top : top + side, left : left + side] *= 1 - np.float32(0.7) * drawn
        cv2.imwrite(str(folder / f"{index:06d}.jpg"), _coloured(page), JPEG)


def _coloured(page: NDArray[np.floating]) -> NDArray[np.uint8]:
    return np.clip(page[..., np.newaxis] * TINT.astype(page.dtype), 0, 255).astype(np.uint8)
