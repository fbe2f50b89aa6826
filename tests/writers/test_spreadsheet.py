"""Workbooks hold the rows as what they are, for a spreadsheet to open: read back with openpyxl."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalamos.errors import MissingExtraError, NoInkError
from kalamos.predictions import Candidate, Prediction
from kalamos.writers import open_writer, spreadsheet
from kalamos.writers.spreadsheet import COLOURS, MAX_CELL_CHARACTERS, sheet_text

openpyxl = pytest.importorskip("openpyxl")

ANYTHING = st.text(st.characters(exclude_categories=[]))


def workbook(predictions: Iterable[Prediction], *, top_k: int = 1, columns: Iterable[str] = ()) -> Any:
    sink = io.BytesIO()
    with open_writer("xlsx", sink, labels=(), top_k=top_k, columns=list(columns)) as writer:
        for prediction in predictions:
            writer.write(prediction)
    return openpyxl.load_workbook(sink)


def test_the_rows_are_those_of_jsonl(write: Callable[..., bytes], five: list[Prediction]) -> None:
    book = openpyxl.load_workbook(io.BytesIO(write("xlsx", five)))
    names, *rows = book.active.values
    assert names == (
        *("path", "label", "confidence", "abstained", "error"),
        *("top1", "top1_confidence", "top2", "top2_confidence"),
    )
    for row, line in zip(rows, write("jsonl", five).splitlines(), strict=True):
        expected = json.loads(line)
        top = [each for candidate in expected.pop("top") for each in candidate.values()]
        assert row == (*expected.values(), *top, *[None] * (4 - len(top)))
        assert isinstance(row[1], str | None)
        assert isinstance(row[2], float | int | None)
        assert isinstance(row[3], bool)


def test_optional_columns() -> None:
    row = Prediction("7", 0.75, (), path="7.png", known=0.98765432, removed=0.1, reason=None)
    told = Prediction(None, 0.9, (), known=0.01, abstained=True, reason="not a character")
    names, first, second = workbook([row, told], columns=["known", "removed", "reason"]).active.values
    assert names[:6] == ("path", "label", "confidence", "known", "removed", "reason")
    assert first[3:6] == (0.987654, 0.1, None)
    assert second[3:6] == (0.01, None, "not a character")


@pytest.mark.parametrize(
    "text",
    ["=1+1", "=HYPERLINK(A1)", "007", "1E5", "+1", "-1", "@x", "#N/A", "TRUE", "=", "2026-11-29", " 7 "],
)
def test_text_is_text_whatever_it_looks_like(text: str) -> None:
    sheet = workbook([Prediction(text, 0.9, (Candidate(text, 0.9),), path=text)]).active
    for cell in (sheet["A2"], sheet["B2"], sheet["F2"]):
        assert cell.value == text
        assert cell.data_type == "s"
        assert cell.number_format == "@"  # what someone types there is text, too
    assert sheet["C2"].number_format == "0.0%"


def test_the_names_stay_in_sight_and_columns_are_as_wide_as_is_usual() -> None:
    sheet = workbook([Prediction("7", 0.9, path="a.png")] * 3, top_k=1).active
    assert sheet.freeze_panes == "A2"
    assert sheet.auto_filter.ref == "A1:G4"
    assert all(cell.font.bold for cell in sheet[1])
    assert sheet.column_dimensions["A"].width > 30 > sheet.column_dimensions["B"].width
    assert sheet.column_dimensions["E"].width > 30


def test_doubtful_rows_are_coloured(five: list[Prediction]) -> None:
    sure, abstained, failed, unsure, _ = five
    sheet = workbook([sure, abstained, failed, unsure, sure]).active
    kinds = ["none", "abstained", "failed", "unsure", "none"]
    for row, kind in zip(sheet.iter_rows(min_row=2), kinds, strict=True):
        for cell in row:
            colour = cell.fill.start_color.rgb[2:] if cell.fill.fill_type else None
            assert colour == COLOURS.get(kind), (kind, cell.coordinate)
    assert sheet["E4"].value == "nothing is written on it"
    edges = [Prediction("7", share) for share in (0.79999, 0.8)]
    sheet = workbook(edges).active
    assert [bool(sheet[f"A{row}"].fill.fill_type) for row in (2, 3)] == [True, False]


def test_what_xml_cannot_hold_is_shown() -> None:
    path = "a\x00\x1b[31m\x9b\u202egnp\udcff\ufffe\r\n\t.png"
    sheet = workbook([Prediction("7", 0.9, path=path)]).active
    assert sheet["A2"].value == "a\\x00\\x1b[31m\\u009b\\u202egnp\\xff\ufffd\\r\n\t.png"


def test_what_a_spreadsheet_takes_for_a_code_is_escaped() -> None:
    assert sheet_text("_x0041_ _x41_ _xZZZZ_ _x005f_") == "_x005F_x0041_ _x41_ _xZZZZ_ _x005F_x005f_"


def test_a_text_too_long_for_a_cell_is_cut() -> None:
    long = "x" * 40_000
    sheet = workbook([Prediction(None, None, path=long, error=NoInkError("\U0001f600" * 20_000))]).active
    assert sheet["A2"].value == "x" * (MAX_CELL_CHARACTERS - 1) + "…"
    assert len(sheet["E2"].value.encode("utf-16-le")) // 2 in {MAX_CELL_CHARACTERS - 1, MAX_CELL_CHARACTERS}
    exact = "x" * MAX_CELL_CHARACTERS
    assert sheet_text(exact) == exact


def test_numbers_that_a_cell_cannot_hold_are_none() -> None:
    [_, row] = workbook([Prediction("7", float("nan"), (Candidate("7", float("inf")),))]).active.values
    assert (row[2], row[-1]) == (None, None)


def test_more_rows_than_a_sheet_holds_go_on_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spreadsheet, "MAX_SHEET_ROWS", 4)
    book = workbook([Prediction("7", 0.5, path=str(number)) for number in range(7)])
    assert book.sheetnames == ["predictions", "predictions 2", "predictions 3"]
    for sheet, count in zip(book, (3, 3, 1), strict=True):
        names, *rows = sheet.values
        assert names[0] == "path"
        assert len(rows) == count
        assert sheet.auto_filter.ref == f"A1:G{count + 1}"
        assert sheet.freeze_panes == "A2"
    assert [row[0] for sheet in book for row in list(sheet.values)[1:]] == [
        str(number) for number in range(7)
    ]


def test_no_rows() -> None:
    [names] = workbook([]).active.values
    assert names[0] == "path"


def test_a_block_that_fails_leaves_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sink = io.BytesIO()
    writer = open_writer("xlsx", sink, labels="7", top_k=1)
    with pytest.raises(KeyboardInterrupt), writer:  # noqa: PT012 - the block is what is tested
        writer.write(Prediction("7", 1.0))
        assert list(tmp_path.iterdir()) != []
        raise KeyboardInterrupt
    assert sink.getvalue() == b""
    assert list(tmp_path.iterdir()) == []
    workbook([Prediction("7", 1.0)])
    assert list(tmp_path.iterdir()) == []


def test_the_parts_are_sound_xml() -> None:
    sink = io.BytesIO()
    with open_writer("xlsx", sink, labels="7", top_k=1) as writer:
        writer.write(Prediction("<&>\"'", 0.5, path="]]>.png", error=None))
    with zipfile.ZipFile(sink) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            ET.fromstring(archive.read(name))  # noqa: S314  (our own)
        assert "kalamos" in archive.read("docProps/core.xml").decode()


def test_without_openpyxl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"needs openpyxl; .*pip install 'kalamos\[forms\]'"):
        open_writer("xlsx", io.BytesIO(), labels="7", top_k=1)


def test_importing_the_writers_does_not_import_openpyxl() -> None:
    program = "import sys, kalamos.results, kalamos.cli; sys.exit('openpyxl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@settings(max_examples=40)
@given(st.lists(st.tuples(ANYTHING, ANYTHING, ANYTHING, st.floats(0, 1)), max_size=5))
def test_round_trip(rows: list[tuple[str, str, str, float]]) -> None:
    predictions = [
        Prediction(label, share, (Candidate(label, share),), path, NoInkError(problem))
        for path, label, problem, share in rows
    ]
    [_, *read] = workbook(predictions).active.values
    for (path, label, problem, share), row in zip(rows, read, strict=True):
        texts = [sheet_text(text) or None for text in (path, label, problem, label)]
        assert [row[0], row[1], row[4], row[5]] == texts
        assert row[2] == row[6] == round(share, 6)


@given(ANYTHING)
def test_every_text_can_be_held_and_most_stay_as_they_are(text: str) -> None:
    shown = sheet_text(text)
    ET.fromstring(f"<a>{shown.translate({38: None, 60: None, 62: None})}</a>")  # noqa: S314  (our own)
    if text.isprintable() and "_x" not in text:
        assert shown == text
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", shown)
