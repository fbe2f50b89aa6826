"""Pages and forms in a real Chromium: boxes over the picture, the queue by keyboard, the tables."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.app.form_helpers import exam, filled, line_of
from tests.app.page_helpers import GRADIO_WARNINGS, Open, tab, wait

from kalamos.finetune.corrections import Corrections

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = GRADIO_WARNINGS


def read(page: Page, *contents: bytes, kind: str | None = None) -> None:
    """Read pictures under the tab for pages, as what they are said to be."""
    tab(page, "Read a page or form")
    if kind is not None:
        page.locator("#page-kind input").click()
        page.get_by_role("option", name=kind, exact=True).click()
    page.locator("#page-files input[type=file]").set_input_files(
        [
            {"name": f"{place}.png", "mimeType": "image/png", "buffer": content}
            for place, content in enumerate(contents, 1)
        ]
    )
    page.locator("#page-viewer .viewer-picture polygon").first.wait_for()


def box(page: Page, name: str) -> Locator:
    """A box over the picture, by how its name begins."""
    return page.locator(f'#page-viewer polygon[aria-label^="{name}:"]')


def has_label(page: Page, name: str, label: str) -> None:
    """Wait until a box is called so."""
    page.locator(f'#page-viewer polygon[aria-label^="{name}: {label}"]').wait_for()


def downloaded(page: Page, kind: str) -> bytes:
    """The table, as the button for this kind gives it."""
    with page.expect_download() as download:
        page.locator(f"#page-{kind}").click()
    return Path(download.value.path()).read_bytes()


def rows(content: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))


def queue_shows(page: Page, place: str, text: str) -> None:
    """Wait until the queue is at a place, with this text in its field."""
    wait(page, "#page-queue .queue-said", re.compile(rf"^{place}\b"))
    page.wait_for_function(
        "text => document.querySelector('#page-queue .queue-item input').value === text", arg=text
    )


def test_boxes_are_put_right_by_mouse_and_by_key_and_the_table_says_so(
    open_page: Open, corrections: Path
) -> None:
    page = open_page()
    read(page, line_of("47253"))
    wait(page, "#page-text pre", "47253")
    box(page, "line 1, character 2").click()
    said = page.locator("#page-viewer .viewer-said")
    said.filter(has_text="line 1, character 2: 7").wait_for()
    candidates = page.locator("#page-viewer .viewer-candidates button")
    assert candidates.count() == 5
    # A candidate, by a click; the keys go on from there.
    other = candidates.nth(1)
    label = other.locator("bdi").inner_text()
    other.click()
    has_label(page, "line 1, character 2", f"{label}, by you")
    wait(page, "#page-text pre", f"4{label}253")
    box(page, "line 1, character 2").press("ArrowRight")
    page.keyboard.press("8")
    page.keyboard.press("9")
    wait(page, "#page-text pre", f"4{label}893")
    assert page.evaluate("document.activeElement.getAttribute('aria-label')").startswith(
        "line 1, character 5"
    )
    page.keyboard.press("Delete")
    has_label(page, "line 1, character 5", "not a character")
    page.keyboard.press("Backspace")
    has_label(page, "line 1, character 5", "3,")
    wait(page, "#page-summary", "3 corrected by you")
    table = rows(downloaded(page, "csv"))
    assert [row["label"] for row in table] == ["4", label, "8", "9", "3"]
    assert [row["checked"] for row in table] == ["no", "yes", "yes", "yes", "no"]
    assert [(each.label, each.guess) for each in Corrections(corrections / "digits")] == [
        (label, "7"),
        ("8", "2"),
        ("9", "5"),
    ]
    # It is there after the page is loaded again, and counts as examples to teach from.
    page.reload()
    tab(page, "Read a page or form")
    has_label(page, "line 1, character 3", "8, by you")
    tab(page, "Check and teach")
    wait(page, "#examples", "× 1")


def test_a_label_that_the_model_lacks_is_typed_and_asked_about(open_page: Open, corrections: Path) -> None:
    page = open_page()
    read(page, line_of("472"))
    before = len(Corrections(corrections / "digits"))
    box(page, "line 1, character 1").click()
    page.locator("#page-viewer input").fill("لا")
    page.keyboard.press("Enter")
    wait(page, "#page-question", "The model has no 'لا'")
    wait(page, "#page-text pre", "لا72")
    assert len(Corrections(corrections / "digits")) == before
    page.locator("#page-question-keep").click()
    page.locator("#page-question").wait_for(state="hidden")
    assert list(Corrections(corrections / "digits"))[-1].label == "لا"
    page.locator("#page-viewer [data-do=reset]").click()
    wait(page, "#page-text pre", "472")
    assert len(Corrections(corrections / "digits")) == before


def test_a_queue_is_gone_through_by_keyboard_and_written_into_the_table(
    open_page: Open, corrections: Path
) -> None:
    page = open_page()
    # 97 and 88 break the field's pattern; the second has nothing ticked: at least three fields to check.
    scans = [
        filled(exam(), {"student": "4725", "mark": "97", "passed": "no"}),
        filled(exam(), {"student": "1860", "mark": "88"}),
        filled(exam(), {"student": "2040", "mark": "31", "passed": "yes"}),
    ]
    read(page, *scans, kind="Form: exam")
    before = len(Corrections(corrections / "digits"))
    title = wait(page, "#page-queue .queue-title", "Fields to check:")
    count = int(title.rpartition(" ")[2])
    field = page.locator("#page-queue .queue-name b")
    page.locator("#page-queue .queue-item input").focus()
    names = []
    for place in range(1, count + 1):
        wait(page, "#page-queue .queue-said", re.compile(rf"^{place} of {count}"))
        names.append((page.locator("#page-queue .queue-name span").inner_text(), field.inner_text()))
        page.wait_for_function("document.querySelector('#page-queue .queue-item img').naturalWidth > 40")
        page.keyboard.press("ArrowDown")
    first, second = names.index(("in 1.png", "mark")), names.index(("in 2.png", "mark"))
    wait(page, "#page-queue .queue-said", f"{count} before it are not checked")
    # Back to the first mark: the field's text is selected, so that typing replaces it.
    for _ in range(count - first):
        page.keyboard.press("ArrowUp")
    queue_shows(page, str(first + 1), "97")
    page.keyboard.type("49")
    page.keyboard.press("Enter")
    wait(page, "#page-queue .queue-title", f"Fields to check: {count - 1}")
    for _ in range(second - first - 1):
        page.keyboard.press("ArrowDown")
    queue_shows(page, str(second + 1), "88")
    # What breaks the rule is said, and kept if one says it again.
    page.keyboard.type("89")
    page.keyboard.press("Enter")
    wait(page, "#page-queue [role=alert]", "it breaks the field's rule")
    queue_shows(page, str(second + 1), "89")
    page.keyboard.press("Enter")
    wait(page, "#page-queue .queue-title", f"Fields to check: {count - 2}")
    wait(page, "#page-summary", "2 fields checked by you")
    table = rows(downloaded(page, "csv"))
    assert [row["mark"] for row in table] == ["49", "89", "31"]
    assert [row["mark status"] for row in table] == ["ok", "ok", table[2]["mark status"]]
    assert table[0]["made_by"].endswith("checked by a person: mark")
    kept = list(Corrections(corrections / "digits"))[before:]
    assert [(each.label, each.guess) for each in kept] == [("4", "9"), ("9", "7"), ("9", "8")]
    # The picture has the new text too, and the whole form is shown when asked for.
    has_label(page, "mark, box 1", "4, by you")
    page.keyboard.press("ArrowUp")
    page.locator("#page-queue [data-do=show]").click()
    page.locator('#page-viewer svg[aria-label^="2.png"]').wait_for()
    wait(page, "#page-text .sheet", "checked by you")


def test_forms_as_a_workbook(open_page: Open) -> None:
    openpyxl = pytest.importorskip("openpyxl", reason="needs the extra 'forms'")
    page = open_page()
    read(page, filled(exam(), {"student": "4725", "mark": "97"}), kind="Form: exam")
    book = openpyxl.load_workbook(io.BytesIO(downloaded(page, "xlsx")))
    header, first = list(book["forms"].iter_rows(values_only=True))
    assert dict(zip(header, first, strict=True))["mark"] == "97"
    assert len(book["check"]._images) >= 1
