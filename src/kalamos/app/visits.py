"""Visits of the page: who they are, what each holds, when it is over, and their folder on the disk.

A visit is a browser, known by a cookie with a random value, for as long as requests with that cookie come.
Everything that the page remembers belongs to a visit: uploads, results, models, the review of a folder. A
`session_hash`, which Gradio lets a request choose, names no more than one of the visit's open pages.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from kalamos.app.errors import APIError, require_positive_fields
from kalamos.errors import OutputError

MAX_PAGES_PER_VISIT: Final = 8
"""Open pages (tabs) of one visit that Gradio remembers; the longest unused goes first."""

MAX_EVENTS_PER_VISIT: Final = 1_000
"""Events of one visit whose results may be asked for by their id."""

FILE_OVERHEAD_BYTES: Final = 4096
"""Charged for each file besides its content: what an empty one takes on a disk."""

MIN_EMPTY_VISIT_SECONDS: Final = 60.0
"""For which a visit that holds nothing is kept when others wait for its place."""

FILE_ROUTE: Final = "/gradio_api/file="

MAX_FILE_NAME_CHARACTERS: Final = 255
"""Characters of a file's name, as most file systems have it."""

FOLDER_PREFIX: Final = "kalamos-app-"
LOCK_FILE: Final = ".lock"

MAX_FOLDER_TRIES: Final = 10
"""Of making a folder, where another app that starts at the same moment takes it for one that was left."""

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
    """Without a request, after which a visit ends and what it holds is deleted."""
    visits: int = 100
    """At once; the next visitor is asked to come later."""
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

    Gradio drops events in several ways, and reports none.

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
        """Stop accounting for them; further calls do nothing."""
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


@contextmanager
def app_folder() -> Iterator[Path]:
    """Make a folder that only this user may look into, and delete it with all that is in it at the end.

    As long as it is in use, a file in it is locked. The lock ends with the process, however that ends; so
    the next app recognises a folder that a killed process left, and deletes it first.

    Raises:
        OutputError: the system's temporary folder takes none.

    >>> with app_folder() as folder:
    ...     _ = (folder / "upload").write_bytes(b"7")
    >>> folder.exists()
    False
    """
    parent = Path(tempfile.gettempdir())
    sweep_app_folders(parent)
    folder, lock = _make(parent)
    try:
        yield folder
    finally:
        _delete(folder, lock)


def sweep_app_folders(parent: Path) -> list[Path]:
    """Delete the folders of apps that were killed; returns them.

    Only folders that an app of this very user made and locked, and which nobody has locked now. Where a
    lock cannot be asked about, as on some network file systems, the folder stays.
    """
    swept = []
    for folder in sorted(parent.glob(f"{FOLDER_PREFIX}*")):
        lock = _lock_of_left(folder)
        if lock is None:
            continue
        _delete(folder, lock)
        swept.append(folder)
    return swept


def _delete(folder: Path, lock: int) -> None:
    # On Windows, a file that is open cannot be deleted.
    if sys.platform == "win32":
        os.close(lock)
    shutil.rmtree(folder, ignore_errors=True)
    if sys.platform != "win32":
        os.close(lock)


def _make(parent: Path) -> tuple[Path, int]:
    for _ in range(MAX_FOLDER_TRIES):
        try:
            folder = Path(tempfile.mkdtemp(prefix=FOLDER_PREFIX, dir=parent)).resolve()
            lock = os.open(folder / LOCK_FILE, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        except FileNotFoundError:  # taken away between the two
            continue
        except OSError as error:
            raise OutputError(
                f"no folder for uploads can be made in {parent}: {error.strerror}",
                remedy="name another with the environment variable TMPDIR",
            ) from None
        if _is_locked_by_us(lock) and (folder / LOCK_FILE).exists():
            return folder, lock
        os.close(lock)
    raise OutputError(f"no folder for uploads can be made in {parent}", remedy="start it again")


def _lock_of_left(folder: Path) -> int | None:
    """Return the lock, now ours, of a folder that an app of this user left; None for any other folder."""
    with suppress(OSError):
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or (hasattr(os, "getuid") and status.st_uid != os.getuid()):
            return None
        # No link is followed: in a folder of everybody's, another user could lay one.
        lock = os.open(folder / LOCK_FILE, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
        if stat.S_ISREG(os.fstat(lock).st_mode) and _is_locked_by_us(lock):
            return lock
        os.close(lock)
    return None


def _is_locked_by_us(lock: int) -> bool:
    """Lock an open file, if nobody has: for as long as it is open, in this process or what it forks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def admit_files(value: Any, visit: Visit | None, *, host: str | None = None) -> None:
    """Check, in place, every file that a value names, whatever component it is for and however deep it lies.

    An object with a `path` or a `url` names a file, whatever else it has or lacks. The file has to be one
    that `visit` uploaded, or was given by an event of its own: looked up in the server's own record of them,
    by its resolved path. What passes is written anew: `path` as the record has it, `url` none, so that
    nothing is ever fetched, and `orig_name` a plain name.

    Args:
        value: what came with a request, as parsed from JSON.
        visit: whose request it is; None if nobody's, which may name no file.
        host: the request's `Host`, which a `url` may name; None if a `url` may name none.

    Raises:
        APIError: 403, a file is not the visit's.
    """
    stack = [value]
    while stack:  # without recursion, which has its limit
        each = stack.pop()
        if isinstance(each, dict):
            if each.get("path") is not None or each.get("url") is not None:
                _admit(each, visit, host)
            stack.extend(each.values())
        elif isinstance(each, list | tuple):
            stack.extend(each)


def _admit(file: dict[str, Any], visit: Visit | None, host: str | None) -> None:
    path = None if visit is None else visit.own_path(file.get("path"))
    if path is None:
        raise APIError(403, "not_yours", "this file is not one that was uploaded from this browser")
    url = file.get("url")
    if url and (not isinstance(url, str) or not _is_own_url(url, visit, host)):
        raise APIError(403, "foreign_url", "files of other servers are not fetched")
    file["path"] = path
    if "url" in file:
        file["url"] = None
    name = file.get("orig_name")
    if name is not None:
        file["orig_name"] = base_name(name) if isinstance(name, str) else None


def _is_own_url(url: str, visit: Visit | None, host: str | None) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    _, marked, path = parts.path.partition(FILE_ROUTE)
    own = visit is not None and marked and (visit.own_path(path) or visit.own_path(unquote(path)))
    return bool(own) and parts.scheme in {"", "http", "https"} and parts.netloc in {"", host}


def base_name(name: str) -> str:
    r"""Return the last part of the name that a browser gave a file, cut to `MAX_FILE_NAME_CHARACTERS`.

    >>> base_name("C:\\scans\\7.png"), base_name("../../etc/passwd"), base_name("..")
    ('7.png', 'passwd', 'file')
    """
    last = PurePosixPath(name.replace("\\", "/").replace("\0", "")).name
    return last[-MAX_FILE_NAME_CHARACTERS:] if last not in {"", ".", ".."} else "file"
