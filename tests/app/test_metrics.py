"""What the server counts, and what it does not tell."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from kalamos.app.api import create_app
from kalamos.app.batching import ModelRegistry


def figures(client: httpx.Client) -> dict[tuple[str, ...], float]:
    """Each sample's value, by its name and its labels' values in the order of their names."""
    answer = client.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain; version=")
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_requests_are_counted_by_route_and_status(registry, ask_of: Callable, one: bytes) -> None:
    with ask_of(create_app(registry)) as client:
        for _ in range(3):
            client.post("/v1/predict", files={"image": ("a", one)})
        client.post("/v1/predict", files={"picture": ("a", one)})
        client.get("/v1/models/digits")
        client.get("/v1/models/private-name")
        client.get("/v1/private-path")
        client.delete("/v1/models")
        client.get("/health", headers={"host": "private.example"})
        counted = figures(client)
    requests = {key[1:]: value for key, value in counted.items() if key[0] == "kalamos_requests_total"}
    assert requests == {
        ("/v1/predict", "200"): 3,
        ("/v1/predict", "422"): 1,
        ("/v1/models/{name}", "200"): 1,
        ("/v1/models/{name}", "404"): 1,
        ("other", "404"): 1,
        ("other", "405"): 1,
        ("other", "421"): 1,
    }
    assert counted["kalamos_request_seconds_count", "/v1/predict"] == 4
    assert 0 < counted["kalamos_request_seconds_sum", "/v1/predict"] < 60
    assert not any("private" in part for key in counted for part in key)


def test_images_are_counted_by_what_became_of_them(
    registry, ask_of: Callable, one: bytes, blank: bytes
) -> None:
    with ask_of(create_app(registry)) as client:
        sent = [("image", ("a", content)) for content in (one, one, blank, b"text")]
        client.post("/v1/predict", files=sent)
        client.post("/v1/predict", files={"image": ("a", one)}, data={"min_confidence": "1"})
        page = cv2.imencode(".png", np.full((300, 300), 255, np.uint8))[1].tobytes()
        client.post("/v1/read", files=[("image", ("a", page)), ("image", ("b", b"text"))])
        counted = figures(client)
    assert {key[1:]: value for key, value in counted.items() if key[0] == "kalamos_images_total"} == {
        ("read", "/v1/predict"): 2,
        ("no_ink", "/v1/predict"): 1,
        ("unsupported_format", "/v1/predict"): 1,
        ("withheld", "/v1/predict"): 1,
        ("read", "/v1/read"): 1,
        ("unsupported_format", "/v1/read"): 1,
    }


def test_the_queue_is_told_while_it_is_worked_on(
    ask_of: Callable, one: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry = ModelRegistry(["digits"])
    begun, go_on, get = threading.Event(), threading.Event(), registry.get

    def held(name: str) -> object:
        begun.set()
        assert go_on.wait(30)
        return get(name)

    monkeypatch.setattr(registry, "get", held)
    with ask_of(create_app(registry)) as client, ThreadPoolExecutor(1) as others:
        answer = others.submit(client.post, "/v1/predict", files=[("image", ("a", one))] * 3)
        assert begun.wait(30)
        assert figures(client)["kalamos_queue_images",] == 3
        go_on.set()
        assert answer.result(30).status_code == 200
        after = figures(client)
    assert after["kalamos_queue_images",] == 0
    assert after["kalamos_queue_limit",] == 1024
    assert after["process_resident_memory_bytes",] > 0


def test_each_server_counts_for_itself(registry, ask_of: Callable) -> None:
    with ask_of(create_app(registry)) as first, ask_of(create_app(registry)) as second:
        first.get("/health")
        assert ("kalamos_requests_total", "/health", "200") in figures(first)
        assert ("kalamos_requests_total", "/health", "200") not in figures(second)


def test_openmetrics_where_it_is_asked_for(client: httpx.Client) -> None:
    answer = client.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")
