"""What `test_oracle` has the fuzzer's child process do: the name of the file says it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fuzz.child import Problem, Task, wrong_rows

from kalamos import Prediction
from kalamos.errors import CorruptImageError

MEGABYTES = 700


def planted() -> Task:
    """A task that does what the file is called."""

    def act(path: Path, notes: dict[str, Any]) -> tuple[str, list[Problem]]:
        rows = ACTS[path.stem.partition("-")[2]]()
        return "read", wrong_rows([Prediction("7", 0.9)] if rows is None else rows, 1)

    return act


def works() -> None:
    until = time.process_time() + 60
    while time.process_time() < until:
        pass


def feeds() -> None:
    """A process of its own that eats."""
    code = f"import time; held = bytearray(b'x') * ({MEGABYTES} << 20); time.sleep(0.5)"
    subprocess.run([sys.executable, "-c", code], check=True)


def prints() -> None:
    os.write(2, b"libpng warning: of somebody else\n")


def raises() -> None:
    raise ZeroDivisionError("not one of kalamos's errors")


def refuses() -> None:
    raise CorruptImageError("a typed error is an answer")


ACTS: dict[str, Callable[[], list[Prediction] | None]] = {
    "dies": lambda: os.kill(os.getpid(), signal.SIGSEGV),
    "exits": lambda: os._exit(3),
    "hangs": lambda: time.sleep(60),
    "works": works,
    "eats": lambda: [] if bytearray(b"x") * (MEGABYTES << 20) is None else None,
    "feeds": feeds,
    "prints": prints,
    "raises": raises,
    "lies": lambda: [Prediction("7", float("nan"))],
    "loses": list,
    "reads": lambda: None,
    "refuses": refuses,
}
