"""The visits of the page: who they are, what each holds, and when it is over.

A visit is a browser, known by a cookie with a random value, for as long as requests with that cookie come.
Everything that the page remembers belongs to a visit: uploads, results, models, the review of a folder. A
`session_hash`, which Gradio lets a request choose, names no more than one of the visit's open pages.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kalamos.app.limits import require_positive_fields
from kalamos.app.refusals import APIError

__all__ = [
    "ByteCount",
    "HeldBytes",
    "StoredFile",
    "Visit",
    "VisitLimits",
    "Visits",
    "current_visit",
    "is_token",
    "new_token",
]

MAX_PAGES_PER_VISIT: Final = 8
"""Open pages (tabs) of one visit that Gradio remembers; the longest unused goes first."""

MAX_EVENTS_PER_VISIT: Final = 1_000
"""Events of one visit whose results may be asked for by their id."""

FILE_OVERHEAD_BYTES: Final = 4096
"""Charged for each file besides its content: what an empty one takes on a disk."""

MIN_EMPTY_VISIT_SECONDS: Final = 60.0
"""For which a visit that holds nothing is kept when others wait for its place."""

_TOKEN: Final = re.compile(r"[0-9a-f]{32}")

current_visit: ContextVar[Visit | None] = ContextVar("kalamos_current_visit", default=None)
"""The visit whose event is being worked on, in the threads that Gradio starts for it too."""


def new_token() -> str:
    """Return a cookie's value: 128 random bits in hexadecimal."""
    return secrets.token_hex(16)


def is_token(text: str) -> bool:
    """Tell whether a text could be a value of `new_token`.

    >>> is_token(new_token()), is_token(""), is_token("../" + 29 * "0")
    (True, False, False)
    """
    return _TOKEN.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class VisitLimits:
    """Bounds on visits and on what they hold.

    Raises `UsageError` for a bound that would refuse everything.

    >>> VisitLimits().visit_bytes <= VisitLimits().total_bytes
    True
    >>> VisitLimits(visits=0)
    Traceback (most recent call last):
    kalamos.errors.UsageError: the limit visits = 0 would refuse everything; use a positive number
    """

    idle_seconds: float = 2 * 3600.0
    """Without a request, after which a visit is over and what it holds is deleted."""
    visits: int = 100
    """At once; whoever comes when there are so many is asked to come later."""
    visit_bytes: int = 400 * 2**20
    """Of the files of one visit, those still arriving included."""
    visit_files: int = 20_000
    """Uploaded files of one visit."""
    total_bytes: int = 4 * 2**30
    """Of the files of all visits."""

    def __post_init__(self) -> None:
        require_positive_fields(self)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a visit uploaded."""

    path: Path
    """Where it lies, resolved."""
    name: str
    """What the browser calls it."""
    size: int
    """In bytes."""


class ByteCount:
    """Bytes of the events that wait, of one visit or of all."""

    def __init__(self) -> None:
        self.bytes = 0


class HeldBytes:
    """Bytes of an event that are accounted for until `release`, or until nothing holds the event any more.

    Gradio drops events in several ways, and tells of none.

    >>> count = ByteCount()
    >>> held = HeldBytes([count], 7)
    >>> count.bytes, held.release(), held.release(), count.bytes
    (7, None, None, 0)
    """

    def __init__(self, counts: Iterable[ByteCount], size: int) -> None:
        counts = tuple(counts)
        for count in counts:
            count.bytes += size
        self._finalizer = weakref.finalize(self, _take_off, counts, size)
        self._finalizer.atexit = False

    def release(self) -> None:
        """Account for them no more; once is enough."""
        self._finalizer()


def _take_off(counts: Iterable[ByteCount], size: int) -> None:
    for count in counts:
        count.bytes -= size


class Visit:
    """One visit: its files, its open pages, and the state that the page keeps for it.

    Made by `Visits` alone.
    """

    def __init__(self, folder: Path, published: set[str], clock: Callable[[], float]) -> None:
        folder.mkdir(mode=0o700)
        self.folder = folder
        """Everything of this visit that lies on the disk, and nothing else."""
        self.session: Any = None
        """What the page remembers; made by the page."""
        self.uploads: OrderedDict[str, StoredFile] = OrderedDict()
        """By resolved path, the oldest first."""
        self.results: dict[str, None] = {}
        """Resolved paths of the files that events of this visit gave out."""
        self.events: OrderedDict[str, None] = OrderedDict()
        """Ids of events, the oldest first."""
        self.queued = ByteCount()
        self.stored_bytes = 0
        """Of uploads, arriving ones included."""
        self.session_bytes = 0
        """Of what the page has written for this visit."""
        self.busy = 0
        """Events being worked on: meanwhile the visit is not over."""
        self.arriving = 0
        """Uploads on their way: meanwhile it is not either."""
        self._pages: OrderedDict[str, str] = OrderedDict()
        self._published = published
        self._clock = clock
        self.last_seen = clock()

    def touch(self) -> None:
        """Note that a request came, or that something asked for earlier is done."""
        self.last_seen = self._clock()

    @property
    def is_busy(self) -> bool:
        """Whether anything is under way for it."""
        return self.busy > 0 or self.arriving > 0

    @property
    def held_bytes(self) -> int:
        """Bytes on the disk."""
        return self.stored_bytes + self.session_bytes

    @property
    def is_empty(self) -> bool:
        """Whether nothing would be lost with it."""
        return not self.uploads and not self.held_bytes and getattr(self.session, "is_empty", True)

    def own_path(self, path: object) -> str | None:
        """Return the resolved path of a file that this visit uploaded or was given; None for any other.

        Given to it: by an event of its own, or by the page as everybody gets it.

        Nothing outside the visit's folder is looked at, for on some systems (network shares) a look is a
        request to another machine.

        Args:
            path: as a request has it: anything.
        """
        if not isinstance(path, str) or "\0" in path or not os.path.isabs(path):  # noqa: PTH117
            return None
        if path in self.results or path in self._published:
            return path
        if not Path(os.path.normpath(path)).is_relative_to(self.folder):
            return None
        resolved = os.path.realpath(path)
        return resolved if resolved in self.uploads else None

    def page(self, name: str) -> tuple[str, list[str]]:
        """Return Gradio's name for one of this visit's open pages, and the names of those it displaces.

        Args:
            name: the `session_hash` that the browser chose. Two visits that choose the same get two names.
        """
        if name not in self._pages:
            self._pages[name] = secrets.token_hex(16)
        self._pages.move_to_end(name)
        displaced = []
        while len(self._pages) > MAX_PAGES_PER_VISIT:
            displaced.append(self._pages.popitem(last=False)[1])
        return self._pages[name], displaced

    @property
    def pages(self) -> list[str]:
        """Gradio's names for all open pages."""
        return list(self._pages.values())

    def note_event(self, event_id: str) -> None:
        """Remember an event as this visit's."""
        self.events[event_id] = None
        while len(self.events) > MAX_EVENTS_PER_VISIT:
            self.events.popitem(last=False)

    def forget_upload(self, path: str) -> None:
        """Delete one upload."""
        stored = self.uploads.pop(path)
        self.stored_bytes -= stored.size + FILE_OVERHEAD_BYTES
        shutil.rmtree(stored.path.parent, ignore_errors=True)


class Visits:
    """All visits. For one event loop, but for `Visit.own_path`, which any thread may ask.

    Args:
        folder: where the visits' folders are made.
        limits: the default ones if None.
        ended: called with a visit that is over, before its folder is deleted.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        folder: Path,
        limits: VisitLimits | None = None,
        *,
        ended: Callable[[Visit], None] = lambda visit: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.folder = Path(os.path.realpath(folder))
        self.limits = limits or VisitLimits()
        self.published: set[str] = set()
        """Resolved paths of the files that the page shows to everybody, such as examples."""
        self._ended = ended
        self._clock = clock
        self._visits: OrderedDict[str, Visit] = OrderedDict()

    def __len__(self) -> int:
        return len(self._visits)

    def __iter__(self) -> Iterator[Visit]:
        return iter(list(self._visits.values()))

    def find(self, token: str) -> Visit | None:
        """Return the visit with this cookie, if there is one; nothing is made."""
        visit = self._visits.get(token)
        if visit is not None and self._is_over(visit):
            self._end(token)
            return None
        if visit is not None:
            visit.touch()
        return visit

    def enter(self, token: str) -> Visit:
        """Return the visit with this cookie, a new one if need be.

        Raises:
            APIError: 503, there are as many as there may be. Nobody's is ended for a new one, unless
                there is nothing in it.
        """
        visit = self.find(token)
        if visit is None:
            if len(self._visits) >= self.limits.visits:
                self.sweep()
                self._make_place()
            visit = self._visits[token] = self._new()
        return visit

    def reserve(self, visit: Visit, size: int) -> None:
        """Account for bytes of an upload before they are written; its own oldest uploads make room.

        Raises:
            APIError: 413 over what one visit may hold, 503 over what all may.
        """
        while visit.held_bytes + size > self.limits.visit_bytes and visit.uploads:
            visit.forget_upload(next(iter(visit.uploads)))
        if visit.held_bytes + size > self.limits.visit_bytes:
            raise APIError(
                413,
                "too_large",
                f"a visit may hold {self.limits.visit_bytes // 2**20:,} MiB of files",
                remedy="give fewer at a time, or use `kalamos predict`, which takes any number",
                close=True,
            )
        if sum(each.held_bytes for each in self._visits.values()) + size > self.limits.total_bytes:
            raise _come_later("all that visitors may keep here is taken", close=True)
        visit.stored_bytes += size

    def release(self, visit: Visit, size: int) -> None:
        """Take back what `reserve` accounted for."""
        visit.stored_bytes -= size

    def sweep(self) -> None:
        """End all visits that are over."""
        for token in [token for token, visit in self._visits.items() if self._is_over(visit)]:
            self._end(token)

    def close(self) -> None:
        """End all visits."""
        for token in list(self._visits):
            self._end(token)

    def _new(self) -> Visit:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return Visit(self.folder / secrets.token_hex(16), self.published, self._clock)

    def _is_over(self, visit: Visit) -> bool:
        return not visit.is_busy and self._clock() - visit.last_seen >= self.limits.idle_seconds

    def _make_place(self) -> None:
        if len(self._visits) < self.limits.visits:
            return
        now = self._clock()
        empty = [
            (visit.last_seen, token)
            for token, visit in self._visits.items()
            if visit.is_empty and not visit.is_busy and now - visit.last_seen >= MIN_EMPTY_VISIT_SECONDS
        ]
        if not empty:
            raise _come_later("as many people as can be are here now")
        self._end(min(empty)[1])

    def _end(self, token: str) -> None:
        visit = self._visits.pop(token)
        try:
            self._ended(visit)
        finally:
            shutil.rmtree(visit.folder, ignore_errors=True)


def _come_later(problem: str, *, close: bool = False) -> APIError:
    remedy = "come again in some minutes"
    return APIError(503, "full", problem, remedy=remedy, close=close, retry_after=60)
