"""HTTP connections: one request at a time, bounded memory, no client waited for without end.

uvicorn's parsers take whatever they are given: a head, a chunk's extension or a trailer of any length, and as
many requests after one another as come. Here the bytes of a connection are cut where a request ends (RFC
9112), within bounds, and the parser is given one request at a time.
"""

from __future__ import annotations

import asyncio
import math
import re
import socket
import struct
import sys
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Final, cast

from starlette.types import Message, Receive, Scope, Send

from kalamos.app.errors import APIError, error_response

__all__ = ["Connection", "Traffic", "ending_error"]

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers; of a chunked body's trailers; and of its chunk lines beyond their due."""

MAX_HEADER_SECONDS: Final = 10.0
"""For the head of a request to arrive whole."""

MAX_IDLE_SECONDS: Final = 30.0
"""For which a connection is kept between requests."""

MAX_BODY_STALL_SECONDS: Final = 30.0
"""For which a body may stand still. Its reader decides how long it may take in all."""

MIN_BODY_BYTES_PER_SECOND: Final = 1024
"""At least, once `MAX_BODY_STALL_SECONDS` have gone."""

MAX_UNSENT_BYTES: Final = 64 * 1024
"""Of answers that a client has not read yet: with more, its next request waits."""

MAX_UNREAD_SECONDS: Final = 30.0
"""In which a client that has more unsent has to read `MIN_READ_BYTES`."""

MIN_READ_BYTES: Final = 16 * 1024

MAX_LINGER_SECONDS: Final = 5.0
MAX_LINGER_BYTES: Final = 12 * 2**20
"""How long, and how much, is still read and discarded after the last answer. Closing a connection with unread
bytes resets it, and the reset can overtake the answer."""

LAST_REQUEST_SECONDS: Final = 0.5
"""For a request that was on its way when the server's end began."""

_NO_LINGER: Final = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)

_METHOD: Final = re.compile(rb"[A-Z-]{1,24}(?: |\Z)")
_FRAMING_HEADER: Final = re.compile(
    rb"\r\n(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE
)
_UPGRADE_HEADER: Final = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


class Traffic:
    """What the connections of one server have in common."""

    def __init__(self) -> None:
        self.most: float = math.inf
        """Connections that are served at once; those beyond are answered 503."""
        self.connections: set[Connection] = set()
        self.ending: float | None = None
        """Since when (`time.monotonic`) the server takes no more requests."""

    def make_room(self) -> bool:
        """Tell whether one more connection can be taken; the one waited for longest may be dropped for it.

        A client that opens many connections and sends nothing displaces its own, never one that is served.
        """
        if len(self.connections) < self.most:
            return True
        waited_for = [each for each in self.connections if each.waits_for_client]
        if not waited_for:
            return False
        min(waited_for, key=lambda each: each.since).drop()
        return True

    def tick(self) -> None:
        """End connections whose clients have taken too long; to be called several times a second."""
        now = time.monotonic()
        for connection in list(self.connections):
            connection.tick(now)


class Connection:
    """Goes before one of uvicorn's HTTP protocols, h11's or httptools', and uses what both have.

    The protocol is given one request at a time. What else comes meanwhile is kept, up to `MAX_HEAD_BYTES` and
    one read from the socket; then reading pauses. The next request begins when the last answer is sent.
    """

    traffic: Traffic
    app: Any
    cycle: Any
    flow: Any
    transport: asyncio.Transport
    _raw: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._raw = raw = cast("asyncio.Transport", transport)
        raw.set_write_buffer_limits(high=MAX_UNSENT_BYTES)
        self._pending = bytearray()
        self._searched = 0
        self._body: Length | Chunks | None = None
        """Of the request under way, as far as it has not come; None once it has."""
        self._protocol_pauses = False
        self._body_began, self._body_bytes = 0.0, 0
        self.closing = False
        self._thrown_away = 0
        self._unsent: int | None = None
        """At the last look, of a client that was behind then."""
        self.since = time.monotonic()
        """When the client last did what it was waited for."""
        self._supernumerary = not self.traffic.make_room()
        self.traffic.connections.add(self)
        super().connection_made(_LingeringTransport(raw, self))  # type: ignore[misc]
        self._application, self.app = self.app, self._answer

    def connection_lost(self, exc: Exception | None) -> None:
        self.closing = True
        self._pending.clear()
        self.traffic.connections.discard(self)
        super().connection_lost(exc)  # type: ignore[misc]

    def data_received(self, data: bytes) -> None:
        if self.closing:
            self._thrown_away += len(data)
            if self._thrown_away > MAX_LINGER_BYTES:
                self._raw.close()
            return
        was_idle = self.cycle is not None and self.is_idle
        if self._body is not None:
            self.since = time.monotonic()
            self._body_bytes += len(data)
        self._pending += data
        self.proceed()
        if was_idle and self._pending:
            self.since = time.monotonic()

    def on_response_complete(self) -> None:
        super().on_response_complete()  # type: ignore[misc]
        self.since = time.monotonic()
        self.proceed()

    def resume_writing(self) -> None:
        self._unsent = None
        self.since = time.monotonic()
        super().resume_writing()  # type: ignore[misc]
        self.proceed()

    def proceed(self) -> None:
        """Give the protocol what it can take of what has come."""
        try:
            while self._pending and not self.closing:
                if self._body is not None:
                    part, complete = self._body.take(self._pending)
                    if complete:
                        self._body = None
                    if part:
                        self._parse(part)
                    if not complete:
                        break
                elif self._is_at_work() or self.flow.write_paused or not self._begin():
                    break
        except APIError as refusal:
            self.refuse(refusal)
        self.set_reading()

    def _begin(self) -> bool:
        """Begin the next request; False where its head has not come whole, or is none."""
        head = take_head(self._pending, self._searched)
        if head is None:
            self._searched = len(self._pending)
            return False
        self._searched = 0
        self._body = body_of(head)
        self.since = self._body_began = time.monotonic()
        self._body_bytes = 0
        before = self.cycle
        self._parse(head)
        if self.cycle is before and not self.closing:
            raise malformed()
        return True

    def _parse(self, data: bytes) -> None:
        super().data_received(data)  # type: ignore[misc]

    def set_reading(self, *, protocol_pauses: bool | None = None) -> None:
        """Read from the socket, or stop if the protocol wants no more or enough has come."""
        if protocol_pauses is not None:
            self._protocol_pauses = protocol_pauses
        if self.closing or self._raw.is_closing():
            return
        if self._protocol_pauses or (self._body is None and len(self._pending) > MAX_HEAD_BYTES):
            self._raw.pause_reading()
        else:
            self._raw.resume_reading()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application, or answer 503 if the server is full or ends; announce a last answer."""
        refusal = self._refusal()
        if refusal is not None:
            await error_response(refusal, "-")(scope, receive, send)
            return

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start" and self._is_the_last():
                headers = [pair for pair in message.get("headers", ()) if pair[0].lower() != b"connection"]
                message = {**message, "headers": [*headers, (b"connection", b"close")]}
            await send(message)

        await self._application(scope, receive, answer)

    def _refusal(self) -> APIError | None:
        if self.traffic.ending is not None:
            return ending_error("the server is about to end", remedy="try again later")
        if self._supernumerary:
            return _too_many_connections(remedy="try again in a moment", retry_after=1)
        return None

    def _is_the_last(self) -> bool:
        """Tell whether no request is taken after this one.

        That is if the server ends, or if the rest of this one's body would have to come first and is long, or
        perhaps is never sent.
        """
        body = self._body
        if body is None:
            return self.traffic.ending is not None
        return isinstance(body, Chunks) or body.left > MAX_HEAD_BYTES or self.cycle.waiting_for_100_continue

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is not HTTP; called by uvicorn."""
        self.refuse(malformed())

    def refuse(self, refusal: APIError) -> None:
        """Send the last answer on this connection, unless another has begun."""
        if self.closing:
            return
        if not self._is_at_work() or not self.cycle.response_started:
            response = error_response(refusal, "-")
            head = b"".join(b"%b: %b\r\n" % header for header in response.raw_headers)
            phrase = HTTPStatus(refusal.status).phrase.encode()
            self._raw.write(
                b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (refusal.status, phrase, head, bytes(response.body))
            )
        self.linger()

    def linger(self) -> None:
        """Close after the answer, and without a reset: what still comes is taken and thrown away."""
        if self.closing:
            return
        self.closing = True
        self._pending.clear()
        self._body = None
        self.since = time.monotonic()
        if self._is_at_work():
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self._raw.is_closing() or not self._raw.can_write_eof():
            self._raw.close()
            return
        try:
            self._raw.write_eof()
        except OSError:  # the client has reset the connection, which is heard of only at the next read
            self._raw.close()
            return
        self._raw.resume_reading()

    def drop(self) -> None:
        """Make room for another connection at once; answer first if the client has had no answer."""
        self.traffic.connections.discard(self)
        if self._raw.get_write_buffer_size():
            self.abort()
            return
        if self._is_at_work():
            self.refuse(_too_many_connections())
        self.closing = True
        self._raw.close()

    def abort(self) -> None:
        """Close at once, whatever has not been sent; what the system holds of it is discarded too."""
        self.closing = True
        with suppress(OSError, AttributeError):
            self._raw.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._raw.abort()

    @property
    def waits_for_client(self) -> bool:
        """Whether nothing can be done before the client sends, or reads."""
        return self.closing or self._body is not None or self.flow.write_paused or not self._is_at_work()

    @property
    def is_idle(self) -> bool:
        """Whether no part of a request has come since the last was answered."""
        return not self.closing and not self._is_at_work() and not self._pending and self._body is None

    def _is_at_work(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def tick(self, now: float) -> None:
        """End the connection if its client has taken too long."""
        waited = now - self.since
        if self._raw.get_write_buffer_size() and (self.closing or self.flow.write_paused):
            self._tick_unsent(now)
        elif self.closing:
            if waited > MAX_LINGER_SECONDS:
                self._raw.close()
        elif self._body is not None:
            self._tick_body(now)
        elif not self._is_at_work() and waited > self._seconds_allowed():
            self.linger()

    def _seconds_allowed(self) -> float:
        """Return for how many seconds to wait for the next request, or for the rest of its head."""
        allowed = MAX_IDLE_SECONDS if self.is_idle and self.cycle is not None else MAX_HEADER_SECONDS
        if self.traffic.ending is None:
            return allowed
        return min(allowed, LAST_REQUEST_SECONDS + max(0.0, self.traffic.ending - self.since))

    def _tick_body(self, now: float) -> None:
        if self._protocol_pauses:  # it is not the client that is waited for
            self.since = self._body_began = now
            self._body_bytes = 0
            return
        late = now - self._body_began - MAX_BODY_STALL_SECONDS
        if now - self.since > MAX_BODY_STALL_SECONDS or late * MIN_BODY_BYTES_PER_SECOND > self._body_bytes:
            problem = f"the request's body stood still for {MAX_BODY_STALL_SECONDS:g} s, or came too slowly"
            self.refuse(APIError(408, "too_slow", problem, close=True))

    def _tick_unsent(self, now: float) -> None:
        unsent = self._raw.get_write_buffer_size()
        if self._unsent is None or self._unsent - unsent >= MIN_READ_BYTES:
            self._unsent, self.since = unsent, now
        elif now - self.since > MAX_UNREAD_SECONDS:
            self.abort()


class _LingeringTransport(asyncio.Transport):
    """What the protocol takes for its transport: its `close` lingers, and a pause is one of two reasons."""

    def __init__(self, raw: asyncio.Transport, connection: Connection) -> None:
        super().__init__()
        self._raw = raw
        self._connection = connection

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._raw.get_extra_info(name, default)

    def write(self, data: bytes | bytearray | memoryview[int]) -> None:
        if not self._connection.closing:
            self._raw.write(data)

    def close(self) -> None:
        self._connection.linger()

    def is_closing(self) -> bool:
        return self._connection.closing or self._raw.is_closing()

    def pause_reading(self) -> None:
        self._connection.set_reading(protocol_pauses=True)

    def resume_reading(self) -> None:
        self._connection.set_reading(protocol_pauses=False)


def ending_error(problem: str, remedy: str = "") -> APIError:
    """Return the error of a request that comes, or takes, too late for a server that ends."""
    return APIError(503, "ending", problem, remedy=remedy, close=True, retry_after=1)


def _too_many_connections(remedy: str = "", retry_after: int | None = None) -> APIError:
    problem = "too many connections at once"
    return APIError(503, "busy", problem, remedy=remedy, close=True, retry_after=retry_after)


def take_head(pending: bytearray, searched: int) -> bytes | None:
    r"""Take a request's whole head off the front of `pending`, or nothing while it has not come whole.

    Args:
        pending: the bytes that came; empty lines before a request are dropped, as RFC 9112 asks.
        searched: how many of them an earlier call has looked through.

    Raises:
        APIError: 431 the head is larger than `MAX_HEAD_BYTES`, 400 it is not a head.

    >>> pending = bytearray(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nGET")
    >>> take_head(pending, 0), pending
    (b'GET / HTTP/1.1\r\nHost: a\r\n\r\n', bytearray(b'GET'))
    """
    if pending.startswith((b"\r", b"\n")):
        rest = pending.lstrip(b"\r\n")
        del pending[: len(pending) - len(rest)]
        searched = 0
    if not pending:
        return None
    # What is not HTTP, such as TLS sent to this port, need not wait for an end that does not come.
    line_end = pending.find(b"\n", 0, MAX_HEAD_BYTES)
    if not _METHOD.match(pending) or (line_end >= 0 and pending[line_end - 1 : line_end] != b"\r"):
        raise malformed()
    end = pending.find(b"\r\n\r\n", max(0, searched - 3))
    if (end + 4 if end >= 0 else len(pending)) > MAX_HEAD_BYTES:
        problem = f"the request's head is larger than {MAX_HEAD_BYTES:,} bytes"
        raise _head_too_large(problem, "send fewer or shorter headers")
    if end < 0:
        return None
    head = bytes(pending[: end + 4])
    del pending[: end + 4]
    lines = head.count(b"\r\n")
    # And nobody tunnels through here.
    if head.count(b"\n") != lines or head.count(b"\r") != lines or head.startswith(b"CONNECT "):
        raise malformed()
    # An offer of another protocol is never taken, and the parser of httptools would lose the body behind it.
    return _UPGRADE_HEADER.sub(b"\r\nx-upgrade:", head)


def malformed() -> APIError:
    """Return the error of what is not HTTP."""
    return APIError(400, "no_http", "Invalid HTTP request received", close=True)


class Length:
    """A body whose `Content-Length` is known."""

    def __init__(self, length: int) -> None:
        self.left = length
        """Bytes that have not come yet."""

    def take(self, pending: bytearray) -> tuple[bytes, bool]:
        """Take what belongs to the body off the front of `pending`; and whether it ends with that."""
        part = bytes(pending[: self.left])
        del pending[: len(part)]
        self.left -= len(part)
        return part, not self.left


class Chunks:
    r"""A body in chunks. Trailers are dropped: nobody here reads them.

    >>> body = Chunks()
    >>> body.take(bytearray(b"3;name=value\r\nabc\r\n0\r\nTrailer: x\r\n"))
    (b'3\r\nabc\r\n', False)
    >>> body.take(bytearray(b"\r\nGET"))
    (b'0\r\n\r\n', True)
    """

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the chunk under way, with its line end."""
        self._excess = 0
        """Bytes of chunk lines beyond what such chunks need, as Go's library counts them."""
        self._trailers: int | None = None
        """Bytes of trailers, once the last chunk has come."""
        self._line = b""

    def take(self, pending: bytearray) -> tuple[bytes, bool]:
        """Take what belongs to the body off the front of `pending`; and whether it ends with that.

        Raises:
            APIError: 431 chunk lines or trailers are larger than `MAX_HEAD_BYTES`, 400 they are malformed.
        """
        pieces: list[bytes] = []
        place, end = 0, len(pending)
        complete = False
        while place < end and not complete:
            if self._left:
                part = bytes(pending[place : place + self._left])
                pieces.append(part)
                place += len(part)
                self._left -= len(part)
            elif self._trailers is None:
                if (taken := self._take_chunk_line(pending, place, pieces)) == 0:
                    break
                place += taken
            else:
                line_end = pending.find(b"\n", place)
                line = pending[place : line_end + 1 if line_end >= 0 else end]
                if line_end < 0:
                    _check_head_size(self._trailers + len(line))
                    break
                self._trailers += len(line)
                _check_head_size(self._trailers)
                place += len(line)
                if not line.endswith(b"\r\n"):
                    raise malformed()
                complete = line == b"\r\n"
        del pending[:place]
        if complete:
            pieces.append(b"0\r\n\r\n")
        return b"".join(pieces), complete

    def _take_chunk_line(self, pending: bytearray, place: int, pieces: list[bytes]) -> int:
        """Return the length of the line at `place`; 0 if it has not come whole."""
        found = _CHUNK_LINE.match(pending, place)
        if found is None:
            waiting = len(pending) - place
            if pending.find(b"\n", place) >= 0:
                raise malformed()
            _check_head_size(waiting)
            return 0
        size, line = int(found[1], 16), found.end() - place
        self._excess = max(0, self._excess + line - 16 - 2 * size)
        _check_head_size(self._excess)
        if size:
            self._left = size + 2
            pieces.append(b"%x\r\n" % size)
        else:
            self._trailers = 0
        return line


def _check_head_size(size: int) -> None:
    if size > MAX_HEAD_BYTES:
        problem = f"chunk lines or trailers of more than {MAX_HEAD_BYTES:,} bytes"
        raise _head_too_large(problem, "send the body with a Content-Length")


def _head_too_large(problem: str, remedy: str) -> APIError:
    return APIError(431, "head_too_large", problem, remedy=remedy, close=True)


def body_of(head: bytes) -> Length | Chunks | None:
    r"""Return the body that a head announces, if any.

    Raises:
        APIError: 400; a malformed length, two lengths, or a length beside an encoding: two programs
            could take the body to end in two places (request smuggling).

    >>> body_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is None
    True
    >>> body_of(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
    Traceback (most recent call last):
    kalamos.app.errors.APIError: Invalid HTTP request received
    """
    found = _FRAMING_HEADER.findall(head)
    if not found:
        return None
    if len(found) > 1:
        raise malformed()
    [(name, value)] = found
    if len(name) == len(b"content-length"):
        if not value.isdigit() or len(value) > 18:
            raise malformed()
        return Length(int(value)) if int(value) else None
    if value.lower() != b"chunked" or b" HTTP/1.1\r\n" not in head:
        raise malformed()
    return Chunks()
