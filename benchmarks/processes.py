"""Time whole processes from outside: wall clock, and the peak memory that the system accounts."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Figures", "alternate", "run_once"]


@dataclass(frozen=True)
class Figures:
    """Repeats of one measurement, in whatever unit."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        return min(self.values), max(self.values)

    def over(self, other: Figures) -> Figures:
        """Pair by pair, so that a machine that slows down slows both."""
        return Figures(tuple(a / b for a, b in zip(self.values, other.values, strict=True)))


def run_once(command: Sequence[str]) -> tuple[float, float]:
    """Wall seconds and peak memory in MB of one run; a failing command is an error."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
    return seconds, usage.ru_maxrss / 1000


def alternate(commands: dict[str, Sequence[str]], repeats: int) -> dict[str, tuple[Figures, Figures]]:
    """Run the commands in turn, A B A B …, after one warm-up each: name -> (seconds, MB)."""
    for command in commands.values():
        run_once(command)
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for _ in range(repeats):
        for name, command in commands.items():
            runs[name].append(run_once(command))
    return {
        name: (Figures(tuple(s for s, _ in pairs)), Figures(tuple(m for _, m in pairs)))
        for name, pairs in runs.items()
    }
