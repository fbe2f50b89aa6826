"""Gradio's page under the API: its routes, cut down to those in use, and each file and state its visit's own.

Gradio opens and gives out files by path, keeps the page's state under a name that each request may choose,
and loads what a browser names by URL. Here all of it belongs to a cookie.
"""

from __future__ import annotations

import asyncio
import json
import logging
import mimetypes
import os
import re
import secrets
import traceback
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qs, urlencode

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect, Request
from starlette.responses import FileResponse
from starlette.routing import Mount
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kalamos.app.errors import APIError, Limits, error_response
from kalamos.app.page.session import Session
from kalamos.app.page_uploads import FileReceiver
from kalamos.app.requests import MAX_HELD_BODIES, BodyReader, drain_body, too_busy
from kalamos.app.security import API_PATHS
from kalamos.app.visits import (
    FILE_ROUTE,
    MAX_PAGES_PER_VISIT,
    ByteCount,
    HeldBytes,
    Visit,
    VisitLimits,
    Visits,
    admit_files,
    current_visit,
    is_token,
    new_token,
)
from kalamos.errors import UsageError

if TYPE_CHECKING:
    import gradio

__all__ = ["PageGuard", "mount_page"]

_log = logging.getLogger("kalamos.app")

VISITS_FOLDER: Final = "visits"
"""The folder of the visits, in Gradio's folder for files."""

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


def mount_page(
    app: FastAPI, page: gradio.Blocks, limits: Limits, visit_limits: VisitLimits | None = None
) -> Callable[[], None]:
    """Mount a page at `/`, without files of others, history, or a server of its own.

    Args:
        app: the application.
        page: its `gr.State(Session())`, if it has one, becomes that of each event's visit.
        limits: bounds on one request.
        visit_limits: bounds on visits; the default ones if None.

    Returns:
        A function, to be called in the event loop, that lets the page's browsers go, which hold a connection
        open while they show the page. Events under way are still worked on.
    """
    from gradio import mount_gradio_app
    from gradio.utils import get_upload_folder

    from kalamos.app.page import page_theme

    page.analytics_enabled = False
    page.queue(max_size=limits.queue)
    folder = Path(os.path.realpath(get_upload_folder()))
    keeping = _Keeping(page, folder)
    visits = Visits(folder / VISITS_FOLDER, visit_limits, ended=keeping.forget_visit)
    keeping.visits = visits
    # Whatever way an event comes, Gradio works on it here, before it opens any of its files.
    page.process_api = keeping.process_api  # type: ignore[assignment, method-assign]
    page.state_session_capacity = visits.limits.visits * MAX_PAGES_PER_VISIT
    mount_gradio_app(
        app,
        page,
        path="/",
        allowed_paths=[],
        footer_links=[],
        run_history=False,
        # Of what nobody foresaw, a visitor learns that it happened; the page says all else itself.
        show_error=False,
        max_file_size=limits.upload_bytes,
        ssr_mode=False,
        enable_monitoring=False,
        pwa=False,
        mcp_server=False,
        **page_theme(),
    )
    visits.published.update(_paths_in(page.config, folder))
    app.add_middleware(
        PageGuard, visits=visits, limits=limits, pending=keeping.pending, forget=keeping.forget_sessions
    )
    # Not `page.close`: it says to whoever waits for an event's answer that the server has stopped, and drops
    # the answer. And of Gradio's several applications it ends the heartbeats of one that is not served.
    served: Any = [route.app for route in app.router.routes if isinstance(route, Mount)][-1]
    end: Callable[[], None] = served.stop_event.set
    return end


class _Keeping:
    """The link between Gradio's page and the visits."""

    visits: Visits

    def __init__(self, page: gradio.Blocks, folder: Path) -> None:
        self._page = page
        self._folder = folder
        self._queue = page._queue  # noqa: SLF001  (it offers no way to look at it)
        self._process: Callable[..., Awaitable[dict[str, Any]]] = page.process_api

    async def process_api(
        self, block_fn: Any, inputs: Any, state: Any = None, request: Any = None, **options: Any
    ) -> dict[str, Any]:
        """Work on an event as its visit's, and log what goes wrong, which Gradio would print.

        An event whose values are not what its components take is one line, as other requests are. For what
        goes wrong in the page's own functions, the log has where.
        """
        from gradio import Error

        try:
            return await self._process_for_visit(block_fn, inputs, state, request, **options)
        except Exception as error:
            if _is_about_values(error):
                _log.info("a page event was refused: its values do not fit (%s)", type(error).__name__)
            elif not isinstance(error, Error):  # those the page shows: they are its way to say something
                _log.exception("a page event failed")
            shown = str(error) if isinstance(error, Error) else "something went wrong in the server"
            raise Error(shown, print_exception=False) from error

    async def _process_for_visit(
        self, block_fn: Any, inputs: Any, state: Any, request: Any, **options: Any
    ) -> dict[str, Any]:
        """Work on an event with its visit's files, state and folder alone."""
        visit = _visit_of(request)
        # Once more, right before Gradio opens them: another way in than by the guard finds no file.
        admit_files(inputs, visit)
        if visit is None:
            return await self._process(block_fn, inputs, state=state, request=request, **options)
        session = visit.session
        if session is None:
            session = visit.session = Session(
                _root=visit.folder / "session", _check_room=partial(self._check_room, visit)
            )
        for block in block_fn.inputs:
            if state is not None and isinstance(getattr(block, "value", None), Session):
                state.state_data[block._id] = session  # noqa: SLF001
        visit.busy += 1
        reset = current_visit.set(visit)
        try:
            output = await self._process(block_fn, inputs, state=state, request=request, **options)
        finally:
            current_visit.reset(reset)
            visit.busy -= 1
            visit.touch()
            held = _state_of(request).get("held")
            if isinstance(held, HeldBytes):
                held.release()
        visit.results.update(dict.fromkeys(self._results_in(output.get("data"), visit)))
        return output

    def _check_room(self, visit: Visit) -> None:
        visit.session_bytes = _bytes_in(visit.folder / "session")
        most = self.visits.limits.visit_bytes
        if visit.held_bytes >= most:
            raise UsageError(
                f"this visit holds {most // 2**20:,} MiB of files, as much as it may",
                remedy="read smaller folders, or use `kalamos predict`, which takes any number",
            )

    def _results_in(self, value: Any, visit: Visit) -> Iterator[str]:
        for path in _paths_in(value, self._folder):
            if not path.startswith(f"{self.visits.folder}{os.sep}") or path.startswith(
                f"{visit.folder}{os.sep}"
            ):
                yield path

    def pending(self, session: str) -> int:
        """Count the events of one of Gradio's sessions whose answer has not been fetched."""
        return len(self._queue.pending_event_ids_session.get(session, ()))

    def forget_sessions(self, sessions: list[str]) -> None:
        """Drop what Gradio keeps of pages that are closed."""
        queue, states = self._queue, getattr(self._page, "state_holder", None)
        for session in sessions:
            if not self.pending(session):
                queue.pending_event_ids_session.pop(session, None)
                queue.pending_messages_per_session.pop(session, None)
            if states is not None:
                states.session_data.pop(session, None)
                states.time_last_used.pop(session, None)

    def forget_visit(self, visit: Visit) -> None:
        """Drop all that is kept of a visit but its folder, which goes after that."""
        queue = self._queue
        for session in visit.pages:
            queue.pending_event_ids_session.pop(session, None)
            queue.pending_messages_per_session.pop(session, None)
        self.forget_sessions(visit.pages)
        if visit.session is not None:
            visit.session.close()
        needed = {path for other in self.visits for path in other.results} | self.visits.published
        for path in set(visit.results) - needed:
            Path(path).unlink(missing_ok=True)
        for files in self._page.temp_file_sets:
            files -= {*visit.uploads, *visit.results}


def _is_about_values(error: Exception) -> bool:
    """Tell whether an event failed before any function of the page was called."""
    names = {frame.f_code.co_name for frame, _ in traceback.walk_tb(error.__traceback__)}
    return isinstance(error, APIError) or bool(names & {"preprocess_data", "validate_inputs"})


def _visit_of(request: Any) -> Visit | None:
    """Return the visit that the guard found for a request; None for what came past it."""
    visit = _state_of(request).get("visit")
    return visit if isinstance(visit, Visit) else None


def _state_of(request: Any) -> dict[str, Any]:
    request = request[0] if isinstance(request, list) and request else request
    scope = getattr(getattr(request, "request", None), "scope", None) or {}
    state: dict[str, Any] = scope.get("state", {})
    return state


def _paths_in(value: Any, folder: Path) -> Iterator[str]:
    """Find the resolved paths of the files that Gradio gives out with a value."""
    stack = [value]
    while stack:
        each = stack.pop()
        if isinstance(each, dict):
            path, meta = each.get("path"), each.get("meta")
            if isinstance(path, str) and isinstance(meta, dict) and meta.get("_type") == "gradio.FileData":
                path = os.path.realpath(path)
                if Path(path).is_relative_to(folder):
                    yield path
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)


def _bytes_in(folder: Path) -> int:
    total = 0
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # deleted while this looks
            total += path.stat().st_size if path.is_file() else 0
    return total


class PageGuard:
    """ASGI middleware before Gradio's application.

    - A route that the page does not use is not there (404).
    - What is asked for with a cookie belongs to that cookie's visit. A request without one makes no visit
      and ends none: the page's own addresses give it a cookie, the others refuse it (403).
    - The `session_hash` of a request is replaced by a name that only this visit has.
    - Uploads are taken in by `FileReceiver`; a file goes only to the visit that has it.
    - An event may name only files of its visit: none of others, none elsewhere, none by URL (403).

    Args:
        visits: all visits.
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
        """End visits that are over as long as the server runs, and all with it."""

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
        """Return the visit of a request that brings something; a new one if need be."""
        try:
            if not token:
                # With a cookie, so that the next try is somebody's.
                raise _no_visit({"Set-Cookie": _new_cookie()})
            return self._visits.enter(token)
        except APIError:
            await drain_body(receive)
            raise

    def _session(self, visit: Visit, name: Any) -> str:
        """Return Gradio's session for one of the visit's open pages."""
        if not isinstance(name, str) or not 0 < len(name) <= MAX_HASH_CHARACTERS:
            raise APIError(422, "invalid_field", "'session_hash' is not a short text")
        session, displaced = visit.page(name)
        if displaced:
            self._forget(displaced)
        return session

    def _with_own_session(self, scope: Scope) -> Scope:
        """Return the scope of a heartbeat, which comes as soon as a page is shown and makes no visit."""
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
        """Pass on a request for the results or the end of an event, which has to be the visit's own."""
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
        raise APIError(422, "invalid_json", "the event is not JSON") from None
    if not isinstance(event, dict):
        raise APIError(422, "invalid_json", "the event is not a JSON object")
    return event


def _with_body(scope: Scope, receive: Receive, body: bytes) -> tuple[Scope, Receive]:
    """Return a request's scope with another body, and the channel that gives it out."""
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
    """Return the cookie's value; "" if this page could not have given it."""
    try:
        found = SimpleCookie(header).get(COOKIE_NAME)
    except CookieError:
        return ""
    return found.value if found is not None and is_token(found.value) else ""
