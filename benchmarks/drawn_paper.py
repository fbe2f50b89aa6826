"""Papers and table tops of drawn forms: value noise, fibres, rules, creases, wood and cloth.

None of it is shared with what the models and the ink finder learnt from.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "crease", "ink_in", "noise", "paper", "rule", "table_top"]

Floats = NDArray[np.float32]

FIBRES_A_MEGAPIXEL = 350


def noise(shape: tuple[int, int], cells: tuple[float, float], generator: np.random.Generator) -> Floats:
    """Return value noise: random numbers on a grid of cells of (height, width) px, and smooth between.

    Returns:
        float32 [H, W], about -1 to 1.
    """
    rows, columns = (max(2, round(side / cell)) + 1 for side, cell in zip(shape, cells, strict=True))
    grid = generator.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return cv2.resize(
        grid, shape[::-1], interpolation=cv2.INTER_CUBIC if rows * columns < 60_000 else cv2.INTER_LINEAR
    )


def paper(shape: tuple[int, int], white: float, roughness: float, generator: np.random.Generator) -> Floats:
    """Return an empty sheet: clouds, tooth and fibres.

    Args:
        white: its grey level, 0 to 255.
        roughness: grey levels that it strays from it.

    Returns:
        float32 [H, W], grey levels in even light.
    """
    sheet = noise(shape, (90, 130), generator)
    sheet += noise(shape, (3.1, 4.3), generator)
    sheet *= np.float32(roughness / 2)
    fibres = np.zeros(shape, np.uint8)
    count = round(FIBRES_A_MEGAPIXEL * shape[0] * shape[1] / 1e6)
    starts = generator.uniform(0, 1, (count, 2)) * (shape[1], shape[0])
    bends = generator.normal(0, 9, (count, 2, 2)).cumsum(axis=1) + starts[:, None]
    lines = np.concatenate([starts[:, None], bends], axis=1)
    cv2.polylines(fibres, list(np.rint(lines * 16).astype(np.int32)), False, 1, 1, cv2.LINE_8, 4)
    sheet -= fibres * np.float32(1.6 * roughness)
    sheet += np.float32(white)
    return sheet


def rule(
    sheet: Floats, first: float, spacing: float, kind: str, level: float, generator: np.random.Generator
) -> None:
    """Print lines ("ruled") or squares ("squared") in place, `spacing` px apart from `first` on."""
    cover = np.zeros(sheet.shape, np.uint8)
    height, width = sheet.shape
    thick = int(generator.integers(1, 3))
    for y in np.arange(first, height, spacing):
        cv2.line(cover, (0, round(y)), (width, round(y)), 1, thick)
    if kind == "squared":
        for x in np.arange(first, width, spacing):
            cv2.line(cover, (round(x), 0), (round(x), height), 1, thick)
    elif generator.random() < 0.5:  # a margin
        x = round(width * generator.uniform(0.1, 0.16))
        cv2.line(cover, (x, 0), (x, height), 1, thick)
    np.copyto(sheet, np.minimum(sheet, np.float32(level)), where=cover > 0)


def crease(sheet: Floats, generator: np.random.Generator) -> None:
    """Fold a sheet once, in place: it is lighter on one side of the fold, darker on the other."""
    height, width = sheet.shape
    across = generator.random() < 0.7
    place = (height if across else width) * (0.5 + generator.normal(0, 0.03))
    lean = generator.normal(0, 0.01)
    along = np.arange(width if across else height, dtype=np.float32)
    middle = place + lean * (along - along.mean())
    reach = 14
    offsets = np.arange(-reach, reach + 1, dtype=np.float32)
    profile = generator.uniform(5, 14) * np.sign(offsets) * np.exp(-np.abs(offsets) / 4.0)
    bent = sheet if across else sheet.T
    rows = np.clip(np.rint(middle)[None, :] + offsets[:, None], 0, bent.shape[0] - 1).astype(np.intp)
    np.add.at(bent, (rows, along.astype(np.intp)[None, :]), profile.astype(np.float32)[:, None])


def ink_in(
    sheet: Floats, cover: NDArray[np.uint8], level: float, grain: float, generator: np.random.Generator
) -> None:
    """Lay ink on a sheet in place.

    Args:
        cover: uint8 [H, W], how much of each pixel has ink.
        level: grey of full ink on white paper.
        grain: share of the ink that the paper's tooth keeps away, 0 to 1.
    """
    left, top, width, height = cv2.boundingRect(cover)
    if not width:
        return
    part = slice(top, top + height), slice(left, left + width)
    shares = np.arange(256, dtype=np.float32) * np.float32((1 - level / 255) / 255)
    if grain == 0:
        sheet[part] *= cv2.LUT(cover[part], 1 - shares)
        return
    tooth = noise((height, width), (1.8, 1.8), generator)
    tooth += noise((height, width), (5.0, 5.0), generator)
    np.clip(tooth, -1, 1, out=tooth)
    tooth *= np.float32(-grain / 2)
    tooth += np.float32(1 - grain / 2)
    tooth *= cv2.LUT(cover[part], shares)
    sheet[part] *= np.subtract(1, tooth, out=tooth)


def table_top(size: tuple[int, int], generator: np.random.Generator) -> NDArray[np.uint8]:
    """Return what a sheet lies on, uint8 [H, W]: wood, cloth or a plain top, darker than paper mostly.

    Args:
        size: width and height, in px. It is out of focus: it is drawn at half of it.
    """
    shape = (size[1] // 2, size[0] // 2)
    kind = generator.choice(["wood", "cloth", "plain"], p=[0.4, 0.25, 0.35])
    if kind == "wood":
        top = noise(shape, (2.5, 130.0), generator) * 9
        top += noise(shape, (16.0, 450.0), generator) * 14
    elif kind == "cloth":
        top = noise(shape, (2.0, 2.0), generator) * 14
        top += noise(shape, (30.0, 30.0), generator) * 8
    else:
        top = noise(shape, (100.0, 100.0), generator) * 6
    top += np.float32(generator.uniform(30, 175))
    return cv2.resize(cv2.convertScaleAbs(top), size, interpolation=cv2.INTER_LINEAR)
