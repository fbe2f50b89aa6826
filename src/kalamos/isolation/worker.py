"""The worker process: run the jobs that arrive on standard input until it ends."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import IO, Any, TypeVar

from kalamos.errors import KalamosError
from kalamos.isolation.messages import Answer, Job, read_job, write_message
from kalamos.isolation.pool import memory_figure, resident_bytes

__all__ = ["call_once", "serve"]

R = TypeVar("R")

RECYCLE_BYTES = 64 * 2**20
"""A worker whose resident memory has grown by more than this after its work is replaced: freed memory
does not always go back to the system."""


def serve() -> None:
    """Run the jobs that arrive on standard input until it ends. For the child process alone."""
    import cv2

    import_module("kalamos.images.decoding")  # most of the work; counted as the idle worker's memory
    _disable_crash_traces()
    cv2.setNumThreads(1)
    # Libraries print where they like; answers go where nobody else writes.
    answers = os.fdopen(os.dup(1), "wb", buffering=0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_parent, args=(os.getppid(),), daemon=True).start()
    base = resident_bytes(os.getpid()) or 0
    write_message(answers, Answer("ready", base))
    answer = Answer("ready")
    while not answer.leaving:
        try:
            job = read_job(sys.stdin.buffer)
        except (EOFError, OSError):
            return
        except MemoryError:
            write_message(answers, Answer("memory", leaving=True))
            return
        module, _, function = job.function.partition(":")
        call = getattr(import_module(module), function)
        if job.imports:
            for name in job.imports:
                with contextlib.suppress(ImportError):  # the function says what is missing
                    import_module(name)
            write_message(answers, Answer("ready"))
        with contextlib.nullcontext() if job.memory is None else _limits(job.memory):
            answer = _run(answers, call, job)
        grown = job.memory is not None and (resident_bytes(os.getpid()) or 0) > base + RECYCLE_BYTES
        del job
        answer = answer._replace(leaving=grown)
        write_message(answers, answer)


def call_once(function: Callable[..., R], *args: Any) -> Iterator[R]:
    """Yield the one result of a function."""
    yield function(*args)


def _disable_crash_traces() -> None:
    """Keep a crash from writing a core file or opening a window."""
    system: str = sys.platform  # for mypy, which takes the system that it runs on for the only one
    if system == "win32":  # pragma: no cover
        import ctypes

        no_crash_box, no_error_box = 0x0002, 0x0001
        windll: Any = vars(ctypes)["windll"]
        windll.kernel32.SetErrorMode(no_crash_box | no_error_box)
        return
    import resource

    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _run(answers: IO[bytes], call: Callable[..., Iterator[Any]], job: Job) -> Answer:
    """Send the items of one call, and return how it ended."""
    try:
        _renew_processor_time(job)
        for item in call(*job.args):
            write_message(answers, Answer("item", item))
            item = None  # noqa: PLW2901  (before the next one is made)
            _renew_processor_time(job)
    except KalamosError as error:
        return Answer("error", error.with_traceback(None))
    except MemoryError:
        return Answer("memory")
    except Exception as error:  # noqa: BLE001  (decoders raise anything)
        return Answer("memory" if _is_out_of_memory(error) else "crash")
    return Answer("end")


def _is_out_of_memory(error: Exception) -> bool:
    """Return whether a library's own error means that memory ran out."""
    text = f"{type(error).__name__}: {error}".lower()
    return any(sign in text for sign in ("insufficient memory", "outofmemory", "out of memory", "bad_alloc"))


def _renew_processor_time(job: Job) -> None:
    """Limit the processor time until the next item, where the system can, if nobody else looks."""
    if job.memory is None:
        return
    try:
        import resource
    except ImportError:  # Windows
        return
    used = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(used.ru_utime + used.ru_stime + job.timeout) + 2
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, resource.getrlimit(resource.RLIMIT_CPU)[1]))


@contextlib.contextmanager
def _limits(memory: int) -> Iterator[None]:
    """Limit the memory that a call may take, where the system can."""
    try:
        import resource
    except ImportError:  # Windows
        yield
        return
    if sys.platform != "linux":
        yield
        return
    virtual = memory_figure(0)
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    allowed = virtual + memory if soft == resource.RLIM_INFINITY else min(soft, virtual + memory)
    resource.setrlimit(resource.RLIMIT_AS, (allowed, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _end_with_parent(parent: int) -> None:
    """End this process once its parent is gone, even in the middle of a call."""
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)
