"""Progress bars (rich) on standard error, for a person who waits."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

if TYPE_CHECKING:
    from rich.progress import Progress, ProgressColumn

__all__ = ["OnProgress", "bar_of", "progress_callback", "track"]

Item = TypeVar("Item")

SECONDS_BEFORE_BAR = 1.0
"""Work that takes less needs no bar (and no rich, which takes time to import)."""

SECONDS_BETWEEN_UPDATES = 0.1
"""Updating the bar for each image would cost more than reading the image."""


class OnProgress(Protocol):
    """Called with how much is done, and with how much there is in all if that is known only now."""

    def __call__(self, done: int, total: int | None = None, /) -> None: ...


def bar_of(*columns: str | ProgressColumn, stderr: bool = True) -> Progress:
    """Return a bar that vanishes when it ends, and draws nothing unless the stream is a terminal."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=stderr)
    return Progress(*columns, console=console, transient=True, disable=not console.is_terminal)


@contextmanager
def progress_callback(
    description: str = "", *, total: int | None = None, unit: str = "images"
) -> Iterator[OnProgress]:
    """Show a bar while the block runs, and yield the function that moves it.

    Args:
        description: text before the bar.
        total: how much there is in all, if it is known.
        unit: `images`, or `bytes`, which are shown with their speed.
    """
    if not sys.stderr.isatty():
        yield lambda done, total=None: None
        return
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        MofNCompleteColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    counts = (DownloadColumn(), TransferSpeedColumn()) if unit == "bytes" else (MofNCompleteColumn(),)
    with bar_of("{task.description}", BarColumn(), *counts, TimeRemainingColumn()) as bar:
        task = bar.add_task(description, total=total)
        yield lambda done, total=None: bar.update(task, completed=done, total=total)


def track(
    items: Iterable[Item], count_all: Callable[[], int | None] | None = None
) -> Generator[Item, None, None]:
    """Pass images' results on, and show a bar as soon as waiting for them becomes noticeable.

    Args:
        items: one per image. To take the bar away, close the generator or use it up.
        count_all: returns how many will come, or None if that cannot be known. It is called when the bar
            appears, in a thread of its own: images are found while others are read.
    """
    bar: Progress | None = None
    total: list[int | None] = []
    started = time.monotonic()
    next_update = started + SECONDS_BEFORE_BAR
    try:
        for count, item in enumerate(items, start=1):
            now = time.monotonic()
            if now >= next_update:
                if bar is None:
                    bar = _images_bar()
                    bar.start()  # `bar` is set by now, so that Ctrl-C on the way takes it off again
                    if count_all is not None:
                        Thread(target=lambda: total.append(count_all()), daemon=True).start()
                bar.update(bar.task_ids[0], **_state(count, total[0] if total else None, now - started))
                next_update = now + SECONDS_BETWEEN_UPDATES
            yield item
    finally:
        if bar is not None:
            bar.stop()


def _images_bar() -> Progress:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn

    bar = bar_of(
        BarColumn(bar_width=18),  # a pulse until the total is known
        "{task.fields[count]}",
        # Not rich's own `task.speed`: that is None until it has seen two counts.
        TextColumn("{task.fields[rate]}", justify="right"),
        TimeElapsedColumn(),
        "{task.fields[left]}",
    )
    bar.add_task("images", total=None, count="", rate="", left="")
    return bar


def _state(count: int, total: int | None, seconds: float) -> dict[str, Any]:
    """Return the bar's fields after so many images in so many seconds.

    >>> _state(1200, 10000, 12.0)["count"], _state(1200, 10000, 12.0)["left"]
    ('1,200 of 10,000 images', '0:01:28 left')
    """
    rate = count / seconds
    state = {"completed": count, "total": total, "rate": f"{rate:,.0f}/s"}
    if total is None:
        return {**state, "count": f"{count:,} images", "left": ""}
    left = timedelta(seconds=round(max(0, total - count) / rate))
    return {**state, "count": f"{count:,} of {max(count, total):,} images", "left": f"{left} left"}
