"""Read a request's body: counted byte by byte, in limited time, over all requests in limited memory."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from kalamos.app.limits import Limits
from kalamos.app.refusals import APIError

__all__ = ["BodyReader", "drain_body", "too_busy", "too_large", "too_slow"]

MAX_HELD_BODIES = 8
"""Bodies of the greatest size that may be held at once; smaller ones share their bytes."""

MAX_DRAIN_BYTES, MAX_DRAIN_SECONDS = 8 * 2**20, 1.0
"""What is still taken, and thrown away, of a refused body. Most clients send the whole body before they look
for an answer, and would see a broken connection in its place."""


class BodyReader:
    """Reads bodies within the limits. For one event loop."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = 0

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Yield the whole body, which counts as held until the block ends: what is made of it lives as long.

        Raises:
            APIError: 413 over the limit, by the bytes that come and not by what the header says; 408 too
                slow; 429 too much of others' is held.
            ClientDisconnect: the client went away.
        """
        body = bytearray()
        try:
            await self._collect(request, body)
        except BaseException:
            self._held -= len(body)
            raise
        whole = bytes(body)
        body.clear()
        try:
            yield whole
        finally:
            self._held -= len(whole)

    async def _collect(self, request: Request, body: bytearray) -> None:
        """Fill `body`; its bytes are counted as held."""
        most, seconds = self._limits.upload_bytes, self._limits.seconds
        # The server has refused a length that is not a number, and cuts a body off where the number ends.
        length = request.headers.get("content-length", "")
        fits, more = not length.isdecimal() or int(length) <= most, True
        try:
            async with asyncio.timeout(seconds):
                while fits and more:
                    message = await request.receive()
                    if message["type"] == "http.disconnect":
                        raise ClientDisconnect
                    part, more = message.get("body", b""), message.get("more_body", False)
                    body += part
                    self._held += len(part)
                    fits = len(body) <= most
                    if fits and self._held > MAX_HELD_BODIES * most:
                        raise too_busy("too many uploads at once")
        except TimeoutError:
            raise too_slow(f"the request did not arrive within {seconds:g} s") from None
        if not fits:
            if more:
                await drain_body(request.receive)
            raise too_large(f"the request is larger than {most:,} bytes")


def too_busy(problem: str) -> APIError:
    """Return the error of a request that the client should send again."""
    return APIError(429, "busy", problem, remedy="try again in a moment", retry_after=1)


def too_large(problem: str, remedy: str = "send fewer or smaller images at once") -> APIError:
    """Return the error of a request that is over a bound in bytes."""
    return APIError(413, "too_large", problem, remedy=remedy, close=True)


def too_slow(problem: str, remedy: str = "send less at once") -> APIError:
    """Return the error of a request that takes too long to arrive."""
    return APIError(408, "too_slow", problem, remedy=remedy, close=True)


async def drain_body(receive: Receive) -> None:
    """Take and throw away the rest of a refused body, up to a bound."""
    left = MAX_DRAIN_BYTES
    with suppress(TimeoutError):
        async with asyncio.timeout(MAX_DRAIN_SECONDS):
            while left > 0:
                message = await receive()
                if not message.get("more_body", False):
                    break
                left -= len(message.get("body", b""))
