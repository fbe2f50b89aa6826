"""What is counted of forms and pages, by readers that know the truth, some of it, or nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from drawn_forms import FilledSheet, box_labels
from drawn_hands import Pen
from drawn_pages import DrawnPage

from forms import (
    FieldAnswer,
    Figure,
    PageAnswer,
    PageTally,
    SheetTally,
    figures_table,
    forms_table,
    matched,
    page_figures,
    pages_table,
    score_pages,
    score_sheet,
    score_sheets,
    sheet_figures,
)
from kalamos.forms.template import Field, FormPage, FormTemplate, row_of_boxes

PEN = Pen("felt", 1.0, 0, 0.0, 1.0, 0.0)
TRUTH = {"number": "123", "name": "A B", "note": "", "letters": "اب", "seen": "yes"}


@pytest.fixture
def sheet() -> FilledSheet:
    def boxes(y: float, count: int) -> dict[str, object]:
        return {"boxes": row_of_boxes(10, y, 10, 10, count=count, step=10)}

    fields = (
        Field("number", **boxes(10, 3)),
        Field("name", **boxes(30, 4)),
        Field("note", **boxes(50, 2)),
        Field("letters", **boxes(70, 3), direction="rtl"),
        Field("seen", **boxes(90, 2), kind="tick", options=("yes", "no")),
    )
    template = FormTemplate("small", (FormPage(100, 120),), fields)
    corners = {each.name: np.zeros((len(each.boxes), 4, 2), np.float32) for each in fields}
    blank = np.full((120, 100), 255, np.uint8)
    return FilledSheet(blank, template, blank, TRUTH, corners, "clean", PEN)


def answers(sheet: FilledSheet, **changed: FieldAnswer) -> Mapping[str, FieldAnswer]:
    """Everything right and ok, except what is given."""
    right = {
        field.name: FieldAnswer(
            sheet.truth[field.name],
            "ok" if sheet.truth[field.name] else "blank",
            box_labels(field, sheet.truth[field.name]),
        )
        for field in sheet.template.fields
    }
    return {**right, **changed}


def test_all_is_right(sheet: FilledSheet) -> None:
    assert score_sheet(sheet, answers(sheet)) == SheetTally(
        sheets=1, characters=7, characters_right=7, blanks=5, ticks=2, ticks_right=2,
        fields=3, fields_right=3, ok=3, blank_fields=1, blank_told=1,
    )  # fmt: skip


def test_an_unregistered_sheet_has_everything_wrong(sheet: FilledSheet) -> None:
    tally = score_sheet(sheet, None)
    assert tally == SheetTally(
        sheets=1, unregistered=1, characters=7, blanks=5, ticks=2, fields=3, blank_fields=1
    )


def test_a_wrong_ok_counts_and_a_wrong_check_does_not(sheet: FilledSheet) -> None:
    wrong = FieldAnswer("173", "ok", ("1", "7", "3"))
    assert score_sheet(sheet, answers(sheet, number=wrong)).ok_wrong == 1
    doubted = dataclasses.replace(wrong, status="check")
    tally = score_sheet(sheet, answers(sheet, number=doubted))
    assert (tally.ok, tally.ok_wrong, tally.fields_right, tally.characters_right) == (2, 0, 2, 6)


def test_something_in_a_blank_box_and_a_reversed_field(sheet: FilledSheet) -> None:
    name = FieldAnswer("AIB", "check", ("A", "I", "B", ""))
    letters = FieldAnswer("با", "ok", ("", "ا", "ب"))
    tally = score_sheet(sheet, answers(sheet, name=name, letters=letters))
    assert (tally.blanks_read, tally.characters_right, tally.ok_wrong) == (1, 5, 1)


def test_ticks_count_box_by_box(sheet: FilledSheet) -> None:
    tally = score_sheet(sheet, answers(sheet, seen=FieldAnswer("yes,no", "check", ("x", "x"))))
    assert (tally.ticks, tally.ticks_right) == (2, 1)


def test_sheets_add_up_and_misread_ones_are_drawn(sheet: FilledSheet, tmp_path: Path) -> None:
    read = iter([answers(sheet), None, answers(sheet, number=FieldAnswer("12", "check", ("1", "2", "")))])
    tally = score_sheets(lambda _: next(read), [sheet] * 3, seen=tmp_path / "seen")
    assert (tally.sheets, tally.unregistered, tally.characters, tally.characters_right) == (3, 1, 21, 13)
    assert sorted(path.name for path in (tmp_path / "seen").iterdir()) == [
        "small-clean-1.png", "small-clean-2.png",
    ]  # fmt: skip


def page(*lines: str) -> DrawnPage:
    """Characters in squares of 10 px, 20 px apart."""
    places = [
        (20 * column, 40 * row)
        for row, line in enumerate(lines)
        for column, character in enumerate(line)
        if character != " "
    ]
    square = np.array([(0, 0), (10, 0), (10, 10), (0, 10)])
    corners = np.array([square + place for place in places], np.float32)
    labels = tuple("".join(lines).replace(" ", ""))
    image = np.full((40 * len(lines), 300), 255, np.uint8)
    return DrawnPage(image, lines, labels, corners, "words", "shadow", PEN)


def told(of: DrawnPage, lines: tuple[str, ...] | None = None, labels: str | None = None) -> PageAnswer:
    boxes = np.hstack([of.corners[:, 0], of.corners[:, 2] - of.corners[:, 0]]).astype(float)
    return PageAnswer(of.lines if lines is None else lines, tuple(labels or of.labels), boxes)


def test_a_page_is_wholly_right() -> None:
    one = page("AB CD", "EF")
    assert score_pages(told, [one, one]) == PageTally(
        pages=2, lines=4, lines_right=4, lines_exact=4, characters=12, found=12, characters_right=12, wholly=2
    )


def test_lines_are_right_without_their_spaces_and_in_order(tmp_path: Path) -> None:
    one = page("AB CD", "EF", "GH")
    tally = score_pages(lambda each: told(each, ("GH", "A BCD", "EF"), "ABCDEFGX"), [one], seen=tmp_path)
    assert (tally.lines_right, tally.lines_exact) == (2, 1)
    assert (tally.found, tally.characters_right, tally.wholly) == (8, 7, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["words-shadow-0.png"]


def test_a_box_is_found_once_and_only_where_it_overlaps() -> None:
    one = page("AB")
    [[left, top, width, height], other] = told(one).boxes
    twice = np.array(
        [[left + 1, top, width, height], [left, top, width, height], [left, top, 3 * width, height]]
    )
    assert matched(one.corners, twice) == [(0, 1)]
    assert matched(one.corners, other[None] + (6, 0, 0, 0)) == []
    assert matched(one.corners, np.zeros((0, 4))) == []


def test_wanted_figures_say_whether_they_were_reached() -> None:
    table = figures_table(
        [
            Figure("good", 999, 1000, 0.993),
            Figure("bad", 5, 1000, 0.001, most=True),
            Figure("nothing measured", 0, 0, 0.5),
            Figure("shown", 1, 2),
        ]
    )
    rows = table.splitlines()[2:]
    assert rows[0].startswith("| good | 1,000 | 99.90% (")
    assert rows[0].endswith("| at least 99.3%: reached |")
    assert rows[1].endswith("| at most 0.1%: **not reached** |")
    assert rows[2].endswith("|  |")
    assert len(rows) == 3


def test_figures_are_summed_over_kinds(sheet: FilledSheet) -> None:
    one = score_sheet(sheet, answers(sheet))
    forms = {("digits", "clean"): one, ("digits", "turned"): one, ("checked", "curved"): one}
    counts = {each.what: (each.hits, each.n) for each in sheet_figures(forms)}
    assert counts["digits in boxes, scans: right"] == (14, 14)
    assert counts["digits in boxes, photographs: right"] == (0, 0)
    assert counts["8 digits with a check digit, photographs: ok"] == (3, 3)
    assert counts["blank boxes read as something, scans"] == (0, 10)
    assert forms_table(forms).count("\n") == 4
    pages = {("spaced digits", "shadow"): score_pages(told, [page("12")])}
    assert next(page_figures(pages)) == Figure("spaced digits, photographed: lines wholly right", 1, 1, 0.95)
    assert pages_table(pages).count("\n") == 2


def test_the_table_has_its_place_in_the_page() -> None:
    text = (Path(__file__).parents[2] / "docs" / "results.md").read_text("utf-8")
    assert text.count("<!-- forms -->") == text.count("<!-- /forms -->") == 1
