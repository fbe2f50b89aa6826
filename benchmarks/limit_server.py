"""The server's limits, tried over its socket."""

from __future__ import annotations

import random
import socket
import sys
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parent.parent)]
from fuzz.images.pictures import encoded  # noqa: E402  (the path must be set first)
from fuzz.server import Server  # noqa: E402
from fuzz.talking import answers_to, check_pipeline  # noqa: E402
from fuzz.watching import Limits  # noqa: E402

__all__ = ["Measured", "measure_server"]

MIB = 2**20

Measured = tuple[str, float, float]
"""What was answered, after how many seconds, and the most MiB above idle meanwhile."""


def measure_server(folder: Path) -> Iterator[tuple[str, str, Measured | None, Measured]]:
    """Rows of the table: what, the stated value, what is within and what is beyond."""
    limits = import_module("kalamos.app.errors").Limits()
    with Server(folder, None, Limits(megabytes=2_000), "--api-only") as server:
        picture = encoded(random.Random(0), ".png")  # noqa: S311
        answers_to(server.port, _form([picture]))
        server.begin()

        def asked(data: bytes) -> Measured:
            return _timed(server, lambda: _status(server.port, data))

        most = limits.upload_bytes
        yield (
            "bytes of a request's body",
            f"{most // MIB} MiB",
            asked(_posted(b"x" * most)),
            asked(_posted(b"x" * (most + 1))),
        )
        yield (
            "images of a request",
            f"{limits.images}",
            asked(_form([picture] * limits.images)),
            asked(_form([picture] * (limits.images + 1))),
        )
        head = import_module("kalamos.app.connections").MAX_HEAD_BYTES
        yield (
            "bytes of a request's head",
            f"{head // 1024} KiB",
            asked(_head(head - 100)),
            asked(_head(head + 100)),
        )
        yield (
            "seconds for a head to come",
            f"{_constant('MAX_HEADER_SECONDS'):g}",
            None,
            _timed(server, _unfinished(server)),
        )
        bound = f"{_constant('MAX_UNSENT_BYTES') / 1024:.0f} KiB"
        yield "answers that a connection leaves unread", bound, None, _timed(server, lambda: _unread(server))


def _constant(name: str) -> float:
    return float(getattr(import_module("kalamos.app.connections"), name))


def _timed(server: Server, action: Callable[[], str]) -> Measured:
    server.begin()
    began = time.perf_counter()
    told = action()
    return told, time.perf_counter() - began, server.peak


def _status(port: int, data: bytes) -> str:
    answers, _, _ = answers_to(port, data)
    return f"answered {answers[0][0]}" if answers else "closed"


def _posted(body: bytes) -> bytes:
    kind = b"Content-Type: application/json\r\n"
    return b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Length: %d\r\n\r\n%b" % (
        kind,
        len(body),
        body,
    )


def _form(pictures: list[bytes]) -> bytes:
    part = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n%b\r\n'
    body = b"".join(part % picture for picture in pictures) + b"--x--\r\n"
    kind = b"Content-Type: multipart/form-data; boundary=x\r\n"
    return b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\n%bContent-Length: %d\r\n\r\n%b" % (
        kind,
        len(body),
        body,
    )


def _head(size: int) -> bytes:
    start = b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\nX: "
    return start + b"a" * (size - len(start) - 4) + b"\r\n\r\n"


def _unfinished(server: Server) -> Callable[[], str]:
    """A head that does not come to its end: what is answered, or that the connection is closed."""

    def wait() -> str:
        with socket.create_connection(("127.0.0.1", server.port), 5) as connection:
            connection.settimeout(60)
            connection.sendall(b"GET /health HTTP/1.1\r\nX: ")
            data = connection.recv(1 << 16)
        return f"answered {data[9:12].decode()}" if data else "closed"

    return wait


def _unread(server: Server) -> str:
    _, problems = check_pipeline(server, "/openapi.json", 100, 5_400, 8)
    return problems[0][0] if problems else "100 connections wait"
