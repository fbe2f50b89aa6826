"""Keep the output of C libraries off the terminal: kalamos reports damaged files itself."""

from __future__ import annotations

import contextlib
import io
import os
import sys

__all__ = ["divert_native_output"]

_STDERR = 2


def divert_native_output() -> None:
    """Redirect file descriptor 2 to the null device, and Python's `sys.stderr` to where it led before.

    libjpeg prints a line for each JPEG whose scan is damaged ("Corrupt JPEG data: ..."), and OpenCV offers
    no way to stop that. Call this only in a process of our own: a library must not do it to its host.
    Child processes print to the null device too. Does nothing if `sys.stderr` is not file descriptor 2.
    """
    with contextlib.suppress(OSError, ValueError, AttributeError):
        if sys.stderr.fileno() != _STDERR:
            return
        sys.stderr.flush()
        raw = io.FileIO(
            os.dup(_STDERR), "w", closefd=False
        )  # stays open until the end, as standard error does
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
