"""Where a picture can come from, in a real Chromium: the camera and the clipboard; and whose it stays."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

from tests.app.page_helpers import GRADIO_WARNINGS, Open, give_picture, png, tab, wait, written

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = GRADIO_WARNINGS


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


def copy(page: Page, digit: str) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(COPY, base64.b64encode(png(written(digit))).decode())


def test_a_picture_is_pasted_by_key_and_by_button(open_page: Open) -> None:
    page = open_page()
    for digit in "57":
        copy(page, digit)
        page.keyboard.press("Control+v")
        wait(page, "#answer .glyph", digit)
    copy(page, "2")
    page.locator("#picture").get_by_label("Remove Image").click()
    page.locator("#picture").get_by_label("Paste from clipboard").click()
    wait(page, "#answer .glyph", "2")


def test_what_is_pasted_the_moment_the_page_appears_is_read(open_page: Open) -> None:
    page = open_page()
    page.add_init_script(PASTE_AT_ONCE % base64.b64encode(png(written("5"))).decode())
    page.reload()
    wait(page, "#answer .glyph", "5")


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
    tab(page, "Picture or camera")
    page.locator("#picture").get_by_label("Capture from camera").click()
    page.get_by_text("Click to Access Webcam").click()
    # Gradio takes no photo before the first frame, and says nothing.
    page.wait_for_function("() => (document.querySelector('#picture video')?.currentTime ?? 0) > 0")
    page.locator("#picture").get_by_label("capture photo").click()
    wait(page, "#answer .glyph", "7")
    assert page.locator("#answer .seen img").evaluate("image => image.naturalWidth") == 28


def test_two_people_at_once_see_their_own_pictures_alone(open_page: Open) -> None:
    one, other = open_page(), open_page()
    for page, digit in ((one, "5"), (other, "7")):
        give_picture(page, png(written(digit)))
        wait(page, "#answer .glyph", digit)
    wait(one, "#answer .glyph", "5")
    # What is behind "Look inside", and what is kept, is each one's own too.
    seen = []
    for page in (one, other):
        tab(page, "Look inside")
        page.locator("[data-name=seen] img").wait_for()
        seen.append(page.locator("[data-name=seen] img").get_attribute("src"))
    assert seen[0] != seen[1]
    # A picture's address is of no use to anyone else.
    tab(one, "Read one")
    address = one.locator("#picture img").get_attribute("src")
    assert address is not None
    assert one.request.get(address).status == 200
    assert other.request.get(address).status == 403
