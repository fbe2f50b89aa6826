from __future__ import annotations

import cv2
import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.evaluation.robustness.canvas import (
    GLYPH_SIDE,
    PAGE_SIDE,
    PAPER_LEVEL,
    PEN_LEVEL,
    bright_ink,
    clouds,
    dark_on_light,
    draw_glyph,
    framed,
    grain,
    ink_box,
    photograph_page,
    strokes,
    thinned,
)


@pytest.mark.parametrize("blur", [0.0, 1.1])
def test_grain_is_standard_noise(blur: float) -> None:
    noise = np.stack([grain(200, np.random.default_rng(seed), blur=blur) for seed in range(8)])
    assert noise.mean() == pytest.approx(0, abs=0.05)
    assert noise.std() == pytest.approx(1, abs=0.05)
    neighbours = np.corrcoef(noise[0][:, 1:].ravel(), noise[0][:, :-1].ravel())[0, 1]
    assert (neighbours > 0.5) == (blur > 0)


def test_nobody_can_spoil_the_noise_of_others() -> None:
    with pytest.raises(ValueError, match="read-only"):
        grain(10, np.random.default_rng(0))[0] = 0


def test_clouds_are_smooth_and_bounded() -> None:
    field = clouds(100, (2, 4), 1.5, np.random.default_rng(1))
    assert field.shape == (100, 100)
    assert np.abs(field).max() < 1.3
    assert np.abs(np.diff(field, axis=0)).max() < 0.15 < field.max() - field.min()


def test_an_image_of_mnists_geometry_is_a_frame_already(seven: np.ndarray, mnist: Dataset) -> None:
    assert framed(seven) is seven
    assert all(framed(image) is image for image in mnist.train.images[:300])


@pytest.mark.parametrize("shape", [(16, 16), (57, 20), (1, 9), (32, 2), (200, 300)])
def test_ink_to_the_edge_gets_room(shape: tuple[int, int]) -> None:
    frame = framed(np.full(shape, 200, np.uint8))
    side = len(frame)
    x, y, width, height = ink_box(frame)
    assert frame.shape == (side, side)
    assert 28 <= side <= 64
    assert max(width, height) == pytest.approx(side * 20 / 28, abs=1)
    assert (x + width / 2, y + height / 2) == pytest.approx((side / 2, side / 2), abs=1)
    assert width / height == pytest.approx(shape[1] / shape[0], rel=0.5)
    assert framed(frame) is frame


def test_the_polarity_is_that_of_most_images(seven: np.ndarray) -> None:
    crop = np.full((30, 2), 255, np.uint8)  # a tight crop of one stroke: no paper to be seen
    assert not dark_on_light([seven, crop, seven])
    assert dark_on_light([255 - seven, 255 - seven, seven])
    assert np.array_equal(bright_ink(crop, dark_on_light=False), crop)


def test_ink_becomes_bright_and_the_paper_black(seven: np.ndarray) -> None:
    grey = np.where(seven > 0, 60, 190).astype(np.uint8)
    for image, dark in ((seven, False), (255 - seven, True), (grey, True), (250 - grey, False)):
        assert np.array_equal(bright_ink(image, dark_on_light=dark), seven)


def test_what_is_as_good_as_blank_stays_so() -> None:
    image = np.zeros((28, 28), np.uint8)
    image[10:12] = 9
    assert np.array_equal(bright_ink(image, dark_on_light=False), image)
    assert ink_box(image) == (0, 0, 28, 28)


def test_a_photograph_is_made_small() -> None:
    assert max(bright_ink(np.full((3000, 1000), 255, np.uint8), dark_on_light=True).shape) == 256


def rng() -> np.random.Generator:
    return np.random.default_rng(1)


def as_grey(cover: np.ndarray) -> np.ndarray:
    return (cover * 255).astype(np.uint8)


@pytest.mark.parametrize(("side", "longer"), [(PAGE_SIDE, GLYPH_SIDE), (96, 64), (256, 24)])
def test_a_character_is_drawn_to_size_in_the_middle(seven: np.ndarray, side: int, longer: int) -> None:
    cover = draw_glyph(seven, rng(), side=side, longer=longer)
    x, y, width, height = ink_box(as_grey(cover))
    assert cover.shape == (side, side)
    assert (cover.min(), cover.max()) == (0, 1)
    assert height == pytest.approx(longer, rel=0.12)
    assert width / height == pytest.approx(12 / 20, abs=0.08)
    assert (x + width / 2, y + height / 2) == pytest.approx((side / 2, side / 2), abs=0.03 * longer + 1)


def test_it_is_drawn_where_it_is_wanted_and_turned(seven: np.ndarray) -> None:
    x, y, width, height = ink_box(as_grey(draw_glyph(seven, rng(), side=256, longer=40, middle=(50, -30))))
    assert (x + width / 2, y + height / 2) == pytest.approx((178, 98), abs=2)
    stem = np.zeros((28, 28), np.uint8)
    stem[4:24, 12:15] = 255
    rows, columns = np.nonzero(draw_glyph(stem, rng(), degrees=10) > 0.5)
    slope = np.polyfit(rows, columns, 1)[0]
    assert np.degrees(np.arctan(slope)) == pytest.approx(-10, abs=1)


def test_edges_are_smooth(seven: np.ndarray) -> None:
    cover = draw_glyph(seven, rng())
    _, stairs = cv2.threshold(cv2.resize(seven, (196, 196), interpolation=cv2.INTER_NEAREST), 127, 1, 0)
    partly = ((cover > 0.05) & (cover < 0.95)).sum()
    assert 200 < partly < 0.12 * cover.size
    assert cover.sum() == pytest.approx(stairs.sum(), rel=0.25)


@pytest.mark.parametrize("level", [60, 120, 255])
def test_a_dot_of_one_faint_pixel_is_written_too(level: int) -> None:
    ba = np.zeros((32, 32), np.uint8)
    ba[14:17, 8:22] = 255
    without = draw_glyph(ba, rng())
    ba[20, 15] = level
    dot = draw_glyph(ba, rng())[np.flatnonzero(without.any(axis=1)).max() + 4 :]
    assert dot.max() == 1
    assert 10 < dot.sum() < 400


def test_strokes_of_full_ink_are_drawn_as_they_are() -> None:
    stem = np.zeros((28, 28), np.uint8)
    stem[4:24, 12:14] = 255
    assert draw_glyph(stem, rng())[100].sum() == pytest.approx(2 * GLYPH_SIDE / 20, rel=0.25)


def test_a_page_has_the_paper_and_the_pen(seven: np.ndarray) -> None:
    cover = draw_glyph(seven, rng())
    page = photograph_page(PAPER_LEVEL, PEN_LEVEL, cover, rng())
    assert page.dtype == np.uint8
    assert page[cover == 0].mean() == pytest.approx(PAPER_LEVEL, abs=2)
    assert page[cv2.erode(cover, np.ones((5, 5))) == 1].mean() == pytest.approx(PEN_LEVEL, abs=2)
    assert page[:20].std() == pytest.approx(2, abs=0.4)


def test_strokes_are_anti_aliased() -> None:
    assert strokes(np.array([-2, -0.5, 0, 0.25, 3], np.float32)).tolist() == [0, 0, 0.5, 0.75, 1]


@pytest.mark.parametrize("taken", [0.4, 0.62, 0.8])
def test_thinning_breaks_nothing_and_loses_no_dot(taken: float) -> None:
    frame = np.zeros((28, 28), np.uint8)
    cv2.ellipse(frame, (13, 17), (8, 5), 0, 0, 180, 255, 2)  # a bowl with a dot above, as noon has
    frame[6:8, 12:14] = 255
    cover = draw_glyph(frame, rng())
    thin = thinned(cover, taken)
    assert cv2.connectedComponents((thin > 0.5).view(np.uint8))[0] == 3
    assert thin.sum() == pytest.approx((1 - taken) * cover.sum(), rel=0.4)
    assert (thin <= cover + 1e-6).mean() > 0.995


def test_a_pen_has_a_least_width() -> None:
    dot = np.zeros((40, 40), np.float32)
    cv2.circle(dot, (20, 20), 3, 1.0, -1)
    assert thinned(dot, 0.95).sum() > 5


def test_nothing_becomes_no_thinner() -> None:
    assert thinned(np.zeros((50, 50), np.float32), 0.5).sum() == 0
