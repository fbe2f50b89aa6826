"""Download published files: resumed where a connection broke, verified, and in place whole or not at all.

The bytes go to `FILE.part`, which outlives an interruption, even of the process; the next call asks for
the rest alone (HTTP range requests, RFC 9110 section 14). Only what has the published checksum is renamed
to `FILE`. Not pooch, which cannot resume.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from kalamos._version import __version__
from kalamos.errors import DatasetError, MissingExtraError, OutputError

__all__ = ["Progress", "Resource", "download", "md5_of", "published"]

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are here, and how many there will be (None if the server does not say)."""

BLOCK_BYTES: Final = 1 << 16

MAX_FRUITLESS_ATTEMPTS: Final = 4
"""Attempts in a row that bring no byte, after which the next mirror is tried."""

TEMPORARY_STATUSES: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
"""HTTP statuses that may be others a moment later."""


@dataclass(frozen=True)
class Resource:
    """A published file.

    Attributes:
        file: its name on the disk.
        urls: its addresses, the preferred one first.
        md5: its checksum, hexadecimal.
    """

    file: str
    urls: tuple[str, ...]
    md5: str


class _MirrorError(Exception):
    """A mirror does not give the file; the message says why. It ends the download only at the last mirror."""


def download(
    resource: Resource,
    folder: Path,
    *,
    progress: Progress = lambda here, total: None,
    timeout: float = 20.0,
    pause: float = 1.0,
) -> Path:
    """Download a file into a folder, which is created if needed.

    Mirrors are tried in turn. A broken connection is resumed where it broke. Without a network the
    message says which file to put where by hand.

    Args:
        resource: what to download.
        folder: where to.
        progress: called with the bytes so far and in all.
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
        with _locked(folder):
            # Another process may have brought it while this one waited.
            if not target.exists():
                _try_mirrors(resource, target, progress, timeout, pause)
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


def _try_mirrors(resource: Resource, target: Path, progress: Progress, timeout: float, pause: float) -> None:
    part = target.with_name(f"{target.name}.part")
    # A process may have been killed between the last byte and the new name.
    if not (part.exists() and md5_of(part) == resource.md5):
        reasons = []
        for url in resource.urls:
            try:
                _fetch(url, part, resource.md5, progress, timeout, pause)
                break
            except _MirrorError as reason:
                reasons.append(f"{urllib.parse.urlsplit(url).hostname}: {reason}")
        else:
            raise DatasetError(
                f"{resource.file} could not be downloaded ({'; '.join(reasons)})",
                remedy=f"try again later; with no network here, put {resource.file} into {target.parent} "
                f"by hand, from {resource.urls[0]}",
            )
    with _writing(target):
        part.replace(target)


def _fetch(url: str, part: Path, md5: str, progress: Progress, timeout: float, pause: float) -> None:
    """Complete the part from one mirror, in as many attempts as bring bytes.

    Raises:
        _MirrorError: this mirror does not give the published bytes.
    """
    if urllib.parse.urlsplit(url).scheme not in {"http", "https"}:
        raise _MirrorError("not an address of the web")
    resumed = _size(part) > 0
    fruitless = 0
    while True:
        before = _size(part)
        try:
            _transfer(url, part, progress, timeout)
        except (OSError, http.client.HTTPException) as error:
            reason = _reason(error, timeout)
        else:
            if md5_of(part) == md5:
                return
            with _writing(part):
                part.unlink()
            if not resumed:
                raise _MirrorError("its bytes are not the published ones")
            # Perhaps the bytes that were here before are to blame: once more, from the start.
            resumed = False
            continue
        fruitless = 0 if _size(part) > before else fruitless + 1
        if fruitless == MAX_FRUITLESS_ATTEMPTS:
            raise _MirrorError(reason)
        time.sleep(pause * 2**fruitless)


def _reason(error: Exception, timeout: float) -> str:
    """Why a transfer broke.

    Raises:
        _MirrorError: another attempt would end in the same way.
    """
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        reason = f"it answered {error.code} {error.reason}"
        if error.code not in TEMPORARY_STATUSES:
            raise _MirrorError(reason) from error
        return reason
    if isinstance(error, urllib.error.URLError):
        # Not even a connection: there is no network, or the host is gone.
        cause = getattr(error.reason, "strerror", None) or error.reason
        raise _MirrorError(f"no connection ({cause})") from error
    if isinstance(error, TimeoutError):
        return f"silent for {timeout:g} seconds"
    return f"the connection broke ({error or type(error).__name__})"


def _transfer(url: str, part: Path, progress: Progress, timeout: float) -> None:
    """Append one answer of the server to the part, to its end.

    Raises:
        OSError, http.client.HTTPException: whatever goes wrong with the connection.
        OutputError: the disk does not take it.
    """
    here = _size(part)
    request = urllib.request.Request(url, headers={"User-Agent": f"kalamos/{__version__}"})  # noqa: S310
    if here:
        request.add_header("Range", f"bytes={here}-")
    try:
        answer = urllib.request.urlopen(request, timeout=timeout)  # noqa: S310 (`_fetch` checked it)
    except urllib.error.HTTPError as error:
        if error.code == 416 and here:  # nothing is left, or more is here than there is: the checksum tells
            error.close()
            return
        raise
    with answer:
        if answer.status == 200:
            here = 0  # the server does not resume
        elif not answer.headers.get("Content-Range", "").startswith(f"bytes {here}-"):
            with _writing(part):
                part.unlink()  # the next request is for the whole, which leaves less to misunderstand
            raise http.client.HTTPException("it answered with another part than was asked for")
        announced = answer.headers.get("Content-Length", "")
        total = here + int(announced) if announced.isascii() and announced.isdigit() else None
        _check_space(part, here, total)
        with _writing(part):
            # Unbuffered: nothing is left to be written when an error is on its way.
            file = part.open("r+b" if here else "wb", buffering=0)
        with file:
            file.seek(here)
            progress(here, total)
            while block := answer.read1(BLOCK_BYTES):
                with _writing(part):
                    _write(file, block)
                here += len(block)
                progress(here, total)
            with _writing(part):
                os.fsync(file.fileno())
    if total is not None and here < total:
        raise http.client.HTTPException(f"after {here:,} of {total:,} bytes")


def _write(file: Any, block: bytes) -> None:
    rest = memoryview(block)
    while rest:  # an unbuffered write may be a partial one
        rest = rest[file.write(rest) :]


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_space(path: Path, here: int, total: int | None) -> None:
    free = shutil.disk_usage(path.parent).free
    if total is not None and free < total - here:
        raise OutputError(
            f"cannot write {str(path)!r}: {total - here:,} more bytes are to come, and {free:,} are free",
            remedy=_MAKE_ROOM,
        )


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Let other processes that download into the folder wait, if the system has such locks.

    A lock ends with its process, however that ends, and leaves no file behind.
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


_MAKE_ROOM: Final = "free some space or choose another data folder; what has come so far is kept"


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn errors of the disk into `OutputError`."""
    try:
        yield
    except OSError as error:
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        remedy = _MAKE_ROOM if full else "choose a data folder that you may write to"
        raise OutputError(f"cannot write {str(path)!r}: {error.strerror or error}", remedy=remedy) from error


def published(torchvision_class: str) -> tuple[Resource, ...]:
    """Return the files of a class of torchvision.datasets, so that URLs need no upkeep here.

    Raises:
        MissingExtraError: torchvision is not installed.
    """
    if not find_spec("torchvision"):
        raise MissingExtraError("addresses and checksums come from torchvision, not installed", extra="train")
    # Imported by name, and only for a download: kalamos reads images without a learning library.
    dataset: Any = getattr(import_module("torchvision.datasets"), torchvision_class)
    if hasattr(dataset, "split_list"):
        return tuple(Resource(file, (url,), md5) for url, file, md5 in dataset.split_list.values())
    if hasattr(dataset, "url"):
        return (Resource(dataset.url.rpartition("/")[2], (dataset.url,), dataset.md5),)
    return tuple(
        Resource(file, tuple(mirror + file for mirror in dataset.mirrors), md5)
        for file, md5 in dataset.resources
    )
