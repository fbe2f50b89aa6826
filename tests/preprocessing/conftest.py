"""Pages to write on: ink of any strength on paper of any light."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

Grey = NDArray[np.uint8]


@pytest.fixture(scope="session")
def prepare() -> Callable[[Grey], Grey]:
    """The default preprocessing."""
    return Preprocessor(DEFAULT_STEPS).image


def _seven(height: int, width: int, pen: int) -> NDArray[np.float64]:
    """Ink in [0, 1]: a 7, which no flip, turn or change of polarity maps to itself."""
    corners = np.array([[0.2, 0.15], [0.8, 0.15], [0.45, 0.85]]) * [width, height] * 16
    canvas = np.zeros((height, width), np.uint8)
    cv2.polylines(
        canvas, [corners.round().astype(np.int32).reshape(-1, 1, 2)], False, 255, pen, cv2.LINE_AA, 4
    )
    return canvas / 255


@pytest.fixture(scope="session")
def seven() -> Callable[[int, int, int], NDArray[np.float64]]:
    """(height, width, pen width) -> the ink of a 7, [height, width] in [0, 1]."""
    return _seven


@pytest.fixture(scope="session")
def write() -> Callable[..., Grey]:
    """Write ink [H, W] in [0, 1] on paper: contrast as a share of the paper's light, noise in levels."""

    def on_paper(
        ink: NDArray[np.float64],
        *,
        paper: float | NDArray[np.float64] = 235.0,
        contrast: float = 0.85,
        noise: float = 0.0,
    ) -> Grey:
        light = paper * (1 - contrast * ink)
        light += np.random.default_rng(3).normal(0, noise, ink.shape) if noise else 0
        page: Grey = np.clip(light, 0, 255).round().astype(np.uint8)
        return page

    return on_paper


OPEN_CASES = frozenset(Path(__file__).with_name("open_cases.txt").read_text("utf-8").splitlines())
"""What the rules of the first version could do and the ink finder cannot yet: names of tests, one a line."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Expect the open cases to fail, so that they are counted in every run."""
    for item in items:
        if item.name in OPEN_CASES and "preprocessing" in item.path.parts:
            item.add_marker(pytest.mark.xfail(reason="open: the ink finder", strict=False))
