"""What a sheet's pages hold, and that the code on a page says it all."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import FormError
from kalamos.forms.layout import PAPERS
from kalamos.sheets import SheetPlan
from kalamos.sheets.plan import PageCode, code_place

NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]), min_size=1)
PLANS = st.builds(
    SheetPlan,
    NAMES.map(lambda name: name[:20]),
    st.lists(NAMES.map(lambda name: name[:8]), min_size=1, max_size=40, unique=True).map(tuple),
    st.integers(1, 37),
    st.sampled_from(["A4", "letter"]),
)


@given(PLANS)
def test_every_label_has_its_boxes_on_all_pages_together(plan: SheetPlan) -> None:
    boxes = [line.label for page in plan.pages for line in page.lines for _ in line.boxes]
    assert boxes == [label for label in plan.labels for _ in range(plan.count)]


@given(PLANS, st.integers(0, 10_000))
def test_a_page_follows_from_its_code(plan: SheetPlan, copy: int) -> None:
    for page in plan.pages:
        code = PageCode.from_text(plan.code(page, copy).to_text())
        assert code is not None
        assert (code.sheet, code.page, code.pages, code.copy) == (plan.id, page.number, len(plan.pages), copy)
        assert code.content is None or (code.content.lines == page.lines and code.content.name == plan.name)


def test_common_alphabets_fit_into_their_codes() -> None:
    for labels in ("abcdefghijklmnopqrstuvwxyz", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي", "ᜀᜁᜂᜊᜃᜇᜄᜑᜎᜋᜈᜅᜉᜐᜆᜏᜌ"):
        for count in (1, 3, 10, 30):
            assert SheetPlan("sheet", tuple(labels), count).describes_itself
    long = tuple(hashlib.sha256(bytes([n])).hexdigest()[:50] for n in range(40))
    assert not SheetPlan("sheet", long, 1).describes_itself


@pytest.mark.parametrize("paper", list(PAPERS))
@pytest.mark.parametrize("count", [1, 3, 10, 11, 25])
def test_nothing_on_a_page_lies_over_anything_else(paper: str, count: int) -> None:
    plan = SheetPlan("sheet", tuple(map(chr, range(0x4E00, 0x4E00 + 90))), count, paper)  # type: ignore[arg-type]
    width, height = PAPERS[plan.paper]
    page = plan.pages[0]
    things = [box for line in page.lines for box in (line.place, *line.boxes)]
    things += [code_place(plan.paper)]
    things += [type(things[0])(m.x, m.y, m.size, m.size) for m in page.template.pages[0].markers]
    for number, one in enumerate(things):
        assert one.x >= 6
        assert one.y >= 6
        assert one.x + one.width <= width - 6
        assert one.y + one.height <= height - 6
        for other in things[number + 1 :]:
            apart_x = one.x + one.width <= other.x or other.x + other.width <= one.x
            assert apart_x or one.y + one.height <= other.y or other.y + other.height <= one.y


@pytest.mark.parametrize(
    "text",
    [
        "",
        "kalamos:exam:1:1",
        "KALAMOS-SHEET/1",
        "KALAMOS-SHEET/2/00000000/1/1/1",
        "KALAMOS-SHEET/1/00000000/x/1/1",
        "KALAMOS-SHEET/1/00000000/1/1/1/A4/10/!!!!",
        "KALAMOS-SHEET/1/00000000/1/1/1/A5/10/GA",
    ],
)
def test_other_codes_are_none(text: str) -> None:
    assert PageCode.from_text(text) is None


def test_a_sheet_s_file_says_the_sheet(tmp_path: Path) -> None:
    plan = SheetPlan('"quoted" \\ name', ("\\", '"', "ß", "#", "E:I"), 7, "letter")
    plan.save(tmp_path / "sheet.toml")
    assert SheetPlan.load(tmp_path / "sheet.toml") == plan


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("format = 1", "is no sheet of format 1"),
        ('format = 1\nname = "a"\nlabels = []', "a sheet without labels"),
        ('format = 1\nname = "a"\nlabels = ["a", "a"]', "comes twice"),
        ('format = 1\nname = "a"\nlabels = [3]', "3 is no label"),
        ('format = 1\nname = "a"\ncount = 0\nlabels = ["a"]', "0 boxes a label"),
        ('format = 1\nname = "a"\npaper = "A5"\nlabels = ["a"]', "there is no paper 'A5'"),
        ("format = ", "is not TOML"),
    ],
)
def test_a_file_that_says_no_sheet(content: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "sheet.toml").write_text(content, encoding="utf-8")
    with pytest.raises(FormError, match=said):
        SheetPlan.load(tmp_path / "sheet.toml")


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(FormError, match="cannot be read"):
        SheetPlan.load(tmp_path / "sheet.toml")
