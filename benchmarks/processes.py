"""Time whole processes from outside: wall clock, and the peak memory that the system accounts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

__all__ = ["Figures", "alternate", "run_once"]

LAUNCH = """
import os, sys, time
quiet = [(os.POSIX_SPAWN_OPEN, stream, os.devnull, os.O_WRONLY, 0) for stream in (1, 2)]
started = time.perf_counter()
process = os.posix_spawn(sys.argv[1], sys.argv[1:], os.environ, file_actions=quiet)
_, status, usage = os.wait4(process, 0)
print(os.waitstatus_to_exitcode(status), time.perf_counter() - started, usage.ru_maxrss)
"""
"""Starts a command from a process that is small: on Linux a command's peak begins with what the process that
started it has in memory, and a benchmark has much."""


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
    done = subprocess.run([sys.executable, "-S", "-c", LAUNCH, *command], stdout=subprocess.PIPE, check=True)
    code, seconds, kilobytes = done.stdout.split()
    if int(code):
        raise RuntimeError(f"{' '.join(command)} ended with {int(code)}")
    return float(seconds), int(kilobytes) / 1000


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
