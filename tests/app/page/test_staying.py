"""What stays when the page is loaded again, and when the app is started again, in a real Chromium."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.app.page_helpers import (
    GRADIO_WARNINGS,
    choose_model,
    give_picture,
    png,
    read_zip,
    tab,
    type_label,
    written,
    zip_of,
)

from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = GRADIO_WARNINGS

CHOSEN = "(name) => document.querySelector('#model input').value === name"
MODELS = ["arabic: 28 letters", "digits: 0-9", "mine: 11 letters and digits"]


def listed(page: Page, count: int = len(MODELS)) -> list[str]:
    """The models to choose from, once there are so many: the page asks for them after it is shown."""
    end = time.monotonic() + 30
    found: list[str] = []
    while len(found) != count and time.monotonic() < end:
        page.locator("#model input").click()
        page.get_by_role("option").first.wait_for()
        found = sorted(each.get_attribute("aria-label") or "" for each in page.get_by_role("option").all())
        page.keyboard.press("Escape")
        page.wait_for_timeout(200)
    return found


def opened(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()
    page.set_default_timeout(60_000)
    page.goto(address)
    page.locator("#pad canvas").wait_for()
    return page


def teach_a_letter(page: Page, folder: str) -> None:
    """Five images of digits are said to be a W, and a model "mine" is taught from them."""
    tab(page, "Check and teach")
    page.locator("#item .item").wait_for()
    assert page.get_by_text(f"Taught models are saved in {folder}").is_visible()
    for count in range(1, 6):
        type_label(page, "W")
        if count == 1:
            page.get_by_role("button", name="Keep it as a new character").click()
        page.locator("#item").get_by_text(f"{count} checked").wait_for()
    page.get_by_label("Name of the new model").fill("mine")
    page.get_by_role("button", name="Teach", exact=True).click()
    page.locator("#lesson").get_by_text(f"Saved as {folder}").wait_for()


def read_one(page: Page) -> str:
    tab(page, "Read one")
    give_picture(page, png(written("6")))
    page.locator("#answer .verdict").wait_for()
    return page.locator("#answer .verdict").inner_text()


def test_a_reload_keeps_the_visit_and_a_restart_the_taught_models(
    start: Callable[..., AbstractContextManager[str]],
    browser: Browser,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from kalamos.app.api import create_app
    from kalamos.app.page import build_page

    def app(name: str, *, local: bool = True) -> AbstractContextManager[str]:
        monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path / name))
        registry, limits = ModelRegistry(["digits", "arabic"]), Limits()
        return start(
            create_app(registry, limits, build_page(registry, limits, tmp_path / "kept", local=local))
        )

    with app("first") as address:
        page = opened(browser, address)
        read_zip(page, zip_of("01234567"))
        teach_a_letter(page, str(tmp_path / "kept" / "taught models"))
        before = read_one(page)

        page.reload()
        page.locator("#answer .verdict").wait_for()
        assert page.locator("#answer .verdict").inner_text() == before
        page.wait_for_function(CHOSEN, arg=MODELS[2])
        assert listed(page) == MODELS
        tab(page, "Read a folder")
        page.locator("#summary").get_by_text("5 corrected by you").wait_for()
        assert page.locator("#table tbody tr").count() == 8
        tab(page, "Check and teach")
        page.locator("#item").get_by_text("6 of 8 · 5 checked").wait_for()
        page.get_by_role("button", name="Undo", exact=True).click()
        page.locator("#item").get_by_text("5 of 8 · 4 checked").wait_for()
        # Somebody else has the model, for it lies on this computer, and nothing of the visit.
        other = opened(browser, address)
        other.wait_for_function(CHOSEN, arg=MODELS[1])
        assert listed(other) == MODELS
        tab(other, "Check and teach")
        other.get_by_text("Read a folder first").wait_for()
        for each in (page, other):
            each.context.close()

    with app("second") as address:
        page = opened(browser, address)
        assert listed(page) == MODELS
        choose_model(page, MODELS[2])
        page.locator("#about").get_by_text("Reads 11 characters").wait_for()
        page.locator("#answer [data-example]").first.click()
        page.locator("#answer .verdict").wait_for()
        page.context.close()

    # Where others reach it, nobody sees what another taught, nor where files lie.
    with app("third", local=False) as address:
        page = opened(browser, address)
        assert listed(page, 2) == MODELS[:2]
        tab(page, "Check and teach")
        page.get_by_role("heading", name="Teach").wait_for()
        assert str(tmp_path) not in page.content()
        page.context.close()
