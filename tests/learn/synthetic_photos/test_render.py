from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Annotated, get_origin, get_type_hints

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.errors import RecipeError
from kalamos.learn.synthetic_photos import Camera
from kalamos.learn.synthetic_photos.render import (
    BALLPOINT,
    BROAD_GRAIN,
    FIELD_INK_PIXELS,
    FINE_GRAIN,
    MARKER,
    MEDIUM_GRAIN,
    PAPER_LEVELS,
    PENCIL,
    TEXTURE_SIDE_PIXELS,
    WHITE_NOISE,
    Drawing,
    Floats,
    Strokes,
    _streak,
    cut,
    draw,
    expose,
    light,
    paper,
    trace,
)


@pytest.fixture
def scene() -> Floats:
    scene = np.full((90, 70), 200, np.float32)
    scene[20:70, 30:36] = 40
    return scene


def _expose(scene: Floats, camera: Camera, seed: int = 0) -> NDArray[np.uint8]:
    return expose(scene.copy(), 60, camera, np.random.default_rng(seed))


def test_a_faultless_camera_changes_nothing(scene: Floats, ideal: Camera) -> None:
    photo = _expose(scene, ideal)
    assert photo.dtype == np.uint8
    assert np.array_equal(photo, scene.astype(np.uint8))


def test_inverted(scene: Floats, ideal: Camera) -> None:
    assert np.array_equal(_expose(scene, replace(ideal, inverted=1.0)), (255 - scene).astype(np.uint8))


@pytest.mark.parametrize("fault", [{"defocus": 0.05}, {"motion": 1.0}])
def test_blur_keeps_the_mean_and_softens_edges(scene: Floats, ideal: Camera, fault: dict[str, float]) -> None:
    softened = 0
    for seed in range(10):
        photo = _expose(scene, replace(ideal, **fault), seed).astype(float)
        assert photo.mean() == pytest.approx(scene.mean(), abs=1.5)
        softened += np.abs(np.diff(photo, axis=1)).max() < 150
    assert softened >= 5


def test_haze_takes_contrast_away(scene: Floats, ideal: Camera) -> None:
    spans = [float(np.ptp(_expose(scene, replace(ideal, haze=0.2), seed))) for seed in range(20)]
    assert 160 * 0.79 <= min(spans) < max(spans) <= 160


def test_noise_is_as_strong_as_asked(ideal: Camera) -> None:
    flat = np.full((200, 200), 128, np.float32)
    deviations = [_expose(flat, replace(ideal, noise=6.0), seed).std() for seed in range(30)]
    assert max(deviations) < 6.5
    assert 2 < np.mean(deviations) < 4


def test_jpeg_is_one(scene: Floats, ideal: Camera) -> None:
    photo = _expose(scene, replace(ideal, jpeg=1.0))
    assert photo.shape == scene.shape
    difference = np.abs(photo.astype(float) - scene)
    assert 0 < difference.max() < 60


@pytest.mark.parametrize("length", [1.28, 3.0, 19.2])
def test_a_streak_is_a_centred_mean(length: float) -> None:
    for seed in range(10):
        kernel = _streak(length, np.random.default_rng(seed))
        assert kernel.sum() == pytest.approx(1)
        assert np.allclose(kernel, kernel[::-1, ::-1], atol=0.08)
        assert kernel.shape[0] % 2 == 1


SHAPE = 150, 130
MARGINS = 30, 20, 25, 15


def _paper(camera: Camera, seed: int = 0) -> Floats:
    return paper(SHAPE, 100, MARGINS, camera, np.random.default_rng(seed))


def test_plain_paper_is_plain(ideal: Camera) -> None:
    for seed in range(10):
        page = _paper(ideal, seed)
        assert page.shape == SHAPE
        assert np.ptp(page) == 0
        assert PAPER_LEVELS[0] <= page[0, 0] <= PAPER_LEVELS[1]


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


Write = Callable[..., NDArray[np.uint8]]


def _draw(glyph: NDArray[np.uint8], camera: Camera, seed: int) -> Drawing:
    strokes = trace(glyph)
    assert strokes is not None
    return draw(strokes, 100, camera, np.random.default_rng(seed))


def _parts(drawing: Drawing) -> int:
    return cv2.connectedComponents((drawing.ink > drawing.ink.max() / 8).astype(np.uint8))[0] - 1


@pytest.mark.parametrize("marker", [0.0, 1.0])
@pytest.mark.parametrize(("text", "parts"), [("8", 1), ("5", 1), ("i", 2), ("R", 1), ("4", 1)])
def test_no_pen_breaks_strokes_or_adds_any(
    write: Write, ideal: Camera, marker: float, text: str, parts: int
) -> None:
    for thickness in (1.4, 2.4, 4.0):
        glyph = write(text, thickness=thickness)
        for seed in range(10):
            assert _parts(_draw(glyph, replace(ideal, marker=marker), seed)) == parts


def test_a_thin_pen_keeps_thin_strokes_that_meet_thick_ones(ideal: Camera) -> None:
    wedge = np.zeros((28, 28), np.uint8)
    for row in range(4, 24):
        cv2.line(wedge, (14 - row // 8, row), (14 + row // 8, row), 255)
    assert all(_parts(_draw(wedge, ideal, seed)) == 1 for seed in range(20))


def test_pens_have_their_widths(write: Write, ideal: Camera) -> None:
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 13:16] = 255

    def widths(camera: Camera) -> list[float]:
        drawings = [_draw(bar, camera, seed).ink for seed in range(40)]
        return [float((ink[len(ink) // 2] / ink.max()).sum()) for ink in drawings]

    thin, thick = widths(ideal), widths(replace(ideal, marker=1.0))
    assert 2.5 < min(thin) < 6 < max(thin) < 14
    assert 9 < min(thick) < 15 < max(thick) < 21


def test_pens_have_their_darkness(write: Write, ideal: Camera) -> None:
    for share, pen in (({}, BALLPOINT), ({"pencil": 1.0}, PENCIL), ({"marker": 1.0}, MARKER)):
        darkest = [_draw(write("7"), replace(ideal, **share), seed).ink.max() for seed in range(20)]
        assert pen.darkness[0] * 0.95 <= min(darkest)
        assert max(darkest) <= pen.darkness[1] * 1.001


def test_pencil_has_grain(write: Write, ideal: Camera) -> None:
    def unevenness(camera: Camera) -> float:
        inks = [_draw(write("0"), camera, seed).ink for seed in range(10)]
        return float(np.mean([ink[ink > ink.max() / 2].std() / ink.max() for ink in inks]))

    assert unevenness(replace(ideal, pencil=1.0)) > 1.3 * unevenness(ideal)


def test_the_ink_lies_inside_its_margins(write: Write) -> None:
    wild = Camera(smallest=100, largest=100, rotate=12, slant=12, elastic=0, marker=1.0, pencil=0)
    for seed in range(20):
        drawing = _draw(write("4"), wild, seed)
        edge = np.concatenate((drawing.ink[0], drawing.ink[-1], drawing.ink[:, 0], drawing.ink[:, -1]))
        assert edge.max() == 0
        assert min(drawing.margins) > 0


def test_the_drawing_is_the_glyph_enlarged(write: Write, ideal: Camera) -> None:
    glyph = write("2")
    top, right, bottom, left = (drawing := _draw(glyph, replace(ideal, marker=1.0), 3)).margins
    ink = drawing.ink[top : drawing.ink.shape[0] - bottom, left : drawing.ink.shape[1] - right]
    x, y, width, height = cv2.boundingRect(glyph)
    assert max(ink.shape) == pytest.approx(100, abs=1)
    small = cv2.resize(ink, (width, height), interpolation=cv2.INTER_AREA)
    assert np.corrcoef(small.ravel(), glyph[y : y + height, x : x + width].ravel())[0, 1] > 0.75


def test_deformation_is_as_strong_as_asked(write: Write, ideal: Camera) -> None:
    still = _draw(write("3"), ideal, 5).ink
    bent = _draw(write("3"), replace(ideal, elastic=0.04), 5).ink
    assert bent.shape == still.shape
    assert 0.05 < np.abs(bent - still).sum() / still.sum() < 1.9
    assert FIELD_INK_PIXELS * 0.04 < 3  # in the field's px: less than a stroke's width


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"smallest": 7}, "smallest = 7 is not a whole number of at least 8"),
        ({"smallest": 64.0}, "smallest = 64.0 is not a whole number"),
        ({"smallest": 400}, "smallest = 400 is above largest = 320; exchange the two"),
        ({"pencil": 1.01}, "pencil = 1.01 is not a probability"),
        ({"pencil": 0.9, "marker": 0.2}, "more than all photographs"),
        ({"ruled": 0.6, "squared": 0.6}, "more than all photographs"),
        ({"elastic": 1.0}, "elastic = 1.0 is not a share in [0, 1)"),
        ({"noise": float("nan")}, "noise = nan is not a finite number"),
        ({"margin": -0.1}, "margin = -0.1 is not a finite number, not negative"),
        ({"jpeg": True}, "jpeg = True is not a probability"),
        ({"light": "bright"}, "light = 'bright' is not a share"),
    ],
)
def test_what_no_camera_does(changed: dict[str, object], told: str) -> None:
    with pytest.raises(RecipeError) as caught:
        Camera(**changed)  # type: ignore[arg-type]
    assert told in str(caught.value)


def test_every_setting_is_checked() -> None:
    hints = get_type_hints(Camera, include_extras=True)
    assert all(get_origin(hints[setting.name]) is Annotated for setting in fields(Camera))
    Camera(pencil=0.5, marker=0.5, ruled=1.0, squared=0.0, smallest=64, largest=64)


def _trace(glyph: NDArray[np.uint8]) -> Strokes:
    strokes = trace(glyph)
    assert strokes is not None
    return strokes


def _bar(width: int, level: int = 255, size: int = 28) -> NDArray[np.uint8]:
    glyph = np.zeros((size, size), np.uint8)
    glyph[4 : size - 4, 12 : 12 + width] = level
    return glyph


@pytest.mark.parametrize("level", [0, 1, 39])
def test_what_is_hardly_there_is_no_ink(level: int) -> None:
    assert trace(np.full((28, 28), level, np.uint8)) is None


@pytest.mark.parametrize("width", [2, 3, 4, 6])
def test_the_half_width_is_that_of_the_stroke(width: int) -> None:
    strokes = _trace(_bar(width))
    scale = FIELD_INK_PIXELS / 20
    assert strokes.typical == pytest.approx(width * scale / 2, abs=1.0)
    height, middle = strokes.depth.shape[0], strokes.depth.shape[1] // 2
    assert strokes.radius[height // 2, middle] == pytest.approx(strokes.typical, rel=0.15)
    assert (strokes.height, strokes.width) == (pytest.approx(FIELD_INK_PIXELS), pytest.approx(width * scale))


def test_a_faint_stroke_is_as_wide_as_a_dark_one() -> None:
    assert _trace(_bar(3, 80)).typical == pytest.approx(_trace(_bar(3)).typical, rel=0.1)


@pytest.mark.parametrize("level", [130, 255])
def test_a_dot_of_one_pixel_stays(level: int) -> None:
    glyph = _bar(3)
    glyph[8, 18] = level
    inside = (_trace(glyph).depth > 0).astype(np.uint8)
    assert cv2.connectedComponents(inside)[0] - 1 == 2


def test_counters_stay_open(write: Callable[..., NDArray[np.uint8]]) -> None:
    inside = (_trace(write("8")).depth > 0).astype(np.uint8)
    contours, _ = cv2.findContours(inside, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    assert len(contours) == 3  # the outline and two holes


def test_the_depth_is_a_distance(write: Callable[..., NDArray[np.uint8]]) -> None:
    rows, columns = np.gradient(_trace(write("2")).depth)
    slope = np.hypot(rows, columns)
    assert np.median(slope) == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("size", [1, 5, 28, 64, 500])
def test_the_field_has_one_size_whatever_the_glyphs(size: int) -> None:
    strokes = _trace(np.full((size, size), 255, np.uint8))
    assert max(strokes.depth.shape) < 2 * FIELD_INK_PIXELS
    assert strokes.height <= FIELD_INK_PIXELS + 1
    assert np.isfinite(strokes.depth).all()
    assert np.isfinite(strokes.radius).all()


def test_a_full_stop_stays_small() -> None:
    glyph = np.zeros((28, 28), np.uint8)
    glyph[20:22, 13:15] = 255
    assert _trace(glyph).height == pytest.approx(FIELD_INK_PIXELS * 2 / 8)


@pytest.mark.parametrize("grain", [WHITE_NOISE, FINE_GRAIN, MEDIUM_GRAIN, BROAD_GRAIN])
def test_every_texture_has_mean_0_and_deviation_1(grain: float) -> None:
    piece = cut(grain, (TEXTURE_SIDE_PIXELS // 2, TEXTURE_SIDE_PIXELS // 2), np.random.default_rng(0))
    assert piece.dtype == np.float32
    assert abs(float(piece.mean())) < 0.1
    assert abs(float(piece.std()) - 1) < 0.1


def test_a_broader_grain_changes_more_slowly() -> None:
    steps = [
        float(np.abs(np.diff(cut(g, (200, 200), np.random.default_rng(1)))).mean())
        for g in (WHITE_NOISE, FINE_GRAIN, MEDIUM_GRAIN, BROAD_GRAIN)
    ]
    assert steps == sorted(steps, reverse=True)
    assert steps[-1] < steps[0] / 5


def test_pieces_larger_than_the_tile_have_no_seams() -> None:
    piece = cut(BROAD_GRAIN, (TEXTURE_SIDE_PIXELS + 300, 40), np.random.default_rng(2))
    assert piece.shape == (TEXTURE_SIDE_PIXELS + 300, 40)
    steps = np.abs(np.diff(piece, axis=0)).max(axis=1)
    assert steps.max() < 3 * np.median(steps)


def test_nobody_can_spoil_the_tile() -> None:
    piece = cut(FINE_GRAIN, (8, 8), np.random.default_rng(0))
    with pytest.raises(ValueError, match="read-only"):
        piece += 1
