"""What MNIST-C's kinds do to a frame, at the strengths declared."""

from __future__ import annotations

import numpy as np
import pytest

from kalamos.evaluation.robustness import STRENGTHS, corrupt
from kalamos.evaluation.robustness.canvas import ink_box


def levels(image: np.ndarray) -> float:
    return float(image.astype(float).mean())


@pytest.mark.parametrize("strength", STRENGTHS)
def test_impulses_are_as_many_as_declared(seven: np.ndarray, strength: int) -> None:
    images = [corrupt(seven, "impulse_noise", strength, row) for row in range(40)]
    changed = np.mean([(image != seven).mean() for image in images])
    # Half of the impulses have the colour that is there already.
    assert changed == pytest.approx((0.08, 0.17, 0.27)[strength - 1] / 2, rel=0.15)


def test_shot_noise_leaves_black_alone_and_grows(seven: np.ndarray) -> None:
    images = [np.stack([corrupt(seven, "shot_noise", s, row) for row in range(30)]) for s in STRENGTHS]
    assert all((stack[:, seven == 0] == 0).all() for stack in images)
    spread = [stack[:, seven > 0].std() for stack in images]
    assert spread[0] < spread[1] < spread[2]


@pytest.mark.parametrize("strength", STRENGTHS)
def test_brightness_is_added(seven: np.ndarray, strength: int) -> None:
    image = corrupt(seven, "brightness", strength)
    assert set(np.unique(image)) == {(64, 128, 178)[strength - 1], 255}


@pytest.mark.parametrize(("strength", "pixels"), [(1, 2), (2, 3), (3, 5)])
def test_translation_by_whole_pixels_to_all_four_corners(
    seven: np.ndarray, strength: int, pixels: int
) -> None:
    seen = set()
    for row in range(24):
        image = corrupt(seven, "translate", strength, row)
        for x, y in ((-1, -1), (-1, 1), (1, -1), (1, 1)):
            moved = np.roll(seven, (y * pixels, x * pixels), (0, 1))
            moved[: max(0, y * pixels)] = 0
            moved[len(moved) + min(0, y * pixels) :] = 0
            if np.array_equal(image, moved):
                seen.add((x, y))
    assert len(seen) == 4


def test_scale_shrinks_about_the_middle(seven: np.ndarray) -> None:
    for strength, factor in zip(STRENGTHS, (0.85, 0.7, 0.5), strict=True):
        x, y, width, height = ink_box(corrupt(seven, "scale", strength))
        assert height == pytest.approx(20 * factor, abs=1.5)
        assert (x + width / 2, y + height / 2) == pytest.approx((14, 14), abs=1)


@pytest.mark.parametrize(("name", "degrees"), [("rotate", (11.5, 22.9, 34.4)), ("shear", (11.3, 21.8, 31))])
def test_turned_and_slanted_to_either_side(name: str, degrees: tuple[float, ...]) -> None:
    stem = np.zeros((28, 28), np.uint8)
    stem[4:24, 13:15] = 255
    for strength, wanted in zip(STRENGTHS, degrees, strict=True):
        slopes = set()
        for row in range(10):
            rows, columns = np.nonzero(corrupt(stem, name, strength, row) > 127)
            slopes.add(round(float(np.degrees(np.arctan(np.polyfit(rows, columns, 1)[0])))))
        low, high = min(slopes), max(slopes)
        assert (low, high) == (pytest.approx(-wanted, abs=3), pytest.approx(wanted, abs=3))


def test_stripes(seven: np.ndarray) -> None:
    either = {bool((corrupt(seven, "stripe", 1, row)[:, 0] == 255).all()) for row in range(12)}
    assert either == {True, False}
    for strength, width in ((2, 7), (3, 9)):
        image = corrupt(seven, "stripe", strength)
        assert np.array_equal(image[:, :width], 255 - seven[:, :width])
        assert np.array_equal(image[:, -width:], 255 - seven[:, -width:])
        assert np.array_equal(image[:, width:-width], seven[:, width:-width])


def test_blur_keeps_the_light(seven: np.ndarray) -> None:
    for name in ("glass_blur", "motion_blur"):
        sharpness = [
            np.mean([np.abs(np.diff(corrupt(seven, name, s, row).astype(int))).max() for row in range(10)])
            for s in STRENGTHS
        ]
        assert 255 > sharpness[0] > sharpness[1] > sharpness[2]
        mass = np.mean([levels(corrupt(seven, name, 2, row)) for row in range(20)])
        assert mass == pytest.approx(levels(seven), rel=0.15)


def test_fog_hides_more_and_more(seven: np.ndarray) -> None:
    contrast = []
    for strength in STRENGTHS:
        fogged = np.mean([corrupt(seven, "fog", strength, row) for row in range(20)], axis=0)
        contrast.append(fogged[seven > 0].mean() - fogged[seven == 0].mean())
    assert contrast == pytest.approx([255 / 2.2, 255 / 4, 255 / 5.5], rel=0.15)


def test_spatter_covers_ink_in_places(seven: np.ndarray) -> None:
    lost = [
        np.mean([(corrupt(seven, "spatter", s, row)[seven > 0] < 150).mean() for row in range(30)])
        for s in STRENGTHS
    ]
    assert 0.01 < lost[0] < lost[1] < lost[2] < 0.4


@pytest.mark.parametrize("name", ["dotted_line", "zigzag"])
def test_lines_are_added_and_take_nothing_away(seven: np.ndarray, name: str) -> None:
    added = []
    for strength in STRENGTHS:
        images = [corrupt(seven, name, strength, row) for row in range(20)]
        assert all((image >= seven).all() for image in images)
        added.append(np.mean([levels(image) for image in images]) - levels(seven))
    assert 0 < added[0] < added[1] < added[2]


def test_a_dotted_line_has_gaps(seven: np.ndarray) -> None:
    images = [corrupt(seven, "dotted_line", 2, row) for row in range(10)]
    dotted = np.any([image > seven for image in images], axis=(0, 1))
    assert dotted.reshape(-1, 2).any(axis=1).tolist() == [False, True] * 7


def test_only_the_outline_is_left(seven: np.ndarray) -> None:
    fills, whole, gaps = (corrupt(seven, "canny_edges", s, 1) for s in STRENGTHS)
    assert set(np.unique(whole)) == {0, 255}
    assert (whole[seven == 0] > 0).any() or (whole[seven > 0] == 0).any()
    assert np.array_equal(fills == 255, whole == 255)
    assert 0.6 * (whole > 0).sum() < (gaps > 0).sum() < (whole > 0).sum()
    assert (whole[gaps > 0] == 255).all()


def test_parameters_follow_the_size_of_the_frame(seven: np.ndarray) -> None:
    twice = seven.repeat(2, axis=0).repeat(2, axis=1)
    for name in ("translate", "stripe", "scale", "zigzag"):
        small, large = corrupt(seven, name, 2, 4), corrupt(twice, name, 2, 4)
        assert large.shape == (56, 56)
        assert levels(large) == pytest.approx(levels(small), rel=0.15)
