"""Work on untrusted bytes in a worker process, which may crash, hang or swell without harming this one.

Decoders are large C libraries, and some files make them crash, run for minutes or ask for gigabytes. What a
header check cannot prove harmless is decoded by a worker: a Python process of its own with limits on memory,
processor time and wall-clock time. A worker that exceeds a limit or dies is replaced, and the caller gets a
typed error. Workers are started when first needed (0.2 s), reused, and end with this process.

How the limits are kept:

- **time**: a thread of this process kills a worker that is late, everywhere.
- **memory**: on Linux by `RLIMIT_AS`, so that an allocation fails inside the worker; on macOS and Windows,
  which enforce no such limit, the same thread looks at the worker's resident memory twenty times a second
  and kills it, so that a fast allocation may exceed the limit for a moment.
- **orphans**: a worker ends when its standard input ends or its parent is gone.

The child runs `python -c`, not `multiprocessing`: scripts need no `__main__` guard, notebooks and Ray work.
"""

from __future__ import annotations

import atexit
import contextlib
import errno
import itertools
import os
import pickle
import signal
import struct
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from typing import IO, Any, Literal, NamedTuple, TypeVar, cast

from kalamos.errors import CorruptImageError, ImageError, ImageTimeoutError, ImageTooLargeError, KalamosError

__all__ = [
    "MEMORY_BYTES",
    "TIMEOUT_SECONDS",
    "iterate_isolated",
    "processor_seconds",
    "run_isolated",
    "serve",
]

R = TypeVar("R")

TIMEOUT_SECONDS = 30.0
"""Wall-clock seconds that reading one image may take, unless the caller says otherwise."""

MEMORY_BYTES = 350 * 2**20
"""Bytes that one piece of work may allocate in a worker."""

SMALL_BYTES, SMALL_SECONDS = 2**20, 1.5
"""Input of up to so many bytes gets at most so many seconds of processor time: small files that take long are
made to. Larger input gets more in proportion."""

RECYCLE_BYTES = 64 * 2**20
"""A worker whose resident memory has grown by more than this after its work is replaced: freed memory
does not always go back to the system."""

_PIPE_BYTES = 2**20
"""A worker goes on while so many bytes of its answers wait to be read (Linux; elsewhere the system says)."""

_POLL_SECONDS = 0.05
_START_SECONDS = 30.0
_LENGTH = struct.Struct("<Q")

# Ctrl-C reaches every process of the terminal; the parent ends this one. The module search path travels with
# the command, so that the worker imports this very package.
_PROGRAM = (
    "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN); "
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from kalamos.isolation import serve; serve()"
)


def _search_path() -> list[str]:
    """`sys.path` made absolute: a worker may start after a change of the working folder."""
    found = []
    for entry in sys.path:
        if entry:
            with contextlib.suppress(OSError):  # relative to a folder that is gone
                found.append(os.path.abspath(entry))  # noqa: PTH100  (pathlib keeps `..`)
    return found


_FIRST_SEARCH_PATH = _search_path()
"""As it was when this module was imported, which is when relative entries led to it."""


def run_isolated(
    function: Callable[..., R],
    *args: Any,
    where: str,
    timeout: float | None = None,
    size: int = 0,
    memory: int = MEMORY_BYTES,
    stopping: threading.Event | None = None,
) -> R:
    """Call `function(*args)` in a worker process and return its result.

    Args:
        function: a function at the top of a module of kalamos; arguments and result are pickled (arrays and
            `pickle.PickleBuffer`s of bytes, which arrive as bytes, without further copies).
        where: what the input is called in errors.
        timeout: wall-clock seconds; None takes `TIMEOUT_SECONDS`.
        size: bytes of the input, which bound the processor time (see `SMALL_BYTES`); 0 for no such bound.
        memory: bytes that the call may allocate beyond its arguments; lower it by what these take.
        stopping: once set, the worker is killed and `ImageTimeoutError` raised within a tenth of a second.

    Raises:
        KalamosError: whatever the function raises of kalamos's own errors.
        ImageTimeoutError: it took longer than it may.
        ImageTooLargeError: it needs more memory than it may have.
        CorruptImageError: the worker died, or the function raised anything else.

    >>> from kalamos.images.files import display_name
    >>> run_isolated(display_name, "a.png", where="a.png")
    'a.png'
    """
    [result] = iterate_isolated(
        _once, function, *args, where=where, timeout=timeout, size=size, memory=memory, stopping=stopping
    )
    return cast("R", result)


def iterate_isolated(
    function: Callable[..., Iterator[R]],
    *args: Any,
    where: str | Sequence[str],
    timeout: float | None = None,
    size: int | Sequence[int] = 0,
    memory: int = MEMORY_BYTES,
    stopping: threading.Event | None = None,
    imports: Sequence[str] = (),
) -> Iterator[R]:
    """Yield what the iterator `function(*args)` yields in a worker process, one by one as it is made.

    The limits are those of `run_isolated`; the time is that of each single item, and the memory is free again
    when the iterator ends. Arguments, results and errors are as there. Leaving early kills the worker.

    Args:
        where, size: as there; where the iterator yields one item for each of several inputs, those of each.
        imports: libraries that the function uses, imported before the limits hold.
    """
    timeout = TIMEOUT_SECONDS if timeout is None else timeout
    wheres = [where] if isinstance(where, str) else where
    sizes = [size] if isinstance(size, int) else size
    items = 0
    job = _Job(f"{function.__module__}:{function.__qualname__}", args, memory, timeout, tuple(imports))
    worker = _pool.take(wheres[0], stopping)
    answer: _Answer | None = None
    try:
        allowed = _processor_time_allowed(sizes[0], timeout)
        with _watchdog.watching(worker, timeout, allowed, memory, stopping) as watch:
            worker.send(job)
            if imports:
                worker.receive()
                watch.renew()
            while (answer := worker.receive()).kind == "item":
                watch.rest()
                yield answer.value
                answer = None  # may be large
                items += 1
                watch.renew(_processor_time_allowed(_of(sizes, items), timeout))
    except (EOFError, OSError, pickle.UnpicklingError) as error:
        answer = None
        raise _death(worker, _of(wheres, items), timeout) from error
    except MemoryError:
        answer = None
        raise _too_large(_of(wheres, items)) from None
    finally:
        _pool.give_back(worker, answer)
    match answer.kind:
        case "error":
            raise answer.value
        case "memory":
            raise _too_large(_of(wheres, items))
        case "crash":
            raise _crashed(_of(wheres, items))


def _of(values: Sequence[R], item: int) -> R:
    """An item's own value, or the one of all."""
    return values[min(item, len(values) - 1)]


def _once(function: Callable[..., R], *args: Any) -> Iterator[R]:
    yield function(*args)


def processor_seconds(size: int) -> float:
    """Seconds of processor time that input of `size` bytes may take; see `SMALL_BYTES`.

    >>> processor_seconds(5_000), processor_seconds(4 * 2**20)
    (1.5, 6.0)
    """
    return SMALL_SECONDS * max(1.0, size / SMALL_BYTES)


def _processor_time_allowed(size: int, timeout: float) -> float:
    return processor_seconds(size) if size else timeout


def _death(worker: _Worker, where: str, timeout: float) -> ImageError:
    """The error for a worker that went away in the middle of its work."""
    ended_by = worker.wait()
    if worker.killed_for == "time" or ended_by == -getattr(signal, "SIGXCPU", 0):
        return ImageTimeoutError(
            f"{where}: decoding it takes too long (the limit is {timeout:g} s, and less for small files)",
            remedy="save it anew as an ordinary PNG or JPEG, or raise the timeout",
        )
    if worker.killed_for == "stop":
        return _interrupted(where)
    # Killed by nobody here: the system had no memory left.
    if worker.killed_for == "memory" or ended_by == -getattr(signal, "SIGKILL", 0):
        return _too_large(where)
    return _crashed(where)


def _crashed(where: str) -> CorruptImageError:
    return CorruptImageError(
        f"{where}: it is damaged: the decoder crashed on it", remedy="use an intact copy"
    )


def _interrupted(where: str) -> ImageTimeoutError:
    return ImageTimeoutError(f"{where}: reading was interrupted")


def _too_large(where: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{where}: too large to decode here: it needs more memory than one image may take",
        remedy="scale it down, save it with 8 bits a channel, or split it",
    )


class _Job(NamedTuple):
    """A message to a worker."""

    function: str
    """Its module and its name in there, with a colon between."""
    args: tuple[Any, ...]
    memory: int
    timeout: float
    imports: tuple[str, ...]


class _Answer(NamedTuple):
    """A message from a worker."""

    kind: Literal["ready", "item", "end", "error", "memory", "crash"]
    value: Any = None
    leaving: bool = False
    """The worker ends itself after this."""


# --- this process's side: workers, the pool of idle ones, and the thread that watches the busy ones


class _Worker:
    """One child process; used by one thread at a time."""

    def __init__(self) -> None:
        import json
        import subprocess

        if not sys.executable or getattr(sys, "frozen", False):
            # Inside another program, which must not be started once more.
            raise FileNotFoundError(errno.ENOENT, "this program does not know where its Python is")
        # One thread: the caller has others. Address space, which the memory limit counts, is asked for as it
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
            pipesize=_PIPE_BYTES,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=environment | settings,
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self.killed_for: str | None = None
        """`time`, `memory` or `stop` where the watchdog has killed it."""
        self._base_bytes = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def greet(self) -> None:
        """Wait until it has imported what it needs."""
        self._base_bytes = self.receive().value

    @property
    def base_bytes(self) -> int:
        """Resident memory of the idle worker, in bytes."""
        return self._base_bytes

    def send(self, message: Any) -> None:
        assert self._process.stdin is not None  # noqa: S101  (a pipe)
        _write(self._process.stdin, message)

    def receive(self) -> _Answer:
        assert self._process.stdout is not None  # noqa: S101  (a pipe)
        return cast("_Answer", _read(self._process.stdout))

    def wait(self) -> int:
        """The exit status of a worker that has ended or is about to; kills it if it does not."""
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


class _Pool:
    """Idle workers, kept for the next call. Safe to share between threads."""

    def __init__(self) -> None:
        self._idle: list[_Worker] = []
        self._all: set[_Worker] = set()
        self._lock = threading.Lock()

    def take(self, where: str, stopping: threading.Event | None) -> _Worker:
        """Take an idle worker, or start one.

        Raises `ImageTooLargeError` for the input called `where` where no process can be started, and
        `ImageTimeoutError` once `stopping` is set.
        """
        while True:
            if stopping is not None and stopping.is_set():
                raise _interrupted(where)
            with self._lock:
                worker = self._idle.pop() if self._idle else None
            if worker is None:
                return self._start(where, stopping)
            if worker.alive:
                return worker
            self.discard(worker)

    def _start(self, where: str, stopping: threading.Event | None) -> _Worker:
        try:
            worker = _Worker()
        except OSError as error:
            short = error.errno in (errno.ENOMEM, errno.EAGAIN)
            raise (ImageTooLargeError if short else ImageError)(
                f"{where}: no process can be started to decode it ({error.strerror})",
                remedy="save the image as an ordinary PNG or JPEG" + ", or free some memory" * short,
            ) from error
        with self._lock:
            self._all.add(worker)
        try:
            with _watchdog.watching(worker, _START_SECONDS, _START_SECONDS, MEMORY_BYTES, stopping):
                worker.greet()
        except (EOFError, OSError, pickle.UnpicklingError) as error:
            self.discard(worker)
            if worker.killed_for == "stop":
                raise _interrupted(where) from error
            raise ImageTooLargeError(
                f"{where}: the process to decode it does not start ({sys.executable})",
                remedy="save the image as an ordinary PNG or JPEG, or free some memory",
            ) from error
        return worker

    def give_back(self, worker: _Worker, last: _Answer | None) -> None:
        """Keep a worker for the next call, if `last`, its last answer, ended the call; else end it."""
        from kalamos.streaming import default_jobs

        if last is not None and last.kind != "item" and not last.leaving:
            with self._lock:
                if len(self._idle) < default_jobs():
                    self._idle.append(worker)
                    return
        self.discard(worker)

    def discard(self, worker: _Worker) -> None:
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


class _Watch:
    """One call that a worker is busy with, and what it may take."""

    def __init__(
        self,
        worker: _Worker,
        timeout: float,
        processor_seconds: float,
        memory: int,
        stopping: threading.Event | None,
    ) -> None:
        self._worker, self._stopping = worker, stopping
        self._timeout, self._processor_seconds, self._memory = timeout, processor_seconds, memory
        self.renew()

    def renew(self, processor_seconds: float | None = None) -> None:
        """Give the next item the whole time again, and so much of the processor's."""
        if processor_seconds is not None:
            self._processor_seconds = processor_seconds
        self._deadline = time.monotonic() + self._timeout
        self._processor_start: float | None = None
        self._resting = False

    def rest(self) -> None:
        """Stop the clock: the caller is busy with an item."""
        self._resting = True

    def exceeded(self) -> str | None:
        """What the worker must be killed for, if anything."""
        if self._stopping is not None and self._stopping.is_set():
            return "stop"
        if not self._resting and self._is_late():
            return "time"
        if sys.platform != "linux" and self._worker.base_bytes:
            resident = _resident_bytes(self._worker.pid)
            if resident is not None and resident - self._worker.base_bytes > self._memory:
                return "memory"
        return None

    def _is_late(self) -> bool:
        if time.monotonic() > self._deadline:
            return True
        spent = _processor_time(self._worker.pid)
        if spent is None:
            return False
        if self._processor_start is None:
            self._processor_start = spent
        return spent - self._processor_start > self._processor_seconds

    def check(self) -> None:
        """Kill the worker if it must be."""
        if (reason := self.exceeded()) is not None:
            self._worker.kill(reason)


class _Watchdog:
    """A thread that looks at the busy workers, while there are any."""

    def __init__(self) -> None:
        self._watches: dict[int, _Watch] = {}
        self._keys = itertools.count()
        self._busy = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    @contextlib.contextmanager
    def watching(
        self,
        worker: _Worker,
        timeout: float,
        processor_seconds: float,
        memory: int,
        stopping: threading.Event | None,
    ) -> Iterator[_Watch]:
        watch = _Watch(worker, timeout, processor_seconds, memory, stopping)
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


def _processor_time(pid: int) -> float | None:
    """Seconds of processor time that a process has taken; None where the system does not say."""
    if sys.platform != "linux":
        return None
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:  # noqa: PTH123  (twenty times a second)
            fields = file.read().rpartition(b")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError, ValueError):
        return None


def _resident_bytes(pid: int) -> int | None:
    """Resident memory of a process in bytes; None where the system does not say."""
    try:
        system: str = sys.platform  # for mypy, which takes the system that it runs on for the only one
        if system == "linux":
            return _statm(1, str(pid))
        if system == "win32":
            return _resident_bytes_on_windows(pid)
        import subprocess

        told = subprocess.run(  # noqa: S603
            ["/bin/ps", "-o", "rss=", "-p", str(pid)], capture_output=True, check=False, timeout=5
        )
        return int(told.stdout) * 1024
    except (OSError, ValueError, IndexError, ImportError):
        return None


def _statm(field: int, pid: str = "self") -> int:
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


_watchdog = _Watchdog()
_pool = _Pool()
atexit.register(_pool.close)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.forget)
    os.register_at_fork(after_in_child=_watchdog.forget)


# --- messages: a pickle, and behind it the large buffers that it refers to


def _write(stream: IO[bytes], message: Any) -> None:
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    lengths = [len(body), *(view.nbytes for view in views), 2**64 - 1]
    for view in (memoryview(b"".join([*map(_LENGTH.pack, lengths), body])), *views):
        while view:  # unbuffered, so that it may take a part
            view = view[stream.write(view) :]  # noqa: PLW2901


def _read(stream: IO[bytes], read: Callable[[IO[bytes], int], bytes | bytearray] | None = None) -> Any:
    """Read a message; `read` makes the buffers, which are writable by default."""
    read = read or _exactly
    lengths = []
    while (length := _LENGTH.unpack(_exactly(stream, _LENGTH.size))[0]) != 2**64 - 1:
        lengths.append(length)
    body, *buffers = [read(stream, length) for length in lengths]
    return pickle.loads(body, buffers=buffers)  # noqa: S301  (our own process's)


def _bytes_exactly(stream: IO[bytes], size: int) -> bytes:
    data = stream.read(size)
    if len(data) < size:
        raise EOFError
    return data


def _exactly(stream: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        found = stream.readinto(view[at:])  # type: ignore[attr-defined]
        if not found:
            raise EOFError
        at += found
    return data


# --- the worker's side


def serve() -> None:
    """Be a worker: do what comes on standard input until it ends. Called in the child process alone."""
    import cv2

    import_module("kalamos.images.decoding")  # most of the work; counted as the idle worker's memory
    _leave_no_traces()
    cv2.setNumThreads(1)
    # Libraries print where they like; answers go where nobody else writes.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    base = _resident_bytes(os.getpid()) or 0
    _write(answers, _Answer("ready", base))
    answer = _Answer("ready")
    while not answer.leaving:
        try:
            job: _Job = _read(sys.stdin.buffer, _bytes_exactly)
        except (EOFError, OSError):
            return
        except MemoryError:
            _write(answers, _Answer("memory", leaving=True))
            return
        module, _, function = job.function.partition(":")
        call = getattr(import_module(module), function)
        if job.imports:
            for name in job.imports:
                with contextlib.suppress(ImportError):  # the function says what is missing
                    import_module(name)
            _write(answers, _Answer("ready"))
        with _limits(job.memory, job.timeout):
            answer = _do(answers, call, job.args)
        del job
        grown = (_resident_bytes(os.getpid()) or 0) > base + RECYCLE_BYTES
        answer = answer._replace(leaving=grown)
        _write(answers, answer)


def _leave_no_traces() -> None:
    """Have a crash write no core file and open no window."""
    system: str = sys.platform  # for mypy, which takes the system that it runs on for the only one
    if system == "win32":  # pragma: no cover
        import ctypes

        no_crash_box, no_error_box = 0x0002, 0x0001
        windll: Any = vars(ctypes)["windll"]
        windll.kernel32.SetErrorMode(no_crash_box | no_error_box)
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _do(answers: IO[bytes], call: Callable[..., Iterator[Any]], args: tuple[Any, ...]) -> _Answer:
    """Send the items of one call, and return how it ended."""
    try:
        for item in call(*args):
            _write(answers, _Answer("item", item))
            item = None  # noqa: PLW2901  (before the next one is made)
    except KalamosError as error:
        return _Answer("error", error.with_traceback(None))
    except MemoryError:
        return _Answer("memory")
    except Exception as error:  # noqa: BLE001  (decoders raise anything)
        return _Answer("memory" if _is_out_of_memory(error) else "crash")
    return _Answer("end")


def _is_out_of_memory(error: Exception) -> bool:
    """Whether a library's own error means that memory ran out."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in ("insufficient memory", "outofmemory", "out of memory", "bad_alloc"))


@contextlib.contextmanager
def _limits(memory: int, timeout: float) -> Iterator[None]:
    """Limit what a call may take, where the system can; the time is the processor's, if nobody else looks."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + timeout) + 2
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))
    if sys.platform != "linux":
        yield
        return
    virtual = _statm(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = virtual + memory if soft == resource.RLIM_INFINITY else min(soft, virtual + memory)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_with_parent(parent: int) -> None:
    """End this process once its parent is gone, even in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
