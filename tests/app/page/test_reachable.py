"""What one needs is where one looks, in a real Chromium: on a phone, and with the keyboard alone."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
from tests.app.page_helpers import GRADIO_WARNINGS, SEVEN, Open, draw, give, tab

if TYPE_CHECKING:
    from playwright.sync_api import Locator

pytestmark = GRADIO_WARNINGS


PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
TABS = ["Read one", "Look inside", "Read a page or form", "Read a folder", "Check and teach", "My alphabet"]


def is_in_view(found: Locator) -> bool:
    """Whether all of it can be seen without scrolling."""
    box, page = found.bounding_box(), found.page
    return box is not None and page.evaluate(
        "([x, y, w, h]) => x >= 0 && y >= 0 && x + w <= innerWidth && y + h <= innerHeight",
        [box["x"], box["y"], box["width"], box["height"]],
    )


@pytest.mark.parametrize("width", [390, 360, 320])
def test_six_tabs_and_the_answer_are_seen_on_a_phone_without_scrolling(open_page: Open, width: int) -> None:
    page = open_page(**PHONE | {"viewport": {"width": width, "height": 844}})
    shown = page.locator("#tabs > .tab-wrapper [role=tablist] [role=tab]")
    page.wait_for_function(
        "document.querySelectorAll('#tabs > .tab-wrapper [role=tablist] [role=tab]').length === 6"
    )
    assert shown.all_inner_texts() == TABS
    assert all(is_in_view(each) for each in shown.all())
    draw(page, SEVEN)
    page.locator("#answer .glyph").filter(has_text="7").wait_for()
    assert page.evaluate("scrollY") == 0
    for part in (".glyph", ".verdict", ".bars tr:nth-child(2)"):
        assert is_in_view(page.locator(f"#answer {part}")), part
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_tab_key_passes_lists_without_opening_them(open_page: Open) -> None:
    page = open_page()
    lists = page.locator("[role=listbox]")
    model = page.locator("#model input")
    page.keyboard.press("Tab")
    assert model.evaluate("input => input === document.activeElement")
    page.wait_for_timeout(300)
    assert lists.count() == 0
    page.keyboard.press("Tab")
    assert page.get_by_role("tab", name="Read one").evaluate("tab => tab === document.activeElement")
    page.wait_for_timeout(300)
    assert lists.count() == 0
    page.keyboard.press("Shift+Tab")
    page.wait_for_timeout(300)
    assert lists.count() == 0
    # It opens when one asks for it: by key, and by a click although it has the focus already.
    page.keyboard.press("ArrowDown")
    lists.wait_for()
    page.keyboard.press("Escape")
    lists.wait_for(state="hidden")
    model.click()
    lists.wait_for()
    assert [each.get_attribute("aria-label") for each in page.get_by_role("option").all()] == [
        "digits: 0-9",
        "arabic: 28 letters",
    ]
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.locator("#about").filter(has_text="Reads 28 characters").wait_for()
    assert model.input_value() == "arabic: 28 letters"


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_what_is_wrong_with_a_model_file_is_said_where_it_was_given(
    open_page: Open, options: dict[str, object]
) -> None:
    page = open_page(**options)
    tab(page, "Read a folder")
    page.get_by_text("Use a model file of your own").click()
    give(page, "#model-file", "no.onnx", b"no model")
    said = page.get_by_role("alert").filter(has_text=re.compile("no.onnx: not an ONNX model"))
    said.wait_for()
    assert said.count() == 1
    page.wait_for_timeout(500)
    assert is_in_view(said)
    # It can be given again, and the model chosen is the one before.
    assert page.locator("#model-file input[type=file]").count() == 1
    assert page.locator("#model input").input_value() == "digits: 0-9"
