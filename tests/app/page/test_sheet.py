from __future__ import annotations

import json

import pytest

from kalamos.app.page.sheet import BINS, Row, Sheet
from kalamos.app.page.table import PAGE_ROWS, pages, table_html
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
    assert len(bins) == BINS
    assert sum(bins) == 4
    assert bins[4] == bins[5] == 1
    assert bins[9] == 2


def test_an_export_has_the_labels_that_people_gave(sheet: Sheet) -> None:
    before = sheet.export("csv").decode().splitlines()
    assert before[0] == "path,label,confidence,abstained,error,top1,top1_confidence,top2,top2_confidence"
    assert before[4].startswith("3.png,,0.400000,true,")
    sheet.checked[3] = "ط"
    after = sheet.export("csv").decode().splitlines()
    assert after[4].startswith("3.png,ط,0.400000,false,")
    assert [a for a, b in zip(after, before, strict=True) if a != b] == [after[4]]
    assert json.loads(sheet.export("json"))[3]["label"] == "ط"
    assert sheet.export("parquet")[:4] == b"PAR1"
    with pytest.raises(UsageError):
        sheet.export("xlsx")


def test_the_table_shows_a_page_and_escapes_names(sheet: Sheet) -> None:
    evil = Row(5, Prediction("<b>", 0.3, (), "<script>\udce9.png", CorruptImageError("<i>")), "", None)
    shown = table_html(sheet, [*sheet.rows, evil])
    assert shown.count("<tr>") == 7
    assert "<script>" not in shown
    assert "<i>" not in shown
    assert "<b>" not in shown
    shown.encode()
    many = [sheet.rows[0]] * (PAGE_ROWS + 1)
    assert pages(many) == 2
    assert table_html(sheet, many, 2).count("<tr>") == 2
    assert table_html(sheet, many, 99) == table_html(sheet, many, 2)
    assert pages([]) == 1
    assert "No image" in table_html(sheet, [])
