"""The whole default preprocessing, on images as people have them."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from kalamos.datasets import Dataset
from kalamos.errors import NoInkError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

Grey = NDArray[np.uint8]
Prepare = Callable[[Grey], Grey]
Ink = Callable[[int, int, int], NDArray[np.float64]]
Write = Callable[..., Grey]


def ink_box(image: Grey) -> tuple[int, int, int, int]:
    """Left, top, width, height of what is not black."""
    left, top, width, height = cv2.boundingRect(image)
    return left, top, width, height


def parts(image: Grey, level: int = 64) -> int:
    """Connected parts brighter than `level`."""
    return cv2.connectedComponents((image > level).astype(np.uint8))[0] - 1


def centre_of_mass(image: Grey) -> tuple[float, float]:
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    return float((x * image).sum() / image.sum()), float((y * image).sum() / image.sum())


def likeness(a: Grey, b: Grey) -> float:
    """Cosine of two prepared images, in [0, 1], at the best shift of at most a pixel."""
    fixed = b.astype(float)
    shifts = [np.roll(a, (dy, dx), (0, 1)).astype(float) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return max(float((s * fixed).sum() / np.sqrt((s * s).sum() * (fixed * fixed).sum())) for s in shifts)


@pytest.fixture
def reference(prepare: Prepare, seven: Ink) -> Grey:
    """The 7 drawn in perfect conditions: what every hard case must come close to."""
    return prepare((seven(240, 240, 16) * 255).astype(np.uint8))


# --- what already looks like the training data --------------------------------------------------


def test_mnist_s_test_images_pass_unchanged(prepare: Prepare, mnist: Dataset) -> None:
    changed = [i for i, image in enumerate(mnist.test.images) if not np.array_equal(prepare(image), image)]
    assert changed == []


@pytest.mark.parametrize("index", [19841, 23831])
def test_of_mnist_s_training_images_two_move_by_a_pixel(prepare: Prepare, mnist: Dataset, index: int) -> None:
    # The only two of 60,000 (measured): their centre of mass lies more than half a pixel off the middle.
    image = mnist.train.images[index]
    moved = prepare(image)
    assert not np.array_equal(moved, image)
    shifts = [np.roll(image, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    assert any(np.array_equal(moved, shifted) for shifted in shifts)


def test_the_other_training_images_pass_unchanged(prepare: Prepare, mnist: Dataset) -> None:
    sample = range(0, 60_000, 6)  # every one would take over a second
    assert [
        i for i in sample if not np.array_equal(prepare(mnist.train.images[i]), mnist.train.images[i])
    ] == []


def test_mnist_inverted_is_read_as_mnist(prepare: Prepare, mnist: Dataset) -> None:
    alike = [likeness(prepare(255 - image), image) for image in mnist.test.images[:300]]
    assert np.mean(alike) > 0.97
    assert min(alike) > 0.8


# --- light and paper -----------------------------------------------------------------------------


def test_dark_on_light_and_light_on_dark_are_one(
    prepare: Prepare, seven: Ink, write: Write, reference: Grey
) -> None:
    page = write(seven(240, 240, 16))
    dark_ink, light_ink = prepare(page), prepare(255 - page)
    assert likeness(dark_ink, light_ink) > 0.99
    assert likeness(dark_ink, reference) > 0.97


def test_a_strong_shadow_across_the_page_goes(
    prepare: Prepare, seven: Ink, write: Write, reference: Grey
) -> None:
    y, x = np.mgrid[:240, :240] / 240
    shadow = 230 - 100 * x - 40 * y  # the dark corner's paper is darker than a light pencil on the bright one
    assert likeness(prepare(write(seven(240, 240, 16), paper=shadow)), reference) > 0.95


def test_faint_pencil_on_grainy_paper(prepare: Prepare, seven: Ink, write: Write, reference: Grey) -> None:
    page = write(seven(240, 240, 16), contrast=0.28, noise=3)
    assert likeness(prepare(page), reference) > 0.93


def test_white_pixels_do_not_lift_the_paper(
    prepare: Prepare, seven: Ink, write: Write, reference: Grey
) -> None:
    page = write(seven(90, 90, 6), paper=220, contrast=0.28)
    page[np.random.default_rng(0).random(page.shape) < 0.02] = 255
    assert likeness(prepare(page), reference) > 0.93


def test_chalk_on_a_grainy_board(prepare: Prepare, seven: Ink, reference: Grey) -> None:
    noise = np.random.default_rng(5).normal(0, 5, (240, 240))
    board = np.clip(32 + 200 * seven(240, 240, 16) + noise, 0, 255).astype(np.uint8)
    assert likeness(prepare(board), reference) > 0.95


@pytest.mark.parametrize("quality", [30, 60, 90])
def test_jpeg_s_ringing_is_not_ink(
    prepare: Prepare, seven: Ink, write: Write, reference: Grey, quality: int
) -> None:
    _, content = cv2.imencode(".jpg", write(seven(240, 240, 16)), [cv2.IMWRITE_JPEG_QUALITY, quality])
    damaged = cv2.imdecode(content, cv2.IMREAD_GRAYSCALE)
    assert likeness(prepare(damaged), reference) > 0.95


def test_small_ink_in_the_corner_of_a_large_page(
    prepare: Prepare, seven: Ink, write: Write, reference: Grey
) -> None:
    ink = np.zeros((600, 800))
    ink[500:580, 20:100] = seven(80, 80, 5)
    assert likeness(prepare(write(ink)), reference) > 0.94


def test_a_thick_marker_that_fills_the_image(prepare: Prepare, seven: Ink, write: Write) -> None:
    ink = seven(100, 100, 22)
    left, top, width, height = cv2.boundingRect((ink > 0.5).astype(np.uint8))
    page = write(ink[top - 2 : top + height + 2, left - 2 : left + width + 2])
    expected = prepare((ink * 255).astype(np.uint8))
    assert likeness(prepare(page), expected) > 0.95


@pytest.mark.parametrize("size", [8, 12, 28, 40, 90, 400])
def test_any_size(prepare: Prepare, seven: Ink, write: Write, reference: Grey, size: int) -> None:
    page = write(seven(size, size, max(1, size // 15)))
    prepared = prepare(page)
    assert prepared.shape == (28, 28)
    assert likeness(prepared, reference) > 0.75
    assert max(ink_box(prepared)[2:]) in {17, 18, 19, 20}


# --- blank images --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 8, 28, 200])
@pytest.mark.parametrize("level", [0, 1, 128, 254, 255])
def test_a_plain_image_has_no_ink(prepare: Prepare, size: int, level: int) -> None:
    with pytest.raises(NoInkError, match="no ink"):
        prepare(np.full((size, size), level, np.uint8))


@pytest.mark.parametrize("size", [28, 64, 200, 600])
@pytest.mark.parametrize("noise", [1, 2, 3])
def test_the_grain_of_blank_paper_is_not_ink(prepare: Prepare, write: Write, size: int, noise: int) -> None:
    with pytest.raises(NoInkError):
        prepare(write(np.zeros((size, size)), paper=225, noise=noise))


@pytest.mark.parametrize("size", [64, 200, 600, 1500])
@pytest.mark.parametrize("noise", [5, 10, 20])
def test_a_camera_s_noise_on_a_larger_page_is_not_ink(
    prepare: Prepare, write: Write, size: int, noise: int
) -> None:
    with pytest.raises(NoInkError):
        prepare(write(np.zeros((size, size)), paper=190, noise=noise))


@pytest.mark.parametrize("ground", [255, 250, 128, 90])
def test_a_small_crop_on_a_plain_ground_looks_as_on_black(prepare: Prepare, seven: Ink, ground: int) -> None:
    ink = (seven(28, 28, 2) * 85).astype(np.uint8)
    on_black = prepare(ink)
    np.testing.assert_array_equal(prepare(ground - ink), on_black)  # dark ink
    if ground + 85 <= 255:
        np.testing.assert_array_equal(prepare(ground + ink), on_black)  # light ink


@pytest.mark.parametrize("noise", [5, 10, 15])
def test_ink_among_noise_is_ink(
    prepare: Prepare, seven: Ink, write: Write, reference: Grey, noise: int
) -> None:
    page = write(seven(240, 240, 16), paper=220, contrast=0.7, noise=noise)
    assert likeness(prepare(page), reference) > 0.8


@pytest.mark.parametrize("size", [28, 64, 200, 600])
@pytest.mark.parametrize("slope", [(80, 20), (0, 100), (-60, 40), (180, 0), (-90, 110)])
def test_light_that_falls_off_is_not_ink(prepare: Prepare, size: int, slope: tuple[float, float]) -> None:
    y, x = np.mgrid[:size, :size] / size
    light = 150 + slope[0] * (x - 0.5) + slope[1] * (y - 0.5)
    for page in (light, 255 - light):
        with pytest.raises(NoInkError):
            prepare(page.astype(np.uint8))


def test_ink_fainter_than_the_least_contrast_is_none(prepare: Prepare) -> None:
    page = np.full((100, 100), 220, np.uint8)
    page[20:80, 45:55] = 220 - 15
    with pytest.raises(NoInkError, match="scan it with more contrast"):
        prepare(page)
    page[20:80, 45:55] = 220 - 40
    assert prepare(page).max() == 255


# --- what belongs to the character, and what does not ---------------------------------------------


def test_the_dot_of_an_i_stays(prepare: Prepare, write: Write) -> None:
    ink = np.zeros((300, 200))
    ink[110:260, 92:108] = 1
    cv2.circle(ink, (100, 60), 9, 1, -1)
    prepared = prepare(write(ink, noise=2))
    assert parts(prepared) == 2


def test_the_two_dots_of_a_ya_stay(prepare: Prepare, write: Write) -> None:
    ink = np.zeros((300, 300))
    cv2.ellipse(ink, (150, 130), (100, 60), 0, 0, 180, 1, 14, cv2.LINE_AA)
    cv2.circle(ink, (125, 250), 10, 1, -1, cv2.LINE_AA)
    cv2.circle(ink, (175, 250), 10, 1, -1, cv2.LINE_AA)
    prepared = prepare(write(ink, noise=2))
    assert parts(prepared) == 3
    assert parts(prepared[ink_box(prepared)[1] + 9 :]) >= 2  # the dots are below


def test_a_broken_stroke_stays_whole(prepare: Prepare, write: Write) -> None:
    ink = np.zeros((300, 200))
    for top, bottom in ((40, 100), (125, 180), (205, 260)):
        ink[top:bottom, 92:108] = 1
    prepared = prepare(write(ink))
    assert ink_box(prepared)[3] == 20
    assert parts(prepared) == 3


@pytest.mark.parametrize(("row", "column"), [(5, 5), (5, 230), (232, 8), (120, 236)])
def test_a_speck_of_dust_is_left_out(
    prepare: Prepare, seven: Ink, write: Write, row: int, column: int
) -> None:
    page = write(seven(240, 240, 16))
    clean = prepare(page)
    page[row : row + 2, column : column + 2] = 0
    assert likeness(prepare(page), clean) > 0.99


def test_a_speck_brighter_than_the_ink_does_not_dim_it(prepare: Prepare) -> None:
    page = np.zeros((60, 60), np.uint8)
    page[20:39, 20:39] = 100
    page[2, 2] = 255
    assert prepare(page).max() == 255


# --- geometry ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(100, 100), (150, 60), (60, 150), (200, 20), (20, 200)])
def test_the_aspect_ratio_is_kept(prepare: Prepare, height: int, width: int) -> None:
    page = np.zeros((260, 260), np.uint8)
    page[30 : 30 + height, 25 : 25 + width] = 255
    _, _, got_width, got_height = ink_box(prepare(page))
    assert max(got_width, got_height) == 20
    assert got_width == pytest.approx(20 * width / max(height, width), abs=0.5)
    assert got_height == pytest.approx(20 * height / max(height, width), abs=0.5)


@pytest.mark.parametrize("corner", [(0, 0), (0, 130), (130, 0), (130, 130), (40, 70)])
def test_the_centre_of_mass_comes_to_the_middle(
    prepare: Prepare, seven: Ink, corner: tuple[int, int]
) -> None:
    page = np.zeros((230, 230), np.uint8)
    page[corner[0] : corner[0] + 100, corner[1] : corner[1] + 100] = seven(100, 100, 7) * 255
    assert centre_of_mass(prepare(page)) == pytest.approx((14, 14), abs=0.51)


def test_turning_the_page_turns_the_result(prepare: Prepare, seven: Ink, write: Write) -> None:
    page = write(seven(240, 240, 16))
    turned = prepare(np.ascontiguousarray(np.rot90(page)))
    # The middle, pixel 14, is not its own mirror image on 28 pixels, hence the one pixel to the left.
    expected = np.roll(np.rot90(prepare(page)), 1, axis=0)
    assert likeness(turned, expected) > 0.97


@pytest.mark.parametrize(
    "shape", [(1, 1), (1, 2), (1, 50), (50, 1), (2, 3), (3, 1000), (1000, 2), (2, 200_000), (80_000, 3)]
)
def test_slivers_are_read_or_refused(prepare: Prepare, shape: tuple[int, int]) -> None:
    for seed in range(20):
        image = np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
        try:
            assert prepare(image).max() >= 250
        except NoInkError:
            continue


def test_one_bright_pixel_is_a_dot(prepare: Prepare) -> None:
    page = np.zeros((28, 28), np.uint8)
    page[20, 3] = 255
    assert ink_box(prepare(page)) == (4, 4, 20, 20)


def test_the_thinnest_stroke_on_the_largest_page_is_not_lost(prepare: Prepare) -> None:
    page = np.zeros((3000, 3000), np.uint8)
    cv2.line(page, (500, 400), (700, 2600), 255, 1)
    prepared = prepare(page)
    assert prepared.max() >= 250
    assert max(ink_box(prepared)[2:]) == 20


# --- always --------------------------------------------------------------------------------------

ANY_IMAGE = arrays(np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=70))
FEW_LEVELS = arrays(
    np.uint8,
    array_shapes(min_dims=2, max_dims=2, max_side=70),
    elements=st.sampled_from([0, 10, 90, 100, 255]),
    fill=st.sampled_from([0, 128, 255]),
)


@settings(max_examples=300)
@given(ANY_IMAGE | FEW_LEVELS)
@example(np.zeros((1, 1), np.uint8))
def test_any_image_gives_full_contrast_or_no_ink(image: Grey) -> None:
    original = image.copy()
    try:
        prepared = Preprocessor(DEFAULT_STEPS).image(image)
    except NoInkError:
        return
    finally:
        assert np.array_equal(image, original)  # the caller's array is never written on
    assert prepared.dtype == np.uint8
    assert prepared.shape == (28, 28)
    assert prepared.max() >= 250


@settings(max_examples=200)
@given(st.integers(0, 2**32 - 1), st.integers(10, 200), st.integers(10, 200), st.booleans())
def test_a_prepared_image_prepared_again_stays(seed: int, height: int, width: int, dark: bool) -> None:
    generator = np.random.default_rng(seed)
    page = np.zeros((height, width), np.uint8)
    points = (generator.random((4, 1, 2)) * [width, height]).astype(np.int32)
    cv2.polylines(page, [points], False, 255, int(generator.integers(1, 12)), cv2.LINE_AA)
    prepare = Preprocessor(DEFAULT_STEPS).image
    try:
        once = prepare(255 - page if dark else page)
    except NoInkError:
        return
    assert np.array_equal(prepare(once), once)
