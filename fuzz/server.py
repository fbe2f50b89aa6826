"""`kalamos app` in a process of its own: started, watched, ended."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Self

from fuzz.memory import resident_of_tree, tree
from fuzz.watching import Limits, environment

__all__ = ["OpenedFiles", "Server"]


class Server:
    """A running app. A context manager; `peak` is the most MiB above idle since `begin`."""

    def __init__(self, folder: Path, source: Path | None, limits: Limits, *options: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.limits = folder, limits
        self._stderr = (folder / "server-stderr").open("w+b")
        command = [sys.executable, "-m", "kalamos", "app", "--port", "0", "--timeout", "10", "-q", *options]
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=self._stderr,
            env=environment(source, folder, limits),
            cwd=folder,
            start_new_session=True,
        )
        self.port = self._wait_for_port()
        self.idle = 0.0
        self.peak = 0.0
        self._ended = threading.Event()
        self._told = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _wait_for_port(self) -> int:
        assert self.process.stdout is not None
        line = self.process.stdout.readline().decode()
        found = re.search(r"http://[\d.]+:(\d+)", line)
        if not found:
            raise SystemExit(f"the server does not start: {line}{self.said()}")
        return int(found[1])

    def begin(self) -> None:
        """Measure from now on."""
        self.idle = self.idle or resident_of_tree(self.process.pid)
        self.peak = 0.0

    def _watch(self) -> None:
        while not self._ended.wait(0.05):
            if self.idle:
                self.peak = max(self.peak, resident_of_tree(self.process.pid) - self.idle)
                if self.peak > 3 * self.limits.megabytes:
                    self.kill()

    def said(self) -> str:
        """What came on standard error since it was last asked for."""
        self._stderr.flush()
        with open(self._stderr.name, "rb") as file:  # noqa: PTH123
            file.seek(getattr(self, "_told", 0))
            text = file.read()
        self._told = getattr(self, "_told", 0) + len(text)
        return text.decode(errors="replace")

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def terminate(self, seconds: float = 20) -> int | None:
        """Ask it to end; its exit status, None where it does not."""
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return None

    def kill(self) -> None:
        """End it and what it started, whatever it is doing."""
        self._ended.set()
        for pid in list(tree(self.process.pid)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


IN_ACCESS, IN_OPEN = 1, 32
_EVENT = struct.Struct("iIII")


class OpenedFiles:
    """Tells which of some files have been opened or read, by anyone, through Linux's inotify.

    What a server answers need not show that it has read a file; this does. A context manager.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._descriptor = self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watched: dict[int, Path] = {}
        for path in paths:
            self.watch(path)

    def watch(self, path: Path) -> None:
        """Tell of this file too."""
        number = self._libc.inotify_add_watch(self._descriptor, os.fsencode(path), IN_OPEN | IN_ACCESS)
        if number < 0:
            raise OSError(ctypes.get_errno(), f"inotify cannot watch {path}")
        self._watched[number] = path

    def opened(self) -> set[Path]:
        """Files opened since it was last asked."""
        found = set()
        while select.select([self._descriptor], [], [], 0)[0]:
            data, at = os.read(self._descriptor, 1 << 16), 0
            while at < len(data):
                number, _, _, length = _EVENT.unpack_from(data, at)
                found.add(self._watched[number])
                at += _EVENT.size + length
        return found

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)


def wait_until(condition: object, seconds: float) -> bool:
    """Whether a condition came true in time."""
    assert callable(condition)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if condition():
            return True
        time.sleep(0.05)
    return False
