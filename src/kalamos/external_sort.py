"""Put more in order than memory should hold: an external merge sort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from heapq import merge
from itertools import islice
from typing import IO, Any, TypeVar

__all__ = ["externally_sorted"]

T = TypeVar("T")

RUN = 20_000
"""So many items are sorted in memory."""

BLOCK = 500
"""So many are read back at a time, from each run."""


def externally_sorted(items: Iterable[T], key: Callable[[T], Any]) -> Iterator[T]:
    """As `sorted`, in memory that does not grow: sorted runs wait in temporary files, and are merged.

    All items are taken before this returns. Where no temporary file can be written, memory has to do.

    Args:
        items: what `pickle` can write.
        key: of the order; it is asked twice for each item.

    >>> list(externally_sorted(range(50_000, 0, -1), key=lambda number: number))[:3]
    [1, 2, 3]
    """
    items = iter(items)
    runs: list[Iterator[T]] = []
    while run := sorted(islice(items, RUN), key=key):
        file = _written(run) if len(run) == RUN else None
        runs.append(iter(run) if file is None else _read(file))
    return runs[0] if len(runs) == 1 else merge(*runs, key=key)


def _written(run: list[Any]) -> IO[bytes] | None:
    import pickle  # few folders are so large
    import tempfile

    file = None
    with suppress(OSError):
        file = tempfile.TemporaryFile()  # noqa: SIM115  (`_read` closes it)
        for start in range(0, len(run), BLOCK):
            pickle.dump(run[start : start + BLOCK], file)
        file.seek(0)
        return file
    if file is not None:
        with suppress(OSError):
            file.close()
    return None


def _read(file: IO[bytes]) -> Iterator[Any]:
    import pickle

    with file:
        while True:
            try:
                block = pickle.load(file)  # noqa: S301  (nobody else has this file)
            except EOFError:
                return
            yield from block
