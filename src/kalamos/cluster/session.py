"""A Ray cluster to run on: one that runs already, or one of this machine's own for as long as it takes."""

from __future__ import annotations

import gc
import logging
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final, TextIO, cast

from kalamos.errors import KalamosError, MissingExtraError, UsageError

__all__ = ["check_address", "connected", "hushed", "require_ray"]

PATIENCE = 5.0
"""Seconds for a cluster's machine to answer."""

TRIAL = 30.0
"""Seconds for a process to join it."""

STARTS = 2
"""Ray gives its own processes 15 seconds to start, which a busy machine or a cold disk exceeds once."""

_QUIET: Final = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # what its C++ side says, it says on our standard error
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ENABLE_AUTO_CONNECT": "0",  # else what it collects late looks for a cluster once more
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else a FutureWarning about GPUs, which nothing here uses
}
LONGEST_BASE: Final = 24
"""Bytes of a temporary folder's path below which Ray's sockets stay within the 103 of a socket's path."""

_STORE_BYTES: Final = 64 << 20
"""Of shared memory, for each worker: some blocks on their way to it and back."""


def require_ray() -> None:
    """Raise `MissingExtraError` unless `kalamos[cluster]` is installed."""
    # Not by importing it, which takes seconds: much may still be refused.
    missing = [name for name in ("ray", "pyarrow", "pandas", "fsspec") if not find_spec(name)]
    if missing:
        raise MissingExtraError(
            f"the engine 'ray' needs {', '.join(missing)}, not installed here", extra="cluster"
        )


def check_address(address: str) -> None:
    """See whether somebody listens at an address, which Ray would try for minutes.

    Args:
        address: `HOST:PORT`, or `auto` for the cluster that this machine belongs to.

    Raises:
        UsageError: nobody does, or it is none.

    >>> check_address("localhost")
    Traceback (most recent call last):
    kalamos.errors.UsageError: 'localhost' is no address of a Ray cluster; give HOST:PORT, such as \
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
        raise UsageError(f"{address!r} is no address of a Ray cluster", remedy=remedy)
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE):
            pass
    except (OSError, UnicodeError) as error:
        raise _no_cluster(address, getattr(error, "strerror", None) or str(error)) from error


@contextmanager
def connected(address: str | None, jobs: int) -> Iterator[int]:
    """Connect to the cluster at `address`, or start one of `jobs` processors and end it afterwards.

    Yields how many processors it has. Ray's own output is kept from standard output and standard error.

    Raises:
        UsageError: no cluster there.
        KalamosError: none could be started.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    import ray.data

    for name in ("ray", "ray.data"):  # after the import, which sets them
        logging.getLogger(name).setLevel(logging.CRITICAL)
    output = sys.stdout
    rows_alone = _RowsAlone(output)
    sys.stdout = cast("TextIO", rows_alone)
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
            rows_alone.writer = None
            with hushed():
                gc.collect()  # Ray Data's executors, which end themselves, and complain without a cluster
                ray.shutdown()
            sys.stdout = output


@contextmanager
def _session_folder() -> Iterator[str]:
    """A temporary folder for the sockets and logs of a cluster of our own, gone when the cluster is."""
    base = tempfile.gettempdir()
    if os.name == "posix" and len(base) > LONGEST_BASE:
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
    """A token for a cluster of our own, unless the user has one: Ray would write it into the home folder."""
    named = any(name in os.environ for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"))
    if named or Path("~/.ray/auth_token").expanduser().exists():
        yield
        return
    os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
    try:
        yield
    finally:
        os.environ.pop("RAY_AUTH_TOKEN", None)


class _RowsAlone:
    """Standard output for one thread: when a worker dies, Ray says so there, in another or as it ends."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.writer: int | None = threading.get_ident()

    def write(self, text: str) -> int:
        return self._stream.write(text) if threading.get_ident() == self.writer else len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextmanager
def hushed() -> Iterator[None]:
    """Keep from standard error what Ray says while it starts or is cut short; what goes wrong is raised."""
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


def _start(jobs: int, quiet: dict[str, Any]) -> None:
    import ray

    for attempt in range(1, STARTS + 1):
        try:
            with hushed():
                ray.init(
                    address="local",
                    num_cpus=jobs,
                    include_dashboard=False,
                    object_store_memory=(jobs + 4) * _STORE_BYTES,
                    **quiet,
                )
        except Exception as error:  # Ray raises plain ones
            ray.shutdown()
            if attempt == STARTS:
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
        with hushed():
            ray.init(address=address, **quiet)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise _no_cluster(address, _first_line(error)) from error


def _try_to_join(address: str) -> None:
    """Join in another process first: one that cannot hangs for minutes, or is ended by Ray without a word."""
    program = "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False)"
    environment = {name: value for name, value in os.environ.items() if name != "RAY_BACKEND_LOG_LEVEL"}
    try:
        done = subprocess.run(  # noqa: S603
            [sys.executable, "-c", program, address],
            env=environment,
            capture_output=True,
            check=False,
            timeout=TRIAL,
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
