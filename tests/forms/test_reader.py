"""Scans of the sample form, read: what is told of each, and what a bad scan does to the others."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

import kalamos
from kalamos.errors import FormError
from kalamos.forms import Field, Form, FormPage, row_of_boxes
from kalamos.forms.reader import FormReader, box_reading
from kalamos.forms.registration import Registrar, Registration
from kalamos.pages.cells import CellReading
from kalamos.predictions import Prediction

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "samples-form"
TRUTH = {row["scan"]: row for row in csv.DictReader((FOLDER / "truth.csv").read_text("utf-8").splitlines())}


@pytest.fixture(scope="module")
def form() -> Form:
    return kalamos.Form.load(FOLDER / "form.toml")


@pytest.mark.parametrize("name", sorted(TRUTH))
def test_the_samples_are_read_and_never_wrong_unseen(form: Form, name: str) -> None:
    filled = form.read(FOLDER / "scans" / name)
    assert filled.scans[0].page == 1
    assert filled.scans[0].method == "markers"
    right = 0
    for field, reading in filled.fields.items():
        right += reading.text == TRUTH[name][field]
        if reading.status in {"ok", "blank"}:
            assert reading.text == TRUTH[name][field], field
    assert right >= len(filled.fields) - 2
    assert filled.render().shape[2] == 3
    assert "digits" in filled.made_by


def test_a_check_digit_that_breaks_is_never_ok(form: Form) -> None:
    # The writer of this sheet made a slip.
    assert form.read(FOLDER / "scans" / "5-curved.jpg").fields["student"].status == "check"


def test_other_pictures_are_rows_that_say_so(form: Form, tmp_path: Path) -> None:
    other = np.full((900, 700), 230, np.uint8)
    cv2.putText(other, "no form", (100, 400), cv2.FONT_HERSHEY_SIMPLEX, 3, 40, 6)
    cv2.imwrite(str(tmp_path / "a-other.png"), other)
    (tmp_path / "b-broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (tmp_path / "c-scan.jpg").write_bytes((FOLDER / "scans" / "1-scan.jpg").read_bytes())
    forms = form.read_all(tmp_path, jobs=2)
    assert [Path(each.path).name for each in forms] == ["a-other.png", "b-broken.png", "c-scan.jpg"]
    assert [each.status for each in forms][:2] == ["unregistered", "error"]
    assert forms[2].fields["student"].text == TRUTH["1-scan.jpg"]["student"]
    assert {reading.status for reading in forms[0].fields.values()} == {"missing"}
    path = forms.save(tmp_path / "table.csv")
    rows = list(csv.DictReader(path.read_text("utf-8-sig").splitlines()))
    assert [row["status"] for row in rows][:2] == ["unregistered", "error"]
    assert "b-broken.png" in rows[1]["error"]


def test_boxes_are_in_the_template_s_order_and_lie_on_their_writing(form: Form) -> None:
    filled = form.read(FOLDER / "scans" / "1-scan.jpg")
    reading = filled.fields["student"]
    assert "".join(box.label or "" for box in reading.boxes if box) == TRUTH["1-scan.jpg"]["student"]
    lefts = [box.box.x for box in reading.boxes if box]
    assert lefts == sorted(lefts)
    image = filled.scans[0].image
    assert image is not None
    for corners in reading.corners:
        (left, top), _, (right, bottom), _ = corners
        piece = image[round(top) + 4 : round(bottom) - 4, round(left) + 4 : round(right) - 4]
        assert piece.min() < 130 < np.median(piece)


def cell(known: float, confidence: float, *, blank: float = 0.0005, ink: float = 0.7) -> CellReading:
    top = (("7", confidence), ("1", 1 - confidence))
    return CellReading(Prediction("7", confidence, top, known=known), blank, ink)


NUMBERS = {"first": "2745", "second": "3427", "third": "5234"}


@pytest.mark.parametrize("quarters", [0, 2])
def test_what_is_written_tells_which_way_up_a_sheet_lies_whose_boxes_do_not(quarters: int) -> None:
    fields = [
        Field(name, row_of_boxes(60, y, 56, 60, count=4, step=60))
        for name, y in zip(NUMBERS, (60, 160, 260), strict=True)
    ]
    form = Form("alike", (FormPage(356, 380),), tuple(fields), model="digits")
    sheet = np.full((380, 356), 245, np.uint8)
    for field in fields:
        for digit, (x, y, width, height) in zip(NUMBERS[field.name], field.boxes, strict=True):
            cv2.rectangle(sheet, (int(x), int(y)), (int(x + width), int(y + height)), 60, 1)
            place = int(x) + 16, int(y) + 46
            cv2.putText(sheet, digit, place, cv2.FONT_HERSHEY_SIMPLEX, 1.3, 40, 3, cv2.LINE_AA)
    filled = form.read(np.rot90(sheet, quarters).copy())
    assert {name: reading.text for name, reading in filled.fields.items()} == NUMBERS
    assert "ok" in {reading.status for reading in filled.fields.values()}


def test_which_way_up_a_sheet_lies_is_in_doubt_where_what_is_written_reads_both_ways() -> None:
    fields = [Field(f"f{y}", row_of_boxes(60, y, 56, 60, count=4, step=60)) for y in (60, 160, 260)]
    form = Form("alike", (FormPage(356, 380),), tuple(fields), model="digits")
    sheet = np.full((380, 356), 245, np.uint8)
    for box in (box for field in fields for box in field.boxes):
        cv2.rectangle(sheet, (int(box.x), int(box.y)), (int(box.x + 56), int(box.y + 60)), 60, 1)
    for x, y, digit in ((60, 60, "8"), (120, 160, "4"), (60, 260, "0"), (120, 260, "8")):
        cv2.putText(sheet, digit, (x + 16, y + 46), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 40, 3, cv2.LINE_AA)
    filled = form.read(np.rot90(sheet, 2).copy())
    assert {reading.status for reading in filled.fields.values()} == {"check"}


@pytest.mark.parametrize("upright_first", [True, False])
def test_upright_counts_for_more_whichever_way_comes_first(upright_first: bool) -> None:
    fields = [Field(f"f{y}", row_of_boxes(60, y, 56, 60, count=4, step=60)) for y in (60, 160, 260)]
    form = Form("alike", (FormPage(356, 380),), tuple(fields), model="digits")
    sheet = np.full((380, 356), 245, np.uint8)
    for box in (box for field in fields for box in field.boxes):
        cv2.rectangle(sheet, (int(box.x), int(box.y)), (int(box.x + 56), int(box.y + 60)), 60, 1)
    # An 8 on its head is an 8: nothing that is written tells.
    cv2.putText(sheet, "8", (76, 106), cv2.FONT_HERSHEY_SIMPLEX, 1.3, 40, 3, cv2.LINE_AA)
    over = np.array([[-1.0, 0, 356], [0, -1.0, 380], [0, 0, 1]])
    ways = [Registration(1, turn, "frames", 0.0, 1.0) for turn in (np.eye(3), over)]
    first, other = ways if upright_first else ways[::-1]
    reader = FormReader(form)
    read = reader._read_page(sheet, replace(first, others=(other,)), 0)
    assert [read[field.name].text for field in fields] == ["8", "", ""]


def test_ink_in_a_box_is_a_character_unless_it_looks_like_none() -> None:
    sure, odd, junk = (box_reading(cell(*each)) for each in ((0.99, 0.99), (0.3, 0.95), (0.01, 0.3)))
    assert sure.known > 0.999
    assert odd.known > 0.98  # in a box there is rarely anything else
    assert max(sure.blank, odd.blank) < 0.02
    assert 0.5 < junk.blank <= 0.9  # it may be crossed out: the field is to be checked
    assert junk.probabilities == {"7": 0.3, "1": 0.7}


def test_what_is_left_of_a_line_is_blank_and_a_comma_may_be_something() -> None:
    line = box_reading(cell(0.4, 0.3, blank=0.9, ink=0.9))
    comma = box_reading(cell(0.4, 0.3, blank=0.9, ink=0.1))
    stroke = box_reading(cell(0.99, 0.99, blank=0.9, ink=0.9))
    assert line.blank > 0.99
    assert comma.blank == stroke.blank == 0.9


def test_a_second_sheet_with_pages_in_any_order_is_one_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("fpdf", reason="kalamos[forms] is not installed")
    from kalamos.images.documents import read_pages

    pages = (FormPage(210, 297), FormPage(210, 297))
    fields = tuple(
        Field(f"number {page}", row_of_boxes(30, 60 + 20 * page, 9, 11, count=6, step=10), page=page)
        for page in (1, 2)
    )
    form = Form("two", pages, fields)
    printed = form.print(tmp_path / "sheets.pdf", copies=2)
    marked = Form(printed.name, printed.pages, printed.fields)
    scans = []
    for number, page in enumerate(read_pages(tmp_path / "sheets.pdf", dpi=150)):
        image = np.asarray(page.image, np.uint8)
        scans.append(tmp_path / f"{'badc'[number] if number < 2 else 'dcef'[number]}.png")
        cv2.imwrite(str(scans[-1]), image)
    registered = []
    register = Registrar.register

    def counted(self: Registrar, scan: np.ndarray) -> Registration:
        registered.append(scan.shape)
        return register(self, scan)

    monkeypatch.setattr(Registrar, "register", counted)
    forms = marked.read_all(sorted(scans))
    assert len(registered) == 4  # each once
    assert len(forms) == 2
    assert [len(each.scans) for each in forms] == [2, 2]
    assert [each.sheet for each in forms] == ["1", "2"]
    assert {reading.status for each in forms for reading in each.fields.values()} == {"check"}  # all blank


@pytest.mark.parametrize(
    ("field", "words"),
    [
        ({"charset": "xyz"}, "field 'f'"),
        ({"pattern": "["}, "field 'f'"),
        ({"check": "lunh"}, "did you mean 'luhn'"),
    ],
)
def test_rules_that_do_not_exist_are_told_before_a_scan_is_read(field: dict[str, str], words: str) -> None:
    form = Form(
        "f", (FormPage(100, 100),), (Field("f", row_of_boxes(5, 5, 9, 9, count=2, step=10), **field),)
    )  # type: ignore[arg-type]
    with pytest.raises(FormError) as caught:
        form.read(np.full((200, 200), 255, np.uint8))
    assert words in str(caught.value)
