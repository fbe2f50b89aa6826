"""A Ray cluster of two processors for all tests here, and 20,000 small images.

The cluster is started as an administrator would, with `ray start`: a test that had to start its own would
wait as long for it as for all of its work.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import psutil
import pytest

IMAGES = 20_000

# Without Ray's tokens: where one lies in the user's home, the tests would depend on it.
ENVIRONMENT = {
    **os.environ,
    "RAY_AUTH_MODE": "disabled",
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}

if not find_spec("ray"):
    collect_ignore = ["test_cluster.py", "test_pages.py", "test_session.py"]


class Cluster(NamedTuple):
    address: str
    pid: int


def _free_ports(count: int) -> list[str]:
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [str(one.getsockname()[1]) for one in sockets]
    for one in sockets:
        one.close()
    return ports


def _kill(head: subprocess.Popen[bytes]) -> None:
    """With all that it started; some of these end by themselves meanwhile."""
    with suppress(psutil.NoSuchProcess):
        for process in psutil.Process(head.pid).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                process.kill()
    head.kill()
    head.wait()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    log, home = folder / "log", Path(sys.prefix)
    if " " in str(home):  # Ray splits its own commands at spaces
        (folder / "venv").symlink_to(home)
        home = folder / "venv"
    ray = [home / "bin" / "python", "-m", "ray.scripts.scripts"]
    for _ in range(3):  # Ray gives its own processes 15 seconds to start, which a busy machine exceeds
        port, *others = _free_ports(5)
        names = ("dashboard-agent-grpc-port", "dashboard-agent-listen-port", "runtime-env-agent-port")
        options = [f"--{name}={number}" for name, number in zip(names, others, strict=False)]
        options += ["--include-dashboard=false", "--no-monitor", "--include-log-monitor=false"]
        options += ["--num-cpus=2", f"--port={port}", "--object-store-memory=300000000"]
        with log.open("wb") as stream:
            head = subprocess.Popen(
                [*ray, "start", "--head", "--block", "--disable-usage-stats", *options],
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=ENVIRONMENT,
                start_new_session=True,
            )
        try:
            while head.poll() is None and b"runtime started" not in log.read_bytes():
                time.sleep(0.2)
            if head.poll() is None:
                yield Cluster(f"127.0.0.1:{port}", head.pid)
                return
        finally:
            # Asked to end, it would take half a minute over it.
            _kill(head)
    pytest.fail(log.read_text())


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Of every process that talks to Ray here."""
    return ENVIRONMENT


Command = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture(scope="session")
def kalamos() -> Command:
    """Run `kalamos ARGUMENTS` in a process of its own."""

    def run(*arguments: object, **options: object) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "kalamos", *map(str, arguments)]
        return subprocess.run(
            command, check=False, capture_output=True, env=ENVIRONMENT, timeout=300, **options
        )

    return run


@pytest.fixture(scope="session")
def digits_20k(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 pages of a digit, no two alike, and among them a hundred files that cannot be read."""
    folder = tmp_path_factory.mktemp("digits")
    generator = np.random.default_rng(11)
    glyphs = []
    for digit in range(10):
        page = np.zeros((28, 28), np.uint8)
        cv2.putText(page, str(digit), (6, 22), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2, cv2.LINE_AA)
        glyphs.append(page)
    noise = generator.integers(0, 40, (IMAGES, 28, 28), np.uint8)
    shifts = generator.integers(-2, 3, (IMAGES, 2))
    for index in range(IMAGES):
        page = np.roll(glyphs[index % 10], shifts[index], (0, 1))
        page = np.where(page > 0, np.maximum(page, noise[index]), 0).astype(np.uint8)
        content = cv2.imencode(".png", page)[1].tobytes()
        if index % 200 == 77:
            content = (b"", b"no image", content[:60])[index // 200 % 3]
        (folder / f"{index:05}.png").write_bytes(content)
    return folder


@pytest.fixture
def end_by_ctrl_c(environment: dict[str, str]) -> Callable[..., None]:
    """Run `kalamos` until it is under way, press Ctrl-C, and see that nothing of it is left or said."""

    def end(*arguments: object, under_way: Callable[[], bool]) -> None:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            run = subprocess.Popen(
                [sys.executable, "-m", "kalamos", *map(str, arguments)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                start_new_session=True,
            )
        finally:
            signal.signal(signal.SIGINT, before)
        started: set[psutil.Process] = set()
        while run.poll() is None and not under_way():
            started.update(psutil.Process(run.pid).children(recursive=True))
            time.sleep(0.05)
        os.killpg(run.pid, signal.SIGINT)  # as a terminal does: to the whole group
        output, errors = run.communicate(timeout=60)
        assert (run.returncode, output, errors) == (130, b"", b"")
        assert len(started) > 3, "a head, a node and workers were expected"
        _, alive = psutil.wait_procs(started, timeout=20)
        assert alive == []

    return end
