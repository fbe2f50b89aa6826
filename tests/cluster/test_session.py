"""Addresses that lead to no cluster, told within seconds."""

from __future__ import annotations

import socket
import subprocess
import sys
import time

import pytest

from kalamos.cluster.session import check_address
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
