"""What the HTTP API costs: clients that ask again as soon as they are answered, beside a bare route.

Usage: python benchmarks/http_api.py [--clients 16] [--seconds 30] [--images 1]

Prints images/s, latencies, the server's own CPU time an image and its memory. Each client keeps one
connection, sends PNGs of 28x28 and checks each answer. `/health` is the floor: what the server takes to
answer anything. On a busy machine CPU time and ratios tell more than the clock.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parent.parent / "samples"))
from make_samples import ink

TARGET = "at least 800 images/s, p95 below 60 ms, nothing lost"


@dataclass
class Tally:
    """One load's outcome."""

    latencies: list[float] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0
    cpu: float = 0.0
    """The server's, in seconds."""

    def told(self, images: int) -> str:
        p50, p95, p99 = (1000 * np.percentile(self.latencies, [50, 95, 99])).tolist()
        count = len(self.latencies) * images
        return (
            f"{count / self.seconds:,.0f} images/s; p50 {p50:.1f}, p95 {p95:.1f}, p99 {p99:.1f} ms; "
            f"{1e6 * self.cpu / count:,.0f} us of CPU an image; {self.lost} lost of {len(self.latencies):,}"
        )


def pictures(count: int) -> list[tuple[bytes, str]]:
    """Drawn digits as PNG, 28x28, with what they are."""
    drawn = []
    for index in range(count):
        digit = index % 10
        page = (255 - ink(str(digit), 10 + index % 5, size=112) * 255).astype(np.uint8)
        small = cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA)
        drawn.append((cv2.imencode(".png", small)[1].tobytes(), str(digit)))
    return drawn


def form(images: list[bytes]) -> bytes:
    parts = [
        b'--x\r\nContent-Disposition: form-data; name="image"; filename="%d.png"\r\n\r\n%b\r\n' % (i, image)
        for i, image in enumerate(images)
    ]
    body = b"".join([*parts, b"--x--\r\n"])
    return (
        b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
    )


@contextmanager
def server() -> Iterator[tuple[psutil.Process, int]]:
    command = [sys.executable, "-m", "kalamos", "app", "--api-only", "--port", "0", "-q"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            told = process.stdout.readline() if process.stdout else ""
            found = re.search(r":(\d+) ", told)
            if found is None:
                raise RuntimeError("the server did not start")
            yield psutil.Process(process.pid), int(found[1])
        finally:
            process.terminate()


async def client(port: int, requests: list[tuple[bytes, list[str] | None]], end: float, tally: Tally) -> None:
    """`requests` over and over, each with the labels it is to be answered with (None: any answer will do)."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    turn = 0
    while time.perf_counter() < end:
        request, labels = requests[turn % len(requests)]
        turn += 1
        started = time.perf_counter()
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(found[1]) if found else 0)
        tally.latencies.append(time.perf_counter() - started)
        if labels is not None:
            answered = [row["label"] for row in json.loads(body).get("results", [])]
            tally.lost += answered != labels
    writer.close()


async def load(
    port: int,
    process: psutil.Process,
    clients: int,
    seconds: float,
    requests: list[tuple[bytes, list[str] | None]],
) -> Tally:
    tally = Tally()
    before, started = process.cpu_times(), time.perf_counter()
    end = started + seconds
    shifted = [requests[i % len(requests) :] + requests[: i % len(requests)] for i in range(clients)]
    await asyncio.gather(*(client(port, mine, end, tally) for mine in shifted))
    after = process.cpu_times()
    tally.seconds = time.perf_counter() - started
    tally.cpu = after.user + after.system - before.user - before.system
    return tally


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--images", type=int, default=1, help="images a request")
    asked = parser.parse_args()
    drawn = pictures(64)
    groups = [drawn[i : i + asked.images] for i in range(0, len(drawn), asked.images)]
    requests: list[tuple[bytes, list[str] | None]] = [
        (form([image for image, _ in group]), [label for _, label in group]) for group in groups
    ]
    floor: list[tuple[bytes, list[str] | None]] = [(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", None)]
    with server() as (process, port):
        asyncio.run(load(port, process, asked.clients, 2, requests))  # a warm-up
        memory = process.memory_info().rss
        bare = asyncio.run(load(port, process, asked.clients, min(5.0, asked.seconds), floor))
        tally = asyncio.run(load(port, process, asked.clients, asked.seconds, requests))
        grown = (process.memory_info().rss - memory) / 2**20
    print(f"{asked.clients} clients, {asked.images} image(s) a request, {asked.seconds:g} s")
    print(f"predict: {tally.told(asked.images)}")
    print(f"/health: {bare.told(1)}")
    print(f"memory: {memory / 2**20:.0f} MiB after the warm-up, {grown:+.1f} MiB after the load")
    print(f"wanted: {TARGET}")


if __name__ == "__main__":
    main()
