"""Many at once: what is read together, what waits, what is told when nothing more can wait."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
import psutil
import pytest

import kalamos
from kalamos.app import batching
from kalamos.app.api import create_app
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.errors import KalamosError, ModelError, ModelNotFoundError
from kalamos.predict_options import PredictOptions
from kalamos.zoo import model_path, names

SAMPLES = Path(__file__).parents[2] / "samples"
CLIENTS = 16


class Slow:
    """A reader that does not begin before it is let, and notes how many images come together."""

    def __init__(self, registry: ModelRegistry) -> None:
        self._reader = registry.get("digits")
        self.go = threading.Event()
        self.sizes: list[int] = []
        self.heights: list[set[int]] = []

    def predict_batch(self, images: list[np.ndarray], options: PredictOptions) -> kalamos.Results:
        self.go.wait(20)
        self.sizes.append(len(images))
        self.heights.append({len(image) for image in images})
        return self._reader.predict_batch(images, options)


@pytest.fixture
def slow(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> Slow:
    """The digits on another shelf's hook, held up until `go` is set."""
    reader = Slow(registry)
    monkeypatch.setattr(registry, "get", lambda name: reader)
    return reader


class Held:
    """A reader whose photographs and batches wait until they are let, and which counts its images."""

    def __init__(self, reader: kalamos.Recognizer, seconds_each: float = 0) -> None:
        self._reader, self._seconds = reader, seconds_each
        self.min_decode_pixels = reader.min_decode_pixels
        self.go, self.read = threading.Event(), 0

    def predict(self, image: np.ndarray, options: PredictOptions) -> kalamos.Prediction:
        self.read += 1
        self.go.wait(20)
        return self._reader.predict(image, options)

    def predict_batch(self, images: list[np.ndarray], options: PredictOptions) -> kalamos.Results:
        self.read += len(images)
        if self._seconds:
            time.sleep(self._seconds * len(images))
        else:
            self.go.wait(20)
        return self._reader.predict_batch(images, options)


@pytest.fixture(scope="module")
def two() -> ModelRegistry:
    """Two models."""
    return ModelRegistry(["digits", "latin"])


def photograph() -> bytes:
    noise = np.random.default_rng(1).integers(200, 255, (600, 600)).astype(np.uint8)
    noise[100:500, 270:330] = 0
    encoded = cv2.imencode(".png", noise)[1].tobytes()
    assert len(encoded) > 100_000
    return encoded


def post(address: str, images: list[bytes], **options: str) -> httpx.Response:
    files = [("image", ("a", image)) for image in images]
    return httpx.post(f"{address}/v1/predict", files=files, data=options, timeout=30)


def waiting(address: str) -> int:
    return int(httpx.get(f"{address}/health", timeout=10).json()["waiting"])


def test_what_is_given_up_is_not_worked_on(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, start: Callable, one: bytes
) -> None:
    held = Held(registry.get("digits"))
    monkeypatch.setattr(registry, "get", lambda name: held)
    with start(create_app(registry, Limits(seconds=1))) as address:
        assert post(address, [one] * 200).status_code == 504
        # The one batch that the model is in; 200 in the old days.
        assert waiting(address) == held.read <= 64
        before = held.read
        held.go.set()
        until(lambda: waiting(address) == 0)
        time.sleep(0.2)
        assert held.read == before
        assert post(address, [one]).status_code == 200


def test_a_client_that_has_gone_is_not_worked_for(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, start: Callable, one: bytes
) -> None:
    held = Held(registry.get("digits"), seconds_each=0.05)
    monkeypatch.setattr(registry, "get", lambda name: held)
    with start(create_app(registry)) as address:
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{address}/v1/predict", files=[("image", ("a", one))] * 250, timeout=1)
        until(lambda: waiting(address) == 0)
        assert held.read < 100
        time.sleep(1)
        assert held.read < 100


def test_a_slow_model_holds_up_no_other(
    two: ModelRegistry, monkeypatch: pytest.MonkeyPatch, start: Callable, one: bytes
) -> None:
    get, slow = two.get, Held(two.get("digits"))
    monkeypatch.setattr(two, "get", lambda name: slow if name == "digits" else get(name))
    with start(create_app(two)) as address, ThreadPoolExecutor(4) as pool:
        stuck = [pool.submit(post, address, [photograph()] * 8 + [one], model="digits") for _ in range(4)]
        until(lambda: waiting(address) == 36)
        time.sleep(0.5)
        for images in ([photograph()], [one]):
            assert post(address, images, model="latin").status_code == 200
        slow.go.set()
        assert [answer.result().status_code for answer in stuck] == [200] * 4


def test_slow_photographs_of_one_request_do_not_hold_up_another(
    registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch, start: Callable, one: bytes
) -> None:
    get, images = batching.decode_grey, [photograph()] * 20
    go = threading.Event()

    def slowly(content: bytes, **options: Any) -> np.ndarray:
        if options["where"] == "slow":
            go.wait(20)
        return get(content, **options)

    monkeypatch.setattr(batching, "decode_grey", slowly)
    with start(create_app(registry)) as address, ThreadPoolExecutor(1) as pool:
        files = [("image", ("slow", image)) for image in images]
        stuck = pool.submit(httpx.post, f"{address}/v1/predict", files=files, timeout=30)
        until(lambda: waiting(address) == 20)
        time.sleep(0.3)
        assert post(address, [one, photograph()]).status_code == 200
        go.set()
        assert stuck.result().status_code == 200


def test_requests_take_turns(registry: ModelRegistry, slow: Slow, start: Callable, one: bytes) -> None:
    """The one image of the second request is read among those of the first, which waits since before it."""
    page = cv2.imdecode(np.frombuffer(one, np.uint8), cv2.IMREAD_GRAYSCALE)
    tall = cv2.imencode(".png", np.pad(page, ((9, 9), (0, 0)), mode="edge"))[1].tobytes()
    with start(create_app(registry)) as address, ThreadPoolExecutor(2) as pool:
        long = pool.submit(post, address, [one] * 120)
        until(lambda: waiting(address) == 120)
        short = pool.submit(post, address, [tall])
        until(lambda: waiting(address) == 121)
        slow.go.set()
        assert [answer.result().status_code for answer in (long, short)] == [200, 200]
    [found] = [index for index, heights in enumerate(slow.heights) if len(page) + 18 in heights]
    assert found <= 2, "it waits for the batch under way and one more, not for all of the other request"
    assert found < len(slow.heights) - 1


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


def test_waiting_requests_are_read_together(registry, slow: Slow, ask_of: Callable, one: bytes) -> None:
    with ask_of(create_app(registry)) as client, ThreadPoolExecutor(20) as pool:

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


def test_a_full_queue_is_told_and_empties(registry, slow: Slow, ask_of: Callable, one: bytes) -> None:
    limits = Limits(queue=3, images=3)
    with ask_of(create_app(registry, limits)) as client, ThreadPoolExecutor(3) as pool:

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


def test_what_takes_too_long_is_given_up(registry, slow: Slow, ask_of: Callable, one: bytes) -> None:
    with ask_of(create_app(registry, Limits(seconds=1))) as client:
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


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copy(model_path("digits"), tmp_path / "mine.onnx"))


def test_all_shipped_models_by_default() -> None:
    registry = ModelRegistry()
    assert registry.names() == names()
    assert registry.default == "digits"
    assert registry.spec("digits").name == "digits"


def test_the_first_named_is_the_default(copied: Path) -> None:
    registry = ModelRegistry([copied, "digits"])
    assert (registry.default, registry.names()) == ("mine", ("mine", "digits"))
    assert "mine" in registry
    assert "other" not in registry


@pytest.mark.parametrize("wrong", [[], ["digit"], ["no-such.onnx"]])
def test_what_is_not_there_is_told_at_once(wrong: list[str]) -> None:
    with pytest.raises(ModelNotFoundError, match="digits"):
        ModelRegistry(wrong)


def test_a_bad_file_is_told_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(ModelError, match="bad"):
        ModelRegistry([bad])


def test_names_stay_apart(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    other = shutil.copy(copied, tmp_path / "more")
    registry = ModelRegistry([copied, copied, other, "digits"])
    assert registry.names() == ("mine", "mine-2", "digits")


def test_many_threads_get_one_reader() -> None:
    registry = ModelRegistry(["digits"])
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(registry.get("digits"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(reader) for reader in found}) == 1


def test_a_file_that_goes_bad_is_an_error_each_time(copied: Path) -> None:
    registry = ModelRegistry([copied])
    copied.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(KalamosError):
            registry.get("mine")
