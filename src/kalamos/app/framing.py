"""Where an HTTP/1.1 request ends in the bytes of a connection (RFC 9112), within bounds.

uvicorn's parsers take whatever they are given: a head, a chunk's extension or a trailer of any length, and as
many requests after one another as come. With the ends known beforehand they are given one request at a time.
"""

from __future__ import annotations

import re
from typing import Final

from kalamos.app.refusals import APIError

__all__ = ["MAX_HEAD_BYTES", "Chunks", "Length", "body_of", "malformed", "take_head"]

MAX_HEAD_BYTES: Final = 64 * 1024
"""Of a request's line and headers; of a chunked body's trailers; and of its chunk lines beyond their due."""

_METHOD: Final = re.compile(rb"[A-Z-]{1,24}(?: |\Z)")
_FRAMING_HEADER: Final = re.compile(
    rb"\r\n(content-length|transfer-encoding)[ \t]*:[ \t]*([^\r\n]*?)[ \t]*(?=\r\n)", re.IGNORECASE
)
_UPGRADE_HEADER: Final = re.compile(rb"\r\nupgrade[ \t]*:", re.IGNORECASE)
_CHUNK_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r\n")


def take_head(pending: bytearray, searched: int) -> bytes | None:
    r"""Take a request's whole head off the front of `pending`, or nothing while it has not come whole.

    Args:
        pending: the bytes that came; empty lines before a request are dropped, as RFC 9112 asks.
        searched: how many of them an earlier call has looked through.

    Raises:
        APIError: 431 the head is larger than `MAX_HEAD_BYTES`, 400 it is no head.

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
    # What is no HTTP at all, as TLS sent to this port, need not wait for an end that does not come.
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
    """What is no HTTP."""
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
        """How long the line at `place` is; 0 where it has not come whole."""
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
    r"""The body that a head announces; None for none.

    Raises:
        APIError: 400; a length that is none, two of them, or a length beside an encoding: two programs
            could take the body to end in two places (request smuggling).

    >>> body_of(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n") is None
    True
    >>> body_of(b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n")
    Traceback (most recent call last):
    kalamos.app.refusals.APIError: Invalid HTTP request received
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
