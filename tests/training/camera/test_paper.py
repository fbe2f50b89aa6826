from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.training.camera import Camera
from kalamos.training.camera.paper import LEVELS, light, paper
from kalamos.training.camera.texture import Floats

SHAPE = 150, 130
MARGINS = 30, 20, 25, 15


def _paper(camera: Camera, seed: int = 0) -> Floats:
    return paper(SHAPE, 100, MARGINS, camera, np.random.default_rng(seed))


def test_plain_paper_is_plain(ideal: Camera) -> None:
    for seed in range(10):
        page = _paper(ideal, seed)
        assert page.shape == SHAPE
        assert np.ptp(page) == 0
        assert LEVELS[0] <= page[0, 0] <= LEVELS[1]


def test_texture_is_as_strong_as_asked(ideal: Camera) -> None:
    deviations = [_paper(replace(ideal, texture=3.0), seed).std() for seed in range(40)]
    assert 0.5 < np.mean(deviations) < 3
    assert max(deviations) < 3.0 * 1.42 * 1.3


def test_ruled_paper_has_lines_across(ideal: Camera) -> None:
    for seed in range(10):
        page = _paper(replace(ideal, ruled=1.0), seed)
        dark = page < page.max() * 0.97
        assert dark.any()
        assert dark.any(axis=0).mean() > 0.9  # some line crosses nearly every column
        assert dark.mean() < 0.2


def test_squared_paper_has_lines_both_ways(ideal: Camera) -> None:
    page = _paper(replace(ideal, squared=1.0), 4)
    dark = page < page.max() * 0.97
    assert dark.any(axis=0).all()
    assert dark.any(axis=1).all()


def test_a_cells_lines_do_not_touch_the_ink(ideal: Camera) -> None:
    seen = 0
    for seed in range(30):
        page = _paper(replace(ideal, cell=1.0), seed)
        seen += bool((page < page.max() * 0.97).any())
        top, right, bottom, left = MARGINS
        box = page[top : SHAPE[0] - bottom, left : SHAPE[1] - right]
        assert (box < page.max() * 0.97).mean() < 0.02
    assert seen == 30


def test_specks_are_few_and_dark(ideal: Camera) -> None:
    shares = [(p < p.max() * 0.95).mean() for p in (_paper(replace(ideal, specks=1.0), s) for s in range(40))]
    assert 0 < np.mean(shares) < 0.003


@pytest.mark.parametrize("seed", range(20))
def test_light_dims_and_never_turns_dark(seed: int) -> None:
    lit = light(SHAPE, Camera(shadow=1.0), np.random.default_rng(seed))
    assert lit.shape == SHAPE
    assert 0.15 < lit.min() < lit.max() <= 1.01


def test_even_light_is_even(ideal: Camera) -> None:
    assert np.ptp(light(SHAPE, ideal, np.random.default_rng(0))) == 0


def test_some_shadows_have_a_hard_edge(ideal: Camera) -> None:
    steps = []
    for seed in range(60):
        lit = light((144, 144), replace(ideal, shadow=1.0), np.random.default_rng(seed))
        steps.append(max(np.abs(np.diff(lit, axis=a)).max() for a in (0, 1)) / max(1e-6, np.ptp(lit)))
    assert min(steps) < 0.02
    assert max(steps) > 0.1
