"""The API and the server's end, where a page is mounted as well. The page is a stand-in."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from kalamos.app.api import create_app
from kalamos.app.schema import Failure

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
from tests.app.page_helpers import GRADIO_WARNINGS

pytestmark = GRADIO_WARNINGS

gr = pytest.importorskip("gradio", reason="needs the extra 'app'")


@pytest.fixture(scope="module")
def address(registry, start: Callable, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(tmp_path_factory.mktemp("uploads").resolve()))
        with gr.Blocks() as blocks:
            gr.Textbox()
        with start(create_app(registry, page=blocks, hosts=("127.0.0.1", "kalamos.example"))) as address:
            yield address


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_a_wrong_method_is_refused_in_the_declared_form(address: str, method: str) -> None:
    answer = httpx.request(method, f"{address}/v1/predict")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
    if method != "HEAD":
        assert Failure.model_validate_json(answer.content).error.code == "wrong_method"


@pytest.mark.parametrize(
    "path", ["/v1/", "/v1/nothing", "/v1/predict/", "/v1/predict/x", "/health/x", "/healthy", "/docs/x"]
)
def test_what_is_not_there_is_not_the_page(address: str, path: str) -> None:
    for method in ("GET", "POST"):
        answer = httpx.request(method, f"{address}{path}")
        assert answer.status_code == 404
        assert Failure.model_validate_json(answer.content).error.code == "not_found"


def test_other_methods_of_other_routes(address: str) -> None:
    for path in ("/health", "/v1/models", "/docs", "/openapi.json"):
        answer = httpx.post(f"{address}{path}")
        assert answer.status_code == 405
        assert "GET" in answer.headers["allow"]
        assert Failure.model_validate_json(answer.content).error.code == "wrong_method"
    assert httpx.get(address).headers["content-type"].startswith("text/html"), "the page is there"


def test_the_manual_has_the_address_that_it_is_read_at(address: str) -> None:
    assert f"curl -F image=@7.png {address}/v1/predict" in httpx.get(f"{address}/docs").text
    proxied = {"Host": "kalamos.example", "X-Forwarded-Proto": "https"}
    assert "image=@7.png https://kalamos.example/v1/" in httpx.get(f"{address}/docs", headers=proxied).text


@pytest.mark.parametrize("host", ["a;reboot", "<script>", "a$(b)", "a b", ""])
def test_the_manual_repeats_nothing_that_a_shell_would_run(registry, start: Callable, host: str) -> None:
    with start(create_app(registry, hosts=None)) as address:
        page = httpx.get(f"{address}/docs", headers={"Host": host}).text
        assert f"curl -F image=@7.png {address}/v1/predict" in page


def test_the_log_has_nothing_raw(address: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "kalamos.app"):
        for path in ("/health%0a2026-01-01%20forged%1b[2J", "/v1/predict%0d%0aforged%e2%80%ae"):
            for headers in ({"Host": "elsewhere.example"}, {}):
                httpx.get(f"{address}{path}", headers=headers)
                httpx.post(f"{address}{path}", headers={**headers, "Origin": "http://elsewhere.example"})
    assert len(caplog.messages) >= 8
    for message in caplog.messages:
        assert message.isprintable()
        assert message.isascii()


PROGRAM = """
import sys, time, gradio as gr
from kalamos import cli
from kalamos.app import page
def build(*given, **options):
    def slowly(text):
        print("working", flush=True)
        time.sleep(1.5)
        return text + "!"
    with gr.Blocks() as blocks:
        given, taken = gr.Textbox(), gr.Textbox()
        gr.Button().click(slowly, given, taken, api_name="slowly")
    return blocks
page.build_page = build
sys.argv = ["kalamos", "app", "-m", "digits", "--port", "0", "--timeout", "40"]
cli.main()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM that can be heard")
def test_with_a_page_open_the_end_is_quiet_and_an_event_under_way_is_answered(tmp_path: Path) -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "cwd": tmp_path}
    with subprocess.Popen([sys.executable, "-c", PROGRAM], **pipes) as run:
        try:
            assert run.stdout is not None
            told = run.stdout.readline()
            address = next(word for word in told.split() if word.startswith("http://"))
            # An idle connection would hold up the server's end: nobody reads that it was closed.
            limits = httpx.Limits(max_keepalive_connections=0)
            with httpx.Client(base_url=address, timeout=60, limits=limits) as browser:
                browser.get("/")
                said = threading.Thread(target=_listen, args=(browser, "/gradio_api/heartbeat/abc", []))
                said.start()
                event = {"data": ["hello"], "fn_index": 0, "session_hash": "abc"}
                assert browser.post("/gradio_api/queue/join", json=event).status_code == 200
                events: list[dict[str, object]] = []
                data = "/gradio_api/queue/data?session_hash=abc"
                listening = threading.Thread(target=_listen, args=(browser, data, events))
                listening.start()
                assert run.stdout.readline() == "working\n"
                began = time.monotonic()
                run.send_signal(signal.SIGTERM)
                _, err = run.communicate(timeout=60)
                seconds = time.monotonic() - began
                said.join(20)
                listening.join(20)
        finally:
            run.kill()
    assert "Traceback" not in err
    assert err.endswith("ended\n")
    assert run.returncode == 0
    assert seconds < 40, "the patience of the end, which a heartbeat that goes on would use up"
    [answer] = [event for event in events if event["msg"] == "process_completed"]
    assert answer["output"]["data"] == ["hello!"]  # type: ignore[index]


def _listen(browser: httpx.Client, path: str, events: list[dict[str, object]]) -> None:
    with browser.stream("GET", path) as answer:
        lines = answer.iter_lines()
        events.extend(json.loads(line[6:]) for line in lines if line.startswith("data: {"))
