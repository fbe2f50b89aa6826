"""Photographs as phones take them, drawn by program: every character under every condition."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.errors import NoInkError
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor, default_steps

Grey = NDArray[np.uint8]
Ink = NDArray[np.float64]
Prepare = Callable[[Grey], Grey]
Points = list[tuple[float, float]]

SIDE = 240
Y, X = np.mgrid[:SIDE, :SIDE] / SIDE


def arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> Points:
    angles = np.radians(np.linspace(start, end, 40))
    return [(x + rx * float(np.cos(a)), y + ry * float(np.sin(a))) for a in angles]


def dot(x: float, y: float) -> Points:
    return [(x, y), (x + 0.004, y)]


# Strokes as points (x, y) in shares of the side.
CHARACTERS: dict[str, list[Points]] = {
    "7": [[(0.3, 0.25), (0.7, 0.25), (0.45, 0.75)]],
    "1": [[(0.5, 0.22), (0.48, 0.78)]],
    "0": [arc(0.5, 0.5, 0.16, 0.24, 0, 360)],
    "4": [[(0.42, 0.22), (0.34, 0.55), (0.66, 0.55)], [(0.58, 0.3), (0.56, 0.78)]],
    "broken 5": [
        [(0.42, 0.28), (0.40, 0.46), *arc(0.46, 0.58, 0.14, 0.13, -110, 120)],
        [(0.55, 0.26), (0.7, 0.25)],
    ],
    "i": [[(0.5, 0.42), (0.5, 0.74)], dot(0.5, 0.27)],
    "equals": [[(0.3, 0.42), (0.7, 0.42)], [(0.3, 0.6), (0.7, 0.6)]],
    "ب": [arc(0.5, 0.42, 0.24, 0.14, 0, 180), dot(0.5, 0.72)],
    "ت": [arc(0.5, 0.5, 0.24, 0.14, 0, 180), dot(0.44, 0.36), dot(0.57, 0.36)],
    "أ": [[(0.5, 0.42), (0.5, 0.8)], [(0.55, 0.22), (0.48, 0.24), (0.54, 0.28), (0.46, 0.31)]],
}


def draw(character: str, pen: float = 12) -> Ink:
    """Ink in [0, 1] on SIDE x SIDE, by a pen `pen` px wide."""
    large = np.zeros((SIDE * 4, SIDE * 4), np.uint8)
    for stroke in CHARACTERS[character]:
        points = (np.array(stroke) * SIDE * 4).round().astype(np.int32).reshape(-1, 1, 2)
        cv2.polylines(large, [points], False, 255, max(1, round(pen * 4)), cv2.LINE_AA)
    return cv2.resize(large, (SIDE, SIDE), interpolation=cv2.INTER_AREA) / 255


def noise(strength: float, seed: int = 7) -> Ink:
    return np.random.default_rng(seed).normal(0, strength, (SIDE, SIDE))


def texture(scale: int, seed: int = 3) -> Ink:
    coarse = np.random.default_rng(seed).normal(0, 1, (SIDE // scale + 2,) * 2)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def page(ink: Ink, light: Ink | float = 205.0, contrast: float = 0.65, grain: float = 2.0) -> Grey:
    shot = cv2.GaussianBlur(light * (1 - contrast * ink), (3, 3), 0) + noise(grain)
    return np.clip(shot, 0, 255).round().astype(np.uint8)


def jpeg(image: Grey, quality: int) -> Grey:
    _, content = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])
    return np.asarray(cv2.imdecode(content, cv2.IMREAD_GRAYSCALE), np.uint8)


def rules(
    spacing: float, first: float, tilt: float = 0.02, *, squared: bool = False, thick: float = 2
) -> Ink:
    """Printed lines, in [0, 1]."""
    printed = np.zeros((SIDE, SIDE))
    for across, along in ((Y, X), (X, Y))[: 2 if squared else 1]:
        offset = (across + tilt * along - first + spacing / 2) % spacing - spacing / 2
        printed = np.maximum(printed, np.clip(thick / 2 - np.abs(offset) * SIDE + 0.5, 0, 1))
    return printed


def cell() -> Ink:
    """A form's cell whose frame is just inside the crop on three sides."""
    printed = np.zeros((SIDE, SIDE))
    printed[4:7] = printed[:, 5:8] = printed[:, -7:-4] = 1
    return printed


def flash(strength: float) -> Ink:
    return strength * np.exp(-((X - 0.25) ** 2 + (Y - 0.3) ** 2) / (2 * 0.1**2))


def on_a_table(image: Grey) -> Grey:
    """The paper ends askew above a dark table."""
    shown = image.copy()
    shown[Y + 0.05 * X > 0.97] = 50
    return shown


def dusty(image: Grey) -> Grey:
    shown = image.copy()
    for x, y in ((20, 30), (200, 25), (225, 130), (15, 190), (120, 228)):
        cv2.circle(shown, (x, y), 1, 70, -1)
    return shown


PENCIL = np.clip(0.7 + 0.35 * texture(2), 0, 1)
HARD_SHADOW = np.where(0.8 * X + 0.6 * Y > 0.72, 0.5, 1.0) * 215
VIGNETTE = 215 * (1 - 0.6 * ((X - 0.5) ** 2 + (Y - 0.5) ** 2) / 0.5)

CONDITIONS: dict[str, Callable[[Ink], Grey]] = {
    "black on white": lambda ink: (255 - 255 * ink).astype(np.uint8),
    "white on black": lambda ink: (255 * ink).astype(np.uint8),
    "photo": page,
    "chalk on a board": lambda ink: 255 - page(ink, grain=4),
    "uneven light": lambda ink: page(ink, 90 + 140 * X),
    "vignette": lambda ink: page(ink, VIGNETTE),
    "soft shadow": lambda ink: page(ink, 215 / (1 + 0.7 / (1 + np.exp(-(X + Y - 1) / 0.06)))),
    "hard shadow": lambda ink: page(ink, HARD_SHADOW),
    "paper texture": lambda ink: page(ink, 205 + 6 * texture(4)),
    "noise": lambda ink: page(ink, grain=15),
    "jpeg": lambda ink: jpeg(page(ink), 25),
    "faint pencil": lambda ink: page(ink * PENCIL, contrast=0.2, grain=3),
    "ruled": lambda ink: page(np.maximum(ink, 0.45 * rules(0.3, 0.1))),
    "ruled in black": lambda ink: page(np.maximum(ink, rules(0.3, 0.05))),
    "squared": lambda ink: page(np.maximum(ink, 0.45 * rules(0.22, 0.06, squared=True))),
    "cell": lambda ink: page(np.maximum(ink, 0.9 * cell())),
    "flash": lambda ink: page(ink, 150 + flash(100)),
    "paper's edge": lambda ink: on_a_table(page(ink)),
    "dust": lambda ink: dusty(page(ink)),
}


def cut_out(ink: Ink, image: Grey, margin: int) -> Grey:
    """Along the ink's own box, and so many px farther."""
    left, top, width, height = cv2.boundingRect((ink > 0.5).astype(np.uint8))
    return image[top - margin : top + height + margin, left - margin : left + width + margin]


def parts(image: Grey) -> int:
    return cv2.connectedComponents((image > 64).astype(np.uint8))[0] - 1


def likeness(a: Grey, b: Grey) -> float:
    """Cosine of two prepared images, at the best shift of at most a pixel.

    A little blurred, since a stroke of one pixel may come to lie between two.
    """
    fixed, moving = (cv2.GaussianBlur(image.astype(float), (0, 0), 0.8) for image in (b, a))
    shifts = [np.roll(moving, (dy, dx), (0, 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
    return max(float((s * fixed).sum() / np.sqrt((s * s).sum() * (fixed * fixed).sum())) for s in shifts)


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize("character", CHARACTERS)
def test_every_character_under_every_condition(prepare: Prepare, character: str, condition: str) -> None:
    clean = prepare((255 * draw(character)).astype(np.uint8))
    seen = prepare(CONDITIONS[condition](draw(character)))
    assert likeness(seen, clean) > 0.88
    if condition != "faint pencil":  # its grain may break a stroke at any place
        assert parts(seen) == parts((255 * draw(character)).astype(np.uint8))


@pytest.mark.parametrize("pen", [2, 3, 6, 20, 28])
@pytest.mark.parametrize("character", ["7", "4", "0", "broken 5"])
def test_every_pen_comes_out_as_a_pen_of_the_training_data(
    prepare: Prepare, character: str, pen: int
) -> None:
    seen = prepare(page(draw(character, pen)))
    assert likeness(seen, prepare(page(draw(character, 12)))) > 0.75
    # As on paper: the strokes' cores are saturated, however fine the pen was.
    ink = seen[seen > 32]
    assert np.median(ink) > 120
    if character == "0":
        assert seen[12:16, 12:16].max() < 64  # its inside stays open


@pytest.mark.parametrize("spread", [6, 10])
@pytest.mark.parametrize("character", ["7", "4", "0", "1"])
def test_a_thick_pen_out_of_focus_is_read(prepare: Prepare, character: str, spread: float) -> None:
    ink = cv2.GaussianBlur(draw(character, 22), (0, 0), spread)
    assert likeness(prepare(page(ink)), prepare((255 * draw(character, 22)).astype(np.uint8))) > 0.85


@pytest.mark.parametrize("character", ["0", "7", "4"])
@pytest.mark.parametrize("pen", [28, 36])
def test_a_fat_light_pen_on_black_is_read(prepare: Prepare, character: str, pen: int) -> None:
    # So much ink bends the surface of the light, and a loop is enclosed by more ink than paper.
    ink = draw(character, pen)
    negative = np.clip(12 + 233 * cv2.GaussianBlur(ink, (3, 3), 0) + noise(2), 0, 255).astype(np.uint8)
    assert likeness(prepare(negative), prepare((255 * ink).astype(np.uint8))) > 0.95


@pytest.mark.parametrize(("pen", "width"), [(12, 30), (14, 40)])
def test_a_slanted_one_cropped_to_its_ink_is_read(prepare: Prepare, pen: int, width: int) -> None:
    ink = np.zeros((190, width))
    course = np.array([[width - 0.6 * pen, 0], [0.4 * width, 110], [0.5 * pen, 189]])
    cv2.polylines(ink, [course.astype(np.int32).reshape(-1, 1, 2)], False, 1, pen)
    light = np.linspace(200, 160, 190)[:, np.newaxis]
    grain = np.random.default_rng(1).normal(0, 2, ink.shape)
    crop = np.clip(cv2.GaussianBlur(light * (1 - 0.6 * ink), (3, 3), 0) + grain, 0, 255).astype(np.uint8)
    assert likeness(prepare(crop), prepare((255 * ink).astype(np.uint8))) > 0.9


def test_a_compact_stroke_far_out_of_focus_is_no_flash(prepare: Prepare) -> None:
    ink = np.zeros((96, 96), np.float32)
    cv2.line(ink, (50, 22), (46, 74), 1, 9)
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (19, 19)).astype(np.float32)
    blurred = cv2.filter2D(ink, -1, disc / disc.sum())
    _, _, width, height = cv2.boundingRect(prepare((228 - 183 * blurred).astype(np.uint8)))
    assert (width <= 10, height) == (True, 20)


# --- what looks like a printed line but is the character ---------------------------------------------


@pytest.mark.parametrize("pen", [8, 14])
@pytest.mark.parametrize("invert", [False, True])
def test_an_upright_stroke_from_border_to_border_is_a_one(prepare: Prepare, pen: int, invert: bool) -> None:
    ink = np.zeros((SIDE, SIDE))
    ink[:, 110 : 110 + pen] = 1
    photo = page(ink)
    seen = prepare(255 - photo if invert else photo)
    _, _, width, height = cv2.boundingRect((seen > 64).astype(np.uint8))
    assert height == 20
    assert width <= 4


def test_a_dash_from_border_to_border_is_a_dash(prepare: Prepare) -> None:
    ink = np.zeros((SIDE, SIDE))
    ink[112:124] = 1
    _, _, width, height = cv2.boundingRect(prepare(page(ink)))
    assert (width, height <= 4) == (20, True)


@pytest.mark.parametrize("character", ["4", "7", "0", "ب", "broken 5"])
def test_a_tight_crop_loses_nothing(prepare: Prepare, character: str) -> None:
    ink = draw(character)
    clean = prepare((255 * ink).astype(np.uint8))
    assert likeness(prepare(cut_out(ink, (255 - 255 * ink).astype(np.uint8), 0)), clean) > 0.95


@pytest.mark.parametrize("light_ink", [False, True])
@pytest.mark.parametrize("margin", [1, 3])
@pytest.mark.parametrize("pen", [28, 44])
@pytest.mark.parametrize("character", ["1", "4", "7", "0", "broken 5"])
def test_a_photograph_that_a_thick_pen_fills(
    prepare: Prepare, character: str, pen: float, margin: int, light_ink: bool
) -> None:
    ink = draw(character, pen)
    photo = cut_out(ink, page(ink, light=205 + 30 * (Y - 0.5)), margin)
    clean = prepare((255 * ink).astype(np.uint8))
    assert likeness(prepare(255 - photo if light_ink else photo), clean) > 0.9


@pytest.mark.parametrize("light_ink", [False, True])
@pytest.mark.parametrize(("contrast", "grain"), [(0.65, 2), (0.3, 1)])
@pytest.mark.parametrize(
    ("blur", "margin", "least"), [(0, -4, 0.9), (0, 0, 0.9), (2, 1, 0.9), (4, 0, 0.8), (4, 3, 0.85)]
)
@pytest.mark.parametrize("character", ["7", "4", "0", "broken 5", "ب", "ت"])
def test_a_crop_cut_out_along_the_ink_keeps_all_of_it(
    prepare: Prepare,
    character: str,
    blur: float,
    margin: int,
    least: float,
    contrast: float,
    grain: float,
    light_ink: bool,
) -> None:
    ink = draw(character, 16)
    soft = cv2.GaussianBlur(ink, (0, 0), blur) if blur else ink
    photo = cut_out(ink, page(soft, 205 + 60 * (X - 0.5), contrast, grain), margin)
    clean = prepare((255 * ink).astype(np.uint8))
    assert likeness(prepare(255 - photo if light_ink else photo), clean) > least


def test_a_tight_t_keeps_its_bar(prepare: Prepare) -> None:
    ink = np.zeros((120, 100))
    ink[:12] = 1
    ink[:, 44:56] = 1
    seen = prepare((255 - 200 * ink).astype(np.uint8))
    assert cv2.boundingRect(seen)[2] >= 16


# --- nothing is written ----------------------------------------------------------------------------

NOTHING = np.zeros((SIDE, SIDE))


@pytest.mark.parametrize(
    "condition",
    [
        "photo",
        "chalk on a board",
        "uneven light",
        "vignette",
        "soft shadow",
        "hard shadow",
        "paper texture",
        "noise",
        "jpeg",
        "ruled",
        "ruled in black",
        "squared",
        "flash",
        "dust",
    ],
)
def test_an_empty_page_has_no_ink(prepare: Prepare, condition: str) -> None:
    with pytest.raises(NoInkError):
        prepare(CONDITIONS[condition](NOTHING))


@pytest.mark.parametrize(("size", "dark"), [(240, 0.3), (240, 0.4), (400, 0.3), (500, 0.3)])
def test_a_shadow_s_wavy_edge_is_no_stroke(prepare: Prepare, size: int, dark: float) -> None:
    y, x = np.mgrid[:size, :size] / size
    beyond = (0.8 * x + 0.6 * y - 0.7 + 0.03 * np.sin(7 * (y - x))) * size
    light = cv2.GaussianBlur(215 * (1 - dark * np.clip(0.5 - beyond / 3, 0, 1)), (3, 3), 0)
    grain = np.random.default_rng(2).normal(0, 2, light.shape)
    with pytest.raises(NoInkError):
        prepare(np.clip(light + grain, 0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("x", "y", "spread"), [(0.25, 0.3, 0.1), (0, 0.5, 0.1), (0, 0.3, 0.13), (0.5, 1, 0.12)]
)
def test_a_flash_is_no_blot(prepare: Prepare, x: float, y: float, spread: float) -> None:
    glare = 95 * np.exp(-((X - x) ** 2 + (Y - y) ** 2) / (2 * spread**2))
    with pytest.raises(NoInkError):
        prepare(np.clip(150 + glare + noise(2), 0, 255).astype(np.uint8))


@pytest.mark.parametrize("size", [28, 40])
@pytest.mark.parametrize("grain", [8, 15])
def test_noise_on_a_small_crop_is_no_ink(prepare: Prepare, size: int, grain: int) -> None:
    shot = cv2.resize(page(NOTHING, grain=grain), (size, size), interpolation=cv2.INTER_AREA)
    with pytest.raises(NoInkError):
        prepare(shot.astype(np.uint8))


def test_pencil_of_contrast_25_among_noise_of_3_is_read(prepare: Prepare) -> None:
    ink = draw("4")
    faint = np.clip(220 - 25 * ink + noise(3), 0, 255).round().astype(np.uint8)
    assert likeness(prepare(faint), prepare((255 * ink).astype(np.uint8))) > 0.93


# --- once is enough --------------------------------------------------------------------------------


@settings(max_examples=60)
@given(
    character=st.sampled_from(sorted(CHARACTERS)),
    condition=st.sampled_from(sorted(CONDITIONS)),
    pen=st.sampled_from([3, 8, 12, 24]),
    size=st.sampled_from([28, 64]),
)
def test_what_is_prepared_stays_as_it_is(character: str, condition: str, pen: int, size: int) -> None:
    prepare = Preprocessor(default_steps(size)).image
    try:
        once = prepare(CONDITIONS[condition](draw(character, pen)))
    except NoInkError:  # the finest pen in the faintest pencil
        return
    np.testing.assert_array_equal(prepare(once), once)


def test_the_caller_s_picture_is_never_written_on() -> None:
    for condition in CONDITIONS.values():
        image = condition(draw("4"))
        before = image.copy()
        Preprocessor(DEFAULT_STEPS).image(image)
        np.testing.assert_array_equal(image, before)
