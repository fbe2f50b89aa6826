"""The site of `make docs`: complete, closed in itself, and silent."""

from __future__ import annotations

import functools
import re
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from inspect import ismodule
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import kalamos

from tests.docs.conftest import ADDRESS, ROOT  # isort: skip

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 120_000
"""For machines that do other things as well."""


def pages(site: Path) -> dict[str, str]:
    """The HTML of each page by its address within the site, the demo's left out."""
    return {
        path.parent.relative_to(site).as_posix(): path.read_text("utf-8")
        for path in site.rglob("index.html")
        if path.parent.name != "demo"
    }


@pytest.fixture(scope="module")
def host(built: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(built)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def page(browser: Browser, host: str) -> Iterator[Page]:
    """A page that keeps the addresses of all requests, and what the browser complains of."""
    context = browser.new_context()
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    yield page
    context.close()


def test_every_page_of_the_repository_and_every_model_is_on_it(built: Path) -> None:
    on_it = set(pages(built))
    assert {path.stem for path in (ROOT / "docs").glob("*.md")} <= on_it
    assert {f"models/{name}" for name in kalamos.list_models()} <= on_it
    assert {
        "tutorials/walkthrough",
        "project/changelog",
        "project/security",
        "reference/command-line",
    } <= on_it


@pytest.mark.parametrize("name", [name for name in kalamos.__all__ if name != "__version__"])
def test_every_public_name_is_in_the_reference(built: Path, name: str) -> None:
    thing = getattr(kalamos, name)
    at_home = thing.__name__ if ismodule(thing) else f"{thing.__module__}.{thing.__qualname__}"
    found = {
        page
        for page, text in pages(built).items()
        if f'id="kalamos.{name}"' in text or f'id="{at_home}"' in text
    }
    assert len(found) == 1
    assert found.pop().startswith("reference/")


def test_doctests_are_blocks_of_code(built: Path) -> None:
    text = pages(built)["reference/recognizer"]
    assert "gp" in text  # a prompt, as Pygments marks it
    assert "doctest: +" not in text
    assert not re.search(r"<blockquote>\s*<blockquote>", text)


def test_every_page_forbids_other_hosts(built: Path) -> None:
    for name, text in pages(built).items():
        assert "Content-Security-Policy\" content=\"default-src 'self';" in text, name


def test_the_notebooks_pictures_are_shown(built: Path) -> None:
    shown = re.findall(r'<img[^>]* src="([^"]+)"', pages(built)["tutorials/walkthrough"])
    assert len(shown) > 10
    assert all((built / "tutorials" / "walkthrough" / each).resolve().stat().st_size for each in shown)


def test_what_the_site_lacks_is_named_and_not_linked(built: Path) -> None:
    text = pages(built)["results"]
    assert "mnist-cnn3" in text
    assert "recipes/mnist-cnn3.toml" not in text


def test_llms_txt_names_every_page_as_markdown(built: Path) -> None:
    index = (built / "llms.txt").read_text("utf-8")
    assert index.startswith("# kalamos\n\n> ")
    named = [address.removeprefix(ADDRESS) for address in re.findall(r"\]\(<?([^)>]+)>?\)", index)]
    assert {name.removesuffix("index.md").rstrip("/") or "." for name in named} == set(pages(built))
    whole = (built / "llms-full.txt").read_text("utf-8")
    for name in named:
        title = (built / name).read_text("utf-8").splitlines()[0]
        assert title.startswith("# "), name
        assert title in whole
    assert "From 300 scanned forms" in whole
    assert "max_pixels" in whole  # of the reference


def test_the_front_page_searches_and_reads_and_asks_nobody_else(page: Page, host: str) -> None:
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    page.goto(host)
    page.locator("iframe.demo").scroll_into_view_if_needed()
    demo = page.frame_locator("iframe.demo")
    pad = demo.locator("#pad canvas")
    pad.scroll_into_view_if_needed()
    box = pad.bounding_box()
    assert box is not None
    for step, (x, y) in enumerate([(0.25, 0.25), (0.72, 0.25), (0.45, 0.82)]):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"], steps=6)
        if step == 0:
            page.mouse.down()
    page.mouse.up()
    demo.get_by_text("Read as 7").wait_for()
    page.keyboard.press("Escape")
    page.evaluate("window.scrollTo(0, 0)")
    page.get_by_role("button", name="Search").click()
    page.keyboard.type("temperature")
    page.get_by_text(re.compile(r"^\d+ results$")).wait_for()
    page.goto(f"{host}reference/recognizer/")
    page.get_by_role("heading", name="kalamos.load").wait_for()
    assert [url for url in asked if not url.startswith((host, "data:", "blob:"))] == []
    assert complaints == []


@pytest.mark.parametrize("width", [360, 1300])
@pytest.mark.parametrize("path", ["", "results/", "reference/forms/"])
def test_no_page_is_wider_than_its_window(page: Page, host: str, path: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    page.goto(host + path, wait_until="domcontentloaded")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
