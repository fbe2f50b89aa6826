"""Map over a stream in parallel, in order, with bounded memory."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["default_jobs", "ordered_map"]

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""Chunks under way for each worker: enough that none waits, few enough that memory stays flat."""


def default_jobs() -> int:
    """Processors that this process may use, which a container may limit."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        return os.cpu_count() or 1


def ordered_map(
    function: Callable[[list[T]], list[R]], items: Iterable[T], *, chunk: int, jobs: int
) -> Iterator[R]:
    """Apply `function` to chunks of `items` on `jobs` threads; yield its results in order.

    Threads suffice: reading, decoding and the model all work outside the interpreter's lock. One
    worker takes a chunk through all of them, so decoding one chunk overlaps with running another.

    >>> list(ordered_map(lambda xs: [x * x for x in xs], range(5), chunk=2, jobs=2))
    [0, 1, 4, 9, 16]
    """
    stream = iter(items)
    chunks = iter(lambda: list(islice(stream, chunk)), [])
    first = next(chunks, [])
    if jobs == 1 or len(first) < chunk:
        # A single chunk is not worth starting threads for.
        yield from function(first) if first else []
        for part in chunks:
            yield from function(part)
        return
    pool = ThreadPoolExecutor(jobs, thread_name_prefix="kalamos")
    try:
        pending: deque[Future[list[R]]] = deque([pool.submit(function, first)])
        for part in chunks:
            pending.append(pool.submit(function, part))
            if len(pending) >= jobs * AHEAD:
                yield from pending.popleft().result()
        while pending:
            yield from pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
