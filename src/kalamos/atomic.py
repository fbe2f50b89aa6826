"""Files that appear whole or not at all."""

from __future__ import annotations

import errno
import io
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from kalamos.errors import OutputError
from kalamos.stale_files import lock_file, remove_stale, temporary_paths

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["atomic_write", "write_bytes", "write_text"]

_REMEDIES = {
    errno.EACCES: "choose a place you may write to",
    errno.EPERM: "choose a place you may write to",
    errno.EROFS: "choose a place you may write to",
    errno.ENOENT: "create the folder first",
    errno.ENOTDIR: "name a folder where the path now names a file",
    errno.EISDIR: "name a file inside it",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.ENOSPC: "free some space or choose another disk",
    errno.EDQUOT: "free some space or choose another disk",
    errno.EFBIG: "raise the limit on file sizes or choose another disk",
}


@contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """A binary file that takes the place of `path` when the block ends well.

    Until then the bytes go to a temporary file `.NAME.XXXXXXXX.tmp` in the same folder. A block
    that ends in any exception, `KeyboardInterrupt` included, leaves no temporary file and an
    existing `path` as it was. A process that is killed leaves its temporary file, and the next
    write of the same path removes it; never one that a living process still writes (see
    `kalamos.stale_files`). The bytes are on the disk (fsync) before they are seen under
    their name. The new file has the permissions of the one it replaces, or those that the umask
    gives; a symbolic link stays, and the file that it points at is replaced. Several processes
    may write the same path: one of them wins, whole.

    Raises `OutputError` on entering where `path` cannot be written (its folder is missing or
    not writable, it is a folder, a device or write-protected), and later where the disk does
    not take the bytes (full, over quota). Other exceptions of the block pass unchanged.

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
        target, mode = _target(named)
        remove_stale(target)
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
    """Write a whole file of UTF-8 text, without translating line ends, by `atomic_write`."""
    write_bytes(path, text.encode())


class _TemporaryFile(io.FileIO):
    """A new file whose failed writes are `OutputError`.

    Raised here and not around the block, so that an OSError of the block's own (an image that
    cannot be read) is not taken for one of the output.
    """

    def __init__(self, path: Path, named: Path) -> None:
        super().__init__(path, "xb")
        self._named = named

    def write(self, data: ReadableBuffer, /) -> int:
        with _output_errors(self._named):
            return super().write(data)


def _new_temporary(target: Path, named: Path) -> tuple[Path, _TemporaryFile]:
    """The first temporary file of `target` that nobody else has, made and locked."""
    for temporary in temporary_paths(target):
        with suppress(FileExistsError):
            raw = _TemporaryFile(temporary, named)
            if lock_file(raw.fileno(), temporary):
                return temporary, raw
            raw.close()  # another process took it for a stale one in between, and has removed it
    raise OSError(errno.EEXIST, "too many temporary files of that name")


def _target(path: Path) -> tuple[Path, int | None]:
    """The file that `path` stands for once links are followed, and its permissions if it exists."""
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
        # Replacing /dev/null or a pipe by a file would harm more than the one who asked.
        raise OutputError(f"cannot write {str(path)!r}: not a regular file", remedy="name a file")
    if not os.access(path, os.W_OK):
        # A rename does not ask for this permission, but whoever took it away meant something.
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
    """Make the rename itself durable, where the system lets a folder be opened (Windows does not)."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
