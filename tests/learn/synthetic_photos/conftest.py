from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.learn.synthetic_photos import Camera
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor


@pytest.fixture(scope="session")
def preprocessor() -> Preprocessor:
    return Preprocessor(DEFAULT_STEPS)


@pytest.fixture(scope="session")
def ideal() -> Camera:
    """A photograph on plain paper under even light, without any fault, of ink 100 px long."""
    return Camera(
        smallest=100, largest=100, pencil=0, marker=0, wobble=0, elastic=0, rotate=0, slant=0,
        texture=0, ruled=0, squared=0, cell=0, specks=0, light=0, vignette=0, shadow=0,
        defocus=0, motion=0, haze=0, noise=0, jpeg=0, inverted=0,
    )  # fmt: skip


def _write(text: str, size: int = 28, thickness: float = 2.4) -> NDArray[np.uint8]:
    """Printed text as a glyph uint8 [size, size], its longer side 20/28 of it."""
    page = np.zeros((400, 400), np.uint8)
    cv2.putText(page, text, (60, 300), cv2.FONT_HERSHEY_SIMPLEX, 8, 255, round(10 * thickness), cv2.LINE_AA)
    x, y, width, height = cv2.boundingRect(page)
    scale = size * 20 / 28 / max(width, height)
    small = cv2.resize(
        page[y : y + height, x : x + width], None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
    )
    glyph = np.zeros((size, size), np.uint8)
    top, left = (size - small.shape[0]) // 2, (size - small.shape[1]) // 2
    glyph[top : top + small.shape[0], left : left + small.shape[1]] = small
    return glyph


@pytest.fixture(scope="session")
def write() -> Callable[..., NDArray[np.uint8]]:
    return _write


@pytest.fixture(scope="session")
def glyphs() -> NDArray[np.uint8]:
    return np.stack([_write(text) for text in "0123456789iBR"])
