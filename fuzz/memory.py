"""How much memory and time a process and its children use, by Linux's `/proc`; zero where there is none."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

__all__ = ["cpu_of_tree", "forget_peaks", "has_proc", "peak_of_tree", "resident_of_tree", "tree"]

PROC = Path("/proc")


def has_proc() -> bool:
    """Whether memory can be measured here."""
    return (PROC / "self" / "status").exists()


def tree(pid: int) -> Iterator[int]:
    """A process and all processes under it."""
    pending = [pid]
    while pending:
        pid = pending.pop()
        yield pid
        with contextlib.suppress(OSError):
            for thread in (PROC / str(pid) / "task").iterdir():
                with contextlib.suppress(OSError):
                    pending += map(int, (thread / "children").read_text().split())


def _megabytes(pid: int, line: str) -> float:
    with contextlib.suppress(OSError):
        for each in (PROC / str(pid) / "status").read_text().splitlines():
            if each.startswith(line):
                return int(each.split()[1]) / 1024
    return 0.0


def resident_of_tree(pid: int) -> float:
    """MiB that the processes have in memory now."""
    return sum(_megabytes(each, "VmRSS:") for each in tree(pid))


def peak_of_tree(pid: int) -> float:
    """MiB that they had at most, since `forget_peaks`; a sum of peaks, which may lie at different times."""
    return sum(_megabytes(each, "VmHWM:") for each in tree(pid))


def cpu_of_tree(pid: int) -> float:
    """Seconds of processor time that they have used, with those of their children that have ended."""
    ticks = 0
    for each in tree(pid):
        with contextlib.suppress(OSError):
            # Behind the command's name, which may hold anything: fields 14 to 17 of proc(5).
            fields = (PROC / str(each) / "stat").read_text(errors="replace").rpartition(")")[2].split()
            ticks += sum(map(int, fields[11:15]))
    return ticks / os.sysconf("SC_CLK_TCK")


def forget_peaks(pid: int) -> None:
    """Let the peaks begin anew."""
    for each in tree(pid):
        with contextlib.suppress(OSError):
            (PROC / str(each) / "clear_refs").write_text("5")
