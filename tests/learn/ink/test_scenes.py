"""Scenes: what is drawn is what the mask says, whatever else there is."""

from __future__ import annotations

from dataclasses import fields, replace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalamos.errors import DatasetError, RecipeError
from kalamos.learn.ink.glyphs import GlyphPool, draw_bars, draw_scribble
from kalamos.learn.ink.scenes import SceneRanges, draw_scene
from kalamos.learn.ink.surroundings import border_frame, pad_photo
from kalamos.preprocessing.ink import Box

SOURCES = {"scribbles": draw_scribble, "bars": draw_bars}
NOTHING = SceneRanges(**{field.name: 0.0 for field in fields(SceneRanges)})
"""A character on paper, in some light."""


@pytest.fixture(scope="module")
def pool() -> GlyphPool:
    return GlyphPool(SOURCES, {"scribbles": 1.0, "bars": 1.0}, count=60, seed=0)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6), shape=st.sampled_from([(64, 64), (64, 16), (16, 64), (32, 64), (128, 128)])
)
def test_any_scene_is_a_photo_with_its_mask(pool: GlyphPool, seed: int, shape: tuple[int, int]) -> None:
    scene = draw_scene(pool, SceneRanges(), shape, np.random.default_rng(seed))
    assert scene.photo.dtype == np.uint8
    assert scene.ink.dtype == np.float32
    assert scene.photo.shape == scene.ink.shape
    assert scene.ink.min() >= 0
    assert scene.ink.max() <= 1.001
    height, width = scene.photo.shape
    if min(height, width) > 16:  # crops along the ink are stretched up to twofold
        assert 0.45 < (height / width) / (shape[0] / shape[1]) < 2.2


def test_a_scene_depends_on_its_number_alone(pool: GlyphPool) -> None:
    one, again, other = (
        draw_scene(pool, SceneRanges(), (64, 64), np.random.default_rng(seed)) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.photo, again.photo)
    np.testing.assert_array_equal(one.ink, again.ink)
    assert one.photo.shape != other.photo.shape or not np.array_equal(one.photo, other.photo)


@pytest.mark.parametrize("seed", range(12))
def test_the_mask_lies_where_the_ink_is_darker(pool: GlyphPool, seed: int) -> None:
    ranges = replace(NOTHING, digital=1.0)
    scene = draw_scene(pool, ranges, (64, 64), np.random.default_rng(seed))
    inside, outside = scene.photo[scene.ink > 0.9], scene.photo[scene.ink < 0.01]
    assert len(inside)
    assert np.median(inside) < np.median(outside) - 5


def test_a_blank_scene_has_no_mask_whatever_is_printed_on_it(pool: GlyphPool) -> None:
    for seed in range(20):
        scene = draw_scene(pool, replace(SceneRanges(), blank=1.0), (64, 64), np.random.default_rng(seed))
        assert not scene.ink.any()


def test_a_neighbour_that_is_cut_is_not_in_the_mask(pool: GlyphPool) -> None:
    alone, beside = NOTHING, replace(NOTHING, neighbours=1.0)
    changed = 0
    for seed in range(20):
        one = draw_scene(pool, alone, (64, 64), np.random.default_rng(seed))
        two = draw_scene(pool, beside, (64, 64), np.random.default_rng(seed))
        if one.ink.shape != two.ink.shape:  # the neighbour hid it, so it was drawn anew
            continue
        np.testing.assert_array_equal(one.ink, two.ink)
        changed += not np.array_equal(one.photo, two.photo)
    assert changed > 10


def test_a_share_above_one_is_refused() -> None:
    with pytest.raises(RecipeError, match=r"frame = 1\.5"):
        SceneRanges(frame=1.5)
    with pytest.raises(DatasetError, match="'chalk'"):
        GlyphPool(SOURCES, {"chalk": 1.0}, count=1, seed=0)


@pytest.mark.parametrize("proportions", [(64, 64), (64, 32), (32, 64)])
def test_padding_keeps_the_photo_whole(proportions: tuple[int, int]) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (40, 30)).astype(np.uint8)
    mask = np.zeros((40, 30), np.float32)
    mask[10:20, 5:9] = 1
    for seed in range(10):
        photo, ink = pad_photo(grey, mask, proportions, np.random.default_rng(seed))
        assert photo.shape[0] / photo.shape[1] == pytest.approx(proportions[0] / proportions[1], rel=0.1)
        assert ink.sum() == mask.sum()
        found = cv2.matchTemplate(photo, grey, cv2.TM_SQDIFF).min()
        assert found == pytest.approx(0, abs=10)


def test_a_border_s_frame_leaves_the_character_alone() -> None:
    grey, mask = np.full((60, 60), 200, np.uint8), np.zeros((60, 60), np.float32)
    mask[0:60, 28:32] = 1  # from border to border
    for seed in range(10):
        border_frame(grey, mask, np.random.default_rng(seed))
    assert mask.sum() >= 0.9 * 240


def test_boxes_overlap_where_they_share_a_pixel() -> None:
    box = Box(0, 0, 10, 10)
    assert box.overlaps(Box(9, 9, 20, 20))
    assert not box.overlaps(Box(10, 0, 20, 10))
