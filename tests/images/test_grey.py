from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from kalamos.errors import InvalidArrayError
from kalamos.images.grey import compose, eight_bits, to_grey, upright, with_key

OPTIONS = {"where": "x", "refuse": InvalidArrayError}


@pytest.mark.parametrize("bits", [8, 10, 12, 14, 16])
def test_depths(bits):
    top = (1 << bits) - 1
    values = np.arange(top + 1, dtype=np.uint16)
    result = eight_bits(values, **OPTIONS)
    assert np.array_equal(result, np.rint(values * (255 / top)))


def test_just_over_a_depth():
    assert eight_bits(np.array([256], np.uint16), **OPTIONS) == round(256 * 255 / 1023)


@pytest.mark.parametrize(
    "values", [[np.nan, 0.0], [np.inf, 0.0], [-np.inf, 0.0], [-0.01, 0.0], [255.5, 0.0], [-1, 0], [70000, 0]]
)
def test_out_of_range(values):
    with pytest.raises(InvalidArrayError, match=r"^x: "):
        eight_bits(np.array(values), **OPTIONS)


def cover(size, shape=(40, 40)):
    """Alpha of a centred rectangle."""
    alpha = np.zeros(shape, np.uint8)
    alpha[size:-size, size:-size] = 255
    return alpha


def test_dark_ink_goes_on_white_and_light_ink_on_black():
    alpha = cover(15)
    for tone, ground in [(0, 255), (100, 255), (200, 0), (255, 0)]:
        result = compose(np.full_like(alpha, tone), alpha)
        assert (result[alpha == 0] == ground).all()
        assert (result[alpha > 0] == tone).all()


@pytest.mark.parametrize(("tones", "ground"), [((10, 100), 255), ((150, 250), 0)])
def test_ink_of_two_tones_is_still_ink(tones, ground):
    alpha = cover(10)
    grey = np.full_like(alpha, tones[0])
    grey[:, 20:] = tones[1]
    assert (compose(grey, alpha)[alpha == 0] == ground).all()


@pytest.mark.parametrize(("paper", "ink"), [(240, 20), (30, 220)])
def test_visible_paper_is_continued(paper, ink):
    alpha = cover(5)
    grey = np.full_like(alpha, paper)
    grey[18:22, 10:30] = ink
    assert (compose(grey, alpha)[alpha == 0] == paper).all()


def test_soft_edges_are_blended():
    grey = np.zeros((1, 5), np.uint8)
    alpha = np.array([[255, 192, 128, 64, 0]], np.uint8)
    assert compose(grey, alpha).tolist() == [[0, 63, 127, 191, 255]]


def test_premultiplied_equals_straight():
    alpha = np.array([[255, 200, 128, 0]], np.uint8)
    straight = np.full((1, 4), 60, np.uint8)
    premultiplied = np.rint(straight * (alpha / 255)).astype(np.uint8)
    difference = compose(premultiplied, alpha, premultiplied=True).astype(int) - compose(straight, alpha)
    assert np.abs(difference).max() <= 1


def test_fully_transparent_is_uniform():
    noise = np.random.default_rng(0).integers(0, 256, (5, 7), dtype=np.uint8)
    assert len(np.unique(compose(noise, np.zeros_like(noise)))) == 1


@given(
    grey=hnp.arrays(np.uint8, (6, 6)),
    hidden=hnp.arrays(np.uint8, (6, 6)),
    alpha=hnp.arrays(np.uint8, (6, 6), elements=st.sampled_from([0, 0, 60, 255])),
)
def test_what_lies_under_alpha_zero_does_not_matter(grey, hidden, alpha):
    other = np.where(alpha == 0, hidden, grey)
    assert np.array_equal(compose(grey, alpha), compose(other, alpha))
    assert np.array_equal(compose(grey, alpha)[alpha == 255], grey[alpha == 255])


def test_sixteen_bit_colour_and_alpha_share_a_depth():
    """Dark 16-bit ink under a full alpha is dark, not a shallow 12-bit white."""
    pixels = np.zeros((2, 2, 2), np.uint16)
    pixels[0] = 4000, 65535
    assert to_grey(pixels, order="RGB", **OPTIONS).tolist() == [[16, 16], [255, 255]]


def test_order_of_colours():
    red = np.zeros((1, 1, 3), np.uint8)
    red[..., 0] = 255
    assert to_grey(red, order="RGB", **OPTIONS) == 76
    assert to_grey(red, order="BGR", **OPTIONS) == 29


def test_with_key_compares_before_scaling():
    pixels = np.array([[4095, 4094]], np.uint16)
    assert with_key(pixels, 4095, **OPTIONS).tolist() == [[[255, 0], [255, 255]]]


def test_large_pictures_are_counted_in_chunks():
    grey = np.zeros((1100, 1100), np.uint8)
    grey[-30:] = 250
    alpha = np.zeros_like(grey)
    alpha[-30:] = 255
    assert compose(grey, alpha)[0, 0] == 0


@pytest.mark.parametrize("orientation", range(1, 9))
def test_upright_moves_the_corner_where_exif_says(orientation):
    """TIFF 6.0, tag 274: which visual edges the 0th row and the 0th column are."""
    row_edge, column_edge = {
        1: ("top", "left"),
        2: ("top", "right"),
        3: ("bottom", "right"),
        4: ("bottom", "left"),
        5: ("left", "top"),
        6: ("right", "top"),
        7: ("right", "bottom"),
        8: ("left", "bottom"),
    }[orientation]
    stored = np.zeros((3, 5), int)
    stored[0, :] += 1
    stored[:, 0] += 2
    seen = upright(stored, orientation)
    edges = {"top": seen[0], "bottom": seen[-1], "left": seen[:, 0], "right": seen[:, -1]}
    assert (edges[row_edge] & 1).all()
    assert (edges[column_edge] & 2).all()
