"""Uploads to the page: files written to the visit's folder as they come, within its limits."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import shutil
import time
from collections import OrderedDict
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive

from kalamos.app.errors import APIError, Limits
from kalamos.app.requests import FormParser, drain_body, too_busy, too_large, too_slow
from kalamos.app.visits import FILE_OVERHEAD_BYTES, StoredFile, Visit, Visits, base_name

__all__ = ["FileReceiver"]

MAX_FILES_PER_UPLOAD: Final = 1_000
"""Of one request; the page sends more in several."""

MAX_UPLOADS_AT_ONCE: Final = 4
"""Requests with files of one visit."""

MIN_UPLOAD_BYTES_PER_SECOND: Final = 16 * 1024
"""Bytes a second that an upload has to bring on average, once its first seconds are over."""

MAX_PROGRESS_ENTRIES: Final = 16
"""Uploads of one visit whose progress is kept."""

PROGRESS_SECONDS: Final = 0.1
"""Between two looks at an upload's progress."""

MAX_PROGRESS_WAIT_SECONDS: Final = 3.0
"""For which a page that asks for an upload's progress waits for its beginning."""


@dataclass
class _Progress:
    """How far an upload is: bytes by file since the last look."""

    news: OrderedDict[str, int]
    done: bool = False


class FileReceiver:
    """Takes `multipart/form-data` with `files`, as Gradio's page sends it.

    In place of Gradio's own route, which leaves what it has written of an upload that breaks off, takes any
    number of bytes from anybody, and waits for ever.
    """

    def __init__(self, visits: Visits, limits: Limits) -> None:
        self._visits = visits
        self._limits = limits
        self._progress: OrderedDict[tuple[Path, str], _Progress] = OrderedDict()

    async def receive(
        self, visit: Visit, receive: Receive, content_type: str, length: int | None, upload_id: str
    ) -> Response:
        """Store the files, and answer with the list of their paths.

        Args:
            visit: whose they are.
            receive: the request's body.
            content_type: with the boundary between the parts.
            length: what the request's head says the body has, in bytes.
            upload_id: the page asks by it for the progress.

        Raises:
            APIError: 408 too slow, 413 too much, 422 not such a form, 429 too many at once, 503 no room.
            ClientDisconnect: the client went away. Then too, nothing of the upload stays.
        """
        try:
            upload = self._begin(visit, content_type, length or 0, upload_id)
        except APIError:
            await drain_body(receive)
            raise
        visit.arriving += 1
        try:
            await self._take(upload, receive)
            paths = upload.keep()
        except APIError:
            upload.discard()
            if not upload.arrived:
                await drain_body(receive)
            raise
        except BaseException:
            upload.discard()
            raise
        finally:
            visit.arriving -= 1
            upload.progress.done = True
            visit.touch()
        return JSONResponse(paths)

    def _begin(self, visit: Visit, content_type: str, length: int, upload_id: str) -> _Upload:
        most = self._visits.limits.visit_bytes
        if visit.arriving >= MAX_UPLOADS_AT_ONCE:
            raise too_busy("too many uploads at once")
        if length > most:
            raise too_large(
                f"the upload is larger than {most:,} bytes", "send fewer or smaller files at once"
            )
        upload = _Upload(content_type, self._visits, visit, self._limits.upload_bytes)
        if upload_id:
            self._progress[visit.folder, upload_id] = upload.progress
            while len(self._progress) > MAX_PROGRESS_ENTRIES * self._visits.limits.visits:
                self._progress.popitem(last=False)
        return upload

    async def _take(self, upload: _Upload, receive: Receive) -> None:
        started, total = time.monotonic(), 0
        while not upload.arrived:
            message = await self._next(receive, started, total)
            part = message.get("body", b"")
            upload.arrived, total = not message.get("more_body", False), total + len(part)
            # In the event loop, where all the counting is: a part has some 64 KiB.
            upload.feed(part)
        upload.close()

    async def _next(self, receive: Receive, started: float, total: int) -> Any:
        seconds = self._limits.seconds
        left = started + seconds + total / MIN_UPLOAD_BYTES_PER_SECOND - time.monotonic()
        try:
            async with asyncio.timeout(min(seconds, left)):
                message = await receive()
        except TimeoutError:
            problem = f"the upload brought less than {MIN_UPLOAD_BYTES_PER_SECOND // 1024} KiB/s"
            raise too_slow(problem, "send fewer files at once") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        return message

    async def progress(self, visit: Visit, upload_id: str) -> Response:
        """Answer with server-sent events: how many bytes of which file have come, until all are there."""
        key, waited = (visit.folder, upload_id), 0.0
        while key not in self._progress and waited < MAX_PROGRESS_WAIT_SECONDS:
            waited += PROGRESS_SECONDS
            await asyncio.sleep(PROGRESS_SECONDS)
        progress = self._progress.get(key)
        if progress is None:
            raise APIError(404, "not_found", "unknown upload")
        return StreamingResponse(self._told(key, progress), media_type="text/event-stream")

    async def _told(self, key: tuple[Path, str], progress: _Progress) -> AsyncIterator[str]:
        while not progress.done:
            while progress.news:
                name, size = progress.news.popitem(last=False)
                yield _event(msg="update", orig_name=name, chunk_size=size)
            await asyncio.sleep(PROGRESS_SECONDS)
        self._progress.pop(key, None)
        yield _event(msg="done")


def _event(**values: object) -> str:
    return f"data: {json.dumps(values)}\n\n"


class _Upload(FormParser):
    """The files of one request, while they arrive."""

    _file: BinaryIO
    """Of the part that arrives; open meanwhile."""

    def __init__(self, content_type: str, visits: Visits, visit: Visit, file_bytes: int) -> None:
        super().__init__(content_type)
        self.arrived = False
        """Whether the body is at its end."""
        self._visits = visits
        self._visit = visit
        self._file_bytes = file_bytes
        self.progress = _Progress(OrderedDict())
        self._reserved = 0
        self._files: list[StoredFile] = []
        self._path, self._name, self._size = Path(), "", 0

    def keep(self) -> list[str]:
        """Record the files as the visit's, and return their paths."""
        self._visits.release(self._visit, self._reserved)
        for stored in self._files:
            self._visit.uploads[str(stored.path)] = stored
            self._visit.stored_bytes += stored.size + FILE_OVERHEAD_BYTES
        while len(self._visit.uploads) > self._visits.limits.visit_files:
            self._visit.forget_upload(next(iter(self._visit.uploads)))
        return [str(stored.path) for stored in self._files]

    def discard(self) -> None:
        """Delete what has been written."""
        self._visits.release(self._visit, self._reserved)
        if self._in_part:
            self._file.close()
            shutil.rmtree(self._path.parent, ignore_errors=True)
        for stored in self._files:
            shutil.rmtree(stored.path.parent, ignore_errors=True)

    def _reserve(self, size: int) -> None:
        self._visits.reserve(self._visit, size)
        self._reserved += size

    def start_part(self, name: str, filename: str | None) -> None:
        if name != "files" or filename is None:
            raise APIError(422, "unknown_field", "only files are uploaded, as 'files'")
        if len(self._files) >= MAX_FILES_PER_UPLOAD:
            raise APIError(413, "too_many_files", f"more than {MAX_FILES_PER_UPLOAD:,} files in one request")
        self._reserve(FILE_OVERHEAD_BYTES)
        self._name, self._size = base_name(filename), 0
        folder = self._visit.folder / "uploads" / secrets.token_hex(16)
        folder.mkdir(mode=0o700, parents=True)
        self._path = folder / _safe_name(self._name)
        self._file = self._path.open("xb")

    def add_data(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self._file_bytes:
            raise too_large(f"a file is larger than {self._file_bytes:,} bytes", "send smaller files")
        self._reserve(len(data))
        self._file.write(data)
        if not self.progress.done:
            news = self.progress.news
            news[self._name] = news.get(self._name, 0) + len(data)

    def end_part(self) -> None:
        self._file.close()
        self._files.append(StoredFile(self._path, self._name, self._size))


def _safe_name(name: str) -> str:
    """Return a name that every file system takes, with the suffix of the given one.

    >>> _safe_name("=é ط:1.PNG"), _safe_name("...")
    ('é ط_1.PNG', 'file')
    """
    stem, dot, suffix = name.rpartition(".")
    stem, suffix = (stem, suffix) if dot and stem else (name, "")
    suffix = re.sub(r"\W", "", suffix)[:10]
    stem = re.sub(r"[^\w\- ]", "_", stem).strip(" _.")[:50] or "file"
    return f"{stem}.{suffix}" if suffix else stem
