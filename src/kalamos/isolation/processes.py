"""What the system knows of processes: how many may run, their processor time and their resident memory."""

from __future__ import annotations

import math
import os
import sys
from functools import cache
from pathlib import Path
from typing import Any

__all__ = ["default_jobs", "memory_figure", "processor_time", "resident_bytes"]


def default_jobs() -> int:
    """Count the processors that this process may use: a container may limit which ones, or their time."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        processors = os.cpu_count() or 1
    return math.ceil(min(processors, _time_share(Path("/sys/fs/cgroup"))))


@cache  # files take longer to open than an image to read
def _time_share(root: Path) -> float:
    """Read how many processors' worth of time Linux's control group allows; infinite if it sets no limit.

    Docker and Kubernetes limit so. With a thread for every processor of the host, such a container would be
    stopped for most of each period.
    """
    for limit, period in (("cpu.max", ""), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us")):
        try:
            text = (root / limit).read_text() + (f" {(root / period).read_text()}" if period else "")
            allowed, of = map(int, text.split())
        except (OSError, ValueError):  # not this version of control groups; or "max"
            continue
        if allowed > 0 and of > 0:
            return allowed / of
    return math.inf


def processor_time(pid: int) -> float | None:
    """Return the seconds of processor time that a process has taken; None if the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  (twenty times a second)
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process in bytes; None if the system does not say."""
    try:
        system: str = sys.platform  # for mypy, which takes the system that it runs on for the only one
        if system == "linux":
            return memory_figure(1, str(pid))
        if system == "win32":
            return _resident_bytes_on_windows(pid)
        import subprocess

        output = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False, timeout=5
        )
        return int(output.stdout) * 1024
    except (OSError, ValueError, IndexError, ImportError):
        return None


def memory_figure(field: int, pid: str = "self") -> int:
    """Return a figure of Linux's `/proc/PID/statm`, in bytes: 0 is the virtual size, 1 the resident one."""
    with open(f"/proc/{pid}/statm", "rb") as file:  # noqa: PTH123
        return int(file.read().split()[field]) * os.sysconf("SC_PAGE_SIZE")


def _resident_bytes_on_windows(pid: int) -> int | None:  # pragma: no cover  (Windows)
    import ctypes

    class Counters(ctypes.Structure):
        _fields_ = [
            ("size", ctypes.c_uint32),
            ("faults", ctypes.c_uint32),
            *((name, ctypes.c_size_t) for name in ("peak", "resident", "a", "b", "c", "d", "private", "e")),
        ]

    windll: Any = vars(ctypes)["windll"]
    query_limited_information = 0x1000
    handle = windll.kernel32.OpenProcess(query_limited_information, False, pid)
    if not handle:
        return None
    try:
        counters = Counters(size=ctypes.sizeof(Counters))
        known = windll.psapi.GetProcessMemoryInfo(handle, ctypes.byref(counters), counters.size)
        return int(counters.resident) if known else None
    finally:
        windll.kernel32.CloseHandle(handle)
