"""The server: its socket, taking connections, its graceful end, and the form of its log."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import logging
import math
import re
import socket
import struct
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import uvicorn
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from kalamos.app.connections import MAX_IDLE_SECONDS, Connection, Traffic, ending_error
from kalamos.errors import UsageError

__all__ = ["PlainFormatter", "bind", "server_for"]

_log = logging.getLogger("kalamos.app")

MAX_CONNECTIONS: Final = 500
"""At once; further ones are answered 503."""

SPARE_CONNECTIONS: Final = 32
"""Connections beyond those, to be answered 503; and files kept free for all else."""

LAST_CONNECTIONS_SECONDS: Final = 0.05
"""For which the end waits for connections that are being made."""

LAST_ANSWERS_SECONDS: Final = 2.0
"""For the last answers to be read, once the shutdown timeout is over."""

TICK_SECONDS: Final = 0.05


def bind(host: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free port.

    Raises:
        UsageError: the port is in use or reserved, or the address is not one of this machine's.

    >>> with bind("127.0.0.1", 0) as first:
    ...     bind("127.0.0.1", first.getsockname()[1])
    Traceback (most recent call last):
    kalamos.errors.UsageError: port ... of 127.0.0.1 is in use; ...
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UsageError(f"{host!r} is not an address: {error}", remedy="give one after --host") from error
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
    app: Any, *, shutdown_timeout: float, ready: Callable[[], None], ending: Callable[[], None]
) -> uvicorn.Server:
    """Return a server whose `run(sockets=[...])` answers until SIGINT or SIGTERM, then ends what was begun.

    When the end comes, requests under way are answered, and those that still come are answered 503, so that
    who balances requests sends them elsewhere. Then nothing more is taken, and those that the timeout was too
    short for are answered 503 as well.

    Args:
        app: the ASGI application.
        shutdown_timeout: seconds that requests under way have when the end comes.
        ready: called once the first request can be answered.
        ending: called when no more are taken.
    """
    traffic = Traffic()
    traffic.most = _most_connections()
    config = uvicorn.Config(
        app,
        # The faster of uvicorn's two that is installed.
        http=type("_Protocol", (Connection, AutoHTTPProtocol), {"traffic": traffic}),
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=math.ceil(2 * MAX_IDLE_SECONDS),  # the connections have a shorter one of their own
    )
    return _Server(config, traffic, shutdown_timeout, ready, ending)


def _most_connections() -> int:
    """Return the number of connections: `MAX_CONNECTIONS`, or fewer if the process may open few files."""
    try:
        import resource
    except ImportError:  # on Windows, where sockets are not files
        return MAX_CONNECTIONS
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A request can need a file for what it uploads, and the rest of the program has some open.
    return (
        MAX_CONNECTIONS
        if allowed < 0
        else max(8, min(MAX_CONNECTIONS, (allowed - 3 * SPARE_CONNECTIONS) // 2))
    )


class _Server(uvicorn.Server):
    """uvicorn's, but for how connections are taken and how it ends."""

    def __init__(
        self,
        config: uvicorn.Config,
        traffic: Traffic,
        shutdown_timeout: float,
        ready: Callable[[], None],
        ending: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._traffic = traffic
        self._shutdown_timeout = shutdown_timeout
        self._ready = ready
        self._ending = ending
        self._accepting: list[asyncio.Task[None]] = []
        self._arriving: set[asyncio.Task[Any]] = set()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Without sockets: asyncio's own way of taking connections has no bound, and where no more files can
        # be opened it tries two thousand times a second.
        await super().startup([])
        for listener in sockets or ():
            listener.setblocking(False)
            self._accepting.append(asyncio.create_task(self._accept(listener)))
        self._ready()

    async def main_loop(self) -> None:
        counter = 0
        while not await self.on_tick(counter):
            self._traffic.tick()
            counter = (counter + 1) % 10
            await asyncio.sleep(0.1)

    async def _accept(self, listener: socket.socket) -> None:
        """Take connections for as long as the server runs."""
        loop = asyncio.get_running_loop()
        while True:
            await self._room()
            try:
                connection, _ = await loop.sock_accept(listener)
            except OSError as error:
                await self._without(error)
            else:
                self._take(connection)

    async def _accept_rest(self, listener: socket.socket) -> None:
        """Take the connections that the system has made already."""
        while True:
            await self._room()
            try:
                connection, _ = listener.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                await self._without(error)
            else:
                connection.setblocking(False)
                self._take(connection)

    async def _room(self) -> None:
        """Wait until one more connection can be taken."""
        while len(self._arriving) >= SPARE_CONNECTIONS:
            await asyncio.wait(self._arriving, return_when=asyncio.FIRST_COMPLETED)
        while len(self._traffic.connections) >= self._traffic.most + SPARE_CONNECTIONS:
            await asyncio.sleep(TICK_SECONDS)

    async def _without(self, error: OSError) -> None:
        """Go on after a connection that could not be taken."""
        if error.errno in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
            _log.error("no more connections can be opened: %s", error.strerror)
            await asyncio.sleep(1)
        else:  # it was gone before it was taken
            await asyncio.sleep(0)

    def _take(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.Protocol:
            made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config,
                server_state=self.server_state,
                app_state=self.lifespan.state,
                _loop=loop,
            )
            return made

        task = loop.create_task(loop.connect_accepted_socket(protocol, connection))
        self._arriving.add(task)
        task.add_done_callback(self._arrived)

    def _arrived(self, task: asyncio.Task[Any]) -> None:
        self._arriving.discard(task)
        if not task.cancelled():
            task.exception()  # that it was looked at; the client is gone

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        began = time.monotonic()
        self._ending()
        under_way = list(self.server_state.tasks)
        if under_way:
            self._traffic.ending = began
        await self._until(lambda: all(task.done() for task in under_way), began + self._shutdown_timeout)
        for listener in sockets or ():
            _refuse_new(listener)
        await asyncio.sleep(LAST_CONNECTIONS_SECONDS)
        for task in self._accepting:
            task.cancel()
        self._traffic.ending = time.monotonic()
        for listener in sockets or ():
            with suppress(TimeoutError):
                async with asyncio.timeout(self._shutdown_timeout):
                    await self._accept_rest(listener)
            listener.close()
        await self._until(self._is_idle, began + self._shutdown_timeout)
        for connection in list(self._traffic.connections):
            connection.refuse(ending_error("the server ends"))
        await self._until(self._is_idle, time.monotonic() + min(self._shutdown_timeout, LAST_ANSWERS_SECONDS))
        for connection in list(self._traffic.connections):
            connection.abort()
        for request in list(self.server_state.tasks):
            request.cancel()
        if self.server_state.tasks:
            await asyncio.wait(self.server_state.tasks, timeout=LAST_ANSWERS_SECONDS)
        await self.lifespan.shutdown()

    def _is_idle(self) -> bool:
        return not (self._traffic.connections or self._arriving or self.server_state.tasks)

    async def _until(self, is_so: Callable[[], bool], end: float) -> None:
        """Wait until something is so, or a time on the monotonic clock; a second Ctrl-C ends it."""
        while not is_so():
            if self.force_exit or time.monotonic() > end:
                return
            self._traffic.tick()
            await asyncio.sleep(TICK_SECONDS)


def _refuse_new(listener: socket.socket) -> None:
    """Let the system make no more connections, but finish those it has begun. On Linux alone.

    Closing a listening socket resets the connections which nobody has taken yet, and between the last look
    and the closing one could be made. Who is not let in asks again, and hears that nobody listens.
    """
    if sys.platform != "linux":
        return
    with suppress(OSError):
        # Of classic BPF: load the TCP header's flags; where SYN is set without ACK, drop, else keep.
        program = (
            *((0x30, 0, 0, 13), (0x54, 0, 0, 0x12), (0x15, 0, 1, 0x02)),
            *((0x06, 0, 0, 0), (0x06, 0, 0, 0xFFFFFFFF)),
        )
        code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
        filter_ = struct.pack("HP", len(program), ctypes.addressof(code))
        listener.setsockopt(socket.SOL_SOCKET, 26, filter_)  # SO_ATTACH_FILTER, which Python has no name for


_CONTROL: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class PlainFormatter(logging.Formatter):
    r"""Writes records so that text from a request cannot end a line, begin one or command a terminal.

    Control characters and those that change the direction of writing are written as escapes; what has
    several lines, as a traceback does, has all but the first indented.

    >>> record = logging.LogRecord("a", logging.ERROR, "", 0, "bad \x1b[2J\n2026 forged", None, None)
    >>> print(PlainFormatter("%(message)s").format(record))
    bad \x1b[2J
        2026 forged
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        lines = super().format(record).split("\n")
        return "\n    ".join(_CONTROL.sub(_escaped, line) for line in lines)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
