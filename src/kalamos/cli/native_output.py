"""Keep what C libraries print from the terminal: kalamos says itself what is wrong with a file."""

from __future__ import annotations

import contextlib
import io
import os
import sys

__all__ = ["divert_native_output"]

_STDERR = 2


def divert_native_output() -> None:
    """Point file descriptor 2 to nowhere, and Python's `sys.stderr` to where that led.

    libjpeg prints a line for each JPEG whose scan is damaged ("Corrupt JPEG data: ..."), and offers no way to
    stop that which OpenCV would pass on. Only for a process of our own: a library must not do so to its
    host. Processes started from here print nowhere either. Nothing happens where `sys.stderr` is no file.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() != _STDERR:
            return
        sys.stderr.flush()
        raw = io.FileIO(os.dup(_STDERR), "w", closefd=False)  # open until the end, as standard error is
        terminal = io.TextIOWrapper(
            io.BufferedWriter(raw),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
            write_through=True,
        )
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, _STDERR)
        os.close(nowhere)
        sys.stderr = sys.__stderr__ = terminal  # type: ignore[misc]
