from __future__ import annotations

import numpy as np
import pytest

from kalamos.training.camera.texture import BROAD, FINE, MEDIUM, SIDE, WHITE, cut


@pytest.mark.parametrize("grain", [WHITE, FINE, MEDIUM, BROAD])
def test_every_texture_has_mean_0_and_deviation_1(grain: float) -> None:
    piece = cut(grain, (SIDE // 2, SIDE // 2), np.random.default_rng(0))
    assert piece.dtype == np.float32
    assert abs(float(piece.mean())) < 0.1
    assert abs(float(piece.std()) - 1) < 0.1


def test_a_broader_grain_changes_more_slowly() -> None:
    steps = [
        float(np.abs(np.diff(cut(g, (200, 200), np.random.default_rng(1)))).mean())
        for g in (WHITE, FINE, MEDIUM, BROAD)
    ]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < steps[0] / 5


def test_pieces_larger_than_the_tile_have_no_seams() -> None:
    piece = cut(BROAD, (SIDE + 300, 40), np.random.default_rng(2))
    assert piece.shape == (SIDE + 300, 40)
    steps = np.abs(np.diff(piece, axis=0)).max(axis=1)
    assert steps.max() < 3 * np.median(steps)


def test_nobody_can_spoil_the_tile() -> None:
    piece = cut(FINE, (8, 8), np.random.default_rng(0))
    with pytest.raises(ValueError, match="read-only"):
        piece += 1
