"""How long each of several calls takes, measured side by side.

One after the other they would meet a machine in different moods. Here every round times all of them,
in an order of its own, so that what slows the machine for a while slows them alike.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

__all__ = ["time_side_by_side"]

ROUNDS = 151
BLOCK_SECONDS = 0.002
"""About how long each call is repeated in a round: far above the clock's grain, and less than the turn of
another process that takes the processor away, so that most rounds meet none."""


def time_side_by_side(
    calls: Sequence[Callable[[], object]], *, rounds: int = ROUNDS, block_seconds: float = BLOCK_SECONDS
) -> NDArray[np.float64]:
    """Seconds a call took, float64 [rounds, len(calls)], each the mean over one block of repeats.

    Take the median over the rounds; for how much slower one is, the median of the rounds' ratios.

    >>> seconds = time_side_by_side([lambda: time.sleep(0.002), lambda: None], rounds=5)
    >>> seconds.shape, bool((seconds[:, 0] > seconds[:, 1]).all())
    ((5, 2), True)
    """
    # The first call pays for memory that later ones find ready; the second tells how long one takes.
    repeats = []
    for call in calls:
        call()
        repeats.append(max(1, round(block_seconds / max(_seconds(call, 1), 1e-9))))
    order, shuffle = list(range(len(calls))), random.Random(0).shuffle  # noqa: S311  (no secret)
    seconds = np.empty((rounds, len(calls)))
    for taken in seconds:
        shuffle(order)
        for index in order:
            calls[index]()  # brings back what the others drove out of the cache
            taken[index] = _seconds(calls[index], repeats[index])
    return seconds


def _seconds(call: Callable[[], object], repeats: int) -> float:
    started = time.perf_counter()
    for _ in range(repeats):
        call()
    return (time.perf_counter() - started) / repeats
