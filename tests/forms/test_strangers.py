"""Scans of other forms whose boxes lie where the template has them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.errors import UnregisteredError
from kalamos.forms.geometry import box_corners
from kalamos.forms.placing import place_fields
from kalamos.forms.registration import Registrar, Registration
from kalamos.forms.strangers import lacking_words, seen_words, words_of
from kalamos.forms.template import Field, FormPage, FormTemplate, row_of_boxes

Grey = NDArray[np.uint8]

NAMES = ["student", "room", "mark", "year", "amount", "account", "ticket", "member"]
OTHERS = ["invoice", "parcel", "batch", "house", "order", "licence", "visit", "tax"]


def template(count: int = 8, boxes: int = 8, image: str = "") -> FormTemplate:
    fields = tuple(
        Field(name, row_of_boxes(200, 150 + 90 * row, 36, 44, count=boxes, step=46))
        for row, name in enumerate(NAMES[:count])
    )
    return FormTemplate("exam", (FormPage(800, 1000, image),), fields)


def draw(form: FormTemplate, names: list[str] = NAMES) -> Grey:
    page = np.full((1000, 800), 240, np.uint8)
    cv2.putText(page, names[0].upper(), (200, 80), cv2.FONT_HERSHEY_SIMPLEX, 1.4, 30, 3, cv2.LINE_AA)
    for field, name in zip(form.fields, names, strict=False):
        x, y, width, height = field.boxes[0]
        cv2.putText(page, name, (40, round(y) + 30), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 30, 2, cv2.LINE_AA)
        for x, y, width, height in field.boxes:
            cv2.rectangle(page, (round(x), round(y)), (round(x + width), round(y + height)), 60, 2)
    return page


def scanned(page: Grey, kind: str) -> Grey:
    """Turn a page, or copy it badly; write into its boxes."""
    rng = np.random.default_rng(3)
    page = page.copy()
    for row in range(5):
        for column in range(8):
            points = np.array([200 + 46 * column, 150 + 90 * row]) + rng.uniform(4, 32, (4, 2))
            cv2.polylines(page, [np.rint(points).astype(np.int32)], False, 50, 3, cv2.LINE_AA)
    if kind == "turned":
        matrix = cv2.getRotationMatrix2D((400, 500), 6, 0.9)
        return cv2.warpAffine(page, matrix, (800, 1000), borderValue=240)
    if kind == "bent":  # rows climb and fall by up to one in eight
        y, x = np.mgrid[:1000, :800].astype(np.float32)
        return cv2.remap(page, x, y - 24 * np.sin(x / 200), cv2.INTER_LINEAR, borderValue=240)
    noisy = cv2.GaussianBlur(page, (0, 0), 1.2) + rng.normal(0, 3, page.shape)
    if kind == "in a shadow":  # whose edge runs through the words
        y, x = np.mgrid[:1000, :800]
        noisy = noisy * (0.35 + 0.65 / (1 + np.exp((x - 90 - 20 * np.sin(y / 40)) / 4)))
    if kind == "starved":  # black and white, and thin strokes are broken
        noisy = np.where(noisy + rng.normal(0, 14, page.shape) < 120, 0, 255)
    elif kind == "half as large":
        noisy = cv2.resize(noisy, (400, 500), interpolation=cv2.INTER_AREA)
    return np.clip(noisy, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def registrar(tmp_path_factory: pytest.TempPathFactory) -> Registrar:
    """A form whose template names the image of the empty one."""
    folder = tmp_path_factory.mktemp("form")
    cv2.imwrite(str(folder / "form.png"), draw(template()))
    return Registrar(replace(template(image="form.png"), folder=str(folder)))


@pytest.mark.parametrize("kind", ["turned", "copied", "in a shadow"])
def test_words_of_a_form_are_seen_on_its_scans_and_not_on_anothers(kind: str) -> None:
    form = template()
    boxes = box_corners([box for field in form.fields for box in field.boxes])
    words = words_of(draw(form), (800, 1000), boxes)
    assert len(words.boxes) == 9
    matrix = np.eye(3)
    if kind == "turned":
        matrix = np.vstack([cv2.getRotationMatrix2D((400, 500), 6, 0.9), [0, 0, 1]])
    still = np.zeros((len(boxes), 2))
    own, other = (
        seen_words(scanned(draw(form, names), kind), words, matrix, boxes, still) for names in (NAMES, OTHERS)
    )
    assert own.likeness.min() > 0.85
    assert lacking_words(own) == ""
    assert "of the 9 words around its boxes are there" in lacking_words(other)


def test_words_move_and_turn_as_the_boxes_next_to_them() -> None:
    form = template()
    boxes = box_corners([box for field in form.fields for box in field.boxes])
    words = words_of(draw(form), (800, 1000), boxes)
    turn = cv2.getRotationMatrix2D((400, 500), 7, 1)
    middles = boxes.mean(axis=1)
    moved = middles @ turn[:, :2].T + turn[:, 2] - middles
    own, other = (
        seen_words(
            cv2.warpAffine(draw(form, names), turn, (800, 1000), borderValue=240),
            words,
            np.eye(3),
            boxes,
            moved,
        )
        for names in (NAMES, OTHERS)
    )
    assert own.likeness[np.isfinite(own.letters)].min() > 0.85
    assert lacking_words(own) == ""
    assert "of the 9 words around its boxes are there" in lacking_words(other)


def test_words_that_bend_away_beside_their_boxes_are_followed_from_those_that_are_seen() -> None:
    form = template()
    boxes = box_corners([box for field in form.fields for box in field.boxes])
    words = words_of(draw(form), (800, 1000), boxes)
    y, x = np.mgrid[:1000, :800].astype(np.float32)
    right = np.where(x < 195, 30 * np.clip(1 - y / 750, 0, 1) ** 1.5, 0).astype(np.float32)
    still = np.zeros((len(boxes), 2))
    scans = [
        cv2.remap(draw(form, names), x - right, y, cv2.INTER_LINEAR, borderValue=240)
        for names in (NAMES, OTHERS)
    ]
    own, other = (seen_words(scan, words, np.eye(3), boxes, still) for scan in scans)
    assert right[150:].max() > 20  # px, and a word is looked for within 12
    assert own.likeness[np.isfinite(own.letters)].min() > 0.9
    assert lacking_words(own) == ""
    assert "of the 9 words around its boxes are there" in lacking_words(other)
    # Where it is not known how the boxes lie, words speak for a place only if they are there.
    assert seen_words(scans[0], words, np.eye(3), boxes).likeness.min() < 0.7


def test_another_form_on_the_same_grid_is_refused(registrar: Registrar) -> None:
    assert registrar.register(scanned(draw(template()), "copied")).fit > 0.9
    with pytest.raises(UnregisteredError, match=r"(no page of form|another form than) 'exam'") as caught:
        registrar.register(scanned(draw(template(), OTHERS), "copied"))
    assert caught.value.remedy


@pytest.mark.parametrize("kind", ["bent", "in a shadow"])
def test_a_form_of_ones_own_is_none_other_where_it_bends_or_lies_in_a_shadow(
    registrar: Registrar, kind: str
) -> None:
    assert registrar.register(scanned(draw(template()), kind)).fit > 0.9
    with pytest.raises(UnregisteredError, match="another form than 'exam'"):
        registrar.register(scanned(draw(template(), OTHERS), kind))


@pytest.mark.parametrize(
    ("kind", "backwards"), [("turned", False), ("copied", True), ("half as large", True), ("starved", False)]
)
def test_another_form_that_keeps_half_of_the_words_is_refused(
    registrar: Registrar, kind: str, backwards: bool
) -> None:
    others = [name[::-1] for name in NAMES[:4]] if backwards else OTHERS[:4]
    page = draw(template(), others + NAMES[4:])
    page[:100] = draw(template())[:100]  # the title is the same
    with pytest.raises(
        UnregisteredError,
        match=r"another form than 'exam': in place of [4-6] of the 9 words .* stand others; read",
    ) as caught:
        registrar.register(scanned(page, kind))
    assert caught.value.fit > 0.9


@pytest.mark.parametrize("kind", ["turned", "copied", "half as large", "starved"])
def test_a_form_with_some_words_of_its_own_sheet_is_none_other(registrar: Registrar, kind: str) -> None:
    names = [*NAMES[:6], *OTHERS[:2]]
    assert registrar.register(scanned(draw(template(), names), kind)).fit > 0.8


@pytest.mark.parametrize("over", ["paper", "pen"])
def test_words_that_are_covered_or_crossed_out_are_no_others(registrar: Registrar, over: str) -> None:
    page = draw(template())
    for row in range(4 if over == "paper" else 3):
        left, top = 20, 140 + 90 * row
        if over == "paper":
            page[top : top + 60, left : left + 170] = 240
        else:
            line = np.array(
                [[left, top + 40], [left + 70, top + 15], [left + 90, top + 50], [left + 160, top]]
            )
            cv2.polylines(page, [line], False, 40, 2, cv2.LINE_AA)
    assert registrar.register(scanned(page, "copied")).fit > 0.9


def test_a_copy_that_lost_the_lines_of_all_boxes_is_told_by_its_words(tmp_path: Path) -> None:
    page = draw(template())
    cv2.imwrite(str(tmp_path / "form.png"), page)
    form = replace(template(image="form.png"), folder=str(tmp_path))
    for field in form.fields:
        x, y, _, height = field.boxes[0]
        page[round(y) - 2 : round(y + height) + 3, round(x) - 2 :] = 240
    scan = scanned(page, "turned")
    found = Registrar(form).register(scan)
    assert found.fit < 0.6
    matrix = cv2.getRotationMatrix2D((400, 500), 6, 0.9)
    for field, placed in zip(form.fields, place_fields(scan, found, form.fields), strict=True):
        x, y, width, height = field.boxes[3]
        true = matrix @ (x + width / 2, y + height / 2, 1)
        assert np.linalg.norm(placed.corners[3].mean(axis=0) - true) < 5
        assert not placed.sure  # a person looks at it


def test_a_form_without_some_of_the_fields_is_another_one() -> None:
    registrar = Registrar(template(8))
    assert registrar.register(scanned(draw(template(8)), "copied")).fit > 0.9
    with pytest.raises(UnregisteredError, match="16 of its 64 boxes are not there"):
        registrar.register(scanned(draw(template(6)), "copied"))


def test_fields_whose_lines_drowned_in_light_are_there_if_their_names_are(registrar: Registrar) -> None:
    page = draw(template())
    for field in template().fields[5:]:
        x, y, _, height = field.boxes[0]
        page[round(y) - 2 : round(y + height) + 3, round(x) - 2 :] = 240
    found = registrar.register(scanned(page, "turned"))
    assert 0.6 < found.fit < 0.7
    with pytest.raises(UnregisteredError, match="24 of its 64 boxes are not there"):
        registrar.register(scanned(draw(template(5)), "turned"))


def test_a_form_that_its_markers_led_astray_is_found_by_its_print(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "form.png"), draw(template()))
    registrar = Registrar(replace(template(image="form.png"), folder=str(tmp_path)))
    beside = Registration(1, np.array([[1, 0, 46], [0, 1, 0], [0, 0, 1.0]]), "markers", 0.0, 0.95)
    registrar._by_markers = lambda seen, pages: iter([beside])  # type: ignore[method-assign]
    found = registrar.register(scanned(draw(template()), "copied"))
    assert (found.method, abs(found.homography[0, 2]) < 3) == ("features", True)
    with pytest.raises(UnregisteredError, match="another form than 'exam'"):
        registrar.register(scanned(draw(template(), OTHERS), "copied"))


def test_a_field_that_lies_a_box_farther_on_is_not_sure() -> None:
    form = template(8)
    # As on a page that bends: one row is a box to the right of where the others tell.
    odd = replace(form.fields[4], boxes=tuple(box._replace(x=box.x + 46) for box in form.fields[4].boxes))
    scan = draw(replace(form, fields=(*form.fields[:4], odd, *form.fields[5:])))
    found = Registrar(form).register(draw(form))
    bent = replace(found, homography=found.homography @ np.array([[1, 0, 6.0], [0, 1, 0], [0, 0, 1]]))
    placed = place_fields(scan, bent, form.fields)
    assert [each.sure for each in placed] == [row != 4 for row in range(8)]
    assert all(each.corners.shape == (8, 4, 2) for each in placed)


def test_rows_that_the_boxes_alone_may_have_taken_for_the_next_ones_are_not_sure() -> None:
    form = template(8)
    scan = draw(form)
    found = Registrar(form).register(scan)
    assert (found.method, {each.sure for each in place_fields(scan, found, form.fields)}) == (
        "frames",
        {True},
    )
    a_row_down = np.array([[1, 0, 0], [0, 1, 90], [0, 0, 1.0]])
    shifted = replace(found, homography=found.homography @ a_row_down, fit=0.875)
    assert {each.sure for each in place_fields(scan, shifted, form.fields)} == {False}
    anchored = replace(shifted, method="features")  # by what is printed: the last row's lines are worn off
    assert [each.sure for each in place_fields(scan, anchored, form.fields)][:7] == [True] * 7


def test_a_place_that_leaves_a_field_without_lines_is_not_taken_at_the_first_look(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    form = template(8)
    scan = draw(form)
    found = Registrar(form).register(scan)
    a_row_down = np.array([[1, 0, 0], [0, 1, 90], [0, 0, 1.0]])
    upside_down = np.array([[-1, 0, 800], [0, -1, 1000], [0, 0, 1.0]])
    rotated = replace(found, homography=found.homography @ upside_down, fit=0.87)
    looks = iter([[replace(found, homography=found.homography @ a_row_down, fit=0.917)], [found, rotated]])
    monkeypatch.setattr(Registrar, "_places", lambda *given: next(looks))
    again = Registrar(form).register(scan)
    assert np.abs(again.homography - found.homography).max() < 1
    assert next(looks, None) is None
