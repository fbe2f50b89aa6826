"""Who may ask where there is a token."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from kalamos.app import tokens as tokens_module
from kalamos.app.api import create_app
from kalamos.app.schema import Failure
from kalamos.app.tokens import read_tokens
from kalamos.errors import UsageError

OLD, NEW = "the-old-token-1234", "the-new-token~5678="
ORIGIN = "https://forms.example"


@pytest.fixture(scope="module")
def guarded(registry, ask_of: Callable) -> Iterator[httpx.Client]:
    with ask_of(create_app(registry, tokens=(OLD, NEW), origins=(ORIGIN,))) as client:
        yield client


def bearer(token: str, scheme: str = "Bearer") -> dict[str, str]:
    return {"authorization": f"{scheme} {token}"}


@pytest.mark.parametrize("headers", [bearer(OLD), bearer(NEW), bearer(OLD, "bearer"), bearer(f" {NEW}")])
def test_a_good_token(guarded: httpx.Client, one: bytes, headers: dict[str, str]) -> None:
    answer = guarded.post("/v1/predict", files={"image": ("a", one)}, headers=headers)
    assert answer.json()["results"][0]["label"] == "1"


@pytest.mark.parametrize(
    "path",
    ["/v1/models", "/v1/models/digits", "/v1/forms", "/metrics", "/docs", "/openapi.json", "/", "/nothing",
     "//health", "/health/", "/HEALTH"],
)  # fmt: skip
def test_nothing_is_told_without_one(guarded: httpx.Client, path: str) -> None:
    answer = guarded.get(path)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="kalamos"'
    error = Failure.model_validate_json(answer.content, strict=True).error
    assert (error.code, error.request_id) == ("unauthorized", answer.headers["x-request-id"])


@pytest.mark.parametrize(
    "value",
    ["", "Bearer", OLD, f"Basic {OLD}", f"Bearer {OLD[:-1]}", f"Bearer {OLD}x", f"Bearer {OLD} {NEW}",
     f"Bearer {OLD.upper()}", "Bearer \xe9\xff", f"Bearer {OLD}, Bearer {NEW}"],
)  # fmt: skip
def test_a_wrong_one(guarded: httpx.Client, one: bytes, value: str) -> None:
    headers = {"authorization": value.encode("latin-1")}
    answer = guarded.post("/v1/predict", files={"image": ("a", one)}, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == 'Bearer realm="kalamos", error="invalid_token"'
    assert OLD not in answer.text


def test_two_headers_are_one_too_many(guarded: httpx.Client) -> None:
    pair = [("authorization", f"Bearer {OLD}"), ("authorization", f"Bearer {NEW}")]
    assert guarded.get("/v1/models", headers=pair).status_code == 401


def test_whoever_looks_whether_it_lives_needs_none(guarded: httpx.Client) -> None:
    assert guarded.get("/health").json()["status"] == "ok"


def test_a_large_body_without_one_is_answered_and_not_read(guarded: httpx.Client) -> None:
    answer = guarded.post("/v1/predict", content=bytes(5_000_000), headers={"content-type": "image/png"})
    assert answer.status_code == 401
    assert answer.headers["connection"] == "close"


def test_another_sites_page_may_see_that_its_token_is_wrong(guarded: httpx.Client, one: bytes) -> None:
    asked = {"origin": ORIGIN, "access-control-request-method": "POST"}
    asked["access-control-request-headers"] = "authorization, content-type"
    preflight = guarded.options("/v1/predict", headers=asked)
    assert preflight.status_code == 200
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    wrong = guarded.post("/v1/predict", content=one, headers={"origin": ORIGIN, "content-type": "image/png"})
    assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (401, ORIGIN)


def test_the_document_says_so(guarded: httpx.Client, client: httpx.Client) -> None:
    document = guarded.get("/openapi.json", headers=bearer(OLD)).json()
    assert document["components"]["securitySchemes"] == {"token": {"type": "http", "scheme": "bearer"}}
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert ("401" in operation["responses"]) == (path != "/health") == ("security" in operation)
    open_one = client.get("/openapi.json").json()
    assert "securitySchemes" not in open_one["components"]
    assert "401" not in open_one["paths"]["/v1/predict"]["post"]["responses"]


def test_every_token_is_compared_in_constant_time(registry, ask_of: Callable, monkeypatch) -> None:
    compared = []

    def compare(first: bytes, second: bytes) -> bool:
        compared.append((len(first), len(second)))
        return first == second

    monkeypatch.setattr(tokens_module.hmac, "compare_digest", compare)
    with ask_of(create_app(registry, tokens=(OLD, NEW))) as client:
        assert client.get("/v1/models", headers=bearer(OLD)).status_code == 200
        assert client.get("/v1/models", headers=bearer("x")).status_code == 401
    assert compared == [(32, 32)] * 4, "of each token, and of digests of one length"


def test_a_page_cannot_have_one(registry) -> None:
    with pytest.raises(UsageError, match="a browser sends no token"):
        create_app(registry, page=object(), tokens=(OLD,))  # type: ignore[arg-type]


def test_a_file_of_tokens(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_bytes(f"\ufeff# until June\r\n{OLD}\r\n\r\n  {NEW}  \n".encode())
    assert read_tokens(path, {}) == (OLD, NEW)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "holds no token"),
        (b"# none\n\n", "holds no token"),
        (b"short\n", "fewer than 16"),
        (f"{OLD}\nwith a space in between".encode(), "other characters"),
        ("ein-schlüssel-mit-umlaut".encode(), "other characters"),
        (b"\xff" * 40, "not text"),
        (b"a" * 100_000, "too large"),
        (None, "No such file"),
    ],
)
def test_files_that_are_refused(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "tokens"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=told) as error:
        read_tokens(path, {})
    assert "tokens" in str(error.value)
    assert OLD not in str(error.value)
    assert "short" not in str(error.value)


def test_the_variable_is_taken_away_and_not_beside_a_file(tmp_path: Path) -> None:
    environment = {"KALAMOS_TOKEN": f"{OLD}\n", "HOME": "here"}
    assert read_tokens(None, environment) == (OLD,)
    assert environment == {"HOME": "here"}
    (tmp_path / "tokens").write_text(NEW)
    with pytest.raises(UsageError, match="leave out one"):
        read_tokens(tmp_path / "tokens", {"KALAMOS_TOKEN": OLD})
    with pytest.raises(UsageError, match="fewer than 16"):
        read_tokens(None, {"KALAMOS_TOKEN": ""})
    assert read_tokens(None, {}) == ()
