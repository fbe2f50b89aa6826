"""What the tests of the page have in common: pictures of digits, and what one does in a browser."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

if TYPE_CHECKING:
    from playwright.sync_api import FloatRect, Page

GRADIO_WARNINGS = [
    # Gradio leaves event loops and sockets of its own to the garbage collector,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    # and uses what pandas calls deprecated, in counting its events.
    pytest.mark.filterwarnings("ignore:'future.no_silent_downcasting'"),
    pytest.mark.filterwarnings("ignore:The copy keyword is deprecated"),
]

Open = Callable[..., "Page"]


def png(image: NDArray[np.uint8]) -> bytes:
    """The image as a PNG file."""
    return cv2.imencode(".png", image)[1].tobytes()


def written(text: str, *, thickness: int = 5) -> NDArray[np.uint8]:
    """A crop of one character, black on white."""
    page = np.full((60, 50), 255, np.uint8)
    cv2.putText(page, text, (8, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 0, thickness, cv2.LINE_AA)
    return page


def zipped(images: Mapping[str, bytes]) -> bytes:
    """A zip archive of files by name."""
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for name, content in images.items():
            archive.writestr(name, content)
    return sink.getvalue()


def zip_of(digits: str) -> bytes:
    """A zip archive with an image of each digit, called by it."""
    return zipped({f"{digit}.png": png(written(digit)) for digit in digits})


def tab(page: Page, name: str) -> None:
    """Choose a tab of the page."""
    page.get_by_role("tab", name=name).click()


def wait(page: Page, selector: str, text: str | re.Pattern[str]) -> str:
    """Wait until a part of the page has a text in it; returns all of its text."""
    found = page.locator(selector).filter(has_text=text)
    found.wait_for()
    return found.inner_text()


def still_box(page: Page, selector: str) -> FloatRect:
    """Wait until a part of the page lies still, as what is above it may grow; returns its place in px."""
    found = page.locator(selector)
    found.scroll_into_view_if_needed()
    box, before = found.bounding_box(), None
    while box is None or box != before:
        page.wait_for_timeout(100)
        box, before = found.bounding_box(), box
    return box


def draw(page: Page, *strokes: list[tuple[int, int]], pad: str = "#pad") -> None:
    """Draw on a pad, in px of its 320."""
    box = still_box(page, f"{pad} canvas")
    scale = box["width"] / 320
    for start, *others in strokes:
        page.mouse.move(box["x"] + start[0] * scale, box["y"] + start[1] * scale)
        page.mouse.down()
        for x, y in others:
            page.mouse.move(box["x"] + x * scale, box["y"] + y * scale, steps=2)
        page.mouse.up()


SEVEN = [(100, 70), (220, 70), (150, 250)]
"""The stroke of a 7, for `draw`."""


def give(page: Page, selector: str, name: str, content: bytes) -> None:
    """Give a file to a field for files."""
    kind = {"png": "image/png", "zip": "application/zip"}.get(
        name.rpartition(".")[2], "application/octet-stream"
    )
    page.locator(f"{selector} input[type=file]").set_input_files(
        [{"name": name, "mimeType": kind, "buffer": content}]
    )


def give_picture(page: Page, content: bytes) -> None:
    """Open a picture in the tab for one character."""
    tab(page, "Picture or camera")
    give(page, "#picture", "a.png", content)


def read_zip(page: Page, content: bytes) -> None:
    """Read a zip archive as a folder."""
    tab(page, "Read a folder")
    give(page, "#files", "a.zip", content)
    page.locator("#table table").wait_for()


def type_label(page: Page, text: str) -> None:
    """Type what the image under review is."""
    page.locator("#true-label textarea, #true-label input").fill(text)
    page.keyboard.press("Enter")


def choose_model(page: Page, name: str) -> None:
    """Choose a model by its line in the list."""
    page.locator("#model input").click()
    page.get_by_role("option", name=name, exact=True).click()
