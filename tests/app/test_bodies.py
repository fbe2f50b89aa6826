"""Requests that are too large, too slow or broken off, over bare sockets where a client is too polite."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from urllib.parse import urlsplit

import httpx
import pytest

from kalamos.app.limits import Limits
from kalamos.app.server import create_app

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"


@pytest.fixture(scope="module")
def strict(registry, start: Callable) -> Iterator[str]:
    """A server that takes 100 kB and has no patience."""
    with start(create_app(registry, Limits(upload_bytes=100_000, images=4, seconds=2))) as address:
        yield address


def connect(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=20)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, object], bytes]:
    """Status, JSON and head of what comes back until the server hangs up or all has come."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head[9:12]), json.loads(body[:length])["error"], head


def test_over_the_limit(strict: str, one: bytes) -> None:
    with httpx.Client(base_url=strict, timeout=20) as client:
        for size in (101_000, 5_000_000):
            answer = client.post("/v1/predict", files={"image": ("a.png", bytes(size))})
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        answer = client.post("/v1/predict", files=[("image", ("a.png", one))] * 5)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_images")
        assert client.post("/v1/predict", files={"image": ("a.png", one)}).status_code == 200


def test_over_the_limit_without_a_length(strict: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(10_000)

    with httpx.Client(base_url=strict, timeout=20) as client:
        answer = client.post(
            "/v1/predict", content=pieces(), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_an_endless_body_is_cut_off(strict: str) -> None:
    with closing(connect(strict)) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert pour(connection, 200_000_000) < 100_000_000


def pour(connection: socket.socket, most: int) -> int:
    """Send chunks until the server hangs up; how many bytes that were."""
    chunk, sent = b"186a0\r\n" + bytes(100_000) + b"\r\n", 0
    with suppress(OSError):
        while sent < most:
            connection.sendall(chunk)
            sent += len(chunk)
    return sent


def test_a_length_that_lies(strict: str) -> None:
    for length, status in ((10**15, 413), (99_999, 408)):
        with closing(connect(strict)) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\nlittle" % length)
            got, error, head = answer_of(connection)
            assert got == status, error
            assert b"connection: close" in head.lower()
    with closing(connect(strict)) as connection:
        # More than it says is the start of the next request, and none that anyone understands.
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\n" + bytes(300_000))
        got, error, _ = answer_of(connection)
        assert (got, error["code"]) == (422, "invalid_multipart")


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"x", b"1, 2"])
def test_a_length_that_is_none(strict: str, length: bytes) -> None:
    with closing(connect(strict)) as connection:
        connection.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\n")
        status, error, head = answer_of(connection)
        assert (status, error["code"]) == (400, "no_http")
        assert b"connection: close" in head.lower()


def test_a_client_that_is_too_slow(strict: str) -> None:
    with closing(connect(strict)) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        started = time.monotonic()
        for _ in range(15):
            connection.sendall(b"a")
            time.sleep(0.1)
        status, error, _ = answer_of(connection)
        assert (status, error["code"]) == (408, "too_slow")
        assert time.monotonic() - started < 15


def test_a_client_that_goes_away_harms_nobody(strict: str, one: bytes) -> None:
    for _ in range(5):
        with closing(connect(strict)) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
    with httpx.Client(base_url=strict, timeout=20) as client:
        assert client.post("/v1/predict", files={"image": ("a.png", one)}).status_code == 200
        assert client.get("/health").json()["waiting"] == 0


def test_the_memory_of_bodies_is_shared(registry, start: Callable) -> None:
    with start(create_app(registry, Limits(upload_bytes=10_000, seconds=20))) as address:
        held = [connect(address) for _ in range(9)]
        for connection in held:
            connection.sendall(HEAD + b"Content-Length: 9999\r\n\r\n" + bytes(9_900))
            time.sleep(0.1)
        status, error, head = answer_of(held[-1])
        assert (status, error["code"]) == (429, "busy")
        assert b"retry-after" in head.lower()
        for connection in held:
            connection.close()
        time.sleep(0.5)
        # What was held is given back.
        with httpx.Client(base_url=address, timeout=20) as client:
            answer = client.post("/v1/predict", files={"image": ("a.png", bytes(9_000))})
            assert answer.status_code == 200
