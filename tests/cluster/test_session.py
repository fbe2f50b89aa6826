"""Addresses that lead to no cluster, told within seconds."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time

import pytest

from kalamos.cluster.session import check_address, uninterrupted
from kalamos.errors import UsageError


@pytest.mark.parametrize(
    "address", ["", "host", "host:", ":6379", "host:x", "host:0", "host:70000", "host:-1"]
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="is not the address of a Ray cluster; give HOST:PORT"):
        check_address(address)


def test_a_ray_client_s_address_is_refused() -> None:
    with pytest.raises(UsageError, match="run the command on a machine of the cluster"):
        check_address("ray://head:10001")


def test_nobody_there_is_told_at_once() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    started = time.monotonic()
    for address in (f"127.0.0.1:{port}", f"no-such-host.invalid:{port}"):
        with pytest.raises(UsageError, match=r"no Ray cluster can be reached .*; start one with"):
            check_address(address)
    assert time.monotonic() - started < 20


def test_without_ray_it_says_what_to_install() -> None:
    program = (
        "import sys; sys.modules['ray'] = None\n"
        "sys.argv = ['kalamos', 'predict', 'x.png', '--engine', 'ray']\n"
        "from kalamos.cli import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == (
        "kalamos: the engine 'ray' needs ray, not installed here; "
        "install it with: pip install 'kalamos[cluster]'\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_what_must_end_is_interrupted_when_it_has_ended(number: signal.Signals) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt(number)

    done = []

    def end() -> None:
        with uninterrupted():
            signal.raise_signal(number)
            done.append(number)

    before = signal.signal(number, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            end()
        assert done == [number]
        with uninterrupted():
            pass
        with pytest.raises(KeyboardInterrupt):  # as it was
            signal.raise_signal(number)
    finally:
        signal.signal(number, before)


def test_another_thread_is_not_interrupted_anyway() -> None:
    handlers = []

    def work() -> None:
        with uninterrupted():
            handlers.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert handlers == [signal.getsignal(signal.SIGINT)]
