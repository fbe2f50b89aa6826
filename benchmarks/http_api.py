"""What the HTTP API costs: clients that ask again as soon as they are answered, beside a bare route.

Each client keeps one connection, sends PNGs of 28x28 and checks each answer. `/health` is the floor: what
the server takes to answer anything. The clients share the processors with the server.
"""

from __future__ import annotations

import asyncio
import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle

import cv2
import numpy as np
import psutil
from figures import Row, at_least, at_most
from pictures import small_digits
from processes import Figures

import kalamos

__all__ = ["measure"]

MANY = 16
"""Clients at once."""

WARM_UP = 2.0
"""Seconds."""

OURS, FLOOR = "`/v1/predict`", "`/health`"

Request = tuple[bytes, str | None]
"""What is sent, and the label that it is to be answered with; None where any answer will do."""


@dataclass
class Tally:
    """One load's outcome."""

    latencies: list[float] = field(default_factory=list)
    lost: int = 0
    seconds: float = 0.0

    @property
    def sent(self) -> int:
        return len(self.latencies)

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.sent / self.seconds

    def milliseconds(self, share: float) -> float:
        return 1000 * float(np.percentile(self.latencies, share))


def pictures(count: int) -> list[tuple[bytes, str | None]]:
    """Drawn digits as PNG, 28x28, dark on white, with what they are read as."""
    encoded = [cv2.imencode(".png", 255 - image)[1].tobytes() for image in small_digits(count)]
    return [
        (png, result.label)
        for png, result in zip(encoded, kalamos.load("digits").predict_batch(encoded), strict=True)
    ]


def form(image: bytes) -> bytes:
    body = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\n%b\r\n--x--\r\n' % image
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


async def client(port: int, requests: list[Request], end: float, tally: Tally) -> None:
    """`requests` over and over; an answer that lacks the label counts as lost."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for request, label in cycle(requests):
        started = time.perf_counter()
        if started >= end:
            break
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        found = re.search(rb"content-length: (\d+)", head)
        body = await reader.readexactly(int(found[1]) if found else 0)
        tally.latencies.append(time.perf_counter() - started)
        if label is not None:
            answered = [row["label"] for row in json.loads(body).get("results", [])]
            tally.lost += answered != [label]
    writer.close()


async def load(port: int, clients: int, seconds: float, requests: list[Request]) -> Tally:
    tally, started = Tally(), time.perf_counter()
    turned = [requests[i % len(requests) :] + requests[: i % len(requests)] for i in range(clients)]
    await asyncio.gather(*(client(port, mine, started + seconds, tally) for mine in turned))
    tally.seconds = time.perf_counter() - started
    return tally


def measure(repeats: int, seconds: float) -> tuple[list[Row], str]:
    """One client, and `MANY` for `seconds` in all, in turn with the floor; and what became of it all."""
    requests: list[Request] = [(form(image), label) for image, label in pictures(64)]
    health: list[Request] = [(b"GET /health HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", None)]
    loads = {
        (clients, asked): (clients, share * seconds / repeats, health if asked == FLOOR else requests)
        for clients, asked, share in ((1, FLOOR, 0.1), (1, OURS, 0.1), (MANY, FLOOR, 0.3), (MANY, OURS, 1))
    }
    tallies: dict[tuple[int, str], list[Tally]] = {name: [] for name in loads}
    with server() as (process, port):
        asyncio.run(load(port, MANY, WARM_UP, requests))
        memory = process.memory_info().rss
        for _ in range(repeats):
            for name, asked in loads.items():
                tallies[name].append(asyncio.run(load(port, *asked)))
        grown = process.memory_info().rss - memory
    rate = Figures(tuple(each.rate for each in tallies[MANY, OURS]))
    floor = Figures(tuple(each.rate for each in tallies[MANY, FLOOR]))
    wanted = at_least(800, rate.median, "/s")
    rows = [
        *(_latency(tallies, 1, share) for share in (50, 99)),
        Row(f"HTTP, {MANY} clients", rate, "images/s", FLOOR, floor, wanted),
        *(_latency(tallies, MANY, share) for share in (50, 95, 99)),
    ]
    answered = tallies[1, OURS] + tallies[MANY, OURS]
    sent, lost = (sum(counts) for counts in zip(*((each.sent, each.lost) for each in answered), strict=True))
    return rows, (
        f"n = {repeats} repeats in turn; {sent:,} requests, {MANY} clients' for {seconds:g} s in all, {lost} "
        f"of them lost or answered wrongly; the server's memory: {memory / 2**20:.0f} MiB after a warm-up, "
        f"{grown / 2**20:+.1f} MiB"
    )


def _latency(tallies: dict[tuple[int, str], list[Tally]], clients: int, share: int) -> Row:
    ours, floor = (
        Figures(tuple(each.milliseconds(share) for each in tallies[clients, asked]))
        for asked in (OURS, FLOOR)
    )
    wanted = at_most(60, ours.median, " ms") if (clients, share) == (MANY, 95) else ""
    who = "1 client" if clients == 1 else f"{clients} clients"
    return Row(f"HTTP, {who}, p{share}", ours, "ms", FLOOR, floor, wanted)
