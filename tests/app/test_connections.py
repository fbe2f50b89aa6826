"""What one client can cost: memory for what it does not read, heads without end, many connections at once."""

from __future__ import annotations

import importlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from kalamos.app import connections, server
from kalamos.app.api import create_app

GET = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"


@pytest.fixture(scope="module", params=["h11", "httptools"])
def protocol(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each of uvicorn's two in turn; httptools has no build for some machines."""
    pytest.importorskip(request.param)
    module = importlib.import_module(f"uvicorn.protocols.http.{request.param}_impl")
    found = module.H11Protocol if request.param == "h11" else module.HttpToolsProtocol
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(server, "AutoHTTPProtocol", found)
        yield str(request.param)


@pytest.fixture(scope="module")
def api(protocol: str, registry, start: Callable) -> Iterator[str]:
    """The address of a server for all that ask of it nothing unusual but what they send."""
    with start(create_app(registry)) as address:
        yield address


def connect(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=8)


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up, which must not be a reset."""
    data = b""
    while piece := connection.recv(65536):
        data += piece
    return data


def answers_in(data: bytes) -> list[tuple[int, dict[str, object]]]:
    """Status and JSON of each answer in what a server sent."""
    found = []
    while data:
        head, _, rest = data.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        found.append((int(head[9:12]), json.loads(rest[:length])))
        data = rest[length:]
    return found


def refused(data: bytes) -> tuple[int, object]:
    status, body = answers_in(data)[-1]
    return status, body["error"]["code"]  # type: ignore[index]


class Hoard:
    """An application whose answers are large, and which counts how many were asked for."""

    def __init__(self, size: int) -> None:
        self.size, self.asked = size, 0

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            for word in ("startup", "shutdown"):
                await receive()
                await send({"type": f"lifespan.{word}.complete"})
            return
        self.asked += 1
        headers = [(b"content-length", b"%d" % self.size)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": bytes(self.size)})


class _State:
    @staticmethod
    def end_page() -> None:
        pass


Hoard.state = _State  # type: ignore[attr-defined]


@pytest.mark.usefixtures("protocol")
def test_answers_that_nobody_reads_are_not_piled_up(start: Callable) -> None:
    app = Hoard(100_000)
    with start(app) as address:
        before = psutil.Process().memory_info().rss
        held = [connect(address) for _ in range(20)]
        for connection in held:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.setblocking(False)
            with suppress(BlockingIOError):
                connection.send((GET + b"\r\n") * 5_000)
        time.sleep(3)
        grown = psutil.Process().memory_info().rss - before
        # The system's buffers take some megabytes of each; what is left is what waits in the process.
        assert app.asked < 20 * 200, "of 100,000 that came"
        assert grown < 60_000_000
        for connection in held:
            connection.close()


def test_requests_behind_one_another_are_all_answered_in_order(api: str, one: bytes) -> None:
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="%d"\r\n\r\n%b\r\n--x--\r\n'
    sent = b""
    for number in range(200):
        body = form % (number, one)
        if number % 2:
            sent += POST + b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
        else:
            half = len(body) // 2
            chunks = b"%x\r\n%b\r\n%x;a=b\r\n%b\r\n" % (half, body[:half], len(body) - half, body[half:])
            sent += POST + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nA: b\r\n\r\n"
    sent += GET + b"Connection: close\r\n\r\n"
    with closing(connect(api)) as connection:
        threading.Thread(target=connection.sendall, args=(sent,)).start()
        answered = answers_in(all_of(connection))
    assert [body["results"][0]["path"] for _, body in answered[:-1]] == [str(n) for n in range(200)]  # type: ignore[index]
    assert answered[-1][1]["status"] == "ok"


@pytest.mark.usefixtures("protocol")
def test_who_does_not_read_is_let_go(start: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_UNREAD_SECONDS", 0.5)
    with start(Hoard(20_000_000)) as address, closing(connect(address)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(GET + b"\r\n")
        time.sleep(2)
        size = 0
        with suppress(ConnectionError):
            while piece := connection.recv(1_000_000):
                size += len(piece)
        assert size < 10_000_000
    with start(Hoard(2_000_000)) as address, closing(connect(address)) as connection:
        connection.sendall(GET + b"Connection: close\r\n\r\n")
        size = 0
        while piece := connection.recv(100_000):
            size += len(piece)
            time.sleep(0.02)
        assert size > 2_000_000, "who reads slowly, but reads, has it all"


LONG = b"a" * 70_000
HEADS = {
    "one header": GET + b"X-Long: " + LONG + b"\r\n\r\n",
    "many headers": GET + b"".join(b"X-%d: %d\r\n" % (n, n) for n in range(6_000)) + b"\r\n",
    "the address": b"GET /" + LONG + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    "behind another": GET + b"\r\n" + GET + b"X-Long: " + LONG + b"\r\n\r\n",
    "without an end": GET + b"X-Long: " + LONG,
    "trailer": POST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\nX-Long: " + LONG + b"\r\n\r\n",
    "many trailers": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\n" + b"A: b\r\n" * 20_000 + b"\r\n",
    "chunk extension": POST + b"Transfer-Encoding: chunked\r\n\r\n1;x=" + LONG + b"\r\na\r\n0\r\n\r\n",
    "chunk extensions": POST
    + b"Transfer-Encoding: chunked\r\n\r\n"
    + (b"1;" + b"x" * 999 + b"\r\na\r\n") * 99,
}


@pytest.mark.parametrize("step", [10_000_000, 7_001], ids=["at once", "in pieces"])
@pytest.mark.parametrize("name", HEADS)
def test_a_head_over_the_bound_is_refused_however_it_comes(api: str, name: str, step: int) -> None:
    sent = HEADS[name]
    with closing(connect(api)) as connection:
        for place in range(0, len(sent), step):
            with suppress(OSError):  # answered before all has come
                connection.sendall(sent[place : place + step])
            if step < len(sent):
                time.sleep(0.005)
        assert refused(all_of(connection)) == (431, "head_too_large")


def test_a_head_below_the_bound_is_taken_in_any_pieces(api: str) -> None:
    sent = GET + b"X-Long: " + b"a" * 60_000 + b"\r\nConnection: close\r\n\r\n"
    for step in (len(sent), 997):
        with closing(connect(api)) as connection:
            for place in range(0, len(sent), step):
                connection.sendall(sent[place : place + step])
            assert answers_in(all_of(connection))[0][0] == 200
    with closing(connect(api)) as connection:
        for byte in b"\r\n" + GET + b"Connection: close\r\n\r\n":
            connection.sendall(bytes([byte]))
        assert answers_in(all_of(connection))[0][0] == 200


MALFORMED = {
    "two lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "two equal lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "a length and chunks": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "another encoding": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunks in HTTP/1.0": POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a chunk's size": POST + b"Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n",
    "a chunk that is longer": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n0\r\n\r\n",
    "line ends": b"GET /health HTTP/1.1\nHost: 127.0.0.1\n\n",
    "one line end": b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nA: b\n\nGET / HTTP/1.1\r\n\r\n",
    "HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(20),
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00",
    "a tunnel": b"CONNECT example.org:443 HTTP/1.1\r\nHost: example.org\r\n\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_can_be_taken_two_ways_is_not_taken(api: str, name: str) -> None:
    with closing(connect(api)) as connection:
        connection.sendall(MALFORMED[name])
        assert refused(all_of(connection)) == (400, "no_http")


def test_an_expected_go_ahead(api: str, one: bytes) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + one + b"\r\n--x--\r\n"
    head = b"Content-Length: %d\r\nExpect: 100-continue\r\n\r\n" % len(body)
    with closing(connect(api)) as connection:
        connection.sendall(POST + head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body + GET + b"Connection: close\r\n\r\n")
        assert [status for status, _ in answers_in(all_of(connection))] == [200, 200]
    with closing(connect(api)) as connection:
        # Refused without it: nobody knows whether the body follows, so that no request can.
        connection.sendall(POST.replace(b"multipart/form-data", b"text/plain") + head)
        assert refused(all_of(connection)) == (415, "unsupported_media_type")


@pytest.mark.usefixtures("protocol")
def test_a_body_that_stands_still_is_not_waited_for(
    registry, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "MAX_BODY_STALL_SECONDS", 0.5)
    with start(create_app(registry)) as address, closing(connect(address)) as connection:
        connection.sendall(POST + b"Content-Length: 1000\r\n\r\nhalf")
        began = time.monotonic()
        assert refused(all_of(connection)) == (408, "too_slow")
        assert time.monotonic() - began < 5


@pytest.mark.usefixtures("protocol")
def test_who_holds_many_connections_displaces_his_own(
    registry, start: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "_most_connections", lambda: 20)
    with start(create_app(registry)) as address, httpx.Client(base_url=address, timeout=5) as client:
        client.get("/health")
        before = open_files()
        held = []
        for number in range(300):
            held.append(connect(address))
            if number % 3 == 1:
                held[-1].sendall(GET)
            if number % 3 == 2:
                held[-1].sendall(POST + b"Content-Length: 1000\r\n\r\nhalf")
            if number % 50 == 0:
                assert httpx.get(f"{address}/health", timeout=5).status_code == 200
        assert httpx.get(f"{address}/health", timeout=5).status_code == 200
        assert open_files() - before - len(held) < 100
        for connection in held:
            connection.close()


def open_files() -> int:
    """Of this process, where the system tells."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.is_dir() else 0


@pytest.mark.usefixtures("protocol")
@pytest.mark.parametrize("kept", [True, False], ids=["kept connections", "new connections"])
def test_the_end_under_load_resets_nobody(registry, start: Callable, one: bytes, kept: bool) -> None:
    body = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n' + one + b"\r\n--x--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=x"}
    wrong: list[str] = []
    statuses: list[int] = []

    def ask_on(host: str) -> None:
        connection = None
        while True:
            try:
                if connection is None:
                    connection = HTTPConnection(host, timeout=30)
                    connection.connect()
            except OSError:  # nobody listens any more
                return
            try:
                connection.request("POST", "/v1/predict", body, headers)
                answer = connection.getresponse()
                told = json.loads(answer.read())
            except (OSError, HTTPException, ValueError) as error:
                wrong.append(repr(error))
                return
            statuses.append(answer.status)
            if answer.status not in {200, 503} or ("error" in told) != (answer.status == 503):
                wrong.append(str(told))
            if not kept or answer.getheader("connection") == "close":
                connection.close()
                connection = None

    with start(create_app(registry)) as address:
        threads = [threading.Thread(target=ask_on, args=(urlsplit(address).netloc,)) for _ in range(32)]
        for thread in threads:
            thread.start()
        time.sleep(1.5)
    for thread in threads:
        thread.join(30)
    assert wrong == []
    assert statuses.count(200) >= 32
