"""Processes that work on chunks too, where the GIL would keep the threads of one process waiting.

Preparing a crop of a photograph is many brief calls, each of which releases the GIL and waits to get it back:
two threads at that are slower than one. A process of the pool has a GIL of its own. It takes what starting
`kalamos` takes, in time and memory, so none is started until the work has taken longer than that. A thread
takes one process at a time and waits for its answer; if the process dies, that thread does the chunk itself.

The processes are those of `kalamos.isolation`. `concurrent.futures.ProcessPoolExecutor` would run a script
without a `__main__` guard once more in each of them, and a module `pickle.py` of the current folder too.
"""

from __future__ import annotations

import contextlib
import pickle
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from kalamos.isolation.messages import Job
from kalamos.isolation.serving import call_once
from kalamos.isolation.workers import Worker
from kalamos.streaming import GilGate

__all__ = ["ProcessPool"]

R = TypeVar("R")

_CALL = f"{call_once.__module__}:{call_once.__qualname__}"

MIN_SPENT_SECONDS = 0.3
"""Work done before a process is started: about what starting one takes."""

MIN_IMAGE_SECONDS, MAX_IMAGE_SECONDS = 300e-6, 10e-3
"""Time to prepare an image, for which processes help. If it takes less, it is not most of the work; if it
takes longer, it is a large photograph, which is decoded outside the GIL."""


class ProcessPool(Generic[R]):
    """At most `max_workers` processes that call `function(*args, chunk)`, started when they are worth it.

    Args:
        function: a function at the top of a module of kalamos; it, its arguments and its result are pickled,
            the result of what `kalamos.isolation.messages` allows.
        args: the same for all chunks.
        max_workers: 0 for none.

    >>> with ProcessPool(sorted, max_workers=0) as pool:
    ...     pool.run([2, 1], GilGate()) is None                           # nobody helps: do it yourself
    True
    """

    def __init__(self, function: Callable[..., R], *args: Any, max_workers: int) -> None:
        self._function, self._args = function, args
        self._left = max_workers
        self._idle: list[Worker] = []
        self._all: list[Worker] = []
        self._lock = threading.Lock()

    def __enter__(self) -> ProcessPool[R]:
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the processes: they hold nothing but answers that nobody waits for."""
        with self._lock:
            self._left = 0
            for worker in self._all:
                worker.kill()

    def run(self, chunk: Any, gate: GilGate) -> R | None:
        """Call the function in a process that is free or worth starting.

        Args:
            chunk: the function's last argument.
            gate: knows how long preparing an image takes in this process, and has taken in all.

        Returns:
            Its result; None if no process is free, or it died, or the chunk or the result cannot be sent.
        """
        worker = self._take(gate)
        if worker is None:
            return None
        try:
            worker.send(Job(_CALL, (self._function, *self._args, chunk)))
            answer = worker.receive()
            if answer.kind != "item" or worker.receive().kind != "end":
                return None
        except (OSError, ValueError, EOFError, pickle.PickleError, TypeError, AttributeError):
            return None
        with self._lock:
            self._idle.append(worker)
        return cast("R", answer.value)

    def _take(self, gate: GilGate) -> Worker | None:
        with self._lock:
            if not MIN_IMAGE_SECONDS <= gate.pace < MAX_IMAGE_SECONDS:
                return None
            if self._idle:
                return self._idle.pop()
            if not self._left or gate.spent < MIN_SPENT_SECONDS:
                return None
            self._left -= 1
            try:
                worker = Worker()
            except OSError:  # no more processes are allowed here
                return None
            self._all.append(worker)
        with contextlib.suppress(OSError, EOFError, pickle.PickleError):
            worker.greet()
            return worker
        return None
