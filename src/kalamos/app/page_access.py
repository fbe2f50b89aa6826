"""The page's routes, cut down to those in use, and its files, each kept to the visit it belongs to.

Gradio opens and gives out files by path, keeps the page's state under a name that each request may choose,
and loads what a browser names by URL. Here all of it belongs to a cookie.
"""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import secrets
from collections.abc import Callable
from contextlib import suppress
from http.cookies import CookieError, SimpleCookie
from typing import Any, Final
from urllib.parse import parse_qs, urlencode

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kalamos.app.errors import APIError, Limits, error_response
from kalamos.app.page_uploads import FileReceiver
from kalamos.app.requests import MAX_HELD_BODIES, BodyReader, drain_body, too_busy
from kalamos.app.security import API_PATHS
from kalamos.app.visits import (
    FILE_ROUTE,
    ByteCount,
    HeldBytes,
    Visit,
    Visits,
    admit_files,
    is_token,
    new_token,
)

__all__ = ["PageGuard"]

COOKIE_NAME: Final = "kalamos_session"

SWEEP_SECONDS: Final = 30.0
"""Between two looks for visits that are over."""

MAX_PENDING_EVENTS: Final = 32
"""Events of one open page that have not been answered, or whose answer has not been fetched."""

MAX_EVENT_VALUES: Final = 100_000
"""Values in an event, counted before they are made: an empty list takes many times its two bytes."""

MAX_HASH_CHARACTERS: Final = 64
"""Characters of a `session_hash`; Gradio's page draws some eleven."""

_GRADIO_API: Final = "/gradio_api"

_ROUTES: Final = (
    *("info", "app_id", "startup-events", "theme.css", "queue/join", "queue/data", "queue/status"),
    *("upload", "upload_progress", "cancel", "reset"),
)
ALLOWED_PATHS: Final = frozenset(
    {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
    | {f"{_GRADIO_API}/{route}" for route in _ROUTES}
)
ALLOWED_PREFIXES: Final = (
    "/assets/",
    "/static/",
    "/svelte/",
    f"{_GRADIO_API}/heartbeat/",
    f"{_GRADIO_API}/call/",
    FILE_ROUTE,
)

_PAGE_PATHS: Final = ("/", "/config")
_JOIN_PATH: Final = f"{_GRADIO_API}/queue/join"
_DATA_PATH: Final = f"{_GRADIO_API}/queue/data"
_CALL_PREFIX: Final = f"{_GRADIO_API}/call/"
_HEARTBEAT_PREFIX: Final = f"{_GRADIO_API}/heartbeat/"

_EVENT_ID: Final = re.compile(rb'"event_id":\s?"([0-9a-f]{32})"')

_INLINE_TYPES: Final = frozenset(
    {"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/tiff"}
)
"""Kinds of files that a browser may show in place; any other it only saves, since it could hold a script."""


class PageGuard:
    """ASGI middleware before Gradio's application.

    - A route that the page does not use is not there (404).
    - What is asked for with a cookie belongs to that cookie's visit. A request without one makes no visit
      and ends none: the page's own addresses give it a cookie, the others refuse it (403).
    - The `session_hash` of a request is replaced by a name that only this visit has.
    - Uploads are taken in by `FileReceiver`; a file goes only to the visit that has it.
    - An event may name such files alone: none of others, none anywhere else, none by URL (403).

    Args:
        visits: who is here.
        limits: bytes of an event and of one uploaded file, seconds for either to arrive.
        pending: events of one of Gradio's sessions that are not answered yet.
        forget: called with the names of Gradio's sessions that are not needed any more.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        visits: Visits,
        limits: Limits,
        pending: Callable[[str], int] = lambda session: 0,
        forget: Callable[[list[str]], None] = lambda sessions: None,
    ) -> None:
        self._app = app
        self._visits = visits
        self._limits = limits
        self._held = ByteCount()
        self._receiver = FileReceiver(visits, limits)
        self._bodies = BodyReader(limits)
        self._pending = pending
        self._forget = forget

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(scope, receive, send)
        elif scope["type"] != "http" or scope["path"].startswith(API_PATHS):
            await self._app(scope, receive, send)
        else:
            try:
                await self._answer(scope, receive, send)
            except APIError as refusal:
                await error_response(refusal, scope["state"]["request_id"])(scope, receive, send)
            except ClientDisconnect:  # nobody is there to be answered
                pass

    async def _live(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Look for visits that are over as long as the server runs, and end all with it."""

        async def sweep() -> None:
            while True:
                await asyncio.sleep(min(SWEEP_SECONDS, self._visits.limits.idle_seconds))
                self._visits.sweep()

        sweeping = asyncio.create_task(sweep())
        try:
            await self._app(scope, receive, send)
        finally:
            sweeping.cancel()
            with suppress(asyncio.CancelledError):
                await sweeping
            self._visits.close()

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        path, method = scope["path"], scope["method"]
        if path not in ALLOWED_PATHS and not path.startswith(ALLOWED_PREFIXES):
            raise APIError(404, "not_found", "there is nothing here")
        token = _cookie(Headers(scope=scope).get("cookie", ""))
        query = parse_qs(scope["query_string"].decode("latin-1"))
        # What the page's addresses take beyond their path is of no use to the page.
        scope = {**scope, "query_string": b""}
        scope["state"] = {**scope["state"], "visit": self._visits.find(token) if token else None}
        if path in _PAGE_PATHS:
            await self._app(scope, receive, send if token else _giving_cookie(send))
        elif path.startswith(FILE_ROUTE):
            await self._give_file(scope, receive, send)
        elif path == f"{_GRADIO_API}/upload":
            await self._take_upload(token, query, scope, receive, send)
        elif path == f"{_GRADIO_API}/upload_progress":
            visit = self._existing(scope)
            response = await self._receiver.progress(visit, _query_value(query, "upload_id"))
            await response(scope, receive, send)
        elif method == "POST" and (path == _JOIN_PATH or path.startswith(_CALL_PREFIX)):
            await self._take_event(token, scope, receive, send)
        elif path == _DATA_PATH:
            session = self._session(self._existing(scope), _query_value(query, "session_hash"))
            scope["query_string"] = urlencode({"session_hash": session}).encode()
            await self._app(scope, receive, send)
        elif path.startswith(_HEARTBEAT_PREFIX):
            await self._app(self._with_own_session(scope), receive, send)
        elif path.startswith(_CALL_PREFIX) or path in {f"{_GRADIO_API}/cancel", f"{_GRADIO_API}/reset"}:
            await self._ask_of_event(scope, receive, send)
        else:
            await self._app(scope, receive, send)

    def _existing(self, scope: Scope) -> Visit:
        visit: Visit | None = scope["state"]["visit"]
        if visit is None:
            raise _no_visit()
        return visit

    async def _entered(self, token: str, receive: Receive) -> Visit:
        """The visit of a request that brings something; a new one if need be."""
        try:
            if not token:
                # With a cookie, so that the next try is somebody's.
                raise _no_visit({"Set-Cookie": _new_cookie()})
            return self._visits.enter(token)
        except APIError:
            await drain_body(receive)
            raise

    def _session(self, visit: Visit, name: Any) -> str:
        """Gradio's session for one of the visit's open pages."""
        if not isinstance(name, str) or not 0 < len(name) <= MAX_HASH_CHARACTERS:
            raise APIError(422, "invalid_field", "'session_hash' is no short text")
        session, displaced = visit.page(name)
        if displaced:
            self._forget(displaced)
        return session

    def _with_own_session(self, scope: Scope) -> Scope:
        """The scope of a heartbeat. It comes as soon as a page is shown, and makes no visit."""
        visit: Visit | None = scope["state"]["visit"]
        name = scope["path"].removeprefix(_HEARTBEAT_PREFIX)
        session = secrets.token_hex(16) if visit is None else self._session(visit, name)
        return {
            **scope,
            "path": _HEARTBEAT_PREFIX + session,
            "raw_path": (_HEARTBEAT_PREFIX + session).encode(),
        }

    async def _give_file(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(FILE_ROUTE)
        visit: Visit | None = scope["state"]["visit"]
        own = path if path in self._visits.published else visit.own_path(path) if visit is not None else None
        if own is None or scope["method"] not in {"GET", "HEAD"}:
            raise APIError(403, "not_yours", "this file is not one that was uploaded from this browser")
        kind = mimetypes.guess_type(own)[0]
        shown = kind in _INLINE_TYPES
        response = FileResponse(
            own,
            media_type=kind if shown else "application/octet-stream",
            content_disposition_type="inline" if shown else "attachment",
            filename=own.replace("\\", "/").rpartition("/")[2],
        )
        try:
            await response(scope, receive, send)
        except RuntimeError:  # deleted since: the visit needed room for newer ones
            raise APIError(404, "not_found", "the file is not kept any more") from None

    async def _take_upload(
        self, token: str, query: dict[str, list[str]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        if scope["method"] != "POST":
            raise APIError(405, "wrong_method", "not with this method", headers={"Allow": "POST"})
        visit = await self._entered(token, receive)
        headers = Headers(scope=scope)
        length = headers.get("content-length", "")
        response = await self._receiver.receive(
            visit,
            receive,
            headers.get("content-type", ""),
            int(length) if length.isdecimal() else None,
            _query_value(query, "upload_id")[:MAX_HASH_CHARACTERS],
        )
        await response(scope, receive, send)

    async def _take_event(self, token: str, scope: Scope, receive: Receive, send: Send) -> None:
        """Read an event, look at the files it names, and hand it on as an event of this visit."""
        visit = scope["state"]["visit"] = await self._entered(token, receive)
        async with self._bodies.read(Request(scope, receive)) as body:
            scope["state"]["held"] = self._hold(visit, len(body))
            event = await asyncio.to_thread(_parsed, body)
            admit_files(event, visit, host=Headers(scope=scope).get("host", ""))
            if scope["path"] == _JOIN_PATH or event.get("session_hash") is not None:
                session = event["session_hash"] = self._session(visit, event.get("session_hash"))
                if self._pending(session) >= MAX_PENDING_EVENTS:
                    raise too_busy("too many events wait for an answer")
            if scope["path"] == _JOIN_PATH:
                known = ("data", "fn_index", "trigger_id", "event_data", "session_hash")
                event = {name: event[name] for name in known if name in event}
            scope, again = _with_body(scope, receive, json.dumps(event).encode())

            async def noting(message: Message) -> None:
                if message["type"] == "http.response.body":
                    for event_id in _EVENT_ID.findall(message.get("body", b"")):
                        visit.note_event(event_id.decode())
                await send(message)

            await self._app(scope, again, noting)

    def _hold(self, visit: Visit, size: int) -> HeldBytes:
        """Account for an event that will wait in Gradio's queue, until it has been worked on or dropped."""
        most = MAX_HELD_BODIES * self._limits.upload_bytes
        if self._held.bytes + size > most or visit.queued.bytes + size > most // 4:
            raise too_busy("too much waits to be worked on")
        return HeldBytes((self._held, visit.queued), size)

    async def _ask_of_event(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What asks for the results or the end of an event, which has to be the visit's own."""
        visit = self._existing(scope)
        if scope["path"].startswith(_CALL_PREFIX):
            event_id: Any = scope["path"].rpartition("/")[2]
        else:
            async with self._bodies.read(Request(scope, receive)) as body:
                event = _parsed(body)
            event_id = event.get("event_id")
            if "session_hash" in event:
                event["session_hash"] = self._session(visit, event["session_hash"])
            scope, receive = _with_body(scope, receive, json.dumps(event).encode())
        if not isinstance(event_id, str) or event_id not in visit.events:
            raise APIError(403, "not_yours", "this event is not one of this browser's")
        await self._app(scope, receive, send)


def _parsed(body: bytes) -> dict[str, Any]:
    # A text may hold these too, but no text on the page holds so many.
    if sum(map(body.count, (b",", b"[", b"{"))) > MAX_EVENT_VALUES:
        raise APIError(413, "too_many_values", "the event has too many values")
    try:
        event = json.loads(body)
    except (ValueError, RecursionError):
        raise APIError(422, "invalid_json", "the event is no JSON") from None
    if not isinstance(event, dict):
        raise APIError(422, "invalid_json", "the event is no JSON object")
    return event


def _with_body(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """A request's scope with another body, and what gives that out."""
    headers = [(name, value) for name, value in scope["headers"] if name != b"content-length"]
    headers = [(name, value) for name, value in headers if name != b"transfer-encoding"]
    headers.append((b"content-length", str(len(body)).encode()))
    whole: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return whole.pop() if whole else await receive()

    return {**scope, "headers": headers}, again


def _giving_cookie(send: Send) -> Send:
    async def giving(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).append("Set-Cookie", _new_cookie())
        await send(message)

    return giving


def _new_cookie() -> str:
    # Not Strict: with it, a link from another site would come without the cookie and be given a new one,
    # and with that the visit would be lost.
    return f"{COOKIE_NAME}={new_token()}; Path=/; HttpOnly; SameSite=Lax"


def _no_visit(headers: dict[str, str] | None = None) -> APIError:
    return APIError(
        403,
        "no_visit",
        "the request has no cookie of this page, or its visit is over",
        remedy="load the page again",
        headers=headers,
    )


def _query_value(query: dict[str, list[str]], name: str) -> str:
    return query.get(name, [""])[0]


def _cookie(header: str) -> str:
    """The cookie's value; "" for none that this page could have given."""
    try:
        found = SimpleCookie(header).get(COOKIE_NAME)
    except CookieError:
        return ""
    return found.value if found is not None and is_token(found.value) else ""
