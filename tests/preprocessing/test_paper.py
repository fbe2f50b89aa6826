"""Scaling down in two steps, the first by halves."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from kalamos.preprocessing.resizing import shrink


@pytest.mark.parametrize("shape", [(160, 240), (161, 240), (150, 250)])
def test_shrinking_by_halves_is_area_averaging(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    small = shrink(image, 20 / max(shape))
    height, width = small.shape
    exact = cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
    assert width == 20
    # Where the blocks do not tile the halves, a pixel at their seams counts for its neighbour.
    assert cv2.absdiff(small, exact).mean() < 4
