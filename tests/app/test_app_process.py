"""`kalamos app` as a process: what it leaves on the disk when it is ended, and when it is killed."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

pytestmark = [
    pytest.mark.skipif(not find_spec("gradio"), reason="needs the extra 'app'"),
    pytest.mark.skipif(os.name == "nt", reason="Windows has neither signal"),
]


@contextmanager
def app(folder: Path, corrections: Path) -> Iterator[tuple[subprocess.Popen[str], httpx.Client]]:
    command = [sys.executable, "-m", "kalamos", "app", "--port", "0", "-q", "-m", "digits", "--timeout", "5"]
    with subprocess.Popen(
        [*command, "--corrections", str(corrections)],
        env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as run:
        try:
            assert run.stdout is not None
            address = run.stdout.readline().split()[5]
            with httpx.Client(base_url=address, timeout=60) as client:
                client.get("/config")
                yield run, client
        finally:
            run.kill()


def upload(client: httpx.Client, content: bytes) -> Path:
    answer = client.post("/gradio_api/upload", files={"files": ("a.png", content)})
    assert answer.status_code == 200, answer.text
    return Path(answer.json()[0])


def half_an_upload(client: httpx.Client) -> socket.socket:
    url = urlsplit(str(client.base_url))
    connection = socket.create_connection((url.hostname or "", url.port or 0))
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {url.netloc}\r\n"
        f"Cookie: kalamos_session={client.cookies['kalamos_session']}\r\nContent-Length: 90000\r\n"
        "Content-Type: multipart/form-data; boundary=x\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="files"; filename="b.png"\r\n\r\n'
    )
    connection.sendall(head.encode() + bytes(10_000))
    return connection


def lines(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_a_killed_ones_folder_is_swept_and_an_ended_one_leaves_nothing(tmp_path: Path, one: bytes) -> None:
    folder, corrections = tmp_path / "temporary", tmp_path / "corrections"
    folder.mkdir()
    with app(folder, corrections) as (killed, client):
        left = upload(client, one)
        assert left.is_relative_to(folder.resolve())
        killed.send_signal(signal.SIGKILL)
        killed.wait(30)
    assert left.exists()
    with app(folder, corrections) as (ended, client):
        assert not left.exists()
        path = upload(client, one)
        with closing(half_an_upload(client)):
            until = time.monotonic() + 20
            while len(list(path.parents[1].rglob("*.png"))) < 2 and time.monotonic() < until:
                time.sleep(0.05)
            assert len(list(path.parents[1].rglob("*.png"))) == 2
            ended.send_signal(signal.SIGTERM)
            ended.wait(60)
    assert [name for name in lines(folder) if "kalamos" in name] == []
    assert list(folder.glob("kalamos*")) == []
