"""Reading a request's body: counted byte by byte, in limited time, over all requests in limited memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from kalamos.app.limits import Limits
from kalamos.app.refusals import APIError

__all__ = ["BodyReader", "drain_body", "too_busy"]

MAX_HELD_BODIES = 8
"""Bodies of the greatest size that may be held at once; smaller ones share the room."""

MAX_DRAIN_BYTES, MAX_DRAIN_SECONDS = 8 * 2**20, 1.0
"""What is still taken, and thrown away, of a body that is refused. Most clients send the whole of it
before they look for an answer, and would see a broken connection in its place."""


class BodyReader:
    """Reads bodies within the limits. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """The whole body, accounted for until the block ends: what is made of it is held as long.

        Raises:
            APIError: 413 over the limit, told by the bytes that come and not by what the header says; 408
                too slow; 429 too much of others' is held.
            ClientDisconnect: the client went away.
        """
        body = bytearray()
        held = [0]
        try:
            await self._collect(request, body, held)
            whole = bytes(body)
            body.clear()
            yield whole
        finally:
            self._held -= held[0]

    async def _collect(self, request: Request, body: bytearray, held: list[int]) -> None:
        """Fill `body`, and count in `held` what it takes of the room for all."""
        most, seconds = self._limits.upload_bytes, self._limits.seconds
        if _declared(request) > most:
            raise await self._cut_off(request.receive)
        try:
            async with asyncio.timeout(seconds):
                more = True
                while more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    part, more = message.get("body", b""), message.get("more_body", False)
                    held[0] += len(part)
                    self._held += len(part)
                    if held[0] > most:
                        raise await self._cut_off(request.receive if more else None)
                    if self._held > MAX_HELD_BODIES * most:
                        raise too_busy("too many uploads at once")
                    body += part
        except TimeoutError:
            raise APIError(
                408,
                "too_slow",
                f"the request did not arrive within {seconds:g} s",
                remedy="send less at once",
                headers={"Connection": "close"},
            ) from None

    async def _cut_off(self, receive: Receive | None) -> APIError:
        if receive is not None:
            await drain_body(receive)
        return APIError(
            413,
            "too_large",
            f"the request is larger than {self._limits.upload_bytes:,} bytes",
            remedy="send fewer or smaller images at once",
            headers={"Connection": "close"},
        )


def too_busy(problem: str) -> APIError:
    """What a client should try again."""
    return APIError(429, "busy", problem, remedy="try again in a moment", headers={"Retry-After": "1"})


def _declared(request: Request) -> int:
    # The server has refused what is no number, and cuts a body off where the number ends.
    length = request.headers.get("content-length", "")
    return int(length) if length.isdecimal() else 0


async def drain_body(receive: Receive) -> None:
    """Take and throw away the rest of a body that is refused, up to a point."""
    left = MAX_DRAIN_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    break
                left -= len(message.get("body", b""))
