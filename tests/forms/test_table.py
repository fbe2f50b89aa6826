"""The table of forms: what is in it, what stays in it, and what is never overwritten."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import numpy as np
import pytest

from kalamos.errors import ImageNotFoundError, UsageError
from kalamos.forms import (
    Field,
    FieldReading,
    FilledForm,
    FilledForms,
    FormPage,
    FormTemplate,
    Scan,
    row_of_boxes,
)
from kalamos.forms.table import FormTable
from kalamos.pages import Box, Character

TEMPLATE = FormTemplate(
    "exam",
    (FormPage(400, 300),),
    (
        Field("student", row_of_boxes(20, 40, 30, 40, count=2, step=32)),
        Field("=note", row_of_boxes(20, 140, 30, 40, count=1, step=32), may_be_blank=True),
    ),
)

CORNERS = (((20.0, 40.0), (50.0, 40.0), (50.0, 80.0), (20.0, 80.0)),) * 2


def filled(path: str, text: str, status: str = "ok", note: str = "") -> FilledForm:
    image = np.full((300, 400), 220, np.uint8)
    box = Character(text[:1], 0.9, Box(20, 40, 30, 40))
    fields = {
        "student": FieldReading(
            text,
            status,
            0.75,
            (("70", 0.1),),
            (box, box),
            CORNERS,
            0,  # type: ignore[arg-type]
        ),
        "=note": FieldReading(note, "blank" if not note else "ok", 0.99, (), (None,), CORNERS[:1], 0),
    }
    return FilledForm(
        fields, (Scan(path, 1, "markers", 0.01, "7", image=image),), "kalamos test; digits 0123"
    )


def rows_of(path: Path) -> list[dict[str, str]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    openpyxl = pytest.importorskip("openpyxl", reason="kalamos[forms] is not installed")
    header, *rows = openpyxl.load_workbook(path)["forms"].iter_rows(values_only=True)
    return [dict(zip(header, ["" if cell is None else cell for cell in row], strict=True)) for row in rows]


@pytest.mark.parametrize("name", ["table.csv", "table.xlsx"])
def test_a_row_a_form_and_a_column_a_field(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    FilledForms(TEMPLATE, [filled("a.png", "07"), filled("ب.png", "12", "check", note="-3")]).save(path)
    first, second = rows_of(path)
    guard = "'" if name.endswith("csv") else ""
    assert list(first)[:5] == ["scan", "sheet", "status", "student", f"{guard}=note"]
    assert (first["scan"], first["student"], first["status"], first["sheet"]) == ("a.png", "07", "ok", "7")
    assert (second["scan"], second["student"], second["student status"]) == ("ب.png", "12", "check")
    assert second[f"{guard}=note"] == f"{guard}-3"
    assert first["made_by"] == "kalamos test; digits 0123"


@pytest.mark.parametrize("name", ["table.csv", "table.xlsx", "table.jsonl"])
def test_what_is_there_stays_and_is_not_read_again(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    table = FormTable(TEMPLATE, path)
    table.add(filled("a.png", "07", "check", note="-3"))
    table.save()
    again = FormTable(TEMPLATE, path)
    assert again.known_scans == {"a.png"}
    again.add(filled("b.png", "31"))
    again.save()
    third = FormTable(TEMPLATE, path)
    assert third.known_scans == {"a.png", "b.png"}
    if name != "table.jsonl":
        assert [row["student"] for row in rows_of(path)] == ["07", "31"]
        assert [row["=note"] for row in third.kept] == ["-3", ""]
    else:
        said = [json.loads(line) for line in path.read_text().splitlines()]
        assert [form["fields"]["student"]["text"] for form in said] == ["07", "31"]
        assert said[0]["fields"]["student"]["runners_up"] == [["70", 0.1]]


def test_corrections_in_a_csv_stay_as_a_person_wrote_them(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    FilledForms(TEMPLATE, [filled("a.png", "07", "check")]).save(path)
    # A spreadsheet saves with semicolons, and a person puts a number right.
    text = path.read_text("utf-8-sig").replace(",", ";").replace("07", "01")
    path.write_text(text, "utf-8-sig")
    FilledForms(TEMPLATE, [filled("b.png", "31")]).save(path)
    assert [(row["scan"], row["student"]) for row in rows_of(path)] == [("a.png", "01"), ("b.png", "31")]


def test_corrections_in_a_workbook_stay_and_doubtful_cells_are_coloured(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="kalamos[forms] is not installed")
    path = tmp_path / "table.xlsx"
    FilledForms(TEMPLATE, [filled("a.png", "07", "check"), filled("b.png", "12")]).save(path)
    book = openpyxl.load_workbook(path)
    forms = book["forms"]
    assert [forms.cell(row, 4).fill.fgColor.rgb[-6:] for row in (2, 3)] == ["FFE0A3", "000000"]
    assert forms.cell(2, 4).data_type == "s"
    assert [cell.value for cell in book["check"][2]][:3] == ["a.png", "student", "07"]
    assert len(book["check"]._images) == 1
    forms.cell(2, 4).value = "01"
    book.save(path)
    FilledForms(TEMPLATE, [filled("c.png", "45", "check")]).save(path)
    assert [row["student"] for row in rows_of(path)] == ["01", "12", "45"]
    again = openpyxl.load_workbook(path)
    assert [again["check"].cell(row, 1).value for row in (2, 3)] == ["a.png", "c.png"]
    assert len(again["check"]._images) == 2


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("table.csv", "scan,status\na.png,ok\n", "is no table of this form: it has no column 'sheet'"),
        ("table.xlsx", "no workbook", "is no workbook of forms"),
        ("table.jsonl", "{}", "is no JSON Lines of forms"),
        ("table.jsonl", "[" * 100_000, "is no JSON Lines of forms"),
        ("table.doc", "", "are not written as .doc; name it with one of .csv, .xlsx, .jsonl"),
    ],
)
def test_what_is_no_table_of_this_form_is_left_alone(
    tmp_path: Path, name: str, content: str, words: str
) -> None:
    path = tmp_path / name
    path.write_text(content)
    with pytest.raises(UsageError) as caught:
        FormTable(TEMPLATE, path)
    assert words in str(caught.value)
    assert path.read_text() == content


def test_a_form_is_as_good_as_its_worst_part() -> None:
    form = filled("a.png", "07")
    assert form.status == "ok"
    assert filled("a.png", "07", "check").status == "check"
    missing = FilledForm({**form.fields, "extra": FieldReading(None, "missing")}, form.scans)
    assert missing.status == "incomplete"
    absent = FilledForm({}, (Scan("x.png", error=ImageNotFoundError("x.png: not found")),))
    assert (absent.status, absent.problem) == ("error", "x.png: not found")


def test_no_pictures_are_kept_beyond_those_that_are_shown(tmp_path: Path) -> None:
    table = FormTable(TEMPLATE, tmp_path / "table.csv")
    table.add(filled("a.png", "07", "check"))
    assert all(scan.image is None for form in table.forms for scan in form.scans)
    drawn = filled("a.png", "07").render()
    assert drawn.shape == (300, 400, 3)
