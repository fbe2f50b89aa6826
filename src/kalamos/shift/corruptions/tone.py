"""MNIST-C: brightness, stripes and fog."""

from __future__ import annotations

import cv2
import numpy as np

from kalamos.shift.catalogue import MNIST_C, Grey, corruption
from kalamos.shift.fields import clouds

__all__: list[str] = []


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
