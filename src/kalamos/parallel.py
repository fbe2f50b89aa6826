"""Use the cores: map over a stream in order, on threads, with bounded memory; keep BLAS from spinning."""

from __future__ import annotations

import functools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from kalamos.isolation.pool import default_jobs

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["GilGate", "chunks_of", "default_jobs", "on_one_blas_thread", "ordered_map"]

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

CHUNKS_AHEAD_PER_WORKER = 3
"""Chunks in flight for each worker: enough that none waits, few enough that memory stays flat."""

BYTES_AHEAD_PER_WORKER = 16 * 2**20
"""Bytes that the items in flight may hold, for each worker: some photographs."""

BRIEF_SECONDS = 2e-3
"""Work that takes less time an image is done by one thread at a time."""

GRACE_IMAGES = 16
"""Images' worth of `BRIEF_SECONDS` that brief work may be late: a busy machine stops a thread for some ms."""


class GilGate:
    """Serialises short tasks: for small images, waiting for the GIL again costs more than the work.

    OpenCV and file calls release the GIL even for a microsecond, and each has to wait to get it back: two
    threads that both prepare small images take longer than one. So brief preparation goes one thread at a
    time, while other threads are in the model; a large photo's decoding runs beside others'. The latest
    images decide, and the thread inside opens the gate as its images prove long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._brief = True

    @contextmanager
    def take(self) -> Iterator[Callable[[], None]]:
        """Enter, one thread at a time while images are brief; call what this yields after each image."""
        held = self._brief and self._lock.acquire()
        started, images = time.perf_counter(), 0

        def done() -> None:
            nonlocal held, images
            images += 1
            self._brief = time.perf_counter() - started < (images + GRACE_IMAGES) * BRIEF_SECONDS
            if held and not self._brief:
                self._lock.release()
                held = False

        try:
            yield done
        finally:
            if held:
                self._lock.release()


def on_one_blas_thread(function: Callable[P, R]) -> Callable[P, R]:
    """Let NumPy's and SciPy's matrix products have one thread each while a function runs.

    Of small matrices, more threads gain nothing, and spin where other work has the cores: on a busy machine
    `kalamos teach` took four times its processor time.
    """

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        from threadpoolctl import threadpool_limits

        with threadpool_limits(limits=1, user_api="blas"):
            return function(*args, **kwargs)

    return run


def ordered_map(
    function: Callable[[list[T]], list[R]],
    items: Iterable[T],
    *,
    chunk: int,
    jobs: int,
    is_large: Callable[[T], bool] = lambda item: False,
    nbytes: Callable[[T], int] = lambda item: 0,
    stopping: threading.Event | None = None,
) -> Iterator[R]:
    """Apply `function` to chunks of `items` on `jobs` threads; yield its results in order.

    A chunk ends after `chunk` items, or after an item that is large, so that a few large photographs are
    shared out among the threads. It never depends on time: the same items make the same chunks.

    Chunks are taken from `items` in the consumer's thread, `CHUNKS_AHEAD_PER_WORKER` for each worker. If the
    items hold more than `BYTES_AHEAD_PER_WORKER` for each worker, the oldest chunk is waited for first.

    Threads mostly suffice: reading, decoding and the model all work outside the GIL. One worker takes a chunk
    through all of them, so decoding one chunk overlaps with running another.

    Args:
        function: maps a chunk of items to results, of any number.
        items: taken lazily.
        chunk: items of a chunk at most.
        jobs: threads; with 1, or a single chunk, all happens in the consumer's thread.
        is_large: whether an item ends its chunk.
        nbytes: bytes of memory that an item holds.
        stopping: set when the consumer leaves early or anything fails; the threads are then waited for, so a
            `function` that takes long over a chunk should look at it, and may then return anything.

    >>> list(ordered_map(lambda xs: [x * x for x in xs], range(5), chunk=2, jobs=2))
    [0, 1, 4, 9, 16]
    """
    chunks = chunks_of(items, chunk, is_large)
    # Whether a second chunk comes tells whether threads are worth starting.
    opening = list(islice(chunks, 1 if jobs == 1 else 2))
    if len(opening) < 2:
        for part in chain(opening, chunks):
            yield from function(part)
        return
    from concurrent.futures import ThreadPoolExecutor

    pool = ThreadPoolExecutor(jobs, thread_name_prefix="kalamos")
    try:
        pending: deque[tuple[Future[list[R]], int]] = deque()
        under_way = 0
        for part in chain(opening, chunks):
            size = sum(map(nbytes, part))
            pending.append((pool.submit(function, part), size))
            under_way += size
            while len(pending) >= jobs * CHUNKS_AHEAD_PER_WORKER or under_way > jobs * BYTES_AHEAD_PER_WORKER:
                oldest, size = pending.popleft()
                yield from oldest.result()
                under_way -= size
        while pending:
            yield from pending.popleft()[0].result()
    finally:
        if stopping is not None:
            stopping.set()
        pool.shutdown(wait=True, cancel_futures=True)


def chunks_of(items: Iterable[T], size: int, is_large: Callable[[T], bool]) -> Iterator[list[T]]:
    """Cut a stream as `ordered_map` does: `size` items at a time, fewer after one that is large.

    >>> list(chunks_of([1, 2, 30, 4], 3, lambda value: value > 9))
    [[1, 2, 30], [4]]
    """
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == size or is_large(item):
            yield part
            part = []
    if part:
        yield part
