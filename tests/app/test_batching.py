"""Many at once: what is read together, what waits, what is told when nothing more can wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import psutil
import pytest

import kalamos
from kalamos.app.limits import Limits
from kalamos.app.models import ModelShelf
from kalamos.app.server import create_app

SAMPLES = Path(__file__).parents[2] / "samples"
CLIENTS = 16


class Slow:
    """A reader that does not begin before it is let, and notes how many images come together."""

    def __init__(self, shelf: ModelShelf) -> None:
        self._reader = shelf.get("digits")
        self.go = threading.Event()
        self.sizes: list[int] = []

    def predict_batch(self, images: list[np.ndarray], **options: object) -> kalamos.Results:
        self.go.wait(20)
        self.sizes.append(len(images))
        return self._reader.predict_batch(images, **options)


@pytest.fixture
def slow(shelf: ModelShelf, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The digits on another shelf's hook, held up until `go` is set."""
    reader = Slow(shelf)
    monkeypatch.setattr(shelf, "get", lambda name: reader)
    return reader


def drawn(count: int) -> list[tuple[bytes, str]]:
    """PNGs, no two alike, with what the model reads on each."""
    reader, pages = kalamos.load(), []
    for index in range(count):
        page = np.full((40, 40), 255, np.uint8)
        place = (8 + index % 5, 30 + index % 4)
        cv2.putText(page, str(index % 10), place, cv2.FONT_HERSHEY_DUPLEX, 1.0, 0, 1 + index % 3, cv2.LINE_AA)
        pages.append(cv2.imencode(".png", page)[1].tobytes())
    return [(page, str(row.label)) for page, row in zip(pages, reader.predict_batch(pages), strict=True)]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_sixteen_clients_at_once_lose_nothing_and_mix_nothing_up(client: httpx.Client) -> None:
    images = drawn(40)

    def ask(number: int) -> int:
        for turn in range(12):
            image, label = images[(number * 7 + turn) % len(images)]
            options = {"top_k": str(1 + (number + turn) % 3)}
            answer = client.post("/v1/predict", files={"image": (f"{number}", image)}, data=options)
            [row] = answer.json()["results"]
            assert (row["path"], row["label"]) == (str(number), label)
            assert len(row["top"]) == int(options["top_k"])
        return number

    with ThreadPoolExecutor(CLIENTS) as pool:
        assert sorted(pool.map(ask, range(CLIENTS))) == list(range(CLIENTS))
    assert client.get("/health").json()["waiting"] == 0


def test_waiting_requests_are_read_together(shelf, slow: Slow, ask_of: Callable, one: bytes) -> None:
    with ask_of(create_app(shelf)) as client, ThreadPoolExecutor(20) as pool:

        def ask(charset: str | None = None) -> httpx.Response:
            data = {"charset": charset} if charset else {}
            return client.post("/v1/predict", files={"image": ("a", one)}, data=data)

        answers = [pool.submit(ask) for _ in range(12)]
        answers += [pool.submit(ask, "digits") for _ in range(4)]
        until(lambda: client.get("/health").json()["waiting"] == 16)
        slow.go.set()
        assert [answer.result().json()["results"][0]["label"] for answer in answers] == ["1"] * 16
    assert sum(slow.sizes) == 16
    assert len(slow.sizes) < 8, "one batch at first, and one of each options then, at the most a few more"


def test_a_full_queue_is_told_and_empties(shelf, slow: Slow, ask_of: Callable, one: bytes) -> None:
    limits = Limits(queue=3, images=3)
    with ask_of(create_app(shelf, limits)) as client, ThreadPoolExecutor(3) as pool:

        def ask(count: int = 1) -> httpx.Response:
            files = [("image", ("a", one))] * count
            return client.post("/v1/predict", files=files)

        waiting = [pool.submit(ask), pool.submit(ask)]
        until(lambda: client.get("/health").json()["waiting"] == 2)
        refused = ask(2)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert refused.json()["error"]["code"] == "busy"
        waiting.append(pool.submit(ask))
        until(lambda: client.get("/health").json()["waiting"] == 3)
        assert ask().status_code == 429
        slow.go.set()
        assert [answer.result().status_code for answer in waiting] == [200] * 3
        assert ask(3).status_code == 200
        assert client.get("/health").json()["waiting"] == 0


def test_what_takes_too_long_is_given_up(shelf, slow: Slow, ask_of: Callable, one: bytes) -> None:
    with ask_of(create_app(shelf, Limits(seconds=1))) as client:
        answer = client.post("/v1/predict", files={"image": ("a", one)})
        assert (answer.status_code, answer.json()["error"]["code"]) == (504, "too_long")
        slow.go.set()
        until(lambda: client.get("/health").json()["waiting"] == 0)
        assert client.post("/v1/predict", files={"image": ("a", one)}).status_code == 200


def test_a_batch_of_many_images_keeps_its_order(client: httpx.Client) -> None:
    images = drawn(150)
    answer = client.post("/v1/predict", files=[("image", (str(i), im)) for i, (im, _) in enumerate(images)])
    rows = answer.json()["results"]
    assert [(row["path"], row["label"]) for row in rows] == [(str(i), la) for i, (_, la) in enumerate(images)]


def test_memory_stays_flat_over_a_thousand_predictions(client: httpx.Client) -> None:
    photo = next(SAMPLES.glob("*.jpg")).read_bytes()
    files = [("image", (str(i), image)) for i, (image, _) in enumerate(drawn(99))] + [("image", ("p", photo))]

    def ask(times: int) -> int:
        for _ in range(times):
            assert client.post("/v1/predict", files=files).status_code == 200
        return psutil.Process().memory_info().rss

    before = ask(3)
    assert ask(10) - before < 30_000_000
