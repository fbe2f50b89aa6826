"""Read the bytes of regular files and open streams, up to a limit, and show paths safely."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path, PurePath
from typing import Protocol, TypeGuard

from kalamos.errors import CorruptImageError, ImageNotFoundError, ImageTooLargeError, InvalidArrayError

__all__ = [
    "MAX_FILE_BYTES",
    "MAX_MEMBER_BYTES",
    "BinaryStream",
    "display_name",
    "is_stream",
    "native_separators",
    "perhaps_meant",
    "read_file",
    "read_start",
    "read_stream",
]

MAX_SIBLINGS = 2000
"""Names of a folder that a misspelt one is compared with."""

MAX_FILE_BYTES = 256 * 1024 * 1024
"""Bytes of one image file."""

MAX_MEMBER_BYTES = 96 * 1024 * 1024
"""Bytes of one image in an archive, a table or a pipe: it is held in memory, and once more by whoever decodes
it."""

# Without O_NONBLOCK, opening a FIFO would wait for a writer for ever. Windows has neither that nor
# O_CLOEXEC, but translates line ends unless a file is opened as binary.
_FLAGS = os.O_RDONLY
for _name in ("O_CLOEXEC", "O_NONBLOCK", "O_NOCTTY", "O_BINARY"):
    _FLAGS |= getattr(os, _name, 0)


class BinaryStream(Protocol):
    """An open binary file."""

    def read(self, size: int = ..., /) -> bytes: ...


def display_name(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> str:
    r"""Show a path as one printable line, escaped if it holds control characters or undecodable bytes.

    >>> display_name("forms/a.png")
    'forms/a.png'
    >>> display_name(b"caf\xe9.png")
    "'caf\\udce9.png'"
    """
    name = os.fsdecode(path)
    return name if name.isprintable() else ascii(name)


def native_separators(path: str) -> str:
    r"""Adapt a path out of a table that was written on Windows to this system.

    Backslashes become slashes if no file has the name as it is, but one has the other.

    >>> native_separators(r"samples\0-pen.png"), native_separators(r"no\such.png")
    ('samples/0-pen.png', 'no\\such.png')
    """
    if "\\" not in path or os.sep == "\\" or os.path.lexists(path):
        return path
    turned = path.replace("\\", "/")
    return turned if os.path.isfile(turned) else path  # noqa: PTH113  (a string, as the path is)


def perhaps_meant(path: str) -> str:
    """Suggest the most similar name for the first part of a path that does not exist.

    Names are compared with at most `MAX_SIBLINGS` others; empty if none is similar.

    >>> perhaps_meant("sampels/0-pen.png"), perhaps_meant("no-such-folder")
    ("did you mean 'samples'?", '')
    """
    import difflib  # few runs need it
    from itertools import islice

    parts = PurePath(path).parts
    for place, part in enumerate(parts):
        here = Path(*parts[:place])
        if part in {".", ".."} or os.path.lexists(here / part):
            continue
        try:
            with os.scandir(here) as entries:
                names = [entry.name for entry in islice(entries, MAX_SIBLINGS)]
        except (OSError, ValueError):
            return ""
        near = difflib.get_close_matches(part, names, n=1, cutoff=0.6)
        return f"did you mean {display_name(here / near[0])!r}?" if near else ""
    return ""


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Read a regular file whole.

    Raises:
        ImageNotFoundError: missing, not readable, or a folder, FIFO or device.
        ImageTooLargeError: over `MAX_FILE_BYTES`, seen before reading.

    >>> read_file("missing.png")
    Traceback (most recent call last):
    kalamos.errors.ImageNotFoundError: missing.png: no such file
    """
    data, _ = read_start(path, MAX_FILE_BYTES)
    return data


def is_stream(source: object) -> TypeGuard[BinaryStream]:
    """Tell an open file from other sources of images."""
    return hasattr(source, "read")


def read_stream(stream: BinaryStream) -> bytes:
    """Read an open binary file, with the cap of `read_file`: of a `BytesIO` all, of another what is left.

    Raises:
        ImageTooLargeError: over `MAX_FILE_BYTES`.
        CorruptImageError: reading fails.
        InvalidArrayError: it gives text, not bytes.

    >>> import io
    >>> read_stream(io.BytesIO(b"GIF89a"))
    b'GIF89a'
    """
    if isinstance(stream, io.BytesIO):  # whoever has just written to it has not gone back to its start
        data = stream.getvalue()
    else:
        data = b""
        try:
            # A raw file may return less than was requested.
            while len(data) <= MAX_FILE_BYTES and (more := stream.read(MAX_FILE_BYTES + 1 - len(data))):
                data += more
        except TypeError as error:
            raise InvalidArrayError(
                "the open file gives text, not bytes", remedy='open it with mode "rb"'
            ) from error
        except (OSError, ValueError) as error:
            raise CorruptImageError(f"the open file cannot be read ({error})") from error
    if len(data) > MAX_FILE_BYTES:
        raise ImageTooLargeError(f"the open file holds more than {MAX_FILE_BYTES:,} bytes")
    return data


def read_start(path: str | os.PathLike[str], most: int) -> tuple[bytes, int]:
    """Read at most the first `most` bytes of a regular file; return them, and how many the file has.

    Raises as `read_file` does.
    """
    try:
        descriptor = os.open(path, _FLAGS)
    except (OSError, ValueError) as error:
        raise _not_found(path, error) from None
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageNotFoundError(f"{display_name(path)}: this is {kind}", remedy="name an image file")
        if status.st_size > MAX_FILE_BYTES:
            raise ImageTooLargeError(
                f"{display_name(path)}: {status.st_size:,} bytes are more than the limit of "
                f"{MAX_FILE_BYTES:,}",
                remedy="scale the image down",
            )
        return _read(descriptor, min(most, status.st_size)), status.st_size
    except OSError as error:
        raise _not_found(path, error) from None
    finally:
        os.close(descriptor)


def _read(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    # Network file systems and signals may make a read short.
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            break
        data += more
    return data


def _not_found(path: str | os.PathLike[str], error: OSError | ValueError) -> ImageNotFoundError:
    name = display_name(path)
    match error:
        case FileNotFoundError():
            return ImageNotFoundError(f"{name}: no such file")
        case PermissionError():
            return ImageNotFoundError(f"{name}: permission denied", remedy="make the file readable")
        case OSError():
            return ImageNotFoundError(f"{name}: cannot be read ({error.strerror})")
        case _:
            return ImageNotFoundError(f"{name}: not a valid path ({error})")
