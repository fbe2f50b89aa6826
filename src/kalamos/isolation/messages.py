"""Messages between a process and its workers: a pickle, followed by the large buffers that it refers to.

A worker that a file has taken over may answer anything, so its answers are unpickled with an allow-list; what
this process sends is trusted.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import IO, Any, Final, Literal, NamedTuple, cast

__all__ = ["Answer", "Job", "read_answer", "read_job", "write_message"]

_LENGTH: Final = struct.Struct("<Q")
_END: Final = 2**64 - 1
"""Ends the list of lengths."""

MAX_ANSWER_BUFFERS: Final = 64
"""Large buffers that one answer may have."""

MAX_ANSWER_BYTES: Final = 1 << 30
"""Bytes of one answer: a worker has less memory than this."""

_NUMPY: Final = frozenset({"ndarray", "dtype", "scalar", "_reconstruct", "_frombuffer"})
_ALLOWED: Final = {
    "builtins": frozenset({"bytearray"}),
    "kalamos.inputs.item": frozenset({"NamedImage"}),
    "kalamos.predictions": frozenset({"Candidate", "Prediction"}),
    __name__: frozenset({"Answer"}),
    **{
        f"numpy{module}": _NUMPY
        for module in ("", ".core.multiarray", "._core.multiarray", ".core.numeric", "._core.numeric")
    },
}
"""The classes that an answer may hold, by module, besides plain values and the errors of kalamos."""


class Job(NamedTuple):
    """A message to a worker."""

    function: str
    """Its module and its name in there, with a colon between."""
    args: tuple[Any, ...]
    memory: int | None = None
    """Bytes that it may allocate; None for work that needs no limits, neither on memory nor on time."""
    timeout: float = 0.0
    imports: tuple[str, ...] = ()


class Answer(NamedTuple):
    """A message from a worker."""

    kind: Literal["ready", "item", "end", "error", "memory", "crash"]
    value: Any = None
    leaving: bool = False
    """The worker ends itself after this."""


def write_message(stream: IO[bytes], message: Job | Answer) -> None:
    """Write a message to an unbuffered stream; `pickle.PickleBuffer`s in it are not copied."""
    buffers: list[pickle.PickleBuffer] = []
    body = pickle.dumps(message, protocol=5, buffer_callback=buffers.append)
    views = [buffer.raw() for buffer in buffers]
    lengths = [len(body), *(view.nbytes for view in views), _END]
    for view in (memoryview(b"".join([*map(_LENGTH.pack, lengths), body])), *views):
        while view:  # unbuffered, so that it may take a part
            view = view[stream.write(view) :]  # noqa: PLW2901


def read_job(stream: IO[bytes]) -> Job:
    """Read what this worker's own parent has sent. Its buffers become bytes.

    Raises:
        EOFError: the parent has closed the stream.
    """
    body, *buffers = [_bytes(stream, length) for length in _lengths(stream)]
    return cast("Job", pickle.loads(body, buffers=buffers))  # noqa: S301  (our own parent's)


def read_answer(stream: IO[bytes]) -> Answer:
    r"""Read an answer of a worker, whatever it may be. Its buffers are writable.

    Raises:
        EOFError: the worker has ended.
        pickle.UnpicklingError: made of anything else than an answer may be.

    >>> import os
    >>> body = pickle.dumps(os.getcwd)
    >>> read_answer(io.BytesIO(_LENGTH.pack(len(body)) + _LENGTH.pack(_END) + body))
    Traceback (most recent call last):
    _pickle.UnpicklingError: a worker's answer holds posix.getcwd
    """
    lengths = _lengths(stream, MAX_ANSWER_BUFFERS)
    if sum(lengths) > MAX_ANSWER_BYTES:
        raise pickle.UnpicklingError("a worker's answer is too large")
    body, *buffers = [_writable(stream, length) for length in lengths]
    try:
        answer = _Unpickler(io.BytesIO(body), buffers=buffers).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:
        raise pickle.UnpicklingError(f"a worker's answer is none ({type(error).__name__})") from error
    if not isinstance(answer, Answer):
        raise pickle.UnpicklingError("a worker's answer is none")
    return answer


class _Unpickler(pickle.Unpickler):
    """Unpickles arrays, members of archives and kalamos's errors, and nothing that calls anything else."""

    def find_class(self, module: str, name: str) -> Any:
        found = None
        if module == "kalamos.errors" and name in import_module(module).__all__:
            found = getattr(import_module(module), name)
        elif name in _ALLOWED.get(module, ()):
            found = super().find_class(module, name)
        if found is None:
            raise pickle.UnpicklingError(f"a worker's answer holds {module}.{name}")
        return found


def _lengths(stream: IO[bytes], most: int = sys.maxsize) -> Sequence[int]:
    """Read the lengths of a message's parts: the pickle's, and those of its buffers."""
    lengths: list[int] = []
    while (length := _LENGTH.unpack(_bytes(stream, _LENGTH.size))[0]) != _END:
        if len(lengths) > most:
            raise pickle.UnpicklingError("a worker's answer has too many parts")
        lengths.append(length)
    return lengths


def _bytes(stream: IO[bytes], size: int) -> bytes:
    """Read so many bytes, into memory that is allocated once."""
    data = stream.read(size)
    while data and len(data) < size:  # an unbuffered stream gives what there is
        more = stream.read(size - len(data))
        if not more:
            break
        data += more
    if len(data) < size:
        raise EOFError
    return data


def _writable(stream: IO[bytes], size: int) -> bytearray:
    data = bytearray(size)
    view, at = memoryview(data), 0
    while at < size:
        found = stream.readinto(view[at:])  # type: ignore[attr-defined]
        if not found:
            raise EOFError
        at += found
    return data
