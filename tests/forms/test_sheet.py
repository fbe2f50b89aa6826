"""Printed sheets: what is on paper lies where the template says, and the same form gives the same bytes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos import errors
from kalamos.errors import FormError, MissingExtraError, OutputError
from kalamos.forms import drawing
from kalamos.forms.field_list import parse_fields
from kalamos.forms.layout import code_place, layout_fields, placement_of, with_markers
from kalamos.forms.sheet import print_sheet
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, row_of_boxes

LIST = """
student: 8 digits, luhn
family name: 24 capitals
answer: tick one of yes | no | perhaps
---
IBAN: 22 characters
"""
DPI = 200
MM = DPI / 25.4


@pytest.fixture(scope="module")
def form() -> FormTemplate:
    return layout_fields(parse_fields(LIST), name="Exam Größe")


def render(path: Path, dpi: float = DPI) -> list[NDArray[np.uint8]]:
    import pypdfium2

    with pypdfium2.PdfDocument(path) as document:
        return [np.array(page.render(scale=dpi / 72).to_pil().convert("L")) for page in document]


def decode(image: NDArray[np.uint8], form: FormTemplate, page: int) -> str:
    place = code_place(form, page)
    assert place is not None
    scale = placement_of(form.pages[page - 1]).scale * MM
    left, top, side = (round(value * scale) for value in (place.x, place.y, place.width))
    gap = round(2.5 * MM)
    around = image[max(top - gap, 0) : top + side + gap, left - gap : left + side + gap]
    return str(cv2.QRCodeDetector().detectAndDecode(around)[0])


def test_markers_are_printed_where_the_template_has_them(form: FormTemplate, tmp_path: Path) -> None:
    printed = print_sheet(form, tmp_path / "sheet.pdf")
    assert printed == form  # it had markers
    detector = cv2.aruco.ArucoDetector(cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50))
    for page, image in zip(form.pages, render(tmp_path / "sheet.pdf"), strict=True):
        assert image.shape == (2339, 1654)
        corners, ids, _ = detector.detectMarkers(image)
        seen = dict(zip(ids.ravel().tolist(), corners, strict=True))
        assert sorted(seen) == [marker.id for marker in page.markers]
        for marker in page.markers:
            top_left = seen[marker.id][0][0] / MM
            assert np.abs(top_left - (marker.x, marker.y)).max() < 0.2


def test_boxes_are_printed_where_the_template_has_them(form: FormTemplate, tmp_path: Path) -> None:
    print_sheet(form, tmp_path / "sheet.pdf")
    images = render(tmp_path / "sheet.pdf")
    for field in form.fields:
        for box in field.boxes:
            image = images[field.page - 1]
            left, top, right, bottom = (
                round(value * MM) for value in (box.x, box.y, box.x + box.width, box.y + box.height)
            )
            inside = image[top + 4 : bottom - 4, left + 4 : right - 4]
            assert inside.min() == 255
            for line in (image[top + 9, left - 2 : left + 3], image[bottom - 9, right - 2 : right + 3]):
                assert line.min() < 110
            for line in (image[top - 2 : top + 3, left + 9], image[bottom - 2 : bottom + 3, right - 9]):
                assert line.min() < 110


@pytest.mark.parametrize(
    "name", ["exam", "Größe: 2026", "استمارة", "a name of far more than thirty-two bytes, too long"]
)
def test_each_sheet_has_its_number_in_a_code_that_a_scan_at_200_dpi_shows(name: str, tmp_path: Path) -> None:
    form = layout_fields(parse_fields("a: 3 digits\n---\nb: 3 digits"), name=name)
    try:
        print_sheet(form, tmp_path / "sheet.pdf", copies=2, first=7)
    except FormError as error:
        if not drawing.installed_fonts():
            pytest.skip(f"no font here: {error}")
        raise
    codes = [
        decode(cv2.GaussianBlur(image, (0, 0), 0.7), form, 1 + number % 2)
        for number, image in enumerate(render(tmp_path / "sheet.pdf"))
    ]
    start, ends = codes[0].rsplit(":", 2)[0], [code.rsplit(":", 2)[1:] for code in codes]
    assert ends == [["1", "7"], ["2", "7"], ["1", "8"], ["2", "8"]]
    assert start.startswith("kalamos:")
    if len(name.encode()) <= 32:
        assert start == f"kalamos:{name}"
    else:
        assert start.startswith(f"kalamos:{name[:20]}")
        assert len(start) < 45


def test_the_same_form_gives_the_same_bytes(form: FormTemplate, tmp_path: Path) -> None:
    print_sheet(form, tmp_path / "one.pdf", copies=2)
    print_sheet(form, tmp_path / "other.pdf", copies=2)
    content = (tmp_path / "one.pdf").read_bytes()
    assert content == (tmp_path / "other.pdf").read_bytes()
    assert b"20000101" in content
    assert len(content) < 40_000


def test_letter_paper_and_landscape_are_kept(tmp_path: Path) -> None:
    print_sheet(layout_fields(parse_fields("a: 3"), paper="letter"), tmp_path / "letter.pdf")
    assert render(tmp_path / "letter.pdf", 100)[0].shape == (1100, 850)
    wide = FormTemplate(
        "wide", (FormPage(2970, 2100),), (Field("a", row_of_boxes(800, 900, 80, 90, count=3, step=90)),)
    )
    printed = print_sheet(wide, tmp_path / "wide.pdf")
    image = render(tmp_path / "wide.pdf", 254)[0]
    assert np.abs(np.subtract(image.shape, (2100, 2970))).max() <= 1
    assert image[945, 800 - 3 : 800 + 4].min() < 110
    assert len(printed.pages[0].markers) == 4


def test_arabic_names_are_joined_and_stand_at_the_right(tmp_path: Path) -> None:
    if drawing.font_for(frozenset(map(ord, "رقم الطالب"))) is None:
        pytest.skip("no font with Arabic letters is installed here")
    form = layout_fields(parse_fields("رقم الطالب: 6 digits, right to left"), name="form")
    print_sheet(form, tmp_path / "sheet.pdf", code=False)
    import pypdfium2

    with pypdfium2.PdfDocument(tmp_path / "sheet.pdf") as document:
        # In presentation forms or not, and in either order of lines: the letters are in the file as text.
        import unicodedata

        text = unicodedata.normalize("NFKC", document[0].get_textpage().get_text_range())
    assert any(word in text for word in ("الطالب", "بلاطلا"))
    image = render(tmp_path / "sheet.pdf")[0]
    boxes = form.fields[0].boxes
    band = image[round((boxes[0].y - 5) * MM) : round((boxes[0].y - 0.7) * MM)]
    columns = np.flatnonzero((band < 128).any(axis=0)) / MM
    end = boxes[-1].x + boxes[-1].width
    assert end - 2 < columns.max() < end + 0.5
    assert columns.min() > boxes[0].x + 20


def test_without_a_font_it_says_what_to_do(
    form: FormTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    greek = replace(form, name="Εξέταση")
    monkeypatch.setattr(drawing, "font_for", lambda needed: None)
    with pytest.raises(
        FormError, match="no font is found with the characters of 'Εξέταση'; name a font file"
    ):
        print_sheet(greek, tmp_path / "sheet.pdf")
    broken = tmp_path / "broken.ttf"
    broken.write_bytes(b"no font")
    with pytest.raises(FormError, match=r"broken.ttf: cannot be read as a font"):
        print_sheet(greek, tmp_path / "sheet.pdf", font=broken)
    assert not (tmp_path / "sheet.pdf").exists()


def test_a_named_font_must_have_the_characters(form: FormTemplate, tmp_path: Path) -> None:
    fonts = drawing.installed_fonts()
    if not fonts:
        pytest.skip("no font is installed here")
    with pytest.raises(FormError, match=r"the font .* has no"):
        print_sheet(replace(form, name="\U0001f9ff\u1e2aꦀ"), tmp_path / "sheet.pdf", font=fonts[0])
    print_sheet(form, tmp_path / "sheet.pdf", font=fonts[0])
    assert (tmp_path / "sheet.pdf").read_bytes().count(b"/FontFile2") >= 1


def test_names_that_are_too_long_are_cut_before_the_next_field(tmp_path: Path) -> None:
    fields = (
        Field("W" * 90, row_of_boxes(20, 50, 8, 9, count=2, step=9)),
        Field("next", row_of_boxes(60, 50, 8, 9, count=2, step=9)),
    )
    form = FormTemplate("form", (FormPage(210, 297),), fields)
    print_sheet(form, tmp_path / "sheet.pdf")
    image = render(tmp_path / "sheet.pdf")[0]
    above = image[round(45 * MM) : round(49.4 * MM)]
    assert above[:, round(20 * MM) : round(58 * MM)].min() < 128
    assert above[:, round(58.9 * MM) : round(59.9 * MM)].min() == 255


def test_names_without_room_above_go_beside(tmp_path: Path) -> None:
    rows = tuple(
        Field(f"row {number}", row_of_boxes(60, 60 + 9 * number, 8, 9, count=4, step=8))
        for number in range(3)
    )
    print_sheet(FormTemplate("table", (FormPage(210, 297),), rows), tmp_path / "sheet.pdf")
    image = render(tmp_path / "sheet.pdf")[0]
    for number in (1, 2):
        beside = image[
            round((60.5 + 9 * number) * MM) : round((68.5 + 9 * number) * MM), round(40 * MM) : round(59 * MM)
        ]
        assert beside.min() < 128


def test_a_page_with_an_image_is_printed_as_it_is(tmp_path: Path) -> None:
    image = np.full((2339, 1654), 255, np.uint8)
    cv2.rectangle(image, (500, 600), (560, 670), 0, 3)
    cv2.imwrite(str(tmp_path / "empty.png"), image)
    page = FormPage(1654, 2339, image="empty.png")
    form = FormTemplate("scanned", (page,), (Field("a", (Box(500, 600, 60, 70),)),), folder=str(tmp_path))
    printed = print_sheet(form, tmp_path / "sheet.pdf")
    shown = render(tmp_path / "sheet.pdf")[0]
    assert shown[630, 495:506].min() < 100
    assert shown[590:598, 500:560].min() > 240  # no name over it: the picture has its own
    assert decode(shown, printed, 1) == "kalamos:scanned:1:1"
    with pytest.raises(FormError, match="the empty form's image"):
        print_sheet(replace(form, folder=str(tmp_path / "nowhere")), tmp_path / "other.pdf")


def test_markers_and_code_never_cover_boxes(tmp_path: Path) -> None:
    corner = FormTemplate("corner", (FormPage(210, 297),), (Field("a", (Box(10, 10, 8, 9),)),))
    with pytest.raises(FormError, match="field 'a' lies where a marker is printed; move it"):
        print_sheet(corner, tmp_path / "sheet.pdf")
    assert print_sheet(corner, tmp_path / "sheet.pdf", markers=False) == corner
    everywhere = Field("a", tuple(Box(x, y, 12, 12) for x in (25, 170) for y in (8, 277)))
    full = FormTemplate("full", (FormPage(210, 297),), (everywhere,))
    with pytest.raises(FormError, match="page 1 of form 'full' has no corner free for the code"):
        print_sheet(full, tmp_path / "sheet.pdf")
    print_sheet(full, tmp_path / "sheet.pdf", code=False)
    # With the usual corner taken, the next one serves.
    three = replace(full, fields=(Field("a", everywhere.boxes[1:]),))
    place = code_place(with_markers(three), 1)
    assert place is not None
    assert place.x < 50


def test_pages_of_the_same_markers_are_refused() -> None:
    form = layout_fields(parse_fields("a: 1\n---\nb: 1"))
    twice = replace(form, pages=(replace(form.pages[1]), replace(form.pages[1], markers=())))
    with pytest.raises(FormError, match="markers of the same number"):
        with_markers(twice)


def test_impossible_copies_and_a_missing_extra(
    form: FormTemplate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(OutputError, match="0 copies"):
        print_sheet(form, tmp_path / "sheet.pdf", copies=0)
    monkeypatch.setattr(errors, "find_spec", lambda name: None if name == "segno" else object())
    with pytest.raises(MissingExtraError, match=r"printing a form needs segno.*kalamos\[forms\]"):
        print_sheet(form, tmp_path / "sheet.pdf")
