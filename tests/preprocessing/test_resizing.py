from __future__ import annotations

import cv2
import numpy as np
import pytest

from kalamos.preprocessing.resizing import set_stroke_width, stroke_width


@pytest.mark.parametrize("width", [3, 6, 12, 20])
@pytest.mark.parametrize("angle", [0, 30, 45])
def test_the_pen_s_width_is_measured(width: int, angle: int) -> None:
    y, x = np.mgrid[:300, :300] - 150
    turned = x * np.cos(np.radians(angle)) + y * np.sin(np.radians(angle))
    image = np.where(np.abs(turned + 0.25) <= width / 2, np.uint8(255), np.uint8(0))
    assert stroke_width(image) == pytest.approx(width, rel=0.25, abs=1)


def test_no_ink_has_no_width() -> None:
    assert stroke_width(np.zeros((9, 9), np.uint8)) == 0
    empty = np.zeros((9, 9), np.uint8)
    assert set_stroke_width(empty, 3, 5) is empty


def test_thin_and_thick_pens_come_to_the_bounds() -> None:
    for width in (2, 30):
        image = np.zeros((200, 200), np.uint8)
        cv2.circle(image, (100, 100), 60, 255, width)
        assert stroke_width(set_stroke_width(image, 8, 14)) == pytest.approx(8 if width == 2 else 14, abs=2)


def test_a_pen_between_the_bounds_is_left_alone() -> None:
    image = np.zeros((200, 200), np.uint8)
    cv2.circle(image, (100, 100), 60, 255, 10)
    assert set_stroke_width(image, 8, 14) is image


def test_a_solid_shape_keeps_its_aspect_ratio() -> None:
    image = np.full((100, 40), 255, np.uint8)
    assert set_stroke_width(image, 2, 10) is image


def test_a_hairline_beside_a_marker_is_not_lost() -> None:
    image = np.zeros((200, 200), np.uint8)
    cv2.circle(image, (100, 100), 60, 255, 40)
    image[95:98, 100:190] = 255
    assert (set_stroke_width(image, 2, 12)[96, 130:185] > 0).mean() > 0.4
