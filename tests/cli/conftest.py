"""The command, run whole in this process (quick) or in one of its own (signals, pipes, terminals)."""

from __future__ import annotations

import os
import pty
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest

from kalamos.cli import main

SAMPLES = Path(__file__).parents[2] / "samples"


class Outcome(NamedTuple):
    code: int
    out: bytes
    err: str

    @property
    def rows(self) -> list[str]:
        return self.out.decode().splitlines()


Command = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def buffered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where tests run unattended this is often set, and hides what a shell's user would see."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)


@pytest.fixture
def command(capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run `kalamos ARGUMENTS` in this process: all of `main`, with its streams and its exit status."""

    def run(*arguments: str | os.PathLike[str]) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["kalamos", *map(os.fspath, arguments)])
        capfdbinary.readouterr()
        with pytest.raises(SystemExit) as end:
            main()
        assert isinstance(end.value.code, int)
        out, err = capfdbinary.readouterr()
        return Outcome(end.value.code, out, err.decode())

    return run


@pytest.fixture(scope="session")
def process() -> Command:
    """Run `python -m kalamos ARGUMENTS` in a process of its own."""

    def run(*arguments: str | bytes | os.PathLike[str], **options: Any) -> Outcome:
        done = subprocess.run(
            [sys.executable, "-m", "kalamos", *arguments],
            check=False,
            **{"capture_output": True, "timeout": 60, **options},
        )
        return Outcome(done.returncode, done.stdout or b"", (done.stderr or b"").decode())

    return run


class Terminal:
    """A terminal that a process can be given, and what was written to it."""

    def __init__(self) -> None:
        self._ours, self.theirs = pty.openpty()
        self.text = ""

    def read_until(self, pattern: str, *, seconds: float = 30) -> None:
        end = time.monotonic() + seconds
        while not re.search(pattern, self.text):
            assert time.monotonic() < end, f"no {pattern!r} in {self.text!r}"
            if select.select([self._ours], [], [], 0.2)[0]:
                self.text += self._read()

    def read_to_end(self) -> str:
        while select.select([self._ours], [], [], 0)[0] and (more := self._read()):
            self.text += more
        return self.text

    def _read(self) -> str:
        try:
            return os.read(self._ours, 65536).decode(errors="replace")
        except OSError:  # Linux's way to say that the other side is closed
            return ""

    def close(self) -> None:
        os.close(self._ours)
        os.close(self.theirs)


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    terminal = Terminal()
    yield terminal
    terminal.close()


@pytest.fixture(scope="session")
def samples() -> Path:
    return SAMPLES


@pytest.fixture(scope="session")
def one() -> bytes:
    """A PNG of a "1", 28x28, black on white: small, and read in no time."""
    page = np.full((28, 28), 255, np.uint8)
    page[4:24, 13:16] = 0
    return cv2.imencode(".png", page)[1].tobytes()


@pytest.fixture(scope="session")
def hundreds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """300 small pages, no two alike, in three folders; every fiftieth is blank."""
    folder = tmp_path_factory.mktemp("hundreds")
    generator = np.random.default_rng(5)
    for index in range(300):
        page = np.full((36, 32), 255, np.uint8)
        if index % 50:
            x, y = generator.integers(2, 8), generator.integers(24, 32)
            cv2.putText(
                page, str(index % 10), (int(x), int(y)), cv2.FONT_HERSHEY_DUPLEX, 0.9, 0, 2, cv2.LINE_AA
            )
        path = folder / f"batch{index // 100}" / f"page{index % 100:02}.png"
        path.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(path), page)
    return folder


@pytest.fixture(scope="session")
def endless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10,000 names of one photograph: more work than any test waits for."""
    folder = tmp_path_factory.mktemp("endless")
    page = np.random.default_rng(1).integers(150, 255, (500, 700), np.uint8)
    page[100:400, 330:370] = 0
    first = folder / "0000.jpg"
    cv2.imwrite(str(first), page)
    for index in range(1, 10_000):
        (folder / f"{index:04}.jpg").hardlink_to(first)
    return folder
