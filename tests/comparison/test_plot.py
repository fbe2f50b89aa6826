from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from kalamos.comparison.outcomes import Comparison
from kalamos.comparison.plot import comparison_plot

pytest.importorskip("matplotlib", reason="needs the extra 'train'")


def drawn(found: Comparison) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(comparison_plot(found), np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def share_of(image: np.ndarray, rgb: str) -> float:
    colour = np.array([int(rgb[i : i + 2], 16) for i in (4, 2, 0)])
    return float((np.abs(image.astype(int) - colour).max(axis=2) < 12).mean())


def test_every_system_with_a_model_is_drawn_in_its_colour(found: Comparison) -> None:
    image = drawn(found)
    assert image.shape[1] == 1600
    assert share_of(image, "0072b2") > 2e-4
    assert share_of(image, "d55e00") > 2e-4
    assert share_of(image, "009e73") == 0


def test_any_name_can_be_drawn(found: Comparison) -> None:
    systems = tuple(replace(system, name=f"$x^ \\frac حرف {system.name * 30}") for system in found.systems)
    drawn(replace(found, systems=systems * 9, dataset="$"))


def test_a_comparison_without_any_model_is_drawn_too(lone: Comparison) -> None:
    assert share_of(drawn(lone), "ffffff") > 0.5
