"""Map over a stream in parallel, in order, with bounded memory."""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import Future

__all__ = ["Turns", "chunks_of", "default_jobs", "ordered_map"]

T = TypeVar("T")
R = TypeVar("R")

AHEAD = 3
"""Chunks under way for each worker: enough that none waits, few enough that memory stays flat."""

AHEAD_BYTES = 16 * 2**20
"""Bytes that items may bring with them, under way for each worker: some photographs."""

BRIEF = 2e-3
"""Seconds: work that takes less an image is done by one thread at a time."""

LENIENT = 16
"""Images' worth of `BRIEF` that a turn may be late: a busy machine stops a thread for some ms."""


class Turns:
    """Lets one thread at a time through brief work, and all of them through long work.

    OpenCV and file calls give the interpreter's lock away even for a microsecond, and each has to
    wait for it again: two threads that both prepare small images take longer than one. So brief
    preparation takes turns, while other threads are in the model; a large photo's decoding runs
    beside others'. The latest images decide, and who holds a turn gives it up as they prove long.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._brief = True
        self.spent, self.images = 0.0, 0
        """Seconds, and images that took them, of all turns that are over."""

    @property
    def pace(self) -> float:
        """Seconds an image."""
        return self.spent / max(self.images, 1)

    @contextmanager
    def take(self) -> Iterator[Callable[[], None]]:
        """Wait for a turn, if this is a time for turns; call what it yields after each image."""
        held = self._brief and self._lock.acquire()
        started, images = time.perf_counter(), 0

        def done() -> None:
            nonlocal held, images
            images += 1
            self._brief = time.perf_counter() - started < (images + LENIENT) * BRIEF
            if held and not self._brief:
                self._lock.release()
                held = False

        try:
            yield done
        finally:
            self.spent, self.images = self.spent + time.perf_counter() - started, self.images + images
            if held:
                self._lock.release()


def default_jobs() -> int:
    """Processors that this process may use: a container may limit which ones, or how much of their time."""
    try:
        processors = len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS, not on Windows
        processors = os.cpu_count() or 1
    return math.ceil(min(processors, _time_share(Path("/sys/fs/cgroup"))))


@cache  # files take longer to open than an image to read
def _time_share(root: Path) -> float:
    """The processors' worth of time that Linux's control group allows; infinite where it sets no limit.

    Docker and Kubernetes limit so. With a thread for every processor of the host such a container would be
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


def ordered_map(
    function: Callable[[list[T]], list[R]],
    items: Iterable[T],
    *,
    chunk: int,
    jobs: int,
    heavy: Callable[[T], bool] = lambda item: False,
    held: Callable[[T], int] = lambda item: 0,
    stopping: threading.Event | None = None,
) -> Iterator[R]:
    """Apply `function` to chunks of `items` on `jobs` threads; yield its results in order.

    A chunk ends after `chunk` items, or after one that is `heavy`, so that a few large photographs
    are shared out among the threads. It never depends on time: the same items make the same chunks.

    Chunks are taken from `items` in the consumer's thread, `AHEAD` for each worker; fewer where the items
    are large: `held` tells how many bytes of memory an item brings with it, and once more than
    `AHEAD_BYTES` for each worker are under way, the oldest chunk is waited for.

    When the consumer leaves early, or anything fails, `stopping` is set and the threads are waited
    for: a `function` that takes long over a chunk should look at it, and may then return anything.

    Threads mostly suffice (`kalamos.helpers` says where not): reading, decoding and the model all work
    outside the interpreter's lock. One worker takes a chunk through all of them, so decoding one chunk
    overlaps with running another.

    >>> list(ordered_map(lambda xs: [x * x for x in xs], range(5), chunk=2, jobs=2))
    [0, 1, 4, 9, 16]
    """
    chunks = chunks_of(items, chunk, heavy)
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
            size = sum(map(held, part))
            pending.append((pool.submit(function, part), size))
            under_way += size
            while len(pending) >= jobs * AHEAD or under_way > jobs * AHEAD_BYTES:
                oldest, size = pending.popleft()
                yield from oldest.result()
                under_way -= size
        while pending:
            yield from pending.popleft()[0].result()
    finally:
        if stopping is not None:
            stopping.set()
        pool.shutdown(wait=True, cancel_futures=True)


def chunks_of(items: Iterable[T], most: int, heavy: Callable[[T], bool]) -> Iterator[list[T]]:
    """What `ordered_map` makes of a stream: `most` items at a time, fewer after one that is `heavy`.

    >>> list(chunks_of([1, 2, 30, 4], 3, lambda size: size > 9))
    [[1, 2, 30], [4]]
    """
    part: list[T] = []
    for item in items:
        part.append(item)
        if len(part) == most or heavy(item):
            yield part
            part = []
    if part:
        yield part
