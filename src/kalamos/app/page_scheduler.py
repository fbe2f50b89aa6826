"""Long tasks of many requests: pages and forms, a few at a time, in threads of their own.

A page takes a second where a character takes a millisecond, so nothing is gathered into batches. Each request
has at most as many tasks waiting for a thread as there are threads, and threads go to whoever has waited
longest: so requests take turns.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from starlette.types import Receive

from kalamos.app.batching import BatchScheduler, ClientWatcher
from kalamos.app.errors import APIError
from kalamos.parallel import default_jobs

__all__ = ["PageScheduler"]

T = TypeVar("T")

Task = Callable[[threading.Event], T]
"""Works in a thread; looks at the event at times, and gives up once it is set."""


class PageScheduler:
    """Runs tasks in threads, within the other scheduler's queue and time. For one event loop.

    Args:
        batches: whose places in the queue pages take as well.
    """

    def __init__(self, batches: BatchScheduler) -> None:
        self._batches = batches
        self._jobs = default_jobs()
        self._free = asyncio.Semaphore(self._jobs)

    async def run(self, tasks: Sequence[Task[T]], receive: Receive | None = None) -> list[T]:
        """Return the tasks' results in order.

        Args:
            tasks: each takes a place in the queue until it is done, or given up before it is begun.
            receive: the request's ASGI channel, which tells when the client goes away.

        Raises:
            APIError: 429 the queue is full, 504 it took too long.
            ClientDisconnect: nobody waits for the answer.
            Exception: whatever the first task that fails raises.
        """
        batches, limits = self._batches, self._batches.limits
        batches.admit(len(tasks))
        batches.waiting += len(tasks)
        loop = asyncio.get_running_loop()
        stop, done = threading.Event(), loop.create_future()
        left, results = iter(enumerate(tasks)), dict[int, T]()
        begun = 0

        async def work() -> None:
            nonlocal begun
            for place, task in left:
                begun += 1
                results[place] = await self._in_thread(task, stop)

        workers = [loop.create_task(work()) for _ in range(min(self._jobs, len(tasks)))]

        def ended(worker: asyncio.Task[None]) -> None:
            failed = not worker.cancelled() and worker.exception() is not None
            if not done.done() and (failed or len(results) == len(tasks)):
                done.set_result(None)

        for worker in workers:
            worker.add_done_callback(ended)
        watcher = None if receive is None else ClientWatcher(loop, done, receive)
        try:
            async with asyncio.timeout(limits.seconds):
                await done
        except TimeoutError:
            raise APIError(
                504,
                "too_long",
                f"the pages could not be read within {limits.seconds:g} s",
                remedy="send fewer or smaller pages at once, or try again later",
            ) from None
        finally:
            stop.set()
            if watcher is not None:
                watcher.end()
            for worker in workers:
                worker.cancel()
            outcomes = await asyncio.gather(*workers, return_exceptions=True)
            batches.waiting -= len(tasks) - begun
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome
        return [results[place] for place in range(len(tasks))]

    async def _in_thread(self, task: Task[T], stop: threading.Event) -> T:
        """Run one task; its thread and its place in the queue are free once it has ended, whoever waits."""
        try:
            await self._free.acquire()
        except asyncio.CancelledError:
            self._batches.waiting -= 1
            raise
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[T] = loop.create_future()

        def deliver(result: Any, error: BaseException | None) -> None:
            self._free.release()
            self._batches.waiting -= 1
            if outcome.done():  # given up
                return
            if error is None:
                outcome.set_result(result)
            else:
                outcome.set_exception(error)

        def run() -> None:
            result, problem = None, None
            try:
                result = task(stop)
            except Exception as error:  # noqa: BLE001 - whatever it is, the request must hear of it
                problem = error
            with suppress(RuntimeError):  # the event loop has ended, and nobody waits
                loop.call_soon_threadsafe(deliver, result, problem)

        # A daemon, so that a page that takes long does not keep the process from ending.
        threading.Thread(target=run, name="kalamos-page", daemon=True).start()
        return await outcome
