"""How long getting the next image out of a container may take."""

from __future__ import annotations

import time

from kalamos.errors import ImageTimeoutError
from kalamos.isolation import TIMEOUT_SECONDS, processor_seconds

__all__ = ["Clock"]


class Clock:
    """Bounds the processor time of this thread from one image of a container to the next.

    The processor's: a pipe's writer and whoever reads the images may take their time.

    Args:
        where: what the container is called in errors.
        timeout: the most seconds; None takes `kalamos.isolation.TIMEOUT_SECONDS`.
        size: bytes of the container; small ones get less time (`kalamos.isolation.processor_seconds`). None
            where nobody knows, as of a pipe.

    >>> clock = Clock("x.tar", timeout=1e-9)
    >>> clock.check()
    Traceback (most recent call last):
    kalamos.errors.ImageTimeoutError: x.tar: getting the next image out takes too long (the limit is ...
    """

    def __init__(self, where: str, timeout: float | None = None, size: int | None = None) -> None:
        most = TIMEOUT_SECONDS if timeout is None else timeout
        self._where = where
        self._seconds = most if size is None else min(most, processor_seconds(size))
        self.restart()

    def restart(self) -> None:
        """Give the way to the next image the whole time again."""
        self._started = time.thread_time()

    def check(self) -> None:
        """Raise `ImageTimeoutError` once the time is over."""
        if time.thread_time() - self._started > self._seconds:
            raise ImageTimeoutError(
                f"{self._where}: getting the next image out takes too long "
                f"(the limit is {self._seconds:g} s)",
                remedy="unpack it and name the folder, or raise the timeout",
            )
