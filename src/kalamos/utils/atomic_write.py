"""Write files whole or not at all, and remove what killed processes left.

A temporary file of `NAME` is called `.NAME.XXXXXXXX.tmp`. The eight hexadecimal digits are a checksum of the
name and of a number that counts from 0, so the names that a file can have are known: a folder need not be
listed to find what was left, and a user's file that merely looks similar has another checksum. While a
process writes, it holds a lock (`flock`) on its temporary file, which the system releases when the process
ends, however it ends: a file whose lock is free is stale. On Windows no other process can remove an open
file: removing it is the test, and folders stay. On file systems without locks nothing is removed.
"""

from __future__ import annotations

import errno
import io
import os
import re
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from kalamos.errors import OutputError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "atomic_write",
    "check_writable",
    "is_temporary",
    "remove_all_stale",
    "temporary_folder",
    "temporary_paths",
    "working_folder",
    "write_bytes",
    "write_text",
]

MIN_NAMES_CHECKED: Final = 16
"""Temporary names that are always checked: so many processes may have been killed while they wrote one file.
Beyond, the search goes on as long as there is a file."""

MAX_TEMPORARY_FILES: Final = 1000
"""Temporary files of one name; whoever finds as many gives up."""

MAX_NAME_PREFIX: Final = 50
"""Characters of the name that are kept, so that the longest name of a file system still has a temporary
one."""

_TEMPORARY_NAME = re.compile(r"\.(.+)\.([0-9a-f]{8})\.tmp", re.DOTALL)

# A link is not followed, and a pipe is not waited for.
_OPEN_FLAGS = os.O_RDONLY
for _name in ("O_CLOEXEC", "O_NOFOLLOW", "O_NONBLOCK", "O_BINARY"):
    _OPEN_FLAGS |= getattr(os, _name, 0)

_REMEDIES: Final = {
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "choose a place you may write to"),
    **dict.fromkeys((errno.ENOSPC, errno.EDQUOT), "free some space or choose another disk"),
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "name a folder where the path now names a file",
    errno.EISDIR: "name a file inside it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EFBIG: "raise the limit on file sizes or choose another disk",
}


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a binary file that replaces `path` when the block ends well.

    Until then the bytes go to a temporary file in the same folder. A block that ends in any exception,
    `KeyboardInterrupt` included, leaves no temporary file and an existing `path` as it was. A process that is
    killed leaves its temporary file, which the next write of the same path removes; never one that a living
    process still writes. The bytes are on the disk (fsync) before they are seen under their name. The new
    file has the permissions of the one it replaces, or those that the umask gives; a symbolic link stays, and
    the file that it points to is replaced. Several processes may write the same path: one of them wins,
    whole.

    Raises:
        OutputError: on entering, if `path` cannot be written (its folder is missing or not writable; it is a
            folder, a
            device or write-protected); later, if the disk does not take the bytes (full, over quota). Other
            exceptions of the block pass unchanged.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     target = Path(folder, "result.txt")
    ...     with atomic_write(target) as file:
    ...         _ = file.write(b"55, img/7.png")
    ...         before = target.exists()
    ...     before, target.read_bytes()
    (False, b'55, img/7.png')
    """
    named = Path(path)
    with _output_errors(named):
        target, mode = _resolve_target(named)
        _remove_stale_of(target)
        temporary, raw = _new_temporary(target, named)
    file = io.BufferedWriter(raw)
    try:
        if mode is not None:
            with _output_errors(named):
                # Before the first byte: what replaces a private file is never public.
                temporary.chmod(mode)
        yield file
        with _output_errors(named):
            file.flush()
            os.fsync(file.fileno())
            if os.name == "posix":  # while it is locked: nobody may take the finished file for a stale one
                temporary.replace(target)
                file.close()
            else:  # Windows renames no open file
                file.close()
                temporary.replace(target)
    except BaseException:
        # The raw file first: closing the buffer would write what it holds, to a full disk once more.
        with suppress(OSError):
            raw.close()
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether `atomic_write` can open a file, before the hours of work that go into it.

    Raises:
        OutputError: it cannot.

    >>> check_writable("no-such-folder/table.csv")
    Traceback (most recent call last):
    kalamos.errors.OutputError: cannot write 'no-such-folder/table.csv': there is no folder ...
    """
    named = Path(path)
    with _output_errors(named):
        target, _ = _resolve_target(named)
        _remove_stale_of(target)
        temporary, raw = _new_temporary(target, named)
        raw.close()
        temporary.unlink()


def write_bytes(path: str | os.PathLike[str], content: ReadableBuffer) -> None:
    """Write a whole file by `atomic_write`, which says what it raises.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_bytes(f"{folder}/a.bin", b"A")
    ...     Path(folder, "a.bin").read_bytes()
    b'A'
    """
    with atomic_write(path) as file:
        file.write(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write a whole file of UTF-8 text by `atomic_write`; line ends stay as they are."""
    write_bytes(path, text.encode())


@contextmanager
def temporary_folder(target: Path, mode: int = 0o777) -> Iterator[Path]:
    """Make a folder `.NAME.XXXXXXXX.tmp` beside `target`, to be renamed to it or to be removed at the end.

    What killed processes left of making `target` is removed first.

    Args:
        mode: permissions, less the umask.

    Raises:
        OSError: it cannot be made.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as place:
    ...     with temporary_folder(Path(place, "letters")) as folder:
    ...         _ = folder.joinpath("1.png").write_bytes(b"")
    ...     folder.exists()
    False
    """
    _remove_stale_of(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    for folder in temporary_paths(target):
        try:
            folder.mkdir(mode)
            descriptor = (
                os.open(folder, _OPEN_FLAGS) if os.name == "posix" else None
            )  # Windows opens no folder
        except FileExistsError:
            continue
        try:
            if descriptor is None or _lock_file(descriptor, folder):
                yield folder
                return
        finally:
            _remove_tree(folder)
            if descriptor is not None:
                os.close(descriptor)
    raise OSError(errno.EEXIST, "too many temporary folders of that name")


@contextmanager
def working_folder(purpose: str) -> Iterator[Path]:
    """Make a private folder among the system's temporary files for as long as the block lasts.

    It is called `.kalamos-PURPOSE.XXXXXXXX.tmp`; those that killed processes left are removed first.

    Raises:
        OSError: it cannot be made.
    """
    import tempfile

    with temporary_folder(Path(tempfile.gettempdir(), f"kalamos-{purpose}"), 0o700) as folder:
        yield folder


def temporary_paths(target: Path) -> Iterator[Path]:
    """Yield the names that a temporary file of `target` can have, in the order in which they are tried.

    >>> next(temporary_paths(Path("out/result.csv"))).as_posix()
    'out/.result.csv.8c6fc854.tmp'
    """
    name = target.name[:MAX_NAME_PREFIX]
    return (target.with_name(_temporary_name(name, number)) for number in range(MAX_TEMPORARY_FILES))


def is_temporary(name: str) -> bool:
    """Whether this module gives such a name to temporary files.

    >>> is_temporary(".result.csv.8c6fc854.tmp"), is_temporary(".result.csv.00000000.tmp")
    (True, False)
    """
    found = _TEMPORARY_NAME.fullmatch(name)
    return found is not None and any(
        name == _temporary_name(found[1], number) for number in range(MIN_NAMES_CHECKED)
    )


def _temporary_name(name: str, number: int) -> str:
    checksum = zlib.crc32(f"kalamos {number} {name}".encode("utf-8", "surrogatepass"))
    return f".{name}.{checksum:08x}.tmp"


def remove_all_stale(folder: Path) -> int:
    """Remove what killed processes left of writing any file of a folder, not of its sub-folders; count it.

    The folder is listed: for a run's few files, not for a million images.
    """
    try:
        names = os.listdir(folder)  # noqa: PTH208  (names are what is looked at)
    except OSError:
        return 0
    return sum(_remove_if_stale(folder / name) for name in names if is_temporary(name))


def _remove_stale_of(target: Path) -> None:
    """Remove what killed processes left of writing `target`."""
    for number, path in enumerate(temporary_paths(target)):
        if os.path.lexists(path):
            _remove_if_stale(path)
        elif number >= MIN_NAMES_CHECKED:
            return


def _remove_if_stale(path: Path) -> bool:
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        return False
    try:
        import fcntl
    except ImportError:  # Windows refuses to remove a file that is open
        with suppress(OSError):
            path.unlink()
            return True
        return False
    try:
        descriptor = os.open(path, _OPEN_FLAGS)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Another process may have removed it and made one of the same name, between opening and locking.
        if os.fstat(descriptor).st_uid != os.geteuid() or not _is_at(descriptor, path):
            return False
        if stat.S_ISDIR(mode):
            _remove_tree(path)
        else:
            path.unlink()
    except OSError:  # locked by a living process, or without locks here
        return False
    finally:
        os.close(descriptor)
    return True


def _lock_file(descriptor: int, path: Path) -> bool:
    """Lock a file that this process has just made; False if another has removed it meanwhile.

    The lock lasts until the file is closed or the process ends. If the system or the file system has no such
    locks, the file counts as locked, and nobody will take it for a stale one.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:  # another process found it before it was locked, and is about to remove it
        return False
    except OSError:
        return True
    return _is_at(descriptor, path)


def _is_at(descriptor: int, path: Path) -> bool:
    """Whether an open file is the one that the path names now."""
    try:
        now, opened = path.lstat(), os.fstat(descriptor)
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (opened.st_dev, opened.st_ino)


def _remove_tree(folder: Path) -> None:
    import shutil  # its compressors take time to load

    shutil.rmtree(folder, ignore_errors=True)


class _TemporaryFile(io.FileIO):
    """A new file whose failed writes are `OutputError`.

    Raised here and not around the block, so that an OSError of the block's own (an image that cannot be read)
    is not taken for one of the output.
    """

    def __init__(self, path: Path, named: Path) -> None:
        super().__init__(path, "xb")
        self._named = named

    def write(self, data: ReadableBuffer, /) -> int:
        with _output_errors(self._named):
            return super().write(data)


def _new_temporary(target: Path, named: Path) -> tuple[Path, _TemporaryFile]:
    """Make and lock the first temporary file of `target` that nobody else has."""
    for temporary in temporary_paths(target):
        with suppress(FileExistsError):
            raw = _TemporaryFile(temporary, named)
            if _lock_file(raw.fileno(), temporary):
                return temporary, raw
            raw.close()  # another process took it for a stale one in between, and has removed it
    raise OSError(errno.EEXIST, "too many temporary files of that name")


def _resolve_target(path: Path) -> tuple[Path, int | None]:
    """Follow links to the file that `path` stands for; its permissions, if it exists."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return Path(os.path.realpath(path)), None
    except ValueError as error:
        # A NUL, or a character that the file system's encoding does not have.
        raise OutputError(f"cannot write {str(path)!r}: {error}", remedy="choose another name") from error
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(found.st_mode):
        # Replacing /dev/null or a pipe by a file would harm others than the one who asked.
        raise OutputError(f"cannot write {str(path)!r}: not a regular file", remedy="name a file")
    if not os.access(path, os.W_OK):
        # A rename does not need this permission, but whoever took it away meant something.
        raise PermissionError(errno.EACCES, "the file is write-protected")
    return Path(os.path.realpath(path)), stat.S_IMODE(found.st_mode)


@contextmanager
def _output_errors(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error)
        if error.errno == errno.ENOENT:
            reason = f"there is no folder {str(path.parent)!r}"
        remedy = _REMEDIES.get(error.errno or 0, "")
        raise OutputError(f"cannot write {str(path)!r}: {reason}", remedy=remedy) from error


def _sync_folder(folder: Path) -> None:
    """Make the rename itself durable, if the system opens folders (Windows does not)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
