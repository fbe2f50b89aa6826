from __future__ import annotations

import csv
import io
import json

import pyarrow.parquet
import pytest

from kalamos.app.page.exporting import export
from kalamos.app.page.sheet import CONFIDENCE_BINS, Row, Sheet
from kalamos.app.page.table import ROWS_PER_PAGE, pages, table_html
from kalamos.errors import CorruptImageError, NoInkError, UsageError
from kalamos.predictions import Candidate, Prediction


def _row(index: int, label: str | None, sure: float | None = None, **named: object) -> Row:
    top = () if sure is None else (Candidate(label or "7", sure),)
    return Row(index, Prediction(label, sure, top, f"{index}.png", **named), "", None)  # type: ignore[arg-type]


@pytest.fixture
def sheet() -> Sheet:
    return Sheet(
        "digits",
        ("1", "7"),
        [
            _row(0, "7", 0.9),
            _row(1, None, error=NoInkError("blank")),
            _row(2, "1", 1.0),
            _row(3, None, 0.4, abstained=True),
            _row(4, "7", 0.5),
        ],
    )


def test_the_least_sure_come_first_and_errors_before_them(sheet: Sheet) -> None:
    assert [row.index for row in sheet.view()] == [1, 3, 4, 0, 2]
    assert [row.index for row in sheet.view("Most sure first")] == [2, 0, 4, 3, 1]
    assert [row.index for row in sheet.view("By name")] == [0, 1, 2, 3, 4]


def test_filters(sheet: Sheet) -> None:
    assert [row.index for row in sheet.view(shown="Errors")] == [1]
    assert [row.index for row in sheet.view(shown="Not sure enough")] == [3]
    assert [row.index for row in sheet.view(label="7")] == [4, 0]
    sheet.checked[2] = "7"
    assert [row.index for row in sheet.view(shown="Checked")] == [2]
    assert [row.index for row in sheet.view(label="7")] == [4, 0, 2]
    with pytest.raises(UsageError, match="Error"):
        sheet.view(shown="Error")


def test_only_what_can_be_seen_is_to_be_checked(sheet: Sheet) -> None:
    assert [row.index for row in sheet.doubtful()] == [3, 4, 0, 2]


def test_counts_and_histogram(sheet: Sheet) -> None:
    assert sheet.counts() == {"7": 2, "1": 1}
    bins = sheet.histogram()
    assert len(bins) == CONFIDENCE_BINS
    assert sum(bins) == 4
    assert bins[4] == bins[5] == 1
    assert bins[9] == 2


def test_an_export_has_the_labels_that_people_gave_and_says_which(sheet: Sheet) -> None:
    before = export(sheet, "csv").decode().splitlines()
    assert before[0] == "path,label,confidence,abstained,error,top1,top1_confidence,top2,top2_confidence"
    assert before[4].startswith("3.png,,0.400000,true,")
    sheet.checked |= {0: "7", 3: "ط", 4: None}
    after = export(sheet, "csv").decode().splitlines()
    assert after[0] == f"{before[0]},checked"
    assert after[1] == f"{before[1]},yes"  # agreed to
    assert after[4].startswith("3.png,ط,0.400000,false,")
    assert [row["checked"] for row in csv.DictReader(after)] == ["yes", "no", "no", "yes", "yes"]
    assert after[5] == "4.png,,,false,not a character: a person looked at it,,,,,yes"
    assert [after[at] for at in (2, 3)] == [f"{before[at]},no" for at in (2, 3)]
    rows = json.loads(export(sheet, "json"))
    assert [row["checked"] for row in rows] == [True, False, False, True, True]
    assert [row["label"] for row in rows] == ["7", None, "1", "ط", None]
    table = pyarrow.parquet.read_table(io.BytesIO(export(sheet, "parquet")))
    assert table.column("checked").to_pylist() == [True, False, False, True, True]
    assert table.column("label").to_pylist() == ["7", None, "1", "ط", None]
    with pytest.raises(UsageError):
        export(sheet, "xlsx")


def test_a_column_more_goes_by_rows_however_many_lines_they_have(sheet: Sheet) -> None:
    sheet.rows[0] = Row(0, Prediction("7", 0.9, path='a\n"b",c\r.png'), "", None)
    sheet.checked[0] = "1"
    rows = list(csv.DictReader(io.StringIO(export(sheet, "csv").decode(), newline="")))
    assert len(rows) == 5
    assert (rows[0]["label"], rows[0]["checked"]) == ("1", "yes")


def test_counts_filters_and_the_table_go_by_what_people_said(sheet: Sheet) -> None:
    sheet.checked |= {0: "1", 2: "1", 3: None}
    assert sheet.counts() == {"1": 2, "7": 1}
    assert sheet.corrected == 2
    assert [row.index for row in sheet.view(shown="Corrected")] == [3, 0]
    assert [row.index for row in sheet.view(label="1")] == [0, 2]
    shown = table_html(sheet, sheet.view("By name"))
    assert shown.count("corrected</span> <small>the model read <bdi>7</bdi>") == 2
    assert shown.count(">checked<") == 1
    assert shown.count(">not a character<") == 1


def test_the_table_shows_a_page_and_escapes_names(sheet: Sheet) -> None:
    evil = Row(5, Prediction("<b>", 0.3, (), "<script>\udce9.png", CorruptImageError("<i>")), "", None)
    shown = table_html(sheet, [*sheet.rows, evil])
    assert shown.count("<tr>") == 7
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "<b>" not in shown
    shown.encode()
    many = [sheet.rows[0]] * (ROWS_PER_PAGE + 1)
    assert pages(many) == 2
    assert table_html(sheet, many, 2).count("<tr>") == 2
    assert table_html(sheet, many, 99) == table_html(sheet, many, 2)
    assert pages([]) == 1
    assert "No image" in table_html(sheet, [])
