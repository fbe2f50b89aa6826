"""The page in a real Chromium: draw, drop, paste, photograph, without a network."""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest

from kalamos import load

from tests.web.conftest import PATIENCE_MS, Open  # isort: skip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

SAMPLES = Path(__file__).parents[2] / "samples"

Points = Sequence[tuple[float, float]]

SEVEN: Points = [(0.25, 0.25), (0.72, 0.25), (0.45, 0.82)]
ALIF: Points = [(0.5, 0.15), (0.49, 0.85)]


def draw(page: Page, points: Points) -> None:
    page.locator("#pad canvas").scroll_into_view_if_needed()
    box = page.locator("#pad canvas").bounding_box()
    assert box is not None
    places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in points]
    page.mouse.move(*places[0])
    page.mouse.down()
    for place in places[1:]:
        page.mouse.move(*place, steps=2)
    page.mouse.up()


def wait(page: Page, glyph: str, state: str = "read") -> None:
    page.wait_for_function(
        "([glyph, state]) => document.querySelector('.glyph').textContent === glyph"
        " && document.querySelector('.columns').dataset.state === state",
        arg=[glyph, state],
    )


def photo() -> bytes:
    """A 4 on lit paper, as a PNG file."""
    page = np.full((300, 260), 205.0) + np.linspace(-30, 30, 260)
    page += np.random.default_rng(0).normal(0, 3, page.shape)
    ink = np.zeros(page.shape, np.uint8)
    cv2.polylines(ink, [np.array([(120, 60), (70, 170), (190, 170)])], False, 255, 10, cv2.LINE_AA)
    cv2.line(ink, (160, 110), (155, 240), 255, 10, cv2.LINE_AA)
    page -= 120 * (ink / 255)
    return cv2.imencode(".png", page.clip(0, 255).astype(np.uint8))[1].tobytes()


def test_a_drawing_is_read_undone_and_cleared(open_file: Open) -> None:
    page = open_file()
    draw(page, SEVEN)
    wait(page, "7")
    assert "Read as 7" in page.locator("#answer").inner_text()
    assert page.locator(".bars li").count() == 5
    assert page.locator(".seen canvas").evaluate("canvas => canvas.width") == 28
    draw(page, [(0.1, 0.9), (0.9, 0.9)])
    page.locator("#undo").click()
    wait(page, "7")
    page.locator("#clear").click()
    wait(page, "·", "waiting")
    page.keyboard.press("Control+z")
    wait(page, "7")


def test_strokes_survive_another_tool_and_another_model(open_file: Open) -> None:
    page = open_file()
    page.get_by_role("radio", name="Arabic").check()
    draw(page, ALIF)
    wait(page, "ا")
    page.get_by_role("radio", name="Eraser").check()
    draw(page, [(0.05, 0.05), (0.1, 0.1)])
    wait(page, "ا")
    page.get_by_role("radio", name="Digits").check()
    wait(page, "1")


def test_a_file_and_a_pasted_picture_are_read(open_file: Open) -> None:
    page = open_file()
    page.locator("#file").set_input_files({"name": "4.png", "mimeType": "image/png", "buffer": photo()})
    wait(page, "4")
    page.locator("#clear").click()
    wait(page, "·", "waiting")
    page.evaluate(
        """content => {
          const bytes = Uint8Array.from(atob(content), each => each.charCodeAt(0));
          const clipboardData = new DataTransfer();
          clipboardData.items.add(new File([bytes], "4.png", { type: "image/png" }));
          document.dispatchEvent(new ClipboardEvent("paste", { clipboardData, bubbles: true }));
        }""",
        base64.b64encode(photo()).decode(),
    )
    wait(page, "4")


def test_the_samples_are_decoded_and_read_as_python_does(open_file: Open) -> None:
    page = open_file()
    reader = load("digits")
    samples = sorted(path for path in SAMPLES.iterdir() if path.suffix in {".png", ".jpg"})
    assert len(samples) > 10
    for path in samples:
        expected = reader.predict(path)
        page.locator("#file").set_input_files(path)
        if expected.label is None:
            wait(page, "—", "failed")
        else:
            wait(page, expected.label)
        page.locator("#clear").click()
        wait(page, "·", "waiting")


def test_what_is_no_picture_is_said_to_be_none(open_file: Open) -> None:
    page = open_file()
    page.locator("#file").set_input_files({"name": "4.png", "mimeType": "image/png", "buffer": b"no picture"})
    wait(page, "—", "failed")
    assert "no picture" in page.locator(".says").inner_text()


def test_the_camera_gives_a_picture(open_file: Open) -> None:
    page = open_file(permissions=["camera"])
    page.locator("#camera").click()
    page.wait_for_function("() => document.querySelector('video').videoWidth > 0")
    page.locator("#take").click()
    page.wait_for_function("() => document.querySelector('.columns').dataset.state !== 'waiting'")
    assert not page.locator("#shot").is_visible()


def test_a_page_is_read_line_by_line_with_a_box_around_each_character(open_file: Open) -> None:
    page = open_file()
    sheet = np.full((420, 520), 235, np.uint8)
    for row, text in enumerate(("271", "44")):
        for column, digit in enumerate(text):
            place = (60 + 130 * column, 150 + 190 * row)
            cv2.putText(sheet, digit, place, cv2.FONT_HERSHEY_SIMPLEX, 3.4, 40, 9, cv2.LINE_AA)
    content = cv2.imencode(".png", sheet)[1].tobytes()
    page.get_by_role("radio", name="A whole page").check()
    page.locator("#file").set_input_files({"name": "page.png", "mimeType": "image/png", "buffer": content})
    page.wait_for_function("() => document.querySelector('.columns').dataset.state === 'page'")
    lines = page.locator(".glyph").inner_text().replace(" ", "").splitlines()
    assert lines == ["271", "44"]
    assert page.locator("#boxes i").count() == 5
    first = page.locator("#boxes i").first.bounding_box()
    pad = page.locator("#pad").bounding_box()
    assert first is not None
    assert pad is not None
    assert first["x"] - pad["x"] == pytest.approx(60 / 520 * pad["width"], abs=0.06 * pad["width"])


def test_it_is_drawn_by_keyboard_and_told_to_a_screen_reader(open_file: Open) -> None:
    page = open_file()
    page.locator("#pad canvas").focus()
    for _ in range(12):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Space")
    for _ in range(24):
        page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    wait(page, "1")
    assert page.locator("#answer").get_attribute("aria-live") == "polite"
    unnamed = page.evaluate(
        """[...document.querySelectorAll("button, input, canvas, [role]")]
             .filter(each => !each.hidden && !each.textContent.trim() && !each.ariaLabel && !each.labels?.[0])
             .map(each => each.outerHTML)"""
    )
    assert unnamed == []


@pytest.mark.parametrize("language", ["en", "ar"])
def test_it_fits_a_phone_in_both_languages(open_file: Open, language: str) -> None:
    page = open_file(viewport={"width": 360, "height": 740}, locale=language, color_scheme="dark")
    draw(page, SEVEN)
    wait(page, "7")
    assert page.evaluate("document.documentElement.dir") == ("rtl" if language == "ar" else "ltr")
    assert page.evaluate("document.documentElement.scrollWidth") == 360


def test_the_hosted_page_works_offline_once_it_was_opened(
    browser: Browser, host: tuple[str, Callable[[], None]]
) -> None:
    address, stop = host
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    asked: list[str] = []
    context.on("request", lambda request: asked.append(request.url))
    page.goto(address)
    page.evaluate("navigator.serviceWorker.ready.then(() => true)")
    stop()
    page.reload()
    draw(page, SEVEN)
    wait(page, "7")
    assert asked
    assert [url for url in asked if not url.startswith((address, "data:", "blob:"))] == []
    context.close()


def test_one_file_holds_everything_and_is_small_enough_to_send(site: Path) -> None:
    assert (site / "kalamos.html").stat().st_size <= 9_000_000
