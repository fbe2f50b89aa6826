"""A walk through an alphabet of one's own in the browser page, frame by frame: build/web-walk/01-....png.

python docs/web_walk.py [CHROMIUM] draws, keeps, reads, renames, deletes and takes back, opens the page again,
downloads a page of one's own, and photographs each step: to be looked at after a change of the page.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Browser, Page, sync_playwright
from web_pictures import DESKTOP, PATIENCE_MS, PHONE, RUNES, again, draw

from kalamos.web import SINGLE_FILE, write_page
from kalamos.zoo import model_path

FRAMES: Final = Path("build/web-walk")


class Walk:
    """One visitor, whose every step is photographed under the next number."""

    def __init__(self, browser: Browser, name: str, options: dict[str, Any]) -> None:
        self.context = browser.new_context(**options)
        self.context.set_default_timeout(PATIENCE_MS)
        self.page: Page = self.context.new_page()
        self.name, self.number = name, 0

    def frame(self, step: str) -> None:
        self.number += 1
        self.page.wait_for_timeout(500)  # until nothing moves
        path = FRAMES / f"{self.name}-{self.number:02}-{step}.png"
        self.page.screenshot(path=path, full_page=True)
        print(path)

    def keep(self, label: str, turn: int) -> None:
        before = self.page.locator(".shot").count()
        draw(self.page, again(RUNES[label], turn))
        self.page.locator("#label").fill(label)
        self.page.locator("#keep button").click()
        self.shots(before + 1)

    def shots(self, count: int) -> None:
        self.page.wait_for_function("n => document.querySelectorAll('.shot').length === n", arg=count)

    def state(self, state: str) -> None:
        self.page.wait_for_function("s => document.querySelector('.columns').dataset.state === s", arg=state)


def walk(browser: Browser, address: str, name: str, options: dict[str, Any]) -> None:
    """Go all the way once."""
    visitor = Walk(browser, name, options)
    page, (first, second, third) = visitor.page, RUNES
    page.goto(address)
    page.locator("input[value=own]").check()
    visitor.frame("chosen")
    draw(page, RUNES[first])
    page.locator("#label").fill(first)
    visitor.state("waiting")
    visitor.frame("drawn")
    page.locator("#keep button").click()
    visitor.shots(1)
    visitor.frame("kept")
    for turn, label in enumerate((second, third, first, second, third)):
        visitor.keep(label, turn)
    draw(page, again(RUNES[third], 9))
    visitor.state("read")
    visitor.frame("read")
    draw(page, [[(0.1, 0.5), (0.3, 0.9), (0.5, 0.1), (0.7, 0.9), (0.9, 0.3), (0.2, 0.2)]])
    page.wait_for_timeout(2000)
    visitor.frame("scribble")
    page.locator(".acts button").nth(1).click()
    visitor.frame("rename")
    page.locator("#new-name").fill("fehu")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="fehu").wait_for()
    page.locator(".acts button").nth(2).click()
    visitor.shots(4)
    visitor.frame("deleted")
    page.locator("#undo-sample").click()
    visitor.shots(6)
    page.reload()
    page.locator("input[value=own]").check()
    visitor.shots(6)
    visitor.frame("opened-again")
    page.locator("#alphabet-name").fill("Runes")
    with page.expect_download() as waited:
        page.locator("#save-page").click()
    own = FRAMES / waited.value.suggested_filename
    waited.value.save_as(own)
    page.goto(own.resolve().as_uri())
    draw(page, again(RUNES[second], 11))
    visitor.state("read")
    visitor.frame("page-of-ones-own")
    visitor.context.close()


def main() -> None:
    found = sys.argv[1] if len(sys.argv) > 1 else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("there is no Chromium on the path; name one")
    FRAMES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_page([model_path(name) for name in ("digits", "latin", "arabic")], Path(folder))
        address = (Path(folder) / SINGLE_FILE).as_uri()
        browser = playwright.chromium.launch(
            executable_path=found, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        walk(browser, address, "desk", DESKTOP)
        walk(browser, address, "phone", {**PHONE, "color_scheme": "dark", "locale": "ar"})
        browser.close()


if __name__ == "__main__":
    main()
