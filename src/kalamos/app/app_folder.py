"""The folder in which a running app keeps what people upload, and what an app that was killed left."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from kalamos.errors import OutputError

__all__ = ["app_folder", "sweep_app_folders"]

FOLDER_PREFIX: Final = "kalamos-app-"
LOCK_FILE: Final = ".lock"

MAX_FOLDER_TRIES: Final = 10
"""Of making a folder, where another app that starts at the same moment takes it for one that was left."""


@contextmanager
def app_folder() -> Iterator[Path]:
    """Make a folder that only this user may look into, and delete it with all that is in it at the end.

    As long as it is in use, a file in it is locked. The lock ends with the process, however that ends; so
    the next app can tell a folder that was left by a process that was killed, and deletes it first.

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
        # On Windows, a file that is open cannot be deleted.
        if sys.platform == "win32":
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
        if sys.platform != "win32":
            os.close(lock)


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
        if sys.platform == "win32":
            os.close(lock)
        shutil.rmtree(folder, ignore_errors=True)
        if sys.platform != "win32":
            os.close(lock)
        swept.append(folder)
    return swept


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
    """The lock, now ours, of a folder that an app of this user left; None for any other folder."""
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
