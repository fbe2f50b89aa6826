"""A Ray cluster to run on: a running one, or one that is started on this machine for a single run."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, TextIO, cast

from kalamos.errors import KalamosError, UsageError, require_extra

__all__ = ["check_address", "connected", "require_ray", "suppress_stderr", "uninterrupted"]

CONNECT_SECONDS = 5.0
"""Seconds for a cluster's machine to answer."""

JOIN_SECONDS = 30.0
"""Seconds for a process to join the cluster."""

MAX_START_ATTEMPTS = 2
"""Ray gives its own processes 15 seconds to start, which a busy machine or a cold disk may exceed once."""

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its C++ side prints to our standard error
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # otherwise what is collected late looks for a cluster once more
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # otherwise a FutureWarning about GPUs, unused here
}
MAX_TEMP_FOLDER_BYTES: Final = 24
"""Bytes of a temporary folder's path below which Ray's sockets stay within the 103 of a socket's path."""

_SHARED_MEMORY_BYTES_PER_WORKER: Final = 64 << 20
"""Room for some blocks on their way to a worker and back."""


def require_ray() -> None:
    """Raise `MissingExtraError` unless `kalamos[cluster]` is installed."""
    # Not by importing it, which takes seconds: much may still be refused.
    require_extra("cluster", ("ray", "pyarrow", "pandas", "fsspec"), what="the engine 'ray'")


def check_address(address: str) -> None:
    """Check that something listens at an address, which Ray would try for minutes.

    Args:
        address: `HOST:PORT`, or `auto` for the cluster that this machine belongs to.

    Raises:
        UsageError: nothing does, or it is not an address.

    >>> check_address("localhost")
    Traceback (most recent call last):
    kalamos.errors.UsageError: 'localhost' is not the address of a Ray cluster; give HOST:PORT, such as \
10.0.0.1:6379, or auto
    """
    if address == "auto":
        return
    if address.startswith("ray://"):
        raise UsageError(
            "ray:// is the address of a Ray Client",
            remedy="run the command on a machine of the cluster, with HOST:6379 or auto",
        )
    host, _, port = address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        remedy = "give HOST:PORT, such as 10.0.0.1:6379, or auto"
        raise UsageError(f"{address!r} is not the address of a Ray cluster", remedy=remedy)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_SECONDS):
            pass
    except (OSError, UnicodeError) as error:
        raise _no_cluster(address, getattr(error, "strerror", None) or str(error)) from error


@contextmanager
def connected(address: str | None, jobs: int) -> Iterator[int]:
    """Connect to the cluster at `address`, or start one of `jobs` processors and end it afterwards.

    Yields the number of its processors. Ray's own output is kept off standard output and standard error.

    Raises:
        UsageError: no cluster at that address.
        KalamosError: none could be started.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray.data

    for name in ("ray", "ray.data"):  # after the import, which sets them
        logging.getLogger(name).setLevel(logging.CRITICAL)
    output = sys.stdout
    only_rows = StdoutFilter(output)
    sys.stdout = cast("TextIO", only_rows)
    quiet: dict[str, Any] = {"logging_level": logging.CRITICAL, "log_to_driver": False}
    with ExitStack() as files:
        try:
            if address is None:
                files.enter_context(_token_in_environment())
                _start(jobs, {**quiet, "_temp_dir": files.enter_context(_session_folder())})
            else:
                _join(address, quiet)
            resources = ray.cluster_resources()  # type: ignore[no-untyped-call, unused-ignore]
            yield max(1, int(resources.get("CPU", 1)))
        finally:
            only_rows.writer_thread = None
            with uninterrupted():
                with suppress_stderr():
                    gc.collect()  # Ray Data's executors end themselves, and complain if there is no cluster
                    ray.shutdown()
                sys.stdout = output


@contextmanager
def _session_folder() -> Iterator[str]:
    """Yield a temporary folder for the sockets and logs of our own cluster; deleted with it."""
    base = tempfile.gettempdir()
    if os.name == "posix" and len(base) > MAX_TEMP_FOLDER_BYTES:
        base = "/tmp"  # noqa: S108  (mkdtemp makes a folder of its own there)
    folder = tempfile.mkdtemp(prefix="kalamos-ray-", dir=base)
    try:
        yield folder
    finally:
        for _ in range(20):  # Ray's processes may still be writing their last lines
            shutil.rmtree(folder, ignore_errors=True)
            if not Path(folder).exists():
                break
            time.sleep(0.1)


@contextmanager
def _token_in_environment() -> Iterator[None]:
    """Set a token for our own cluster, unless the user has one: Ray would write one into the home folder."""
    named = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if named or Path("~/.ray/auth_token").expanduser().exists():
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        os.environ.pop("RAY_AUTH_TOKEN", None)


class StdoutFilter:
    """Standard output for one thread only: if a worker dies, Ray reports it there, from another thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.writer_thread: int | None = threading.get_ident()

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() == self.writer_thread else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def suppress_stderr() -> Iterator[None]:
    """Discard what Ray prints to standard error as it starts or is cut short; failures are raised anyway."""
    try:
        kept = os.dup(2)
    except OSError:  # closed, as under a daemon
        yield
        return
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def uninterrupted() -> Iterator[None]:
    """Raise a Ctrl-C only at the end of the block: Ray, interrupted as it ends, may crash."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread is interrupted
        return
    late: list[int] = []
    numbers: tuple[int, ...] = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda number, _: late.append(number)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for number in late[:1]:
        signal.raise_signal(number)


def _start(jobs: int, quiet: dict[str, Any]) -> None:
    import ray

    for attempt in range(1, MAX_START_ATTEMPTS + 1):
        try:
            with suppress_stderr():
                ray.init(
                    address="local",
                    num_cpus=jobs,
                    include_dashboard=False,
                    object_store_memory=(jobs + 4) * _SHARED_MEMORY_BYTES_PER_WORKER,
                    **quiet,
                )
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if attempt == MAX_START_ATTEMPTS:
                raise KalamosError(
                    f"Ray did not start ({_first_line(error)})",
                    remedy="try --engine local, or start one with `ray start --head`, which keeps its logs",
                ) from error
        else:
            return


def _join(address: str, quiet: dict[str, Any]) -> None:
    import ray

    check_address(address)
    _try_to_join(address)
    try:
        with suppress_stderr():
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, _first_line(error)) from error


def _try_to_join(address: str) -> None:
    """Join from another process first: a failing one hangs for minutes, or Ray ends it without a message."""
    program = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_BACKEND_LOG_LEVEL"}
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", program, address],
            env=environment,
            capture_output=True,
            check=False,
            timeout=JOIN_SECONDS,
        )
    except subprocess.TimeoutExpired as late:
        said, failed = late.stderr or b"", True
    else:
        said, failed = done.stderr, done.returncode != 0
    if failed:
        lines = said.decode(errors="replace").strip().splitlines()
        # Without the date and the place in Ray's source that come before it.
        raise _no_cluster(address, lines[-1].rpartition("] ")[2][:200] if lines else "it does not answer")


def _no_cluster(address: str, reason: str) -> UsageError:
    return UsageError(
        f"no Ray cluster can be reached at {address} ({reason})",
        remedy="start one with `ray start --head`, or leave --address out for one on this machine alone",
    )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
