"""Files from the network: resumed, verified, and in place whole or not at all.

The bytes go to `FILE.part`, which outlives an interruption, even of the process; the next call asks
for the rest alone (HTTP range requests, RFC 9110 section 14). Only what has the published checksum is
renamed to `FILE`.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import io
import os
import re
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from kalamos._version import __version__
from kalamos.errors import DatasetError, OutputError

__all__ = ["Progress", "Resource", "download", "md5_of"]

Progress = Callable[[int, int | None], None]
"""Told the bytes that are here, and how many there will be where the server says so."""

BLOCK: Final = 1 << 16
TRIES: Final = 4
"""Attempts in a row that bring not one byte, before a mirror is given up."""
PASSING: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be others a moment later."""


@dataclass(frozen=True)
class Resource:
    """A published file.

    Attributes:
        file: its name on the disk.
        urls: where it can be had, the first choice first.
        md5: its checksum, hexadecimal.
    """

    file: str
    urls: tuple[str, ...]
    md5: str


class _GivenUp(Exception):  # noqa: N818 (no error as long as there is another mirror)
    """A mirror that does not give the file; says why."""


def download(
    resource: Resource,
    folder: Path,
    *,
    progress: Progress = lambda here, total: None,
    timeout: float = 20.0,
    pause: float = 1.0,
) -> Path:
    """Get a file into a folder, which is created where there is none.

    Mirrors are tried in turn. A broken connection is taken up again where it broke. Without a
    network the message says what to put where by hand.

    Args:
        resource: what to get.
        folder: where to.
        progress: told how far it has got.
        timeout: seconds without any byte after which a connection counts as broken.
        pause: seconds before the first new attempt; doubled for each further one.

    Returns:
        The path of the file; a file that is there already and has the checksum is left alone.

    Raises:
        DatasetError: no mirror gave the published bytes, or another file is in their place.
        OutputError: the folder or the disk does not take them.
    """
    target = folder / resource.file
    if not target.exists():
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        with _alone(folder):
            # Another process may have brought it while this one waited.
            if not target.exists():
                _bring(resource, target, progress, timeout, pause)
    elif md5_of(target) != resource.md5:
        raise DatasetError(
            f"{target} is there, but it is not the published file (MD5 {resource.md5})",
            remedy="move it away, and try again",
        )
    return target


def md5_of(path: Path) -> str:
    """The MD5 checksum of a file, hexadecimal; against damage, not against an attacker.

    Raises:
        DatasetError: it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error


class _Part:
    """What has come of a file so far, and which version of it that is."""

    def __init__(self, target: Path, md5: str) -> None:
        self.path = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.version")
        self._md5 = md5

    @property
    def size(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    def verified(self) -> bool:
        return self.path.exists() and md5_of(self.path) == self._md5

    def version(self, url: str) -> str | None:
        """What the server at `url` called the version that the part is of (an ETag or a date)."""
        try:
            noted, _, version = self._note.read_text("utf-8").partition("\n")
        except (OSError, ValueError):
            return None
        return version if noted == url else None

    def begin(self, url: str, version: str | None) -> None:
        """Forget what was there; from now on it is that version."""
        self.forget()
        with _writing(self.path):
            self.path.touch()
            if version:
                self._note.write_text(f"{url}\n{version}", "utf-8")

    def forget(self) -> None:
        with _writing(self.path):
            self.path.unlink(missing_ok=True)
            self._note.unlink(missing_ok=True)


def _bring(resource: Resource, target: Path, progress: Progress, timeout: float, pause: float) -> None:
    part = _Part(target, resource.md5)
    if not part.verified():  # a process may have been killed between the last byte and the new name
        reasons = []
        for url in resource.urls:
            try:
                _fetch(url, part, progress, timeout, pause)
                break
            except _GivenUp as reason:
                reasons.append(f"{urllib.parse.urlsplit(url).hostname}: {reason}")
        else:
            raise DatasetError(
                f"{resource.file} could not be downloaded ({'; '.join(reasons)})",
                remedy=f"try again later; with no network here, put {resource.file} into {target.parent} "
                f"by hand, from {resource.urls[0]}",
            )
    with _writing(target):
        part.path.replace(target)
    part.forget()


def _fetch(url: str, part: _Part, progress: Progress, timeout: float, pause: float) -> None:
    """Bring the part to its end from one mirror, or raise `_GivenUp`."""
    inherited = part.size > 0
    fruitless = 0
    while True:
        before = part.size
        try:
            _transfer(url, part, progress, timeout)
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416 and before:  # more is here than there is
                part.forget()
                inherited = False
                continue
            reason = f"it answered {error.code} {error.reason}"
            if error.code not in PASSING:
                raise _GivenUp(reason) from error
        except urllib.error.URLError as error:
            # Not even a connection: there is no network, or the host is gone.
            raise _GivenUp(
                f"no connection ({getattr(error.reason, 'strerror', None) or error.reason})"
            ) from error
        except TimeoutError:
            reason = f"silent for {timeout:g} seconds"
        except (OSError, http.client.HTTPException) as error:
            reason = f"the connection broke ({error or type(error).__name__})"
        else:
            if part.verified():
                return
            part.forget()
            if not inherited:
                raise _GivenUp("its bytes are not the published ones")
            # Perhaps the old bytes were of another version: once more, from the start.
            inherited = False
            continue
        fruitless = 0 if part.size > before else fruitless + 1
        if fruitless == TRIES:
            raise _GivenUp(reason)
        time.sleep(pause * 2**fruitless)


def _transfer(url: str, part: _Part, progress: Progress, timeout: float) -> None:
    """One answer of the server, to the end of the part.

    Raises:
        OSError, http.client.HTTPException: whatever goes wrong with the connection.
        OutputError: the disk does not take it.
    """
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        raise _GivenUp("not an address of the web")
    here = part.size
    headers = {"User-Agent": f"kalamos/{__version__}"}
    if here:
        headers["Range"] = f"bytes={here}-"
        version = part.version(url)
        if version:
            headers["If-Range"] = version
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 (looked at above)
    with urllib.request.urlopen(request, timeout=timeout) as answer:  # noqa: S310
        total = _length(answer)
        if answer.status == 206 and _start(answer) == here:
            total = None if total is None else total + here
        elif answer.status == 200:
            here = 0  # no ranges here, or another version by now
            part.begin(url, _version(answer))
        else:
            part.forget()  # the next request is for the whole, which leaves less to be misunderstood
            raise http.client.HTTPException("it answered with another part than was asked for")
        _check_space(part.path, here, total)
        with _writing(part.path):
            file = part.path.open("r+b", buffering=0)
        with file:
            file.seek(here)
            progress(here, total)
            while block := answer.read1(BLOCK):
                with _writing(part.path):
                    _write(file, block)
                here += len(block)
                progress(here, total)
            with _writing(part.path):
                os.fsync(file.fileno())
    if total is not None and here < total:
        raise http.client.HTTPException(f"after {here:,} of {total:,} bytes")


def _write(file: io.FileIO, block: bytes) -> None:
    # Without a buffer, so that nothing is left to be written when an error is on its way; but then
    # a write may be a partial one.
    rest = memoryview(block)
    while rest:
        rest = rest[file.write(rest) :]


def _length(answer: Any) -> int | None:
    given = answer.headers.get("Content-Length", "")
    return int(given) if given.isascii() and given.isdigit() else None


def _start(answer: Any) -> int | None:
    match = re.match(r"bytes (\d{1,18})-", answer.headers.get("Content-Range", ""))
    return int(match[1]) if match else None


def _version(answer: Any) -> str | None:
    tag, date = answer.headers.get("ETag"), answer.headers.get("Last-Modified")
    # A weak tag may stand for other bytes, and If-Range takes none.
    version: str | None = tag if tag and not tag.startswith("W/") else date
    return version


def _check_space(path: Path, here: int, total: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if total is not None and free < total - here:
        raise OutputError(
            f"cannot write {str(path)!r}: {total - here:,} more bytes are to come, and {free:,} are free",
            remedy=_ROOM,
        )


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Other processes that download into the folder wait, where the system has such locks.

    They end with the process, however that ends, and leave no file behind.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl

    with _writing(folder):
        handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # some network file systems have none
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


_ROOM = "free some space or choose another data folder; what has come so far is kept"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        remedy = _ROOM if full else "choose a data folder that you may write to"
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}", remedy=remedy) from error
