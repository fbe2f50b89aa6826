"""A progress bar on standard error, for a person who waits; it appears only when waiting begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress

    from kalamos.predictions import Prediction

__all__ = ["Watch", "progress_bar"]

Watch: TypeAlias = Callable[[Iterable["Prediction"]], Iterator["Prediction"]]

PATIENCE = 1.0
"""Seconds of work before a bar is worth showing (and rich worth importing)."""

REFRESH = 0.1
"""Seconds between two counts; counting each image would cost more than reading it."""


@contextmanager
def progress_bar(count_all: Callable[[], int | None] | None = None) -> Iterator[Watch]:
    """Yields a function that passes results on and shows how far it has got.

    Args:
        count_all: counts all that will come, or returns None where that cannot be known. It is called when
            the bar appears, in a thread of its own: images are found while others are read.
    """
    bar: Progress | None = None
    total: list[int | None] = []

    def watch(items: Iterable[Prediction]) -> Iterator[Prediction]:
        nonlocal bar
        started = time.monotonic()
        next_look = started + PATIENCE
        for count, item in enumerate(items, start=1):
            now = time.monotonic()
            if now >= next_look:
                if bar is None:
                    bar = _new_bar()
                    bar.start()  # known by now, so that Ctrl-C on the way takes it off again
                    if count_all is not None:
                        Thread(target=lambda: total.append(count_all()), daemon=True).start()
                rate = count / (now - started)
                whole = total[0] if total else None
                bar.update(
                    bar.task_ids[0],
                    completed=count,
                    total=whole,
                    shown=_count_text(count, whole),
                    rate=f"{rate:,.0f}/s",
                    left=_time_left(count, whole, rate),
                )
                next_look = now + REFRESH
            yield item

    try:
        yield watch
    finally:
        if bar is not None:
            bar.stop()


def _count_text(count: int, total: int | None) -> str:
    """Say how many are done, and of how many.

    >>> _count_text(1200, 10000)
    '1,200 of 10,000 images'
    """
    return f"{count:,} images" if total is None else f"{count:,} of {max(count, total):,} images"


def _time_left(count: int, total: int | None, rate: float) -> str:
    """Say how long the rest takes at this rate.

    >>> _time_left(1200, 10000, 100.0)
    '0:01:28 left'
    """
    return "" if total is None else f"{timedelta(seconds=round(max(0, total - count) / rate))} left"


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(bar_width=18),  # a pulse until the total is known
        TextColumn("{task.fields[shown]}"),
        # Not rich's own `task.speed`: that is None until it has seen two counts.
        TextColumn("{task.fields[rate]}", justify="right"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("images", total=None, shown="", rate="", left="")
    return bar
