"""Lines painted over, and strokes that cross them left."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.sheets.erasing import erase_lines

Grey = NDArray[np.uint8]


def page(width: int = 2, level: int = 40) -> tuple[Grey, NDArray[np.float32]]:
    """Two boxes side by side, with a stroke through the left one's bottom line."""
    scan = np.full((200, 300), 220, np.uint8)
    corners = []
    for x in (60, 150):
        cv2.rectangle(scan, (x, 50), (x + 70, 130), level, width)
        corners.append([[x, 50], [x + 70, 50], [x + 70, 130], [x, 130]])
    return scan, np.array(corners, np.float32)


@pytest.mark.parametrize(("width", "level"), [(1, 40), (2, 40), (3, 120), (5, 0), (2, 190)])
def test_lines_are_painted_over_and_strokes_stay(width: int, level: int) -> None:
    scan, corners = page(width, level)
    cv2.line(scan, (95, 80), (95, 150), 0, 5)  # crosses the bottom line
    cv2.circle(scan, (185, 90), 15, 0, 4)  # inside
    noisy = np.clip(scan + np.random.default_rng(0).normal(0, 3, scan.shape), 0, 255).astype(np.uint8)
    before = noisy.copy()
    erased = erase_lines(noisy, corners)
    assert (noisy == before).all()
    assert erased[120:145, 93:98].max() < 90  # through the line
    assert np.abs(erased[70:110, 165:205].astype(int) - noisy[70:110, 165:205]).max() == 0
    for top in (50, 130):
        assert erased[top - 6 : top + 7, 155:215].min() > 185
    for left in (150, 220):
        assert erased[60:120, left - 6 : left + 7].min() > 185


def test_without_lines_or_boxes_nothing_is_painted() -> None:
    scan, corners = page()
    assert (erase_lines(scan, np.zeros((0, 4, 2), np.float32)) == scan).all()
    blank = np.full((200, 300), 220, np.uint8)
    cv2.circle(blank, (95, 90), 20, 0, 3)
    assert (erase_lines(blank, corners) == blank).all()
