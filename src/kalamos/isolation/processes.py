"""What the system tells of a process: its processor time and its resident memory."""

from __future__ import annotations

import os
import sys
from typing import Any

__all__ = ["memory_figure", "processor_time", "resident_bytes"]


def processor_time(pid: int) -> float | None:
    """Seconds of processor time that a process has taken; None where the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  (twenty times a second)
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def resident_bytes(pid: int) -> int | None:
    """Resident memory of a process in bytes; None where the system does not say."""
    try:
        system: str = sys.platform  # for mypy, which takes the system that it runs on for the only one
        if system == "linux":
            return memory_figure(1, str(pid))
        if system == "win32":
            return _resident_bytes_on_windows(pid)
        import subprocess

        told = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False, timeout=5
        )
        return int(told.stdout) * 1024
    except (OSError, ValueError, IndexError, ImportError):
        return None


def memory_figure(field: int, pid: str = "self") -> int:
    """A figure of Linux's `/proc/PID/statm`, in bytes: 0 the virtual size, 1 the resident one."""
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
