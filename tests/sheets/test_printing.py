"""Printed sheets: what is on paper lies where the plan says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.sheets.pages import MM, PLAN, printed, save

from kalamos.errors import FormError, OutputError
from kalamos.forms import drawing
from kalamos.sheets import Caption, SheetPlan, print_plan


def test_boxes_are_where_the_plan_has_them_and_labels_are_grey_beside_them() -> None:
    page = printed()
    for line in PLAN.pages[0].lines:
        for box in line.boxes:
            left, top, right, bottom = (
                round(side * MM) for side in (box.x, box.y, box.x + box.width, box.y + box.height)
            )
            assert page[top + 4 : bottom - 4, left + 4 : right - 4].min() == 255
            assert page[top + 20, left - 2 : left + 3].min() < 120
            assert page[bottom - 2 : bottom + 3, left + 20].min() < 120
        x, y, width, height = (round(side * MM) for side in line.place)
        label = page[y : y + height, x : x + width]
        assert 110 < label.min() < 150


def test_the_same_sheet_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.pdf", "b.pdf"):
        print_plan(PLAN, tmp_path / name)
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_what_no_font_has_is_shown_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "font_for", lambda needed: None)
    plan = SheetPlan("sheet", ("ᜊ", "b"), 2)
    assert print_plan(plan, tmp_path / "sheet.pdf") == ("ᜊ",)


def test_a_picture_is_shown_instead(tmp_path: Path) -> None:
    save(tmp_path / "ka.png", np.tile(np.arange(0, 250, 10, dtype=np.uint8), (25, 1)))
    captions = {"ka": Caption(picture=tmp_path / "ka.png")}
    print_plan(SheetPlan("sheet", ("ka",), 2), tmp_path / "sheet.pdf", captions=captions)
    plain = tmp_path / "plain.pdf"
    print_plan(SheetPlan("sheet", ("ka",), 2), plain)
    assert (tmp_path / "sheet.pdf").read_bytes() != plain.read_bytes()
    captions = {"ka": Caption(picture=tmp_path / "none.png")}
    with pytest.raises(FormError, match="the picture of a label"):
        print_plan(SheetPlan("sheet", ("ka",), 2), plain, captions=captions)


@pytest.mark.parametrize(("copies", "first"), [(0, 1), (10_001, 1), (1, -1)])
def test_copies_out_of_range(copies: int, first: int, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="copies"):
        print_plan(PLAN, tmp_path / "sheet.pdf", copies=copies, first=first)
