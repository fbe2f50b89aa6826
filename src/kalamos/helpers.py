"""Processes that read chunks of images too, where one interpreter's lock would keep its threads waiting.

Preparing a crop of a photograph is many brief calls, each of which gives the lock away and waits for it
again: two threads at that are slower than one. A helper is a Python of its own. It costs what starting
`kalamos` costs, in time and memory, so there are none until the work has taken longer than that. Each belongs
to one thread at a time, which waits for its answers; should it die, that thread reads the chunk itself.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

if TYPE_CHECKING:
    from kalamos.predict_options import PredictOptions
    from kalamos.predictions import Prediction
    from kalamos.streaming import Turns

__all__ = ["Helpers"]

WORTH = 0.3
"""Seconds of preparation, about what it takes to start a helper."""

CONTENDED, LONG = 300e-6, 10e-3
"""Seconds an image: preparing what takes less is not most of the work; what takes longer is a large
photograph, which is decoded outside the lock."""


class _Task(NamedTuple):
    model: str
    sha256: str
    options: PredictOptions


class Helpers:
    """At most `most` processes, which answer as the model file at `model` does.

    >>> from kalamos.streaming import Turns
    >>> with Helpers("digits.onnx", "0" * 64, None, most=0) as helpers:
    ...     helpers.read(["a.png"], Turns()) is None                     # nobody helps: read it yourself
    True
    """

    def __init__(self, model: str, sha256: str, options: PredictOptions, *, most: int) -> None:
        self._task = _Task(model, sha256, options)
        self._left = most
        self._idle: list[_Helper] = []
        self._all: list[_Helper] = []
        self._lock = threading.Lock()

    def __enter__(self) -> Helpers:
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._left = 0
            for helper in self._all:
                helper.end()

    def read(self, chunk: Sequence[Any], turns: Turns) -> list[Prediction] | None:
        """The chunk's predictions, from a helper that is free or worth starting; None where there is none.

        Args:
            chunk: paths and `NamedImage`s.
            turns: tells how long preparing an image takes here, and has taken in all.
        """
        helper = self._free(turns)
        if helper is None:
            return None
        answers = helper.read(chunk)
        if answers is not None:
            with self._lock:
                self._idle.append(helper)
        return answers

    def _free(self, turns: Turns) -> _Helper | None:
        with self._lock:
            if not CONTENDED <= turns.pace < LONG:
                return None
            if self._idle:
                return self._idle.pop()
            if not self._left or turns.spent < WORTH:
                return None
            self._left -= 1
            with contextlib.suppress(OSError):  # no more processes are allowed here
                helper = _Helper(self._task)
                self._all.append(helper)
                return helper
        return None


class _Helper:
    def __init__(self, task: _Task) -> None:
        import subprocess  # most runs need no help

        # -P: no module of the folder that we are in is taken for one of ours.
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "kalamos.helpers"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        self._first: tuple[Any, ...] = (task,)

    def read(self, chunk: Sequence[Any]) -> list[Prediction] | None:
        """None where it has died, or the chunk cannot be sent."""
        import pickle

        assert self._process.stdin is not None  # noqa: S101  (both are pipes)
        assert self._process.stdout is not None  # noqa: S101
        try:
            self._process.stdin.write(b"".join(map(pickle.dumps, (*self._first, chunk))))
            self._process.stdin.flush()
            self._first = ()
            answers: list[Prediction] = pickle.load(self._process.stdout)  # noqa: S301  (our own child's)
        except (OSError, ValueError, EOFError, pickle.PickleError, TypeError, AttributeError):
            return None
        return answers

    def end(self) -> None:
        self._process.kill()  # it holds nothing but answers that nobody waits for
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError, ValueError):
                    pipe.close()


def _messages(stream: BinaryIO) -> Iterator[Any]:
    import pickle

    while True:
        try:
            yield pickle.load(stream)  # noqa: S301  (our own parent's)
        except EOFError:
            return


def _main() -> None:
    import pickle
    import signal

    import cv2

    from kalamos.model_file import open_model
    from kalamos.recognizer import Recognizer

    # Ctrl-C reaches every process of the terminal; our parent ends us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(1)
    messages = _messages(sys.stdin.buffer)
    task: _Task = next(messages)
    model = open_model(task.model)
    if model.sha256 != task.sha256:
        raise SystemExit("the model file is another by now")
    reader = Recognizer(model)
    for chunk in messages:
        sys.stdout.buffer.write(pickle.dumps(reader.read_chunk(chunk, task.options)))
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    _main()
