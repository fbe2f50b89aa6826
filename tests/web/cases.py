"""Draw the pictures that the browser's reader is compared on: drawings, datasets' crops, photographs."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.learn.ink.glyphs import GlyphPool, draw_scribble
from kalamos.learn.ink.scenes import SceneRanges, draw_scene

Grey = NDArray[np.uint8]
Generator = np.random.Generator

CHARACTERS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"

GLYPHS: Final = 120
"""Characters that photographs choose from."""


class Case(NamedTuple):
    kind: str
    image: Grey


def written(generator: Generator) -> Grey:
    """Draw a character, a bowl with dots as Arabic letters have, or a scribble: bright on black, cropped."""
    side = 160
    page = np.zeros((side, side), np.uint8)
    pen = int(generator.integers(3, 14))
    which = generator.random()
    if which < 0.6:
        text = CHARACTERS[int(generator.integers(len(CHARACTERS)))]
        cv2.putText(page, text, (40, 120), int(generator.choice([0, 2, 3, 4, 6])), 3.4, 255, pen, cv2.LINE_AA)
    elif which < 0.85:
        axes = (int(generator.integers(25, 60)), int(generator.integers(12, 50)))
        start, turn = int(generator.integers(0, 360)), int(generator.integers(120, 330))
        cv2.ellipse(page, (80, 80), axes, 0, start, start + turn, 255, pen, cv2.LINE_AA)
        for dot in range(int(generator.integers(0, 4))):
            cv2.circle(
                page,
                (64 + 16 * dot, int(generator.choice([20, 140]))),
                max(3, pen // 2 + 1),
                255,
                -1,
                cv2.LINE_AA,
            )
    else:
        page = draw_scribble(generator)
    height, width = page.shape
    bent = np.float32([[1, generator.normal(0, 0.15), 0], [generator.normal(0, 0.1), 1, 0]])
    bent[:, 2] = np.array([width, height]) / 2 - bent[:, :2] @ (np.array([width, height]) / 2)
    page = cv2.warpAffine(page, bent, (width, height))
    x, y, width, height = cv2.boundingRect(page)
    return page[y : y + height, x : x + width]


def _scaled(glyph: Grey, longer: float) -> Grey:
    scale = longer / max(glyph.shape)
    shape = [max(1, round(side * scale)) for side in glyph.shape]
    return np.asarray(cv2.resize(glyph, shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)


def _placed(glyph: Grey, height: int, width: int, generator: Generator) -> Grey:
    page = np.zeros((height, width), np.uint8)
    top = int(generator.integers(0, height - glyph.shape[0] + 1))
    left = int(generator.integers(0, width - glyph.shape[1] + 1))
    page[top : top + glyph.shape[0], left : left + glyph.shape[1]] = glyph
    return page


def drawing(generator: Generator) -> Grey:
    """A canvas of one grey level with strokes of another, now and then with a second shape or a frame."""
    height, width = generator.integers(120, 640, 2).tolist()
    longer = min(height, width) * generator.uniform(0.15, 0.9)
    ink = _placed(_scaled(written(generator), longer), height, width, generator)
    if generator.random() < 0.15:
        ink = cv2.max(ink, _placed(_scaled(written(generator), longer / 2), height, width, generator))
    if generator.random() < 0.2:
        cv2.rectangle(ink, (3, 3), (width - 4, height - 4), 255, int(generator.integers(1, 5)))
    paper, pen = (255, int(generator.integers(0, 150))) if generator.random() < 0.7 else (0, 255)
    return np.rint(paper + (pen - paper) * (ink / 255.0)).astype(np.uint8)


def dataset(generator: Generator) -> Grey:
    """A dataset's small picture, some with impulses or on bands."""
    side = int(generator.choice([8, 16, 20, 28, 28, 28, 32, 40]))
    glyph = _scaled(written(generator), side * generator.uniform(0.55, 0.95))
    image = _placed(glyph, side, side, generator)
    image = np.asarray(cv2.convertScaleAbs(image, alpha=255 / max(1, int(image.max()))), np.uint8)
    spoilt = generator.random()
    if spoilt < 0.12:
        image[generator.random(image.shape) < 0.06] = 255
    elif spoilt < 0.2:
        image[:, : side // 3] = 255 - image[:, : side // 3]
    return 255 - image if generator.random() < 0.25 else image


def crop(generator: Generator) -> Grey:
    """A photograph cut out along the strokes."""
    glyph = _scaled(written(generator), generator.uniform(24, 200))
    margin = int(generator.integers(0, 4))
    share = np.pad(glyph, margin).astype(np.float32) / 255
    low, high = generator.uniform(20, 110), generator.uniform(150, 250)
    page = high + (low - high) * share + generator.normal(0, generator.uniform(0, 6), share.shape)
    if generator.random() < 0.25:
        page = 255 - page
    return np.clip(page, 0, 255).astype(np.uint8)


def large_photo(generator: Generator) -> Grey:
    """Ink that is small on a large photograph, with light from one side."""
    height, width = generator.integers(330, 1100, 2).tolist()
    glyph = _scaled(written(generator), min(height, width) * generator.uniform(0.08, 0.6))
    share = _placed(glyph, height, width, generator).astype(np.float32) / 255
    slope = (
        np.linspace(0, generator.uniform(-60, 60), width)[None]
        + np.linspace(0, generator.uniform(-60, 60), height)[:, None]
    )
    page = (
        generator.uniform(150, 220)
        + slope
        - generator.uniform(60, 120) * cv2.GaussianBlur(share, (0, 0), 1.2)
    )
    page += generator.normal(0, generator.uniform(1, 6), page.shape)
    if generator.random() < 0.3:
        page[:: int(generator.integers(24, 60))] -= 40
    return np.clip(page, 0, 255).astype(np.uint8)


def photographs(seed: int) -> Callable[[Generator], Grey]:
    """What draws scenes as the ink finder learns from: paper, light, frames, neighbours, specks, JPEG."""
    pool = GlyphPool({"written": written}, {"written": 1.0}, count=GLYPHS, seed=seed)

    def photo(generator: Generator) -> Grey:
        shape = [(64, 64), (64, 48), (48, 64), (64, 32), (96, 96)][int(generator.integers(5))]
        scene = draw_scene(pool, SceneRanges(), shape, generator).photo
        scale = math.exp(generator.uniform(-0.3, 1.2)) if generator.random() < 0.5 else 1.0
        height, width = (max(6, round(side * scale)) for side in scene.shape)
        return np.asarray(cv2.resize(scene, (width, height), interpolation=cv2.INTER_AREA), np.uint8)

    return photo


def draw_cases(count: int, seed: int) -> Iterator[Case]:
    """Draw pictures of all kinds, the same ones for a seed."""
    kinds = {
        "drawing": drawing,
        "dataset": dataset,
        "crop": crop,
        "large photo": large_photo,
        "photo": photographs(seed),
        "another photo": photographs(seed + 1),
    }
    names = list(kinds)
    for row in range(count):
        name = names[row % len(names)]
        yield Case(name, kinds[name](np.random.default_rng((seed, row))))
