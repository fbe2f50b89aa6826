"""Bring characters of any dataset into one form, without the preprocessing that is being measured."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from kalamos.shift.catalogue import Grey

__all__ = ["bright_ink", "dark_on_light", "framed", "ink_box"]

SMALLEST, LARGEST = 28, 64
"""Sides (px) of a frame: MNIST's own, and what MNIST-C's kinds can be made on quickly."""

INK_SHARE = 20 / 28
"""The ink's longer side as a share of the frame's: MNIST's geometry (LeCun et al. 1998)."""

MARGIN = 0.8
"""Ink up to this share of a square image leaves room to move it: such an image is a frame already."""

FAINTEST = 24
"""Less contrast (grey levels of 255) is stretched no further: there would be nothing but noise in it."""

FULL, WRITTEN = 250, 25


def dark_on_light(images: Iterable[Grey]) -> bool:
    """Whether most images have a light border, hence dark ink.

    A question about all of them: a tight crop of one thick stroke has no paper to tell by.
    """
    votes = [_ground(image) > 127 for image in images]
    return 2 * sum(votes) > len(votes)


def bright_ink(image: Grey, *, dark_on_light: bool) -> Grey:
    """Image uint8 [H, W] -> uint8 [H, W], ink bright on black, its paper's level taken off."""
    image = _reduced(image, 4 * LARGEST)
    ink = 255 - image if dark_on_light else image
    ground = _ground(ink)
    if 0 < ground <= 127:
        ink = cv2.subtract(ink, np.full_like(ink, ground))  # type: ignore[assignment]
    peak = int(ink.max())
    return cv2.convertScaleAbs(ink, alpha=255 / peak) if FAINTEST <= peak < FULL else ink  # type: ignore[return-value]


def framed(ink: Grey) -> Grey:
    """Ink bright on black, uint8 [H, W], in a square frame uint8 [S, S] with room around it; 28 <= S <= 64.

    What lies so already (MNIST, EMNIST, most of AHCD) is returned as it is.
    """
    height, width = ink.shape
    x, y, across, down = ink_box(ink)
    longer = max(across, down)
    if height == width and SMALLEST <= height <= LARGEST and longer <= MARGIN * height:
        return ink
    side = min(max(round(longer / INK_SHARE), SMALLEST), LARGEST)
    wanted = round(side * INK_SHARE)
    character = _scaled(ink[y : y + down, x : x + across], wanted / longer)
    frame = np.zeros((side, side), np.uint8)
    down, across = character.shape
    top, left = (side - down) // 2, (side - across) // 2
    frame[top : top + down, left : left + across] = character
    return frame


def ink_box(ink: Grey) -> tuple[int, int, int, int]:
    """Left, top, width and height of the ink; the whole image where there is none."""
    x, y, width, height = cv2.boundingRect((ink > WRITTEN).view(np.uint8))
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
