"""The page's routes and files, asked for by two browsers and by none. The page is a stand-in."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import quote

import httpx
import pytest

from kalamos.app.api import create_app
from kalamos.app.errors import Limits

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
from tests.app.page_helpers import GRADIO_WARNINGS

pytestmark = GRADIO_WARNINGS

gr = pytest.importorskip("gradio", reason="needs the extra 'app'")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where Gradio keeps files in these tests."""
    folder = tmp_path_factory.mktemp("uploads").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def page(registry, start: Callable, folder: Path) -> Iterator[str]:
    """The address of a server whose page hands a file back and repeats a text."""
    with gr.Blocks() as blocks:
        given, taken, text, again = gr.File(), gr.File(), gr.Textbox(), gr.Textbox()
        gr.Button().click(lambda file: file, given, taken, api_name="file")
        gr.Button().click(lambda words: words, text, again, api_name="text")
    with start(create_app(registry, Limits(upload_bytes=200_000), blocks)) as address:
        yield address


@pytest.fixture
def browser(page: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page, timeout=120) as client:
        assert client.get("/").status_code == 200
        yield client


@pytest.fixture
def other(page: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page, timeout=120) as client:
        assert client.get("/").status_code == 200
        yield client


@pytest.fixture
def nobody(page: str) -> Iterator[httpx.Client]:
    """Who never loaded the page, and keeps no cookie."""
    with httpx.Client(base_url=page, timeout=120) as client:
        yield client


def upload(client: httpx.Client, content: bytes, name: str = "private.txt") -> str:
    answer = client.post("/gradio_api/upload", files={"files": (name, content)})
    assert answer.status_code == 200, answer.text
    [path] = answer.json()
    return path


def fetch(client: httpx.Client, path: str) -> httpx.Response:
    return client.get(f"/gradio_api/file={quote(path)}")


def event(client: httpx.Client, name: str, value: object) -> httpx.Response:
    return client.post(f"/gradio_api/call/{name}", json={"data": [value]})


def outcome(client: httpx.Client, name: str, value: object) -> str:
    started = event(client, name, value)
    assert started.status_code == 200, started.text
    return client.get(f"/gradio_api/call/{name}/{started.json()['event_id']}").text


def as_file(path: str, **more: object) -> dict[str, object]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


def test_the_page_and_the_api_stand_side_by_side(browser: httpx.Client, one: bytes) -> None:
    page = browser.get("/")
    assert "gradio" in page.text
    assert browser.post("/v1/predict", files={"image": ("a", one)}).json()["results"][0]["label"] == "1"
    assert browser.get("/docs").status_code == 200
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_a_file_goes_to_its_own_browser_alone(browser: httpx.Client, other: httpx.Client) -> None:
    path = upload(browser, b"my own words")
    assert fetch(browser, path).content == b"my own words"
    for cookie in ({}, {"cookie": "kalamos_session=" + "0" * 32}, {"cookie": "kalamos_session="}):
        answer = other.get(f"/gradio_api/file={quote(path)}", headers=cookie)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "not_yours")
        assert b"words" not in answer.content


def test_whoever_has_the_same_file_has_it_apart(browser: httpx.Client, other: httpx.Client) -> None:
    mine, yours = upload(browser, b"known to both"), upload(other, b"known to both")
    assert mine != yours
    for client, own, foreign in ((browser, mine, yours), (other, yours, mine)):
        assert fetch(client, own).content == b"known to both"
        assert fetch(client, foreign).status_code == 403


def test_an_event_takes_and_gives_ones_own_files(browser: httpx.Client, other: httpx.Client) -> None:
    path = upload(browser, b"there and back")
    told = outcome(browser, "file", as_file(path, orig_name="private.txt"))
    assert "event: complete" in told
    given = re.search(r'"path":\s?"([^"]+)"', told)
    assert given is not None
    assert fetch(browser, given[1]).content == b"there and back"
    assert fetch(other, given[1]).status_code == 403
    refused = event(other, "file", as_file(path))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "not_yours")


def test_a_text_that_names_a_file_opens_nothing(browser: httpx.Client, other: httpx.Client) -> None:
    path = upload(browser, b"not for echoes")
    for text in (path, f'"path": "{path}"', f'["{path}"]', f'{{"path":"{path}"}}'):
        assert "event: complete" in outcome(other, "text", text)
        assert fetch(other, path).status_code == 403


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../../../../etc/passwd",
        "FOLDER/../../../etc/passwd",
        "FOLDER/DIGEST/../../../../../etc/passwd",
        "FOLDER/DIGEST/..",
        "FOLDER/DIGEST/",
        "FOLDER/DIGEST",
        "FOLDER",
        "FOLDER/DIGEST/..\\..\\x",
        "/proc/self/environ",
        "~/.ssh/id_rsa",
        "\\\\server\\share",
        "C:\\Windows\\win.ini",
        "http://127.0.0.1/",
        "https://example.com/a.png",
        "file:///etc/passwd",
        "",
    ],
)
def test_paths_outside(browser: httpx.Client, folder: Path, path: str) -> None:
    digest = Path(upload(browser, b"inside")).parent.name
    path = path.replace("FOLDER", folder.as_posix()).replace("DIGEST", digest)
    for spelt in (path, quote(path, safe=""), quote(quote(path, safe=""), safe="")):
        answer = browser.get(f"/gradio_api/file={spelt}")
        assert answer.status_code in {403, 404}, answer.text
        assert "root:" not in answer.text
    assert event(browser, "file", as_file(path)).status_code == 403


@pytest.mark.parametrize("url", ["http://example.com/a.png", "https://127.0.0.1:1/a", "//example.com/a"])
def test_nothing_is_fetched_by_url(browser: httpx.Client, url: str) -> None:
    path = upload(browser, b"local")
    assert event(browser, "file", as_file(url)).status_code == 403
    assert event(browser, "file", as_file(path, url=url)).json()["error"]["code"] == "foreign_url"
    own = f"{browser.base_url}/gradio_api/file={path}"
    assert event(browser, "file", as_file(path, url=own)).status_code == 200


@pytest.mark.parametrize(
    "path",
    [
        *("/monitoring", "/monitoring/summary", "/login", "/logout", "/pwa_icon", "/file=/etc/passwd"),
        *(
            "/gradio_api/runs",
            "/gradio_api/run-history/records",
            "/gradio_api/vibe-code/",
            "/gradio_api/user",
        ),
        *("/gradio_api/proxy=https://example.hf.space/", "/gradio_api/deep_link", "/gradio_api/openapi.json"),
        *("/gradio_api/file/etc/passwd", "/gradio_api/custom_component/1/client/a/b.js"),
        "/gradio_api/stream/a/b/c/playlist.m3u8",
    ],
)
def test_routes_that_the_page_does_not_use(browser: httpx.Client, path: str) -> None:
    answer = browser.get(path)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "not_found")
    assert browser.post(path).status_code == 404


@pytest.mark.parametrize(
    "path", ["vibe-edit", "run/file", "api/file", "component_server", "process_recording"]
)
def test_deeds_that_the_page_does_not_do(browser: httpx.Client, path: str) -> None:
    assert browser.post(f"/gradio_api/{path}", json={}).status_code == 404


def test_uploads_are_limited(browser: httpx.Client, folder: Path) -> None:
    answer = browser.post("/gradio_api/upload", files={"files": ("a", bytes(300_000))})
    assert answer.status_code == 413
    assert event(browser, "text", "a" * 300_000).status_code == 413
    deep = b'{"data": [' + b"[" * 90_000
    answer = browser.post("/gradio_api/call/text", content=deep, headers={"content-type": "application/json"})
    assert answer.status_code == 422


def test_the_cookie(browser: httpx.Client, other: httpx.Client, nobody: httpx.Client) -> None:
    told = nobody.get("/").headers["set-cookie"]
    assert re.fullmatch(r"kalamos_session=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax", told)
    assert "set-cookie" not in other.get("/").headers
    assert other.cookies["kalamos_session"] != browser.cookies["kalamos_session"]
    assert other.get("/config", headers={"cookie": "a=(\t;;; =; kalamos_session=,"}).status_code == 200


def test_the_page_has_no_gradio_api_for_other_sites(browser: httpx.Client) -> None:
    origin = {"origin": "http://example.com"}
    assert "access-control-allow-origin" not in browser.get("/config", headers=origin).headers
    answer = browser.post("/gradio_api/upload", files={"files": ("a", b"")}, headers=origin)
    assert answer.status_code == 403
    assert browser.get("/", headers={"host": "example.com"}).status_code == 421
