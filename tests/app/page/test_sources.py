"""Where a picture can come from, in a real Chromium: the camera and the clipboard; and whose it stays."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = [
    # Gradio leaves event loops of its own to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),  # and sets an old option of pandas
]

Open = Callable[..., "Page"]

COPY = """async (png) => {
  const picture = await (await fetch("data:image/png;base64," + png)).blob();
  await navigator.clipboard.write([new ClipboardItem({"image/png": picture})]);
}"""

PASTE_AT_ONCE = """(() => {
  const paste = () => {
    if (!document.querySelector("#pad canvas")) return setTimeout(paste, 1);
    const given = new DataTransfer();
    const bytes = Uint8Array.from(atob("%s"), (each) => each.charCodeAt(0));
    given.items.add(new File([bytes], "a.png", { type: "image/png" }));
    document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: given, cancelable: true }));
  };
  paste();
})()"""


def png(digit: str) -> bytes:
    page = np.full((60, 50), 255, np.uint8)
    cv2.putText(page, digit, (8, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 0, 5, cv2.LINE_AA)
    return cv2.imencode(".png", page)[1].tobytes()


def copy(page: Page, digit: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(COPY, base64.b64encode(png(digit)).decode())


def answered(page: Page, text: str | re.Pattern[str]) -> None:
    page.locator("#answer .glyph").filter(has_text=text).wait_for()


def test_a_picture_is_pasted_by_key_and_by_button(open_page: Open) -> None:
    page = open_page()
    for digit in "57":
        copy(page, digit)
        page.keyboard.press("Control+v")
        answered(page, digit)
    copy(page, "2")
    page.locator("#picture").get_by_label("Remove Image").click()
    page.locator("#picture").get_by_label("Paste from clipboard").click()
    answered(page, "2")


def test_what_is_pasted_the_moment_the_page_appears_is_read(open_page: Open) -> None:
    page = open_page()
    page.add_init_script(PASTE_AT_ONCE % base64.b64encode(png("5")).decode())
    page.reload()
    answered(page, "5")


def test_text_is_pasted_as_ever(open_page: Open) -> None:
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate("navigator.clipboard.writeText('ب')")
    field = page.locator("#right-label input, #right-label textarea")
    field.focus()
    page.keyboard.press("Control+v")
    assert field.input_value() == "ب"
    assert page.locator("#pad canvas").is_visible()


def test_the_cameras_picture_is_read(open_page: Open) -> None:
    page = open_page()
    page.get_by_role("tab", name="Picture or camera").click()
    page.locator("#picture").get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    # Gradio takes no photo before the first frame, and says nothing.
    page.wait_for_function("() => (document.querySelector('#picture video')?.currentTime ?? 0) > 0")
    page.locator("#picture").get_by_label("capture photo").click()
    # Chromium's own test picture: a disc with a slice cut out, which turns.
    answered(page, re.compile(r"\d"))
    assert page.locator("#answer .seen img").evaluate("image => image.naturalWidth") == 28


def test_two_people_at_once_see_their_own_pictures_alone(open_page: Open) -> None:
    one, other = open_page(), open_page()
    for page, digit in ((one, "5"), (other, "7")):
        page.get_by_role("tab", name="Picture or camera").click()
        page.locator("#picture input[type=file]").set_input_files(
            [{"name": "a.png", "mimeType": "image/png", "buffer": png(digit)}]
        )
        answered(page, digit)
    answered(one, "5")
    # What is behind "Look inside", and what is kept, is each one's own too.
    seen = []
    for page in (one, other):
        page.get_by_role("tab", name="Look inside").click()
        page.locator("[data-name=seen] img").wait_for()
        seen.append(page.locator("[data-name=seen] img").get_attribute("src"))
    assert seen[0] != seen[1]
    # A picture's address is of no use to anyone else.
    one.get_by_role("tab", name="Read one").click()
    address = one.locator("#picture img").get_attribute("src")
    assert address is not None
    assert one.request.get(address).status == 200
    assert other.request.get(address).status == 403
