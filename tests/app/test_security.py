"""Who may ask, and what the log has."""

from __future__ import annotations

import logging
from collections.abc import Callable

import httpx
import pytest

from kalamos.app.api import create_app


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST:99", "127.0.0.1", "127.0.0.1:7860", "[::1]", "[::1]:80"]
)
def test_names_of_this_machine(client: httpx.Client, host: str) -> None:
    assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "example.com",
        "127.0.0.1.example.com",
        "localhost.example.com",
        "",
        "[::1",
        "evil:127.0.0.1",
        "@localhost",
    ],
)
def test_other_names(client: httpx.Client, host: str) -> None:
    answer = client.get("/health", headers={"host": host})
    assert (answer.status_code, answer.json()["error"]["code"]) == (421, "unknown_host")


def test_a_server_for_others_takes_any_name(registry, ask_of: Callable) -> None:
    with ask_of(create_app(registry, hosts=None)) as client:
        assert client.get("/health", headers={"host": "digits.example.com"}).status_code == 200


def test_other_sites_pages(client: httpx.Client, one: bytes) -> None:
    files = {"image": ("a.png", one)}
    for origin in ("http://example.com", "null", "http://localhost:1", "https://127.0.0.1.example.com"):
        answer = client.post("/v1/predict", files=files, headers={"origin": origin})
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin"), origin
        # What changes nothing is answered, but the browser does not show it to that page.
        answer = client.get("/v1/models", headers={"origin": origin})
        assert answer.status_code == 200
        assert not [name for name in answer.headers if name.startswith("access-control-allow-origin")]
    own = str(client.base_url)
    assert client.post("/v1/predict", files=files, headers={"origin": own}).status_code == 200


def test_no_origin_is_told_that_it_may(client: httpx.Client) -> None:
    asked = {"origin": "http://example.com", "access-control-request-method": "POST"}
    answer = client.options("/v1/predict", headers=asked)
    assert answer.status_code >= 400
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/health", "/docs", "/nothing", "/v1/predict"])
def test_every_answer_has_its_headers(client: httpx.Client, path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert "frame-ancestors 'self'" in headers["content-security-policy"]
    assert headers["x-request-id"] != client.get(path).headers["x-request-id"]
    assert "server" not in headers


def test_the_log_has_ids_but_no_names(client: httpx.Client, one: bytes, caplog) -> None:
    caplog.set_level(logging.INFO, logger="kalamos.app")
    answer = client.post("/v1/predict", files={"image": ("private-name.png", one)}, data={"charset": "0123"})
    client.get("/v1/predict/private-path")
    client.get("/v1/models?private=query")
    text = caplog.text
    assert answer.headers["x-request-id"] in text
    assert "POST /v1/predict 200" in text
    assert "private" not in text
    assert "0123" not in text.replace(answer.headers["x-request-id"], "")
