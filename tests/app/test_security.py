"""Who may ask, and what the log has."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import httpx
import pytest
from fastapi import FastAPI

from kalamos.app.api import create_app
from kalamos.errors import UsageError


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


LISTED = "https://forms.example:8443"


@pytest.fixture(scope="module")
def shared(registry, ask_of: Callable) -> Iterator[httpx.Client]:
    """A server that another site's pages may use."""
    with ask_of(create_app(registry, origins=[f"{LISTED.upper()}/"])) as client:
        yield client


def test_a_listed_sites_page(shared: httpx.Client, one: bytes) -> None:
    asked = {"origin": LISTED, "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "content-type"
    preflight = shared.options("/v1/predict", headers=asked)
    assert preflight.status_code == 200
    assert preflight.headers["access-control-allow-origin"] == LISTED
    assert "POST" in preflight.headers["access-control-allow-methods"]
    assert "access-control-allow-credentials" not in preflight.headers, "never a cookie"
    own_network = shared.options(
        "/v1/predict", headers=asked | {"access-control-request-private-network": "true"}
    )
    assert own_network.headers["access-control-allow-private-network"] == "true"
    answer = shared.post("/v1/predict", files={"image": ("a", one)}, headers={"origin": LISTED})
    assert answer.json()["results"][0]["label"] == "1"
    assert answer.headers["access-control-allow-origin"] == LISTED
    assert "Origin" in answer.headers["vary"]
    assert "X-Request-ID" in answer.headers["access-control-expose-headers"]
    refused = shared.post("/v1/predict", files={"picture": ("a", one)}, headers={"origin": LISTED})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (422, LISTED)


@pytest.mark.parametrize(
    "origin",
    ["https://forms.example", "http://forms.example:8443", "https://forms.example:8443.evil.example", "null",
     "https://a.forms.example:8443"],
)  # fmt: skip
def test_no_other_sites_page(shared: httpx.Client, one: bytes, origin: str) -> None:
    answer = shared.post("/v1/predict", files={"image": ("a", one)}, headers={"origin": origin})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "foreign_origin")
    preflight = shared.options(
        "/v1/predict", headers={"origin": origin, "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 400
    for headers in (answer.headers, preflight.headers, shared.get("/v1/models").headers):
        assert "access-control-allow-origin" not in headers


def test_a_listed_site_still_needs_the_servers_name(shared: httpx.Client) -> None:
    answer = shared.get("/v1/models", headers={"origin": LISTED, "host": "evil.example"})
    assert answer.status_code == 421


@pytest.mark.parametrize(
    "origin", ["*", "null", "", "forms.example", "https://", "https://a/path", "https://*.a"]
)
def test_what_is_no_origin(registry, origin: str) -> None:
    with pytest.raises(UsageError, match="no origin of one site"):
        create_app(registry, origins=[origin])


def test_below_a_path_of_another_application(registry, ask_of: Callable, one: bytes) -> None:
    outer = FastAPI()
    inner = create_app(registry, tokens=("a-token-of-some-length",))
    outer.mount("/reading", inner)
    outer.state.end_page = lambda: None
    with ask_of(outer) as client:
        assert client.get("/reading/health").json()["status"] == "ok"
        assert client.get("/reading/v1/models").status_code == 401
        kind = {"content-type": "image/png", "authorization": "Bearer a-token-of-some-length"}
        answer = client.post("/reading/v1/predict", content=one, headers=kind)
        assert answer.json()["results"][0]["label"] == "1"
        assert answer.headers["cache-control"] == "no-store", "the headers of the API, not of a page"
        figures = client.get("/reading/metrics", headers=kind).text
    assert 'route="/v1/predict",status="200"' in figures


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
