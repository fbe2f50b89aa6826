"""A progress bar on standard error, for a person who waits; it appears only when waiting begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
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
def progress_bar() -> Iterator[Watch]:
    """Yields a function that passes results on and shows how far it has got.

    The total is not known, since images are found while others are read.
    """
    bar: Progress | None = None

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
                bar.update(bar.task_ids[0], completed=count, rate=count / (now - started))
                next_look = now + REFRESH
            yield item

    try:
        yield watch
    finally:
        if bar is not None:
            bar.stop()


def _new_bar() -> Progress:
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    bar = Progress(
        SpinnerColumn(),
        TextColumn("{task.completed:>9,.0f} images"),
        # Not rich's own `task.speed`: that is None until it has seen two counts.
        TextColumn("{task.fields[rate]:,.0f}/s", justify="right"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    bar.add_task("images", total=None, rate=0.0)
    return bar
