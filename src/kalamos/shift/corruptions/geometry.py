"""MNIST-C: geometry. What is moved out of the frame is lost."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.shift.catalogue import MNIST_C, Grey, corruption

__all__: list[str] = []


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
