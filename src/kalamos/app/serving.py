"""Running the application: the socket, impatience with those who send nothing, and the end."""

from __future__ import annotations

import asyncio
import errno
import re
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from kalamos.app.refusals import RefusedError, refusal_response
from kalamos.errors import UsageError

__all__ = ["bind", "server_for"]

HEADER_SECONDS: Final = 10.0
"""For the head of a request to arrive whole."""

UNFINISHED_BYTES: Final = 64 * 1024
"""Of a head, or of anything else that is no body, before it has to end: as h11 has it."""

_UPGRADE: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)

IDLE_SECONDS: Final = 30
"""For which a connection is kept between requests."""

CONNECTIONS: Final = 500
"""At once; who comes beyond that is answered 503."""


def bind(host: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one.

    Raises:
        UsageError: the port is in use or reserved, or the address is none of this machine's.

    >>> with bind("127.0.0.1", 0) as first:
    ...     bind("127.0.0.1", first.getsockname()[1])
    Traceback (most recent call last):
    kalamos.errors.UsageError: port ... of 127.0.0.1 is in use; ...
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{host!r} is no address: {error}", remedy="give one after --host") from error
    # With the protocol named: else asyncio leaves Nagle's algorithm on, and the second part of an answer
    # waits 40 ms for the client's delayed acknowledgement of the first.
    listener = socket.socket(family, kind, protocol)
    try:
        # Else a port would be in use for a minute after its server has ended. On Windows it means sharing.
        if hasattr(socket, "SO_REUSEPORT"):
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(2048)
    except OSError as error:
        listener.close()
        raise _cannot_bind(host, port, error) from error
    return listener


def _cannot_bind(host: str, port: int, error: OSError) -> UsageError:
    if error.errno == errno.EADDRINUSE:
        return UsageError(
            f"port {port} of {host} is in use", remedy="end what uses it, or choose another with --port"
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return UsageError(f"port {port} is reserved", remedy="choose one above 1023 with --port")
    return UsageError(
        f"cannot listen on {host}: {error.strerror}", remedy="give one of this machine's addresses"
    )


def server_for(
    app: Any, *, patience: float, ready: Callable[[], None], ending: Callable[[], None]
) -> uvicorn.Server:
    """A server whose `run(sockets=[...])` answers until SIGINT or SIGTERM, and then ends what was begun.

    Args:
        app: the ASGI application.
        patience: seconds that requests under way have when the end comes.
        ready: called once the first request can be answered.
        ending: called when no more are taken.
    """
    config = uvicorn.Config(
        app,
        http=_protocol(),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        limit_concurrency=CONNECTIONS,
        timeout_keep_alive=IDLE_SECONDS,
        timeout_graceful_shutdown=max(1, round(patience)),
    )
    return _Server(config, ready, ending)


def _protocol() -> type[asyncio.Protocol]:
    """The faster of uvicorn's two that is installed, made impatient."""
    manners = _ForHttptools if hasattr(AutoHTTPProtocol, "on_headers_complete") else _Impatient
    return type("_Protocol", (manners, AutoHTTPProtocol), {})


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._ending()
        await super().shutdown(sockets)


class _Impatient:
    """Goes before one of uvicorn's HTTP protocols, h11's or httptools', and uses what both have.

    A connection whose next request does not come is hung up on; uvicorn waits for ever for its first. And
    what is no HTTP is answered in the form of every other error.
    """

    cycle: Any
    transport: asyncio.Transport
    _patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)  # type: ignore[misc]
        self._wait()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]
        if self._is_at_work():
            self._stop_waiting()
        elif self._patience is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        super().connection_lost(exc)  # type: ignore[misc]

    def send_400_response(self, msg: str) -> None:
        self._refuse(RefusedError(400, "no_http", msg.rstrip("."), headers={"Connection": "close"}))

    def _refuse(self, refusal: RefusedError) -> None:
        """The last answer on this connection; none where another has begun."""
        if not self._is_at_work() or not self.cycle.response_started:
            response = refusal_response(refusal, "-")
            head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
            phrase = HTTPStatus(refusal.status).phrase.encode()
            self.transport.write(
                b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (refusal.status, phrase, head, bytes(response.body))
            )
        self.transport.close()

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _wait(self) -> None:
        self._patience = asyncio.get_running_loop().call_later(HEADER_SECONDS, self._hang_up)

    def _stop_waiting(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _hang_up(self) -> None:
        self._patience = None
        if not self._is_at_work():
            self.transport.close()


class _ForHttptools(_Impatient):
    """Goes before httptools' protocol, and makes up for what it lacks beside h11's.

    It takes heads, chunks' extensions and trailers of any length. And it loses the body of a request that
    offers another protocol, as Java's client does by default; an offer that is never taken.
    """

    _unfinished = 0

    def data_received(self, data: bytes) -> None:
        self._unfinished += len(data)
        if not self._is_at_work():
            head, blank, rest = data.partition(b"\r\n\r\n")
            data = b"".join((_UPGRADE.sub(b"\r\nx-upgrade:", head), blank, rest))
        super().data_received(data)
        if self._unfinished > UNFINISHED_BYTES and not self.transport.is_closing():
            close = {"Connection": "close"}
            self._refuse(
                RefusedError(431, "head_too_large", "the request's head is too large", headers=close)
            )

    def on_headers_complete(self) -> None:
        self._unfinished = 0
        super().on_headers_complete()  # type: ignore[misc]

    def on_body(self, body: bytes) -> None:
        self._unfinished = 0
        super().on_body(body)  # type: ignore[misc]

    def on_message_complete(self) -> None:
        self._unfinished = 0
        super().on_message_complete()  # type: ignore[misc]
