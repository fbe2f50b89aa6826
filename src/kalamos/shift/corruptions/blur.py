"""MNIST-C: blur."""

from __future__ import annotations

import math

import cv2
import numpy as np

from kalamos.shift.catalogue import MNIST_C, Grey, corruption

__all__: list[str] = []


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
