"""Pictures of the app, as the README and the documentation show them: docs/images/app-*.png.

Run it after a change of the page: `python docs/screenshots.py [CHROMIUM]`. Needs the extras `app` and `dev`,
and a Chromium, which is looked for on the path if it is not named.
"""

from __future__ import annotations

import io
import shutil
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

import uvicorn
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from kalamos.app.api import create_app
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page import build_page
from kalamos.app.scans import FormRegistry
from kalamos.app.server import bind

DOCS = Path(__file__).parent
IMAGES, SAMPLES = DOCS / "images", DOCS.parent / "samples"
PAGES, FORM = DOCS.parent / "samples-pages", DOCS.parent / "samples-form"

SEVEN = [[(100, 70), (222, 66), (150, 255)]]
BA = [[(268, 110), (262, 160), (200, 186), (120, 186), (62, 158), (52, 112)], [(160, 246), (164, 248)]]

OPTIONS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
]
PATIENCE = 300_000


def main() -> None:
    found = sys.argv[1] if len(sys.argv) > 1 else shutil.which("chromium") or shutil.which("google-chrome")
    if found is None:
        raise SystemExit("there is no Chromium on the path; name one")
    IMAGES.mkdir(exist_ok=True)
    registry, limits, forms = ModelRegistry(), Limits(), FormRegistry(FORM)
    with tempfile.TemporaryDirectory() as corrections, bind("127.0.0.1", 0) as listener:
        page = build_page(registry, limits, Path(corrections) / "corrections", forms=forms)
        app = create_app(registry, limits, page, forms=forms)
        server = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=server.run, args=([listener],))
        thread.start()
        while not server.started:
            time.sleep(0.1)
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=found, args=OPTIONS, timeout=PATIENCE)
                desktop(browser, address)
                pages(browser, address)
                small(browser, address, registry)
        finally:
            server.should_exit = True
            thread.join()


def desktop(browser: Browser, address: str) -> None:
    page = opened(browser, address, viewport={"width": 1000, "height": 860})
    draw(page, SEVEN)
    page.locator("#answer .glyph").wait_for()
    save(page, "draw")
    page.get_by_role("tab", name="Look inside").click()
    page.locator("[data-name=stage-2]").wait_for()
    save(page, "inside", whole=True)
    page.get_by_role("tab", name="Read a folder").click()
    page.locator("#files input[type=file]").set_input_files(
        [{"name": "samples.zip", "mimeType": "application/zip", "buffer": samples()}]
    )
    page.locator("#table table").wait_for()
    page.wait_for_timeout(3000)  # the plots
    save(page, "folder", whole=True)
    page.get_by_role("tab", name="Check and teach").click()
    page.locator("#item .item").wait_for()
    save(page, "check")


def pages(browser: Browser, address: str) -> None:
    """A page with one of its boxes selected, and a field of a form to check."""
    page = opened(browser, address, viewport={"width": 1000, "height": 1250})
    choose(page, "#model", "latin-large: 47 letters and digits")
    page.get_by_role("tab", name="Read a page or form").click()
    page.locator("#page-files input[type=file]").set_input_files(PAGES / "letters.jpg")
    box = page.locator("#page-viewer polygon").nth(7)
    box.click()
    save(page, "page")
    choose(page, "#page-kind", "Form: form")
    page.locator("#page-files [aria-label=Clear]").click()
    page.locator("#page-files input[type=file]").set_input_files(sorted((FORM / "scans").iterdir()))
    page.locator("#page-queue .queue-item img").wait_for()
    page.wait_for_timeout(500)
    save(page, "forms")


def choose(page: Page, field: str, option: str) -> None:
    page.locator(f"{field} input").click()
    page.get_by_role("option", name=option, exact=True).click()


def small(browser: Browser, address: str, registry: ModelRegistry) -> None:
    """On a phone, in the dark; an Arabic letter where a model reads it."""
    page = opened(
        browser,
        address,
        viewport={"width": 390, "height": 844},
        color_scheme="dark",
        is_mobile=True,
        has_touch=True,
    )
    if "arabic" in registry.names():
        page.locator("#model input").click()
        page.get_by_role("option", name="arabic: 28 letters", exact=True).click()
        page.locator("#about").filter(has_text="28").wait_for(state="attached")  # too long for a phone
    draw(page, BA if "arabic" in registry.names() else SEVEN)
    page.locator("#answer .glyph").wait_for()
    save(page, "phone", whole=True)


def opened(browser: Browser, address: str, **options: object) -> Page:
    context = browser.new_context(**options)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(address)
    page.locator("#pad canvas").wait_for()
    return page


def draw(page: Page, strokes: list[list[tuple[int, int]]]) -> None:
    canvas = page.locator("#pad canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    if box is None:
        raise SystemExit("the pad cannot be seen")
    scale = box["width"] / 320
    for stroke in strokes:
        places = [(box["x"] + x * scale, box["y"] + y * scale) for x, y in stroke]
        page.mouse.move(*places[0])
        page.mouse.down()
        for place in places[1:]:
            page.mouse.move(*place, steps=5)
        page.mouse.up()


def samples() -> bytes:
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        for path in sorted([*SAMPLES.glob("*.png"), *SAMPLES.glob("*.jpg")]):
            archive.write(path, path.name)
    return sink.getvalue()


def save(page: Page, name: str, *, whole: bool = False) -> None:
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(500)
    picture = Image.open(io.BytesIO(page.screenshot(full_page=whole)))
    path = IMAGES / f"app-{name}.png"
    # 128 colours are enough for a page, and make a quarter of the bytes.
    picture.convert("RGB").quantize(128).save(path, optimize=True)
    print(f"{path}: {path.stat().st_size / 1024:.0f} kB")


if __name__ == "__main__":
    main()
