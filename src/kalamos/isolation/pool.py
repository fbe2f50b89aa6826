"""Start worker processes when needed, keep them for the next call, and watch their time and memory."""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import math
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from kalamos.errors import ImageError, ImageTimeoutError, ImageTooLargeError
from kalamos.isolation.messages import Answer, read_answer, write_message

__all__ = [
    "Limits",
    "Worker",
    "default_jobs",
    "interrupted",
    "memory_figure",
    "processor_time",
    "resident_bytes",
    "watchdog",
    "worker_pool",
]

_PIPE_BYTES = 2**20
"""A worker goes on while so many bytes of its answers wait to be read (Linux; elsewhere the system says)."""

_POLL_SECONDS = 0.05
"""Between two looks at the busy workers."""

_MAX_START_SECONDS = 30.0
"""For a worker to start; it takes 0.2 s where nothing else runs."""

_MAX_START_BYTES = 350 * 2**20
"""That a worker may take to start."""

# Ctrl-C reaches every process of the terminal; the parent ends this one. The module search path travels with
# the command, so that the worker imports this very package.
_PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from kalamos.isolation.worker import serve; serve()"
)


def _search_path() -> list[str]:
    """Make `sys.path` absolute: a worker may start after a change of the working folder."""
    found = []
    for entry in sys.path:
        if entry:
            with contextlib.suppress(OSError):  # relative to a folder that is gone
                found.append(os.path.abspath(entry))  # noqa: PTH100  (pathlib keeps `..`)
    return found


_FIRST_SEARCH_PATH = _search_path()
"""As it was when this module was imported, which is when relative entries led to it."""


def interrupted(where: str) -> ImageTimeoutError:
    """Make the error for input that is no longer read because the whole run is ending."""
    return ImageTimeoutError(f"{where}: reading was interrupted")


class Limits(NamedTuple):
    """What one call in a worker may take."""

    timeout: float
    """Wall-clock seconds, for each item."""
    processor_seconds: float
    memory: int
    """Bytes."""
    stopping: threading.Event | None = None
    """Once set, the worker is killed."""


class Worker:
    """One child process; used by one thread at a time."""

    def __init__(self) -> None:
        import json
        import subprocess

        if not sys.executable or getattr(sys, "frozen", False):
            # Inside another program, which must not be started once more.
            raise FileNotFoundError(errno.ENOENT, "this program does not know where its Python is")
        # One thread: the caller has others. Address space, which the memory limit counts, is allocated as it
        # is used, and not in large reserves.
        settings = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        settings |= {"MALLOC_ARENA_MAX": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONINSPECT"}
        path = list(dict.fromkeys([*_search_path(), *_FIRST_SEARCH_PATH]))
        # -P: no module of the current folder is taken for one of ours. Unbuffered: after a fork, the child
        # would write what its copy of a buffer holds.
        self._process = subprocess.Popen(  # noqa: S603  (our own program)
            [sys.executable, "-P", "-c", _PROGRAM, json.dumps(path)],
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | settings,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._enlarge_pipe()
        self.killed_for: str | None = None
        """`time`, `memory` or `stop` if the watchdog has killed it."""
        self.base_bytes = 0
        """Resident memory of the idle worker, in bytes."""

    def _enlarge_pipe(self) -> None:
        """Let the worker work ahead of who reads its answers; a system may allow each user few such pipes."""
        with contextlib.suppress(ImportError, AttributeError, OSError):
            import fcntl

            assert self._process.stdout is not None  # noqa: S101  (a pipe)
            fcntl.fcntl(self._process.stdout.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def greet(self) -> None:
        """Wait until it has imported what it needs."""
        self.base_bytes = self.receive().value

    def send(self, message: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101  (a pipe)
        write_message(self._process.stdin, message)

    def receive(self) -> Answer:
        assert self._process.stdout is not None  # noqa: S101  (a pipe)
        return read_answer(self._process.stdout)

    def wait(self) -> int:
        """Wait for the exit status of a worker that has ended or is about to; kill it if it does not."""
        import subprocess

        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(1)
        self._process.kill()
        return self._process.wait()

    def kill(self, reason: str | None = None) -> None:
        self.killed_for = self.killed_for or reason
        self._process.kill()
        if reason is None:  # the owner, and not the watchdog, whose owner still reads from the pipe
            self._process.wait()
            for pipe in (self._process.stdin, self._process.stdout):
                if pipe is not None:
                    with contextlib.suppress(OSError, ValueError):
                        pipe.close()


class Pool:
    """Idle workers, kept for the next call. Safe to share between threads."""

    def __init__(self) -> None:
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._lock = threading.Lock()

    def take(self, where: str, stopping: threading.Event | None) -> Worker:
        """Take an idle worker, or start one.

        Raises `ImageTooLargeError` for the input called `where` where no process can be started, and
        `ImageTimeoutError` once `stopping` is set.
        """
        while True:
            if stopping is not None and stopping.is_set():
                raise interrupted(where)
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start(where, stopping)
            if worker.alive:
                return worker
            self.discard(worker)

    def _start(self, where: str, stopping: threading.Event | None) -> Worker:
        try:
            worker = Worker()
        except OSError as error:
            short = error.errno in (errno.ENOMEM, errno.EAGAIN)
            raise (ImageTooLargeError if short else ImageError)(
                f"{where}: no process can be started to decode it ({error.strerror})",
                remedy="save the image as an ordinary PNG or JPEG" + ", or free some memory" * short,
            ) from error
        with self._lock:
            self._all.add(worker)
        try:
            with watchdog.watching(
                worker, Limits(_MAX_START_SECONDS, _MAX_START_SECONDS, _MAX_START_BYTES, stopping)
            ):
                worker.greet()
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.discard(worker)
            if worker.killed_for == "stop":
                raise interrupted(where) from error
            raise ImageTooLargeError(
                f"{where}: the process to decode it does not start ({sys.executable})",
                remedy="save the image as an ordinary PNG or JPEG, or free some memory",
            ) from error
        return worker

    def give_back(self, worker: Worker, last: Answer | None) -> None:
        """Keep a worker for the next call, if `last`, its last answer, ended the call; else end it."""
        if last is not None and last.kind != "item" and not last.leaving:
            with self._lock:
                if len(self._idle) < default_jobs():
                    self._idle.append(worker)
                    return
        self.discard(worker)

    def discard(self, worker: Worker) -> None:
        worker.kill()
        with self._lock:
            self._all.discard(worker)

    def close(self) -> None:
        """Kill all workers; a later call starts new ones."""
        with self._lock:
            workers, self._all, self._idle = self._all, set(), []
        for worker in workers:
            worker.kill()

    def forget(self) -> None:
        """Leave the workers to the process that this one was forked from."""
        self.__init__()  # type: ignore[misc]


class Watch:
    """One call that a worker is busy with, and its limits."""

    def __init__(self, worker: Worker, limits: Limits) -> None:
        self._worker, self._limits = worker, limits
        self.renew()

    def renew(self, processor_seconds: float | None = None) -> None:
        """Give the next item the whole time again, and so much of the processor's."""
        if processor_seconds is not None:
            self._limits = self._limits._replace(processor_seconds=processor_seconds)
        self._deadline = time.monotonic() + self._limits.timeout
        self._processor_start: float | None = None
        self._resting = False

    def rest(self) -> None:
        """Stop the clock: the caller is busy with an item."""
        self._resting = True

    def exceeded(self) -> str | None:
        """Return the reason to kill the worker, if there is one."""
        if self._limits.stopping is not None and self._limits.stopping.is_set():
            return "stop"
        if not self._resting and self._is_late():
            return "time"
        if sys.platform != "linux" and self._worker.base_bytes:
            resident = resident_bytes(self._worker.pid)
            if resident is not None and resident - self._worker.base_bytes > self._limits.memory:
                return "memory"
        return None

    def _is_late(self) -> bool:
        if time.monotonic() > self._deadline:
            return True
        spent = processor_time(self._worker.pid)
        if spent is None:
            return False
        if self._processor_start is None:
            self._processor_start = spent
        return spent - self._processor_start > self._limits.processor_seconds

    def check(self) -> None:
        """Kill the worker if a limit is exceeded."""
        if (reason := self.exceeded()) is not None:
            self._worker.kill(reason)


class Watchdog:
    """A thread that looks at the busy workers, while there are any."""

    def __init__(self) -> None:
        self._watches: dict[int, Watch] = {}
        self._keys = itertools.count()
        self._busy = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(self, worker: Worker, limits: Limits) -> Iterator[Watch]:
        watch = Watch(worker, limits)
        key = next(self._keys)
        with self._lock:
            self._watches[key] = watch
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="kalamos-watchdog", daemon=True)
                self._thread.start()
        self._busy.set()
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.pop(key, None)

    def _run(self) -> None:
        while True:
            with self._lock:
                watches = list(self._watches.values())
                if not watches:
                    self._busy.clear()
            for watch in watches:
                watch.check()
            if watches:
                time.sleep(_POLL_SECONDS)
            else:
                self._busy.wait()

    def forget(self) -> None:
        """Begin anew in a forked process, which has not inherited the thread."""
        self.__init__()  # type: ignore[misc]


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


watchdog = Watchdog()
worker_pool = Pool()
atexit.register(worker_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=worker_pool.forget)
    os.register_at_fork(after_in_child=watchdog.forget)
