"""Describe an image in a few hundred numbers that saving it again hardly changes."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

__all__ = ["SIGNATURE_SIDE_PX", "Signatures", "signatures"]

SIGNATURE_SIDE_PX: Final = 28
"""Side of the square that the ink is scaled to."""

INK_SPREAD_PX: Final = 0.25 * SIGNATURE_SIDE_PX
"""Root mean square distance of the ink from its centre: a ring is half the square wide, a line
seven eighths."""

MAX_MEASURED_SIDE_PX: Final = 96
"""Larger ink is shrunk to this before it is measured."""

NOISE_FRACTION: Final = 0.15
"""Differences from the background below this fraction of the largest are noise of the paper or of JPEG."""

BLUR_SIGMA_PX: Final = 0.8
"""Saving again changes fine detail, another hand the coarse."""


class Signatures(NamedTuple):
    """Signatures of N images.

    Attributes:
        descriptors: float32 [N, SIGNATURE_SIDE_PX ** 2] of unit norm and zero mean, so that a dot product is
            a correlation; all zeros for an image of one grey.
        geometry: float32 [N, 3]: the ink's centre, x and y, as fractions of the image's longer side from its
            middle, and the logarithm of the ink's fraction of that side. Descriptors do not depend on these.
    """

    descriptors: NDArray[np.float32]
    geometry: NDArray[np.float32]


def signatures(images: Iterable[NDArray[np.uint8]], count: int) -> Signatures:
    """Describe `count` images uint8 [H, W] of any sizes.

    A descriptor is the difference from the image's background (so polarity, brightness and contrast do not
    matter), moved and scaled by its moments (Hu 1962), which change smoothly, whereas a bounding box would
    jump by a pixel.
    """
    descriptors = np.zeros((count, SIGNATURE_SIDE_PX * SIGNATURE_SIDE_PX), np.float32)
    geometry = np.zeros((count, 3), np.float32)
    for row, image in enumerate(images):
        ink = _ink(image)
        left, top, width, height = cv2.boundingRect(ink)
        if not width:
            continue
        box = ink[top : top + height, left : left + width]
        shrink = min(1.0, MAX_MEASURED_SIDE_PX / max(width, height))
        if shrink < 1:
            size = max(1, round(width * shrink)), max(1, round(height * shrink))
            box = cv2.resize(box, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
        moments = cv2.moments(box)
        x, y = moments["m10"] / moments["m00"], moments["m01"] / moments["m00"]
        # A single pixel is one px wide: a variance of 1/12 square px in each direction.
        spread = math.sqrt((moments["mu20"] + moments["mu02"]) / moments["m00"] + 1 / 6)
        scale, middle = INK_SPREAD_PX / spread, (SIGNATURE_SIDE_PX - 1) / 2
        if scale < 0.7:  # otherwise warping would alias
            box = cv2.GaussianBlur(box, (0, 0), 0.4 / scale)  # type: ignore[assignment]
        warp = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])
        upright = cv2.warpAffine(
            box.astype(np.float32), warp, (SIGNATURE_SIDE_PX, SIGNATURE_SIDE_PX), flags=cv2.INTER_LINEAR
        )
        descriptors[row] = cv2.GaussianBlur(upright, (0, 0), BLUR_SIGMA_PX).ravel()
        longer = max(image.shape)
        geometry[row] = (
            (left + x / shrink - image.shape[1] / 2) / longer,
            (top + y / shrink - image.shape[0] / 2) / longer,
            math.log(spread / shrink / longer),
        )
    descriptors -= descriptors.mean(axis=1, keepdims=True)
    norms = np.linalg.norm(descriptors, axis=1, keepdims=True)
    descriptors /= np.where(norms > 0, norms, 1)
    return Signatures(descriptors, geometry)


def _ink(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """How far each pixel differs from the median of the border; 0 up to the noise."""
    border = np.concatenate((image[0], image[-1], image[:, 0], image[:, -1]))
    ground = np.partition(border, border.size // 2)[border.size // 2]
    ink = cv2.absdiff(image, np.full_like(image, ground))
    floor = math.ceil(NOISE_FRACTION * float(cv2.minMaxLoc(ink)[1]))
    return cv2.subtract(ink, np.full_like(ink, floor))  # type: ignore[return-value]
