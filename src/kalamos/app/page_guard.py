"""The page's routes, cut down to those in use, and its files, each kept to the browser it belongs to.

Gradio gives a file to whoever knows its path. The path has the file's SHA-256 in it, so that only who has
the file can know it; but a path can be copied along with a page's address, or be read in a log. And it
loads what a browser names by URL, from wherever that is.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections import OrderedDict
from collections.abc import Iterator
from http.cookies import CookieError, SimpleCookie
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from kalamos.app.bodies import linger
from kalamos.app.guard import OURS
from kalamos.app.refusals import RefusedError, refusal_response

__all__ = ["PageGuard"]

COOKIE: Final = "kalamos_session"

SESSIONS: Final = 1_000
FILES: Final = 50_000
"""Browsers remembered, and files of each; the longest unused go first."""

_API: Final = "/gradio_api"

_ROUTES: Final = (
    *("info", "app_id", "startup-events", "theme.css", "queue/join", "queue/data", "queue/status"),
    *("upload", "upload_progress", "cancel", "reset"),
)
OPEN: Final = frozenset(
    {"/", "/config", "/theme.css", "/favicon.ico", "/manifest.json", "/robots.txt"}
    | {f"{_API}/{route}" for route in _ROUTES}
)
UNDER: Final = ("/assets/", "/static/", "/svelte/", f"{_API}/heartbeat/", f"{_API}/call/", f"{_API}/file=")

_FILE: Final = f"{_API}/file="
_TELLING: Final = ("/config", f"{_API}/queue/data", f"{_API}/upload", f"{_API}/call/")
_TAKING: Final = (f"{_API}/queue/join", f"{_API}/call/")


class PageGuard:
    """ASGI middleware before Gradio's application.

    - A route that the page does not use is not there (404).
    - A file goes only to the browser, known by a cookie, that uploaded it or was told of it.
    - An event may name such files alone: none of others, none anywhere else, none by URL (403).

    Args:
        folder: where Gradio keeps uploads and results, as `FOLDER/SHA-256/NAME`.
        most: bytes of an event.
    """

    def __init__(self, app: ASGIApp, *, folder: Path, most: int) -> None:
        self._app = app
        self._most = most
        self._folder = folder
        self._sessions: OrderedDict[str, OrderedDict[str, None]] = OrderedDict()
        # As JSON has it; a text that a page repeats cannot hold the quotes as they are.
        start = re.escape(json.dumps(folder.as_posix())[1:-1]).encode()
        self._told = re.compile(rb'"path":\s?"' + start + rb"/([0-9a-f]{64})/")
        self._uploaded = re.compile(rb'[\[,]\s?"' + start + rb"/([0-9a-f]{64})/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith(OURS):
            await self._app(scope, receive, send)
            return
        path: str = scope["path"]
        if path not in OPEN and not path.startswith(UNDER):
            absent = RefusedError(404, "not_found", "there is nothing here")
            await refusal_response(absent, scope["state"]["request_id"])(scope, receive, send)
            return
        token, files, new = self._session(scope)
        try:
            if path.startswith(_FILE):
                self._check_file(path.removeprefix(_FILE), files)
            elif scope["method"] == "POST" and path.startswith(_TAKING):
                receive = await self._checked(scope, receive, files)
        except RefusedError as refusal:
            await refusal_response(refusal, scope["state"]["request_id"])(scope, receive, send)
            return
        telling = path.startswith(_TELLING)
        if telling:
            # What is compressed could not be looked into.
            scope["headers"] = [(k, v) for k, v in scope["headers"] if k != b"accept-encoding"]
        pattern = self._uploaded if path == f"{_API}/upload" else self._told

        async def answer(message: Message) -> None:
            if new and message["type"] == "http.response.start":
                MutableHeaders(scope=message).append(
                    "Set-Cookie", f"{COOKIE}={token}; Path=/; HttpOnly; SameSite=Strict"
                )
            elif telling and message["type"] == "http.response.body":
                self._note(pattern.findall(message.get("body", b"")), files)
            await send(message)

        await self._app(scope, receive, answer)

    def _session(self, scope: Scope) -> tuple[str, OrderedDict[str, None], bool]:
        """The browser's token, its files, and whether it is new here."""
        token = _cookie(Headers(scope=scope).get("cookie", ""))
        new = token not in self._sessions
        if new:
            token = secrets.token_hex(16)
            self._sessions[token] = OrderedDict()
            if len(self._sessions) > SESSIONS:
                self._sessions.popitem(last=False)
        self._sessions.move_to_end(token)
        return token, self._sessions[token], new

    def _note(self, found: list[bytes], files: OrderedDict[str, None]) -> None:
        for digest in found:
            files[digest.decode()] = None
            files.move_to_end(digest.decode())
        while len(files) > FILES:
            files.popitem(last=False)

    def _check_file(self, path: str, files: OrderedDict[str, None]) -> None:
        """Raises a `RefusedError` unless the path is `FOLDER/DIGEST/NAME` with a digest among `files`."""
        digest, _, name = path.removeprefix(f"{self._folder.as_posix()}/").partition("/")
        if digest not in files or not name or "/" in name or "\\" in name or name in {".", ".."}:
            raise RefusedError(403, "not_yours", "this file is not one that was uploaded from this browser")

    async def _checked(self, scope: Scope, receive: Receive, files: OrderedDict[str, None]) -> Receive:
        """Reads an event and looks at the files it names; returns what gives it out again."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                break
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > self._most:
                if more:
                    await linger(receive)
                close = {"Connection": "close"}
                raise RefusedError(413, "too_large", "the event is too large", headers=close)
        try:
            event = await asyncio.to_thread(json.loads, bytes(body))
        except (ValueError, RecursionError):
            raise RefusedError(422, "invalid_json", "the event is no JSON") from None
        host = Headers(scope=scope).get("host", "")
        for each in _files_in(event):
            path, url = each.get("path"), each.get("url")
            if isinstance(path, str):
                self._check_file(path.replace("\\", "/"), files)
            if isinstance(url, str) and urlsplit(url).netloc not in {"", host}:
                raise RefusedError(403, "foreign_url", "files of other servers are not fetched")
        whole: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def again() -> Message:
            return whole.pop() if whole else await receive()

        return again


def _files_in(event: Any) -> Iterator[dict[str, Any]]:
    """The objects that Gradio takes for files, however deep; without recursion, which has its limit."""
    stack = [event]
    while stack:
        value = stack.pop()
        if isinstance(value, dict):
            if "meta" in value or ("url" in value and "path" in value):
                yield value
            stack.extend(value.values())
        elif isinstance(value, list):
            stack.extend(value)


def _cookie(header: str) -> str:
    try:
        found = SimpleCookie(header).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found is not None else ""
