"""The page as it is built, and a browser to open it."""

from __future__ import annotations

import functools
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from kalamos.web import write_page
from kalamos.zoo import model_path

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

PATIENCE_MS = 120_000
"""For machines that do other things as well."""

MIN_NODE = 20

Open = Callable[..., "Page"]


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("there is no node on the path")
    said = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
    if int(said.strip().removeprefix("v").partition(".")[0]) < MIN_NODE:
        pytest.skip(f"node {said.strip()} is older than {MIN_NODE}")
    return found


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    write_page([model_path(name) for name in ("digits", "latin", "arabic")], folder)
    return folder


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def host(site: Path) -> Iterator[tuple[str, Callable[[], None]]]:
    """The address of a static host of the page, and what stops it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    stopped = threading.Event()

    def stop() -> None:
        if not stopped.is_set():
            stopped.set()
            server.shutdown()
            server.server_close()
            thread.join()

    yield f"http://127.0.0.1:{server.server_address[1]}/", stop
    stop()


@pytest.fixture
def open_file(browser: Browser, site: Path) -> Iterator[Open]:
    """Opens the page in one file from disk; fails where it asks for anything, or its script fails."""
    contexts, problems = [], []

    def opened(file: Path = site / "kalamos.html", **options: Any) -> Page:
        address = file.as_uri()
        context = browser.new_context(**{"viewport": {"width": 1100, "height": 900}, **options})
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        page.on(
            "request",
            lambda asked: None if asked.url.startswith((address, "blob:")) else problems.append(asked.url),
        )
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("console", lambda said: problems.append(said.text) if said.type == "error" else None)
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert problems == []
