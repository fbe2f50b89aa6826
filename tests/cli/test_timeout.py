"""An image that takes long is given up, and whoever wants to end the command meanwhile is heard."""

from __future__ import annotations

import csv
import io
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

SIDE = 5000


def slow_jpeg(scans: int) -> bytes:
    """A progressive JPEG each of whose scans covers the whole picture, in some 40 bytes."""

    def segment(marker: int, body: bytes) -> bytes:
        return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body

    blocks = ((SIDE + 7) // 8) ** 2
    bits, left = "", blocks
    while left > 0:
        run = max(min(left, (1 << 15) - 1), 1 << 14)
        bits += "0" + format(run - (1 << 14), "014b")
        left -= run
    bits += "1" * (-len(bits) % 8)
    scan = segment(0xDA, bytes([1, 1, 0, 1, 63, 0]))
    scan += bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8)).replace(b"\xff", b"\xff\0")
    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(
        0xC2, struct.pack(">BHHB", 8, SIDE, SIDE, 1) + b"\1\x11\0"
    )
    head += segment(0xC4, b"\0\1" + bytes(15) + b"\0") + segment(0xC4, b"\x10\1" + bytes(15) + b"\xe0")
    first = segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes((blocks + 7) // 8)
    return b"\xff\xd8" + head + first + scan * scans + b"\xff\xd9"


def test_what_takes_long_is_a_row_among_others(process, samples: Path, tmp_path: Path) -> None:
    (tmp_path / "slow.jpg").write_bytes(slow_jpeg(10_000))
    quick = (samples / "0-pen.png").read_bytes()
    for name in ("a.png", "z.png"):
        (tmp_path / name).write_bytes(quick)
    start = time.monotonic()
    done = process("predict", str(tmp_path), "-f", "csv", "--timeout", "1")
    assert time.monotonic() - start < 20  # it would be more than a minute
    assert done.code == 1
    first, slow, last = csv.DictReader(io.StringIO(done.out.decode()))
    assert first["label"] == last["label"] == "0"
    assert "slow.jpg: decoding it takes too long" in slow["error"]


@pytest.mark.parametrize("timeout", ["0", "-1", "x", "3601"])
def test_a_timeout_out_of_range_is_wrong_usage(process, samples: Path, timeout: str) -> None:
    assert process("predict", str(samples), "--timeout", timeout).code == 2


@pytest.mark.skipif(sys.platform != "linux", reason="finds and halts the worker through /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("others", [0, 100], ids=["alone", "among many"])
def test_an_interruption_is_heard_while_decoding(
    samples: Path, tmp_path: Path, number: signal.Signals, others: int
) -> None:
    """The decoder hangs: its process is halted."""
    page = np.full((2000, 2000), 255, np.uint8)
    for each in range(20):
        cv2.imwrite(str(tmp_path / f"a{each}.tif"), page)
    for each in range(others):
        (tmp_path / f"{each}.png").write_bytes((samples / "0-pen.png").read_bytes())
    command = [sys.executable, "-m", "kalamos", "predict", str(tmp_path), "-o", str(tmp_path / "out.csv")]
    running = subprocess.Popen([*command, "--timeout", "300"], stderr=subprocess.PIPE, text=True)
    for worker in children_of(running):
        os.kill(worker, signal.SIGSTOP)
    time.sleep(1)
    assert running.poll() is None
    start = time.monotonic()
    running.send_signal(number)
    _, errors = running.communicate(timeout=30)
    assert time.monotonic() - start < 5  # a second, on a machine that does nothing else
    assert running.returncode == 128 + number
    assert "Traceback" not in errors
    assert not (tmp_path / "out.csv").exists()


def children_of(process: subprocess.Popen[str]) -> list[int]:
    """The first child processes that a process starts, once they have had a moment."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        found = [
            int(child)
            for listed in Path(f"/proc/{process.pid}/task").glob("*/children")
            for child in listed.read_text().split()
        ]
        if found:
            time.sleep(0.1)
            return found
        time.sleep(0.01)
    raise AssertionError("no worker was started")
