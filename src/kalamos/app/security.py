"""Middleware before every route: host and origin checks, security headers, the access log."""

from __future__ import annotations

import itertools
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kalamos.app.errors import APIError, error_response
from kalamos.errors import UsageError

__all__ = ["LOOPBACK_HOSTS", "Guard", "checked_origin", "local_path"]

LOOPBACK_HOSTS: Final = frozenset({"localhost", "127.0.0.1", "::1"})

API_PATHS: Final = ("/v1/", "/health", "/metrics", "/docs", "/openapi.json")

API_CSP: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'none'"
)
"""The manual is one page with its style in it, and a form."""

PAGE_CSP: Final = (
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; "
    "form-action 'self'; frame-ancestors 'self'; base-uri 'self'; object-src 'none'"
)
"""Gradio writes scripts and styles into its page; but nothing may be asked of another server."""

# Under "no-referrer" a form of our own would come with the origin "null".
_COMMON_HEADERS: Final = (
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
)
_API_HEADERS: Final = (
    *_COMMON_HEADERS,
    (b"content-security-policy", API_CSP.encode()),
    (b"cache-control", b"no-store"),
)
_PAGE_HEADERS: Final = (*_COMMON_HEADERS, (b"content-security-policy", PAGE_CSP.encode()))

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?:[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::[0-9]{1,5})?")

_log = logging.getLogger("kalamos.app")


class Guard:
    """ASGI middleware.

    - A `Host` that is not among `hosts` is refused (421): otherwise a web page whose name was made to point
      at this machine (DNS rebinding) would be taken for our own.
    - A request that can change something and comes from another site's page (`Origin`) is refused (403),
      unless it asks the API and the origin is among `origins`.
    - An unforeseen error is answered 500 without details.
    - Every answer has an id, `X-Request-ID`, which the log has too, and headers that forbid the browser
      what is not needed. The log has neither names nor contents.

    Args:
        hosts: names without port; None takes any, for a server that is meant to be reached under any.
        origins: as `checked_origin` gives them.
        answered: called with each request's scope, its answer's status and the seconds until then.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        hosts: Iterable[str] | None,
        origins: Iterable[str] = (),
        answered: Callable[[Scope, int, float], None] = lambda *_: None,
    ) -> None:
        self._app = app
        self._origins = frozenset(origins)
        self._answered = answered
        # Counted and not drawn at random: asking the system for randomness gives the interpreter's lock
        # away, and the thread that runs the model may keep it for milliseconds.
        self._start, self._count = secrets.token_hex(4), itertools.count(1)
        self._hosts = None if hosts is None else frozenset(host.lower() for host in hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self._app(scope, receive, send)
            return
        started, request_id = time.perf_counter(), f"{self._start}-{next(self._count):x}"
        scope.setdefault("state", {})["request_id"] = request_id
        ours = _is_api(scope)

        async def answer(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [
                    *message.get("headers", ()),
                    (b"x-request-id", request_id.encode()),
                    *(_API_HEADERS if ours else _PAGE_HEADERS),
                ]
                seconds = time.perf_counter() - started
                self._answered(scope, message["status"], seconds)
                if ours:
                    _log_request(scope, request_id, message["status"], seconds)
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._guarded(scope, receive, answer)
        elif scope["type"] == "http":
            await error_response(refusal, request_id)(scope, receive, answer)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _guarded(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the application; if it fails, the log has the reason, and the client only the fact."""
        started = False

        async def watched(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._app(scope, receive, watched)
        except Exception:
            request_id = scope["state"]["request_id"]
            _log.exception("%s failed", request_id)
            if started:  # half an answer is best broken off, which the server does
                raise
            failed = APIError(500, "internal", "something went wrong in the server", remedy="see its log")
            await error_response(failed, request_id)(scope, receive, send)

    def _refusal(self, scope: Scope) -> APIError | None:
        headers = Headers(scope=scope)
        if len(headers.getlist("host")) > 1:
            return APIError(400, "no_http", "the request has several Host headers")
        host = headers.get("host", "").lower()
        if self._hosts is not None and _host_name(host) not in self._hosts:
            return APIError(
                421,
                "unknown_host",
                "this server is not known under the name it was called by",
                remedy="call it by the address that it printed, or start it with --allow-host",
            )
        origin = headers.get("origin", "").lower()
        safe = scope["type"] == "http" and scope["method"] in {"GET", "HEAD", "OPTIONS"}
        listed = origin in self._origins and _is_api(scope)
        if origin and not safe and not listed and origin.partition("://")[2] != host:
            return APIError(403, "foreign_origin", "the request comes from another site's page")
        return None


def local_path(scope: Scope) -> str:
    """Return a request's path, without that under which another application has mounted this one.

    >>> local_path({"path": "/kalamos/health", "root_path": "/kalamos"})
    '/health'
    """
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def _is_api(scope: Scope) -> bool:
    return local_path(scope).startswith(API_PATHS)


def checked_origin(text: str) -> str:
    """Return an origin as browsers send it: scheme, name and port, without a path.

    Raises:
        UsageError: it is none, or stands for any.

    >>> checked_origin("https://Forms.example:8443")
    'https://forms.example:8443'
    >>> checked_origin("*")
    Traceback (most recent call last):
    kalamos.errors.UsageError: '*' is no origin of one site; name each, such as https://forms.example
    """
    origin = text.lower().removesuffix("/")
    if not _ORIGIN.fullmatch(origin):
        raise UsageError(
            f"{text!r} is no origin of one site", remedy="name each, such as https://forms.example"
        )
    return origin


def _host_name(host: str) -> str:
    """Return the name in a `Host` header, without port and brackets.

    >>> _host_name("[::1]:7860"), _host_name("localhost"), _host_name("127.0.0.1:80")
    ('::1', 'localhost', '127.0.0.1')
    """
    if host.startswith("["):
        name, closed, _ = host[1:].partition("]")
        return name if closed else host
    return host.partition(":")[0]


def _log_request(scope: Scope, request_id: str, status: int, seconds: float) -> None:
    level = logging.ERROR if status >= 500 else logging.INFO
    # Not the path as it came: what has no route can hold anything, and what is refused before as well.
    path = _loggable(scope["path"]) if status not in {404, 405} else "-"
    _log.log(
        level, "%s %s %s %d %.1f ms", request_id, _loggable(scope["method"]), path, status, 1000 * seconds
    )


def _loggable(text: str) -> str:
    r"""Return a text of a request as the log may have it: nothing that ends a line or commands a terminal.

    >>> _loggable("/health\n\x1b[2J")
    '/health??[2J'
    """
    return re.sub(r"[^!-~]", "?", text[:100])
