"""Pictures of the browser page, as the documentation shows them: docs/images/web-*.png.

Run it after a change of the page: `python docs/web_pictures.py [CHROMIUM]`. Needs the extra `dev`, and a
Chromium, which is looked for on the path if it is not named.
"""

from __future__ import annotations

import io
import random
import shutil
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from kalamos.web import SINGLE_FILE, write_page
from kalamos.zoo import model_path

DOCS = Path(__file__).parent
PATIENCE_MS: Final = 300_000
COLOURS: Final = 128
"""Of the pictures: few are enough, and a quarter of the bytes."""

Strokes = Sequence[Sequence[tuple[float, float]]]

SEVEN: Strokes = [[(0.28, 0.26), (0.5, 0.25), (0.72, 0.24), (0.6, 0.46), (0.5, 0.64), (0.44, 0.84)]]
BA: Strokes = [
    [(0.8, 0.34), (0.79, 0.5), (0.68, 0.6), (0.5, 0.63), (0.32, 0.6), (0.21, 0.5), (0.2, 0.34)],
    [(0.5, 0.8), (0.51, 0.81)],
]
RUNES: Mapping[str, Strokes] = {
    "ᚠ": [[(0.35, 0.14), (0.34, 0.88)], [(0.36, 0.44), (0.7, 0.2)], [(0.35, 0.64), (0.74, 0.38)]],
    "ᛏ": [[(0.5, 0.16), (0.49, 0.88)], [(0.24, 0.4), (0.5, 0.15), (0.76, 0.42)]],
    "ᛒ": [
        [(0.36, 0.14), (0.35, 0.86)],
        [(0.37, 0.15), (0.66, 0.32), (0.37, 0.49), (0.68, 0.66), (0.36, 0.85)],
    ],
}
TURNS: Final = 3
"""Samples of each rune."""

PHONE: Final = {"viewport": {"width": 360, "height": 760}, "device_scale_factor": 2}
DESKTOP: Final = {"viewport": {"width": 1100, "height": 880}}


class Picture(NamedTuple):
    name: str
    options: dict[str, Any]
    model: str
    given: Strokes | Path
    taught: Mapping[str, Strokes] = {}
    """Characters that an alphabet of one's own learns before."""


PICTURES: Final = (
    Picture("web-draw", DESKTOP, "Digits", SEVEN),
    Picture("web-page", DESKTOP, "Latin", DOCS.parent / "samples-pages" / "letters.jpg"),
    Picture("web-phone", {**PHONE, "color_scheme": "dark"}, "Digits", SEVEN),
    Picture("web-arabic", {**PHONE, "locale": "ar"}, "عربية", BA),
    Picture("web-alphabet", {"viewport": {"width": 1100, "height": 1260}}, "My alphabet", RUNES["ᛒ"], RUNES),
)


def draw(page: Page, strokes: Strokes) -> None:
    box = page.locator("#pad canvas").bounding_box()
    if box is None:
        raise SystemExit("the page has no pad")
    for stroke in strokes:
        places = [(box["x"] + x * box["width"], box["y"] + y * box["height"]) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=4)
        page.mouse.up()


def again(strokes: Strokes, turn: int) -> Strokes:
    """The same strokes by a hand that is never quite the same."""
    generator = random.Random(turn)  # noqa: S311  (pictures are no secret)
    return [
        [(x + generator.gauss(0, 0.02), y + generator.gauss(0, 0.02)) for x, y in each] for each in strokes
    ]


def take(browser: Browser, address: str, picture: Picture) -> None:
    """Draw or give what is to be read, and keep what the page then shows."""
    context = browser.new_context(**picture.options)
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    page.goto(address)
    page.get_by_role("radio", name=picture.model).check()
    for row, label in enumerate(label for label in picture.taught for _ in range(TURNS)):
        page.locator("#label").fill(label)
        draw(page, again(picture.taught[label], row))
        page.locator("#keep button").click()
        page.wait_for_function("n => document.querySelectorAll('.shot').length === n", arg=row + 1)
    if isinstance(picture.given, Path):
        page.locator("input[value=page]").check()
        page.locator("#file").set_input_files(picture.given)
    else:
        draw(page, picture.given)
    page.wait_for_function("() => /read|page/.test(document.querySelector('.columns').dataset.state)")
    page.wait_for_timeout(1000)  # until nothing moves
    page.evaluate(
        "() => { for (const id of ['timing', 'told']) document.getElementById(id).textContent = ''; }"
    )
    shown = Image.open(io.BytesIO(page.screenshot()))
    shown.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
        DOCS / "images" / f"{picture.name}.png", optimize=True
    )
    context.close()


def main() -> None:
    found = sys.argv[1] if len(sys.argv) > 1 else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("there is no Chromium on the path; name one")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        write_page([model_path(name) for name in ("digits", "latin", "arabic")], Path(folder))
        address = (Path(folder) / SINGLE_FILE).as_uri()
        browser = playwright.chromium.launch(
            executable_path=found, args=["--headless=new", "--no-sandbox", "--disable-gpu"]
        )
        for picture in PICTURES:
            take(browser, address, picture)
        browser.close()


if __name__ == "__main__":
    main()
