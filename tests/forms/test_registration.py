"""Where a form lies on a scan: turned, cut, copied, bent, filled, and on scans that show another one."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from kalamos.errors import FormError, ImageError, InvalidArrayError, UnregisteredError
from kalamos.forms.field_list import parse_fields
from kalamos.forms.frames import find_frames, match_boxes
from kalamos.forms.geometry import project
from kalamos.forms.layout import layout_fields
from kalamos.forms.outlines import find_outlines
from kalamos.forms.placing import place_fields, refine_fields
from kalamos.forms.registration import Registrar, Registration, register
from kalamos.forms.sheet import print_sheet
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, row_of_boxes

Grey = NDArray[np.uint8]
Points = NDArray[np.float64]

LIST = """
student: 8 digits
family name: 22 capitals
born: 8 digits
room: 3 capitals
answer: tick one of yes | no | perhaps
mark: 4 digits
---
street: 17 capitals
town: 11 capitals
post code: 5 digits
"""
DPI = 130
MM = DPI / 25.4


class Paper(NamedTuple):
    """A form, and its pages at 130 dpi, empty; and the same without markers, code and image."""

    form: FormTemplate
    pages: list[Grey]
    bare: FormTemplate
    bare_pages: list[Grey]


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Paper:
    folder = tmp_path_factory.mktemp("paper")
    form = layout_fields(parse_fields(LIST), name="exam")
    bare = replace(form, pages=tuple(FormPage(page.width, page.height) for page in form.pages))
    print_sheet(form, folder / "form.pdf", first=12)
    print_sheet(bare, folder / "bare.pdf", markers=False, code=False)
    return Paper(form, render(folder / "form.pdf"), bare, render(folder / "bare.pdf"))


def render(path: Path) -> list[Grey]:
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        return [np.array(page.render(scale=DPI / 72).to_pil().convert("L")) for page in document]


def corners_of(form: FormTemplate, page: int) -> Points:
    boxes = [box for field in form.fields if field.page == page for box in field.boxes]
    return np.array(
        [
            [
                (box.x, box.y),
                (box.x + box.width, box.y),
                (box.x + box.width, box.y + box.height),
                (box.x, box.y + box.height),
            ]
            for box in boxes
        ]
    )


def filled(image: Grey, form: FormTemplate, page: int, seed: int = 0) -> Grey:
    """Scribble into most boxes, over their lines too."""
    rng, written = np.random.default_rng(seed), image.copy()
    for box in corners_of(form, page) * MM:
        if rng.random() < 0.8:
            low, high = box.min(axis=0), box.max(axis=0)
            middle, side = (low + high) / 2, (high - low).min()
            points = middle + rng.uniform(-0.5, 0.5, (4, 2)) * side * 1.1
            cv2.polylines(written, [np.rint(points * 8).astype(np.int32)], False, 70, 2, cv2.LINE_AA, 3)
    return written


def warped(image: Grey, matrix: NDArray[np.float64], size: tuple[int, int], ground: int = 90) -> Grey:
    return cv2.warpPerspective(image, matrix, size, flags=cv2.INTER_LINEAR, borderValue=ground)


def turned(image: Grey, degrees: float) -> tuple[Grey, NDArray[np.float64]]:
    """Turn a page about its middle, on a ground that holds it whole."""
    height, width = image.shape
    side = int(np.hypot(height, width)) + 10
    turn = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    turn[:, 2] += side / 2 - np.array([width / 2, height / 2])
    matrix = np.vstack([turn, [0, 0, 1]])
    return warped(image, matrix, (side, side)), matrix


def seen_at(points: Points, matrix: NDArray[np.float64]) -> Points:
    return cv2.perspectiveTransform((points * MM).reshape(-1, 1, 2), matrix).reshape(points.shape)


def worst(scan: Grey, found: Registration, form: FormTemplate, true: Points) -> float:
    """Return the largest error of a refined corner, in shorter sides of its box."""
    fields = [field for field in form.fields if field.page == found.page]
    corners = np.concatenate(refine_fields(scan, found, fields))
    assert corners.dtype == np.float32
    sides = np.linalg.norm(true - np.roll(true, -1, axis=1), axis=-1).min(axis=1)
    return float((np.linalg.norm(corners - true, axis=-1) / sides[:, None]).max())


@pytest.mark.parametrize("degrees", [0, 7, -14, 90, 180, 263])
def test_markers_tell_page_turn_and_sheet(paper: Paper, degrees: float) -> None:
    for page in (1, 2):
        scan, matrix = turned(filled(paper.pages[page - 1], paper.form, page), degrees)
        found = register(scan, paper.form)
        assert (found.page, found.method, found.sheet) == (page, "markers", "12")
        assert found.fit > 0.9
        assert found.error < 2
        true = seen_at(corners_of(paper.form, page), matrix)
        assert worst(scan, found, paper.form, true) < 0.09
        box = paper.form.fields[0 if page == 1 else 6].boxes[0]
        assert np.abs(found.corners_of(box) - true[0]).max() < 2.5


@pytest.mark.parametrize("left", [(0, 1, 2), (1, 3), (0, 2), (2, 3)])
def test_three_markers_suffice_and_two_do_in_need(paper: Paper, left: tuple[int, ...]) -> None:
    image = filled(paper.pages[0], paper.form, 1)
    for number, marker in enumerate(paper.form.pages[0].markers):
        if number not in left:
            x, y, side = (round(value * MM) for value in (marker.x - 1, marker.y - 1, marker.size + 2))
            image[y : y + side, x : x + side] = 255
    height, width = image.shape
    flat = np.float32([[0, 0], [width, 0], [width, height], [0, height]])
    lean = np.float32([[60, 50], [width + 20, 30], [width - 10, height + 10], [40, height + 40]])
    matrix = cv2.getPerspectiveTransform(flat, lean)
    scan = warped(image, matrix, (width + 90, height + 90))
    found = register(scan, paper.form)
    # What two at one edge do not tell of the other edge, the boxes do.
    assert found.method == "markers" or left == (2, 3)
    assert worst(scan, found, paper.form, seen_at(corners_of(paper.form, 1), matrix)) < 0.09


def test_a_marker_that_is_none_of_the_page_is_left_out(paper: Paper) -> None:
    image = filled(paper.pages[0], paper.form, 1)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    first = paper.form.pages[0].markers[0]
    x, y, side = (round(value * MM) for value in (first.x, first.y, first.size))
    image[y - 5 : y + side + 5, x - 5 : x + side + 5] = 255
    image[900 : 900 + side, 500 : 500 + side] = cv2.aruco.generateImageMarker(dictionary, first.id, side)
    found = register(image, paper.form)
    assert found.method == "markers"
    assert worst(image, found, paper.form, corners_of(paper.form, 1) * MM) < 0.09


@pytest.mark.parametrize("degrees", [3, 90, 182, 271])
def test_the_empty_forms_image_serves_where_markers_are_missing(
    paper: Paper, degrees: float, tmp_path: Path
) -> None:
    pages = []
    for number, (page, image) in enumerate(zip(paper.bare.pages, paper.bare_pages, strict=True)):
        cv2.imwrite(
            str(tmp_path / f"{number}.png"),
            cv2.resize(image, None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA),
        )
        pages.append(replace(page, image=f"{number}.png"))
    form = replace(paper.bare, pages=tuple(pages), folder=str(tmp_path))

    def no_frames(scan: Grey) -> NDArray[np.float32]:
        return np.zeros((0, 4, 2), np.float32)

    registrar = Registrar(form, frame_finder=no_frames)
    for page in (1, 2):
        scan, matrix = turned(filled(paper.bare_pages[page - 1], form, page), degrees)
        found = registrar.register(scan)
        assert (found.page, found.method, found.sheet) == (page, "features", None)
        assert worst(scan, found, form, seen_at(corners_of(form, page), matrix)) < 0.09


@pytest.mark.parametrize("degrees", [-11, 90, 180, 275])
def test_the_boxes_alone_tell_page_and_turn(paper: Paper, degrees: float) -> None:
    for page in (1, 2):
        scan, matrix = turned(filled(paper.bare_pages[page - 1], paper.bare, page), degrees)
        found = register(scan, paper.bare)
        assert (found.page, found.method) == (page, "frames")
        assert worst(scan, found, paper.bare, seen_at(corners_of(paper.bare, page), matrix)) < 0.09


def test_the_boxes_alone_are_seen_in_a_shadow(paper: Paper) -> None:
    rng = np.random.default_rng(1)
    pale = (255 - (255 - paper.bare_pages[0].astype(float)) * 0.35).astype(np.uint8)
    y, x = np.mgrid[: pale.shape[0], : pale.shape[1]]
    light = cv2.GaussianBlur(np.where(x + y < 1900, 0.25, 1.0), (0, 0), 12)
    scan = filled(pale, paper.bare, 1) * light + rng.normal(0, 1, pale.shape)
    scan = np.clip(cv2.GaussianBlur(scan, (0, 0), 0.8), 0, 255).astype(np.uint8)
    assert worst(scan, register(scan, paper.bare), paper.bare, corners_of(paper.bare, 1) * MM) < 0.09


def test_the_boxes_alone_are_seen_though_their_lines_are_pale(paper: Paper) -> None:
    rng = np.random.default_rng(4)
    pale = (255 - (255 - paper.bare_pages[0].astype(float)) * 0.125).astype(np.uint8)
    scan = filled(pale, paper.bare, 1) * 0.9 + rng.normal(0, 1, pale.shape)
    scan = np.clip(cv2.GaussianBlur(scan, (0, 0), 0.8), 0, 255).astype(np.uint8)
    found = register(scan, paper.bare)
    assert found.fit > 0.9
    assert worst(scan, found, paper.bare, corners_of(paper.bare, 1) * MM) < 0.09


@pytest.mark.parametrize("seed", [2, 3])
def test_boxes_of_a_coarse_scan_whose_letters_touch_the_lines(seed: int) -> None:
    rng = np.random.default_rng(seed)
    fields = tuple(
        Field(f"row {row}", row_of_boxes(left, 200 + 90 * row, 40, 44, count=count, step=44))
        for row, (left, count) in enumerate([(120, 4), (150, 11), (150, 10), (150, 8), (150, 7)])
    )
    form = FormTemplate("exam", (FormPage(800, 1100),), fields)
    page = np.full((1100, 800), 205, np.uint8)
    for box in corners_of(form, 1):
        cv2.rectangle(page, *(np.rint(corner).astype(int).tolist() for corner in (box[0], box[2])), 90, 1)
        letter = box.mean(axis=0) + rng.uniform(-20, 20, (5, 2))
        cv2.polylines(page, [np.rint(letter * 8).astype(np.int32)], False, 20, 5, cv2.LINE_AA, 3)
    scan = cv2.resize(page, None, fx=0.7, fy=0.7, interpolation=cv2.INTER_AREA)
    scan = cv2.GaussianBlur(scan, (0, 0), 0.5).astype(np.uint8)
    found = register(scan, form)
    assert found.fit > 0.75
    seen = np.stack([found.corners_of(box) for field in fields for box in field.boxes])
    assert np.abs(seen - 0.7 * corners_of(form, 1)).max() < 3


def test_a_photocopy_that_is_stretched_shifted_and_black_and_white(paper: Paper) -> None:
    rng = np.random.default_rng(3)
    matrix = np.array([[1.03, 0.01, 10], [-0.008, 0.98, -9], [0, 0, 1]])
    image = filled(paper.bare_pages[0], paper.bare, 1)
    grey = warped(image, matrix, image.shape[::-1], 255) + rng.normal(0, 25, image.shape)
    scan = np.where(cv2.GaussianBlur(grey, (0, 0), 0.7) < 150, 0, 255).astype(np.uint8)
    found = register(scan, paper.bare)
    assert worst(scan, found, paper.bare, seen_at(corners_of(paper.bare, 1), matrix)) < 0.1


def test_a_bent_page_is_refined_on_its_own_lines(paper: Paper) -> None:
    image = filled(paper.pages[0], paper.form, 1)
    height, width = image.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    bend = 16 * np.sin(np.pi * x / width)  # a third of a box, most in the middle
    scan = cv2.remap(image, x, y - bend, cv2.INTER_LINEAR, borderValue=255)
    true = corners_of(paper.form, 1) * MM
    true[..., 1] += 16 * np.sin(np.pi * true[..., 0] / width)
    found = register(scan, paper.form)
    flat = np.stack(
        [found.corners_of(box) for field in paper.form.fields if field.page == 1 for box in field.boxes]
    )
    assert np.abs(flat - true).max() > 8
    assert found.error > 3
    assert worst(scan, found, paper.form, true) < 0.09


def test_boxes_without_lines_lie_as_their_neighbours_tell(paper: Paper) -> None:
    image = paper.pages[0].copy()
    boxes = corners_of(paper.form, 1)
    low, high = (
        (np.rint(boxes[12].min(axis=0) * MM) - 4).astype(int),
        (np.rint(boxes[12].max(axis=0) * MM) + 4).astype(int),
    )
    image[low[1] : high[1], low[0] : high[0]] = 255
    matrix = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1.0]])
    # As far off as photocopies are.
    found = Registration(
        1, np.diag([MM, MM, 1.0]) + np.array([[0, 0, 9], [0, 0, -8], [0, 0, 0]]), "markers", 0.0, 1.0
    )
    true = seen_at(boxes, matrix)
    assert worst(image, found, paper.form, true) < 0.09
    outlines = find_outlines(image, true)
    assert not outlines.found[12].any()
    assert outlines.found[[11, 14, 30]].all()
    [field] = refine_fields(image, found, paper.form.fields[:1])
    assert field.shape == (8, 4, 2)
    assert np.abs(field - true[:8]).max() < 3


def test_faint_lines_are_found(paper: Paper) -> None:
    image = (235 - (255 - paper.bare_pages[0].astype(np.float32)) * 0.1).astype(np.uint8)  # 10 % grey lines
    image = filled(image, paper.bare, 1)
    outlines = find_outlines(image, corners_of(paper.bare, 1) * MM + 6)
    assert outlines.fit > 0.85
    assert np.abs(outlines.corners - corners_of(paper.bare, 1) * MM).max() < 3


@pytest.mark.parametrize("with_markers", [True, False])
def test_a_scan_of_another_form_says_how_badly_it_fits(
    paper: Paper, tmp_path: Path, with_markers: bool
) -> None:
    other = layout_fields(
        parse_fields("".join(f"item {number}: {1 + number % 4} digits\n" for number in range(40))),
        name="exam",
    )
    if not with_markers:
        other = replace(other, pages=(FormPage(210, 297),))
    print_sheet(other, tmp_path / "other.pdf", markers=with_markers, code=with_markers)
    scan = filled(render(tmp_path / "other.pdf")[0], other, 1)
    with pytest.raises(
        UnregisteredError, match=r"shows (no page of form|another form than) 'exam'"
    ) as caught:
        register(scan, paper.form if with_markers else paper.bare)
    assert 0 <= caught.value.fit < 0.8
    assert isinstance(caught.value, ImageError)
    assert caught.value.remedy
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301  (our own)
    assert (copied.fit, str(copied), copied.summary) == (caught.value.fit, str(caught.value), "unregistered")


@pytest.mark.parametrize(
    "scan",
    [
        np.full((900, 700), 255, np.uint8),
        np.zeros((900, 700), np.uint8),
        np.full((1, 1), 7, np.uint8),
        np.zeros((1, 1), np.uint8),
        np.full((3, 2000), 128, np.uint8),
        np.random.default_rng(0).integers(0, 256, (600, 500)).astype(np.uint8),
    ],
    ids=["white", "black", "one pixel", "a black pixel", "a strip", "noise"],
)
def test_scans_without_a_form_are_unregistered(paper: Paper, scan: Grey) -> None:
    for form in (paper.form, paper.bare):
        with pytest.raises(UnregisteredError):
            register(scan, form)


def test_a_sheet_of_another_forms_name_is_told_by_its_code(paper: Paper) -> None:
    with pytest.raises(
        UnregisteredError, match=r"is a sheet of form 'exam', not page 1 of 'test'; read it with its own"
    ):
        register(paper.pages[0], replace(paper.form, name="test"))


def test_a_page_that_is_named_is_the_one_looked_for(paper: Paper) -> None:
    assert register(paper.bare_pages[1], paper.bare, page=2).page == 2
    with pytest.raises(UnregisteredError):
        register(paper.pages[1], paper.form, page=1)
    with pytest.raises(FormError, match="form 'exam' has no page 3"):
        register(paper.pages[1], paper.form, page=3)


def test_a_page_without_fields_is_registered_by_its_markers(paper: Paper) -> None:
    cover = replace(paper.form, fields=tuple(field for field in paper.form.fields if field.page == 1))
    scan, matrix = turned(paper.pages[1], 180)
    found = register(scan, cover)
    assert (found.page, found.method, found.fit) == (2, "markers", 1.0)
    assert found.error < 1
    assert refine_fields(scan, found, []) == []
    expected = seen_at(np.array([[[50.0, 60.0]]]), matrix)[0, 0]
    assert np.abs(found.corners_of(Box(50, 60, 1, 1))[0] - expected).max() < 1.5


def test_fields_of_another_page_and_arrays_that_are_no_scan_are_refused(paper: Paper) -> None:
    found = register(paper.pages[0], paper.form)
    with pytest.raises(FormError, match="field 'street' is on page 2, and page 1 is registered"):
        refine_fields(paper.pages[0], found, paper.form.fields[6:7])
    for wrong in (np.zeros((5, 5, 3), np.uint8), np.zeros((5, 5)), np.zeros((0, 5), np.uint8)):
        with pytest.raises(InvalidArrayError, match=r"a scan is uint8 \[H, W\], not"):
            register(wrong, paper.form)  # type: ignore[arg-type]


def test_an_image_that_cannot_be_read_is_the_templates_error(paper: Paper, tmp_path: Path) -> None:
    pages = tuple(replace(page, image="gone.png") for page in paper.bare.pages)
    with pytest.raises(FormError, match="the empty form's image"):
        register(paper.bare_pages[0], replace(paper.bare, pages=pages, folder=str(tmp_path)))


def test_another_frame_finder_can_be_used(paper: Paper) -> None:
    calls: list[tuple[int, ...]] = []

    def finder(scan: Grey) -> NDArray[np.float32]:
        calls.append(scan.shape)
        return find_frames(scan)

    found = Registrar(paper.bare, frame_finder=finder).register(paper.bare_pages[0])
    assert found.method == "frames"
    assert calls == [paper.bare_pages[0].shape]


@pytest.mark.parametrize(
    "draw", [lambda image: image, lambda image: np.rot90(image, 2).copy()], ids=["upright", "turned"]
)
def test_boxes_that_look_alike_upside_down_are_taken_upright(draw: Callable[[Grey], Grey]) -> None:
    form = FormTemplate(
        "grid", (FormPage(400, 300),), (Field("a", row_of_boxes(50, 130, 40, 40, count=6, step=52)),)
    )
    image = np.full((300, 400), 255, np.uint8)
    for box in form.fields[0].boxes:
        cv2.rectangle(image, (int(box.x), int(box.y)), (int(box.x + 40), int(box.y + 40)), 0, 1)
    found = register(draw(image), form)
    assert found.homography[0, 0] > 0.9


def test_a_bent_page_that_fits_a_little_better_upside_down_keeps_both_ways(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = paper.bare_pages[0]
    upright = register(scan, paper.bare)
    turned_over = replace(upright, homography=upright.homography @ np.diag([-1.0, -1.0, 1.0]), fit=0.945)
    places = [turned_over, replace(upright, fit=0.917)]
    monkeypatch.setattr(Registrar, "_places", lambda *given: list(places))
    monkeypatch.setattr(Registrar, "_bettered", lambda self, seen, found: found)
    found = Registrar(paper.bare).register(scan, page=1)
    assert (found.quarter_turns, [each.quarter_turns for each in found.others]) == (0, [2])


@pytest.mark.parametrize(
    ("alike", "methods"), [(True, ["frames", "frames"]), (False, ["frames"])], ids=["alike", "told apart"]
)
def test_boxes_that_lie_alike_upside_down_are_kept_both_ways_however_few_lines_are_seen(
    monkeypatch: pytest.MonkeyPatch, alike: bool, methods: list[str]
) -> None:
    rows = [row_of_boxes(60, y, 40, 44, count=6, step=48) for y in (60, 160, 260)]
    if not alike:
        rows[2] = row_of_boxes(60, 260, 40, 44, count=3, step=48)
    form = FormTemplate(
        "rows", (FormPage(400, 364),), tuple(Field(f"f{n}", row) for n, row in enumerate(rows))
    )
    upright = Registration(1, np.eye(3), "frames", 0.0, 0.70)
    over = np.array([[-1.0, 0, 400], [0, -1.0, 364], [0, 0, 1]])
    places = [Registration(1, over, "frames", 0.0, 0.78), upright]
    monkeypatch.setattr(Registrar, "_places", lambda *given: list(places))
    monkeypatch.setattr(Registrar, "_bettered", lambda self, scan, found: found)
    found = Registrar(form).register(np.full((364, 400), 255, np.uint8))
    assert [each.method for each in (found, *found.others)] == methods
    # It fits far better: a turned page is more likely than that its lines are seen by chance.
    assert [each.quarter_turns for each in (found, *found.others)] == [2, 0][: len(methods)]


@pytest.mark.parametrize(("off", "method"), [(0.0, "markers"), (4.0, "markers"), (60.0, "frames")])
def test_a_place_that_markers_have_too_is_theirs_though_boxes_fit_it_better(
    paper: Paper, monkeypatch: pytest.MonkeyPatch, off: float, method: str
) -> None:
    scan = paper.pages[0]
    known = register(scan, paper.form, page=1)
    moved = np.array([[1.0, 0, off], [0, 1.0, 0], [0, 0, 1]]) @ known.homography
    marked = replace(known, homography=moved, fit=0.85)
    boxed = replace(known, method="frames", fit=0.97)
    monkeypatch.setattr(Registrar, "_by_markers", lambda *given: iter([marked]))
    monkeypatch.setattr(Registrar, "_by_features", lambda *given: iter(()))
    monkeypatch.setattr(Registrar, "_by_frames", lambda *given: iter([boxed]))
    found = Registrar(paper.form).register(scan, page=1)
    assert (found.method, found.fit) == (method, 0.97)
    assert np.array_equal(found.homography, known.homography)


def test_a_place_that_shows_another_form_gives_way_to_the_next_best(
    paper: Paper, monkeypatch: pytest.MonkeyPatch
) -> None:
    scan = paper.pages[0]
    known = register(scan, paper.form, page=1)
    beside = np.array([[1.0, 0, 40], [0, 1.0, 0], [0, 0, 1]]) @ known.homography
    wrong, right = replace(known, homography=beside, fit=0.8), replace(known, fit=0.7)

    def check(self: Registrar, seen: object, found: Registration) -> None:
        if np.array_equal(found.homography, beside):
            raise UnregisteredError("shows another form: beside", fit=found.fit)

    monkeypatch.setattr(Registrar, "_check_form", check)
    monkeypatch.setattr(Registrar, "_by_markers", lambda *given: iter([wrong]))
    monkeypatch.setattr(Registrar, "_by_features", lambda *given: iter([right]))
    monkeypatch.setattr(Registrar, "_by_frames", lambda *given: iter(()))
    assert np.array_equal(Registrar(paper.form).register(scan).homography, known.homography)
    monkeypatch.setattr(Registrar, "_by_features", lambda *given: iter(()))
    with pytest.raises(UnregisteredError, match="shows another form: beside") as caught:
        Registrar(paper.form).register(scan)
    assert caught.value.fit == 0.8


@pytest.mark.parametrize("quarters", [0, 2])
def test_words_tell_which_way_up_boxes_lie_that_look_alike(quarters: int, tmp_path: Path) -> None:
    fields = [Field(f"f{y}", row_of_boxes(300, y, 40, 50, count=6, step=40)) for y in range(150, 700, 90)]
    empty = np.full((840, 840), 255, np.uint8)
    for number, box in enumerate(box for field in fields for box in field.boxes):
        x, y, wide, high = (round(side) for side in box)
        cv2.rectangle(empty, (x, y), (x + wide, y + high), 0, 2)
        if number % 6 == 0:
            word = ("amount", "reference", "customer", "batch", "ticket", "order", "licence")[number // 6]
            cv2.putText(empty, word, (90, y + 34), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 0, 2, cv2.LINE_AA)
    cv2.imwrite(str(tmp_path / "empty.png"), empty)
    pages = (FormPage(840, 840, "empty.png"),)
    form = FormTemplate("alike", pages, tuple(fields), folder=str(tmp_path))
    registrar = Registrar(form)
    registrar._by_features = lambda seen, pages: iter(())  # type: ignore[method-assign]  # a page too askew
    found = registrar.register(np.rot90(empty, quarters).copy())
    assert (found.method, found.fit > 0.9) == ("frames", True)
    assert np.sign(found.homography[0, 0]) == (1 if quarters == 0 else -1)


def test_a_sheet_whose_lines_a_copier_lost_is_known_by_its_code(paper: Paper) -> None:
    scan = paper.pages[0].copy()
    lines = corners_of(paper.form, 1) * MM
    for low, high in zip(lines.min(axis=1).astype(int) - 3, lines.max(axis=1).astype(int) + 4, strict=True):
        scan[low[1] : high[1], low[0] : high[0]] = 255
    found = register(scan, paper.form)
    assert (found.method, found.sheet, found.fit < 0.6) == ("markers", "12", True)
    own = [field for field in paper.form.fields if field.page == 1]
    assert not any(placed.sure for placed in place_fields(scan, found, own))
    uncoded = replace(paper.form, name="another")
    with pytest.raises(UnregisteredError, match="is a sheet of form 'exam'"):
        register(scan, uncoded)


@settings(max_examples=25)
@given(
    st.floats(0, 360),
    st.floats(0.5, 2.2),
    st.lists(st.floats(-0.04, 0.04), min_size=8, max_size=8),
)
def test_boxes_are_matched_in_any_turn_size_and_lean(degrees: float, scale: float, lean: list[float]) -> None:
    rows = [(30, 40, 9, 52), (30, 130, 5, 52), (340, 130, 3, 60), (30, 220, 7, 60), (60, 300, 2, 200)]
    boxes = np.array(
        [
            [(x + i * step, y), (x + i * step + 40, y), (x + i * step + 40, y + 46), (x + i * step, y + 46)]
            for x, y, count, step in rows
            for i in range(count)
        ],
        np.float64,
    )
    flat = np.array([[0, 0], [560, 0], [560, 400], [0, 400]], np.float64)
    turn = np.deg2rad(degrees)
    linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    seen = (flat + 560 * np.array(lean).reshape(4, 2)) @ linear.T + 1500
    matrix = cv2.getPerspectiveTransform(flat.astype(np.float32), seen.astype(np.float32))
    frames = cv2.perspectiveTransform(boxes.reshape(-1, 1, 2), matrix).reshape(-1, 4, 2)
    rng = np.random.default_rng(0)
    kept = frames[rng.random(len(frames)) < 0.8]
    strays = kept[:6] + rng.uniform(-900, 900, (6, 1, 2))
    mixed = np.concatenate([strays, kept])[rng.permutation(len(kept) + 6)]
    rolled = np.stack([np.roll(frame, rng.integers(4), axis=0) for frame in mixed]).astype(np.float32)
    best, *_ = match_boxes(boxes, rolled)
    off = np.linalg.norm(
        cv2.perspectiveTransform(boxes.reshape(-1, 1, 2), best.homography).reshape(-1, 4, 2) - frames, axis=-1
    )
    assert np.median(off) < 2 * scale
    assert len(best.boxes) >= len(kept) - 2


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rows_that_end_elsewhere_are_told_upside_down(degrees: int) -> None:
    rows = [(y, count) for y, count in ((400, 10), (610, 7), (820, 11), (1030, 12))]
    corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
    boxes = np.array(
        [corners * (60, 78) + (420 + 60 * i, y) for y, count in rows for i in range(count)], float
    )
    rng = np.random.default_rng(1)
    middles = boxes.mean(axis=1, keepdims=True)
    inside = middles + (boxes - middles) * (0.87, 0.9)  # a contour is the inside of the line
    letters = rng.uniform(200, 1500, (90, 1, 2)) + rng.uniform(-1, 1, (90, 4, 2)) * 8 + corners * (20, 26)
    turn = np.deg2rad(degrees)
    linear = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    frames = np.concatenate([letters, inside[rng.random(len(boxes)) < 0.8]]) @ linear.T + 2400
    best, *_ = match_boxes(boxes, frames.astype(np.float32))
    off = np.linalg.norm(project(best.homography, boxes) - (boxes @ linear.T + 2400), axis=-1)
    assert off.max() < 8


def test_too_few_boxes_or_frames_are_no_match() -> None:
    boxes = np.array([[(0, 0), (1, 0), (1, 1), (0, 1)]] * 3, np.float64)
    assert match_boxes(boxes, np.zeros((9, 4, 2), np.float32)) == []
    assert find_frames(np.full((50, 50), 255, np.uint8)).shape == (0, 4, 2)
