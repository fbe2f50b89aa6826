"""Work on untrusted bytes in a worker process, which may crash, hang or run out of memory by itself.

Decoders are large C libraries, and some files make them crash, run for minutes or ask for gigabytes. What a
header check cannot prove harmless is decoded by a worker: a Python process of its own with limits on memory,
processor time and wall-clock time. A worker that exceeds a limit or dies is replaced, and the caller gets a
typed error. Workers start when first needed (0.2 s), are reused, and end with this process.

How the limits are kept:

- **time**: a thread of this process kills a worker that is late, everywhere.
- **memory**: on Linux by `RLIMIT_AS`, so that an allocation fails inside the worker; on macOS and Windows,
  which enforce no such limit, the same thread looks at the worker's resident memory twenty times a second
  and kills it, so that a fast allocation may exceed the limit for a moment.
- **orphans**: a worker ends when its standard input ends or its parent is gone.

The child runs `python -c`, not `multiprocessing`: scripts need no `__main__` guard, notebooks and Ray work.

`pool` starts, keeps and watches the processes, `worker` runs in them, and `messages` is their protocol.
"""

from __future__ import annotations

import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from kalamos.errors import CorruptImageError, ImageError, ImageTimeoutError, ImageTooLargeError
from kalamos.isolation.messages import Answer, Job
from kalamos.isolation.pool import Limits, Worker, interrupted, watchdog, worker_pool

__all__ = [
    "MEMORY_BYTES",
    "SMALL_BYTES",
    "SMALL_SECONDS",
    "TIMEOUT_SECONDS",
    "iterate_isolated",
    "processor_seconds",
]

R = TypeVar("R")

TIMEOUT_SECONDS = 30.0
"""Wall-clock seconds that reading one image may take, unless the caller says otherwise."""

MEMORY_BYTES = 350 * 2**20
"""Bytes that one piece of work may allocate in a worker."""

SMALL_BYTES, SMALL_SECONDS = 2**20, 1.5
"""Input of up to so many bytes gets at most so many seconds of processor time: small files that take long are
made to. Larger input gets more in proportion."""


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

    The time is that of each item; the memory is free again when the iterator ends. Leaving early kills the
    worker.

    Args:
        function: a function at the top of a module of kalamos; arguments and results are pickled (arrays and
            `pickle.PickleBuffer`s of bytes, which arrive as bytes, without further copies).
        where: what the input is called in errors; or, if the iterator yields one item for each of several
            inputs, the name of each.
        timeout: wall-clock seconds; None takes `TIMEOUT_SECONDS`.
        size: bytes of the input, or of each, which bound the processor time (see `SMALL_BYTES`); 0 for no
            such bound.
        memory: bytes that the call may allocate beyond its arguments; lower it by what these take.
        stopping: once set, the worker is killed and `ImageTimeoutError` raised within a tenth of a second.
        imports: libraries that the function uses, imported before the limits hold.

    Raises:
        KalamosError: whatever the function raises of kalamos's own errors.
        ImageTimeoutError: it took longer than it may.
        ImageTooLargeError: it needs more memory than it may have.
        CorruptImageError: the worker died, or the function raised anything else.

    >>> list(iterate_isolated(enumerate, ["a.png"], where="a.png"))
    [(0, 'a.png')]
    """
    timeout = TIMEOUT_SECONDS if timeout is None else timeout
    wheres = [where] if isinstance(where, str) else where
    sizes = [size] if isinstance(size, int) else size
    items = 0
    job = Job(f"{function.__module__}:{function.__qualname__}", args, memory, timeout, tuple(imports))
    worker = worker_pool.take(wheres[0], stopping)
    answer: Answer | None = None
    try:
        limits = Limits(timeout, _processor_time_allowed(sizes[0], timeout), memory, stopping)
        with watchdog.watching(worker, limits) as watch:
            worker.send(job)
            if imports:
                worker.receive()
                watch.renew()
            while (answer := worker.receive()).kind == "item":
                watch.rest()
                yield answer.value
                answer = None  # may be large
                items += 1
                watch.renew(_processor_time_allowed(_item_value(sizes, items), timeout))
    except pickle.UnpicklingError as error:
        answer = None
        raise _crashed(_item_value(wheres, items)) from error
    except (EOFError, OSError) as error:
        answer = None
        raise _death(worker, _item_value(wheres, items), timeout) from error
    except MemoryError:
        answer = None
        raise _too_large(_item_value(wheres, items)) from None
    finally:
        worker_pool.give_back(worker, answer)
    match answer.kind:
        case "error":
            raise answer.value
        case "memory":
            raise _too_large(_item_value(wheres, items))
        case "crash":
            raise _crashed(_item_value(wheres, items))


def _item_value(values: Sequence[R], item: int) -> R:
    """Return the value of an item, or the one value that all have."""
    return values[min(item, len(values) - 1)]


def processor_seconds(size: int) -> float:
    """Return the processor time, in seconds, that input of `size` bytes may take; see `SMALL_BYTES`.

    >>> processor_seconds(5_000), processor_seconds(4 * 2**20)
    (1.5, 6.0)
    """
    return SMALL_SECONDS * max(1.0, size / SMALL_BYTES)


def _processor_time_allowed(size: int, timeout: float) -> float:
    return processor_seconds(size) if size else timeout


def _death(worker: Worker, where: str, timeout: float) -> ImageError:
    """Make the error for a worker that ended in the middle of its work."""
    ended_by = worker.wait()
    if worker.killed_for == "time" or ended_by == -getattr(signal, "SIGXCPU", 0):
        return ImageTimeoutError(
            f"{where}: decoding it takes too long (the limit is {timeout:g} s, and less for small files)",
            remedy="save it anew as an ordinary PNG or JPEG, or raise the timeout",
        )
    if worker.killed_for == "stop":
        return interrupted(where)
    # Killed by nobody here: the system had no memory left.
    if worker.killed_for == "memory" or ended_by == -getattr(signal, "SIGKILL", 0):
        return _too_large(where)
    return _crashed(where)


def _crashed(where: str) -> CorruptImageError:
    return CorruptImageError(
        f"{where}: it is damaged: the decoder crashed on it", remedy="use an intact copy"
    )


def _too_large(where: str) -> ImageTooLargeError:
    return ImageTooLargeError(
        f"{where}: too large to decode here: it needs more memory than one image may take",
        remedy="scale it down, save it with 8 bits a channel, or split it",
    )
