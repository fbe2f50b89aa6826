"""What is corrected shows in table, plots and downloads, and slips are asked about, in a real Chromium."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.app.page_helpers import GRADIO_WARNINGS, Open, read_zip, tab, type_label, zip_of

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = GRADIO_WARNINGS


def downloaded(page: Page, form: str) -> bytes:
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Download {form}").click()
    return Path(download.value.path()).read_bytes()


def test_table_plots_and_downloads_have_the_corrected_labels(open_page: Open) -> None:
    page = open_page()
    read_zip(page, zip_of("0123"))
    assert "corrected" not in page.locator("#table").inner_text()
    tab(page, "Check and teach")
    first = page.locator("#item figcaption").inner_text()
    type_label(page, "9")
    page.locator("#item").get_by_text("1 checked").wait_for()
    second = page.locator("#item figcaption").inner_text()
    page.get_by_role("button", name="Accept").click()
    page.locator("#item").get_by_text("2 checked").wait_for()
    third = page.locator("#item figcaption").inner_text()
    page.get_by_role("button", name="Not a character").first.click()
    page.locator("#item").get_by_text("3 checked").wait_for()

    tab(page, "Read a folder")
    page.locator("#summary").get_by_text("2 corrected by you").wait_for()
    rows = {row.locator("td").nth(3).inner_text(): row for row in page.locator("#table tbody tr").all()}
    assert rows[first].locator(".label").inner_text() == "9"
    assert f"corrected the model read {first[0]}" in rows[first].inner_text().replace("\n", " ")
    assert "checked" in rows[second].inner_text()
    assert "not a character" in rows[third].inner_text()
    labels = page.locator("#labels-plot")
    labels.get_by_text("How often each occurs, as corrected").wait_for()
    columns = {each.locator("bdi").inner_text(): each for each in labels.locator("li").all()}
    untouched = ({"0", "1", "2", "3"} - {first[0], second[0], third[0]}).pop()
    assert columns.keys() == {"9", second[0], untouched}
    assert {each.locator(".count").inner_text() for each in columns.values()} == {"1"}

    table = {row["path"]: row for row in csv.DictReader(io.StringIO(downloaded(page, "CSV").decode()))}
    assert (table[first]["label"], table[first]["checked"]) == ("9", "yes")
    assert table[first]["top1"] == first[0]
    assert (table[second]["label"], table[second]["checked"]) == (second[0], "yes")
    assert (table[third]["label"], table[third]["checked"]) == ("", "yes")
    assert table[third]["error"].startswith("not a character")
    assert sorted(row["checked"] for row in table.values()) == ["no", "yes", "yes", "yes"]
    objects = {each["path"]: each for each in json.loads(downloaded(page, "JSON"))}
    assert (objects[first]["label"], objects[first]["checked"]) == ("9", True)
    assert downloaded(page, "Parquet")[:4] == b"PAR1"


def test_what_the_model_lacks_is_asked_about(open_page: Open, corrections: Path) -> None:
    page = open_page()
    read_zip(page, zip_of("456"))
    tab(page, "Check and teach")
    page.locator("#item .item").wait_for()
    before = len(list(corrections.rglob("*.png")))
    kept_apart = set(corrections.rglob(".not-characters/*.png"))
    asked = page.locator("#review-question-text")
    type_label(page, "Q")
    asked.get_by_text("The model has no 'Q': keep it as a new character?").wait_for()
    page.get_by_role("button", name="Cancel").click()
    asked.wait_for(state="hidden")
    type_label(page, "12")
    asked.get_by_text("which is 2 characters, not one").wait_for()
    assert len(list(corrections.rglob("*.png"))) == before
    assert "0 checked" in page.locator("#item").inner_text()
    page.locator("#review-question-nothing").click()
    page.locator("#item").get_by_text("1 checked").wait_for()
    asked.wait_for(state="hidden")
    [apart] = set((corrections / "digits" / ".not-characters").glob("*.png")) - kept_apart
    page.get_by_text("Not characters: 1, kept apart").wait_for()
    # Spaces are no label, and not the guess either, which nothing at all accepts.
    type_label(page, "  ")
    page.locator("#review-kept").get_by_text("is blank").wait_for()
    assert "1 checked" in page.locator("#item").inner_text()
    type_label(page, "🙂")
    asked.get_by_text("The model has no '🙂'").wait_for()
    page.get_by_role("button", name="Keep it as a new character").click()
    page.locator("#review-kept").get_by_text("Kept as 🙂.").wait_for()
    page.keyboard.press("Control+z")
    page.locator("#item").get_by_text("1 checked").wait_for()
    page.get_by_role("button", name="Undo", exact=True).click()
    page.locator("#item").get_by_text("0 checked").wait_for()
    assert not apart.exists()
    assert len(list(corrections.rglob("*.png"))) == before
