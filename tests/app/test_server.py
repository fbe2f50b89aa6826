"""The server as a process: its address, its end, and those who keep it waiting."""

from __future__ import annotations

import errno
import importlib
import json
import logging
import signal
import socket
import subprocess
import sys
import threading
import time
from asyncio import selector_events
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from kalamos.app import connections, server
from kalamos.app.api import create_app
from kalamos.app.server import bind
from kalamos.errors import UsageError

SLOW = """
import signal, sys, time
import numpy as np
from kalamos import cli
from kalamos.recognizer import Recognizer
read = Recognizer.predict_batch
def slowly(*given, **options):
    print("reading", flush=True)
    time.sleep(1.5)
    return read(*given, **options)
Recognizer.predict_batch = slowly
sys.argv = ["kalamos", "app", "--api-only", "--port", "0"]
signal.signal(signal.SIGINT, signal.default_int_handler)
cli.main()
"""


@contextmanager
def process(program: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "-c", program], **pipes) as run:
        try:
            assert run.stdout is not None
            told = run.stdout.readline()
            assert told.startswith("kalamos HTTP API: http://127.0.0.1:"), told
            yield run, told.split()[3]
        finally:
            run.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_is_under_way_is_answered_before_the_end(one: bytes, number: signal.Signals) -> None:
    with process(SLOW) as (run, address):
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(httpx.post(f"{address}/v1/predict", files={"image": ("a", one)}, timeout=30))

        asking = threading.Thread(target=ask)
        asking.start()
        assert run.stdout is not None
        assert run.stdout.readline() == "reading\n"
        run.send_signal(number)
        asking.join(30)
        _, err = run.communicate(timeout=30)
    assert answers[0].json()["results"][0]["label"] == "1"
    assert run.returncode == 0
    assert err.endswith("ended\n")
    assert "Traceback" not in err


def test_while_it_drains_new_requests_are_sent_elsewhere(one: bytes) -> None:
    """Those under way are answered, on connections old and new, whatever else comes meanwhile."""
    with process(SLOW.replace("time.sleep(1.5)", "sys.stdin.readline()")) as (run, address):
        answers: list[httpx.Response] = []

        def ask() -> None:
            answers.append(httpx.post(f"{address}/v1/predict", files={"image": ("a", one)}, timeout=30))

        with httpx.Client(base_url=address, timeout=30) as before:
            assert before.get("/health").status_code == 200
            asking = threading.Thread(target=ask)
            asking.start()
            assert run.stdout is not None
            assert run.stdout.readline() == "reading\n"
            run.send_signal(signal.SIGTERM)
            until = time.monotonic() + 20
            while (told := before.get("/health")).is_success and time.monotonic() < until:
                time.sleep(0.05)
            refused = [told]
            refused += [httpx.get(f"{address}/health", timeout=30) for _ in range(3)]
            refused += [httpx.post(f"{address}/v1/predict", files={"image": ("a", one)}, timeout=30)]
            assert asking.is_alive(), "the slow one is still read"
        _, err = run.communicate("go on\n", timeout=30)
        asking.join(30)
    for answer in refused:
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "ending")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["connection"] == "close"
    assert answers[0].json()["results"][0]["label"] == "1"
    assert (run.returncode, "Traceback" in err) == (0, False)


def test_a_port_in_use() -> None:
    with bind("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with pytest.raises(UsageError, match="in use; end what uses it"):
            bind("127.0.0.1", port)
    bind("127.0.0.1", port).close()  # free again at once


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-name.invalid", "a" * 300, "\udc80"])
def test_addresses_of_nobody(host: str) -> None:
    with pytest.raises(UsageError):
        bind(host, 0)


@pytest.fixture(params=["h11", "httptools"])
def protocol(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Each of uvicorn's two in turn; httptools has no build for some machines."""
    pytest.importorskip(request.param)
    module = importlib.import_module(f"uvicorn.protocols.http.{request.param}_impl")
    found = module.H11Protocol if request.param == "h11" else module.HttpToolsProtocol
    monkeypatch.setattr(server, "AutoHTTPProtocol", found)
    return str(request.param)


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("sent", [b"", b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "])
def test_who_sends_no_request_is_hung_up_on(
    registry, start: Callable, monkeypatch: pytest.MonkeyPatch, sent: bytes
) -> None:
    monkeypatch.setattr(connections, "MAX_HEADER_SECONDS", 0.5)
    with start(create_app(registry)) as address, closing(_connect(address)) as connection:
        connection.sendall(sent)
        assert connection.recv(100) == b""


@pytest.mark.usefixtures("protocol")
def test_who_has_been_answered_may_take_time(
    registry, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_HEADER_SECONDS", 0.3)
    request = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
    with start(create_app(registry)) as address, closing(_connect(address)) as connection:
        for _ in range(2):
            connection.sendall(request)
            answer = b""
            while not answer.endswith(b"}"):
                piece = connection.recv(65536)
                assert piece, "hung up on"
                answer += piece
            time.sleep(0.8)


HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize(
    "start_of",
    [b"GET /health HTTP/1.1\r\nX-Long: ", HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\nX-Long: "],
)
def test_what_is_no_body_has_an_end(registry, start: Callable, start_of: bytes) -> None:
    with start(create_app(registry)) as address, closing(_connect(address)) as connection:
        connection.sendall(start_of)
        sent = 0
        with suppress(OSError):
            while sent < 100_000_000:
                connection.sendall(b"a" * 100_000)
                sent += 100_000
        assert sent < 20_000_000


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize(
    "sent", [b"hello?\r\n\r\n", b"GET /\xff HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA B: c\r\n\r\n"]
)
def test_what_is_no_http_is_answered_as_every_error(registry, start: Callable, sent: bytes) -> None:
    with start(create_app(registry)) as address, closing(_connect(address)) as connection:
        connection.sendall(sent)
        answer = b""
        while piece := connection.recv(65536):
            answer += piece
        head, _, body = answer.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 400 Bad Request\r\n")
        assert json.loads(body)["error"]["code"] == "no_http"


@pytest.mark.usefixtures("protocol")
def test_an_offer_of_another_protocol_is_passed_over(registry, start: Callable, one: bytes) -> None:
    offer = {"Connection": "Upgrade, HTTP2-Settings", "Upgrade": "h2c", "HTTP2-Settings": "AAEAAEAA"}
    with start(create_app(registry)) as address, httpx.Client(base_url=address, timeout=60) as client:
        for _ in range(2):
            answer = client.post("/v1/predict", files={"image": ("a", one)}, headers=offer)
            assert answer.json()["results"][0]["label"] == "1"


@pytest.mark.usefixtures("protocol")
def test_two_hosts_are_one_too_many(registry, start: Callable) -> None:
    with start(create_app(registry)) as address, closing(_connect(address)) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: other.example\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


@pytest.mark.usefixtures("protocol")
def test_a_client_that_has_gone_is_no_failure(
    registry, start: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Whose reset came in the moment between the answer and its end."""

    def gone(_: object) -> None:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")

    monkeypatch.setattr(selector_events._SelectorSocketTransport, "write_eof", gone)
    with start(create_app(registry)) as address:
        for _ in range(3):
            answer = httpx.get(f"{address}/health", headers={"connection": "close"})
            assert answer.json()["status"] == "ok"
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING] == []


@pytest.mark.usefixtures("protocol")
def test_large_bodies_are_no_unfinished_heads(registry, start: Callable) -> None:
    with start(create_app(registry)) as address, httpx.Client(base_url=address, timeout=60) as client:
        for image in (bytes(3_000_000), bytes(100)):
            answer = client.post("/v1/predict", files={"image": ("a", image)})
            assert answer.json()["results"][0]["code"] == "unsupported_format"


@pytest.mark.usefixtures("protocol")
def test_small_answers_do_not_wait_for_an_acknowledgement(registry, start: Callable) -> None:
    with start(create_app(registry)) as address, httpx.Client(base_url=address) as client:
        client.get("/health")
        started = time.perf_counter()
        for _ in range(20):
            client.get("/health")
        assert time.perf_counter() - started < 20 * 0.03, "40 ms each is Nagle's algorithm"


def _connect(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=20)
