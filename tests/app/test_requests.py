"""Requests that are too large, too slow or broken off, over bare sockets where a client is too polite."""

from __future__ import annotations

import base64
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import QueryParams

from kalamos.app.api import create_app
from kalamos.app.errors import APIError, Limits
from kalamos.app.requests import (
    ImagesRequest,
    UploadedImage,
    checked_options,
    read_images_form,
    read_images_json,
    read_one_file,
)
from kalamos.app.schema import FormRequest, JsonRequest
from kalamos.errors import CorruptImageError
from kalamos.predict_options import PredictOptions

HEAD = b"POST /v1/predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: multipart/form-data; boundary=x\r\n"


@pytest.fixture(scope="module")
def strict(registry, start: Callable) -> Iterator[str]:
    """A server that takes 100 kB and has no patience."""
    with start(create_app(registry, Limits(upload_bytes=100_000, images=4, seconds=2))) as address:
        yield address


def connect(address: str) -> socket.socket:
    url = urlsplit(address)
    return socket.create_connection((url.hostname, url.port), timeout=20)


def answer_of(connection: socket.socket) -> tuple[int, dict[str, object], bytes]:
    """Status, JSON and head of what comes back until the server hangs up or all has come."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            break
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(
        int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
    )
    while len(body) < length:
        body += connection.recv(65536)
    return int(head[9:12]), json.loads(body[:length])["error"], head


def test_over_the_limit(strict: str, one: bytes) -> None:
    with httpx.Client(base_url=strict, timeout=20) as client:
        for size in (101_000, 5_000_000):
            answer = client.post("/v1/predict", files={"image": ("a.png", bytes(size))})
            assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
        answer = client.post("/v1/predict", files=[("image", ("a.png", one))] * 5)
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_many_images")
        assert client.post("/v1/predict", files={"image": ("a.png", one)}).status_code == 200


def test_over_the_limit_without_a_length(strict: str) -> None:
    def pieces() -> Iterator[bytes]:
        for _ in range(100):
            yield bytes(10_000)

    with httpx.Client(base_url=strict, timeout=20) as client:
        answer = client.post(
            "/v1/predict", content=pieces(), headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")


def test_an_endless_body_is_cut_off(strict: str) -> None:
    with closing(connect(strict)) as connection:
        connection.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
        assert pour(connection, 200_000_000) < 100_000_000


def pour(connection: socket.socket, most: int) -> int:
    """Send chunks until the server hangs up; how many bytes that were."""
    chunk, sent = b"186a0\r\n" + bytes(100_000) + b"\r\n", 0
    with suppress(OSError):
        while sent < most:
            connection.sendall(chunk)
            sent += len(chunk)
    return sent


def test_a_length_that_lies(strict: str) -> None:
    for length, status in ((10**15, 413), (99_999, 408)):
        with closing(connect(strict)) as connection:
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\nlittle" % length)
            got, error, head = answer_of(connection)
            assert got == status, error
            assert b"connection: close" in head.lower()
    with closing(connect(strict)) as connection:
        # More than it says is the start of the next request, and none that anyone understands.
        connection.sendall(HEAD + b"Content-Length: 3\r\n\r\n" + bytes(300_000))
        got, error, _ = answer_of(connection)
        assert (got, error["code"]) == (422, "invalid_multipart")


@pytest.mark.parametrize("length", [b"-1", b"1e3", b"x", b"1, 2"])
def test_a_length_that_is_none(strict: str, length: bytes) -> None:
    with closing(connect(strict)) as connection:
        connection.sendall(HEAD + b"Content-Length: " + length + b"\r\n\r\n")
        status, error, head = answer_of(connection)
        assert (status, error["code"]) == (400, "no_http")
        assert b"connection: close" in head.lower()


def test_a_client_that_is_too_slow(strict: str) -> None:
    with closing(connect(strict)) as connection:
        connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\n")
        started = time.monotonic()
        for _ in range(15):
            connection.sendall(b"a")
            time.sleep(0.1)
        status, error, _ = answer_of(connection)
        assert (status, error["code"]) == (408, "too_slow")
        assert time.monotonic() - started < 15


def test_a_client_that_goes_away_harms_nobody(strict: str, one: bytes) -> None:
    for _ in range(5):
        with closing(connect(strict)) as connection:
            connection.sendall(HEAD + b"Content-Length: 1000\r\n\r\nhalf")
    with httpx.Client(base_url=strict, timeout=20) as client:
        assert client.post("/v1/predict", files={"image": ("a.png", one)}).status_code == 200
        assert client.get("/health").json()["waiting"] == 0


def test_the_memory_of_bodies_is_shared(registry, start: Callable) -> None:
    with start(create_app(registry, Limits(upload_bytes=10_000, seconds=20))) as address:
        held = [connect(address) for _ in range(9)]
        for connection in held:
            connection.sendall(HEAD + b"Content-Length: 9999\r\n\r\n" + bytes(9_900))
            time.sleep(0.1)
        status, error, head = answer_of(held[-1])
        assert (status, error["code"]) == (429, "busy")
        assert b"retry-after" in head.lower()
        for connection in held:
            connection.close()
        time.sleep(0.5)
        # What was held is given back.
        with httpx.Client(base_url=address, timeout=20) as client:
            answer = client.post("/v1/predict", files={"image": ("a.png", bytes(9_000))})
            assert answer.status_code == 200


TYPE = "multipart/form-data; boundary=x"


def part(name: str, content: bytes = b"", filename: str | None = None) -> bytes:
    told = f'; filename="{filename}"' if filename is not None else ""
    head = f'Content-Disposition: form-data; name="{name}"{told}'.encode()
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


class Asked(NamedTuple):
    images: list[UploadedImage]
    model: str | None
    options: PredictOptions


def asked(request: ImagesRequest[Any]) -> Asked:
    return Asked(request.images, request.fields.model, checked_options(request.fields))


def read_form(body: bytes, content_type: str, *, most: int) -> Asked:
    return asked(read_images_form(body, content_type, FormRequest, most=most))


def read_json(body: bytes, *, most: int) -> Asked:
    return asked(read_images_json(body, JsonRequest, most=most))


def form(*parts: bytes, most: int = 4) -> Asked:
    return read_form(b"".join(parts) + b"--x--\r\n", TYPE, most=most)


def as_json(value: object, most: int = 4) -> Asked:
    return read_json(json.dumps(value).encode(), most=most)


def refused(status: int, code: str):
    class Check:
        def __enter__(self) -> Check:
            self.raises = pytest.raises(APIError)
            self.info = self.raises.__enter__()
            return self

        def __exit__(self, *given: object) -> bool:
            done = bool(self.raises.__exit__(*given))
            assert (self.info.value.status, self.info.value.code) == (status, code), self.info.value
            return done

    return Check()


def test_a_form_with_images_and_options() -> None:
    wish = form(part("image", b"\x89PNG", "حرف.png"), part("images", b"2"), part("top_k", b"3"))
    assert [(u.content, u.name, u.where) for u in wish.images] == [
        (b"\x89PNG", "حرف.png", "حرف.png"),
        (b"2", None, "image 2"),
    ]
    assert wish.options.top_k == 3


def test_json_with_images_of_all_kinds() -> None:
    data = base64.b64encode(b"abc").decode()
    images = [data, {"data": f"data:image/png;base64,{data}", "name": "a.png"}, {"data": data, "name": None}]
    wish = as_json({"images": images, "charset": "digits", "min_confidence": 1})
    assert [u.content for u in wish.images] == [b"abc"] * 3
    assert [u.name for u in wish.images] == [None, "a.png", None]
    assert (wish.options.charset, wish.options.min_confidence) == ("digits", 1.0)


@pytest.mark.parametrize("wrong", ["not base64!", "YQ", "é", "http://example.com/a.png"])
def test_what_is_not_base64_is_the_error_of_its_image(wrong: str) -> None:
    good, bad = as_json({"images": ["YWJj", {"data": wrong, "name": "b.png"}]}).images
    assert good.content == b"abc"
    assert isinstance(bad.content, CorruptImageError)
    assert "b.png" in str(bad.content)


def test_base64_in_lines() -> None:
    wish = as_json({"image": base64.encodebytes(bytes(200)).decode()})
    assert wish.images[0].content == bytes(200)


def test_a_name_that_is_not_printable_is_escaped_in_messages() -> None:
    assert form(part("image", b"", "a\x1b[31m.png")).images[0].where == "'a\\x1b[31m.png'"


def test_names_are_cut() -> None:
    assert len(form(part("image", b"", "a" * 3000)).images[0].name or "") == 1024


@pytest.mark.parametrize(
    ("parts", "code"),
    [
        ([], "no_image"),
        ([part("top_k", b"1")], "no_image"),
        ([part("image"), part("topk", b"1")], "unknown_field"),
        ([part("file", b"", "a.png")], "unknown_field"),
        ([part("image"), part("top_k", b"1"), part("top_k", b"2")], "invalid_field"),
        ([part("image"), part("top_k", b"0")], "invalid_field"),
        ([part("image"), part("top_k", b"1.5")], "invalid_field"),
        ([part("image"), part("top_k", b"9" * 5000)], "invalid_field"),
        ([part("image"), part("min_confidence", b"nan")], "invalid_field"),
        ([part("image"), part("min_confidence", b"1.1")], "invalid_field"),
        ([part("image"), part("target_accuracy", b"0")], "invalid_field"),
        ([part("image"), part("charset", b"\xff")], "invalid_field"),
        ([part("image"), part("charset", b"1" * 20_000)], "invalid_field"),
        ([b"--x\r\nContent-Type: image/png\r\n\r\n1\r\n"], "invalid_multipart"),
        ([b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n"], "invalid_multipart"),
        ([b"--x\r\n\r\nno head\r\n"], "invalid_multipart"),
        ([b"--x\r\n\r\n\r\n"], "invalid_multipart"),
        ([b"nonsense"], "invalid_multipart"),
        ([b"--x\r\n" + b"A: 1\r\n" * 50 + b"\r\n\r\n"], "invalid_multipart"),
        ([b"--x\r\nA: " + b"1" * 10_000 + b"\r\n\r\n"], "invalid_multipart"),
    ],
    ids=range(20),
)
def test_forms_that_are_refused(parts: list[bytes], code: str) -> None:
    with refused(422, code):
        form(*parts)


@pytest.mark.parametrize("kind", ["multipart/form-data", "multipart/form-data; boundary=" + "x" * 1000])
def test_boundaries_that_are_none(kind: str) -> None:
    with refused(422, "invalid_multipart"):
        read_form(part("image", b"1"), kind, most=1)


def test_a_form_that_breaks_off() -> None:
    with refused(422, "invalid_multipart"):
        read_form(part("image", b"1"), TYPE, most=1)


def test_too_many_of_anything() -> None:
    with refused(413, "too_many_images"):
        form(*[part("image", b"1")] * 5)
    with refused(413, "too_many_parts"):
        form(*[part("image", b"1")] * 100_000)
    with refused(413, "too_many_images"):
        as_json({"images": ["YQ=="] * 5})
    for bomb in (b'{"images": [' + b"{}," * 100_000 + b"{}]}", b'{"image": ' + b"[" * 100_000):
        with refused(413, "too_many_values"):
            read_json(bomb, most=4)


def test_misspelt_fields_get_a_suggestion() -> None:
    for ask in (lambda: form(part("image"), part("topk")), lambda: as_json({"image": "", "topk": 1})):
        with pytest.raises(APIError, match="did you mean 'top_k'"):
            ask()


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe{}", "invalid_json"),
        (b'{"image": "\\ud800"}', "invalid_json"),
        (b'{"image": ' + b"[" * 500, "invalid_json"),
        (b'{"image": "", "top_k": NaN}', "invalid_field"),
        (b"[]", "invalid_field"),
        (b"null", "invalid_field"),
        (b"{}", "no_image"),
        (b'{"images": []}', "invalid_field"),
        (b'{"image": 1}', "invalid_field"),
        (b'{"image": {"name": "a"}}', "invalid_field"),
        (b'{"image": {"data": "", "path": "/etc/passwd"}}', "unknown_field"),
        (b'{"image": "", "images": [""]}', "invalid_field"),
        (b'{"image": "", "top_k": "1"}', "invalid_field"),
        (b'{"image": "", "top_k": true}', "invalid_field"),
        (b'{"image": "", "min_confidence": 1e999}', "invalid_field"),
        (b'{"image": "", "url": "http://example.com"}', "unknown_field"),
    ],
)
def test_json_that_is_refused(body: bytes, code: str) -> None:
    with refused(422, code):
        read_json(body, most=4)


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("topk=1", "unknown_field"),
        ("image=a", "unknown_field"),
        ("top_k=1&top_k=1", "invalid_field"),
        ("top_k=", "invalid_field"),
        ("top_k=one", "invalid_field"),
        ("min_confidence=nan", "invalid_field"),
        ("min_confidence=0.5&target_accuracy=0.9", "invalid_option"),
    ],
)
def test_addresses_that_are_refused(address: str, code: str) -> None:
    with refused(422, code):
        asked(read_one_file(b"", QueryParams(address), FormRequest))


def test_the_address_says_what_a_form_can() -> None:
    address = QueryParams("model=digits&top_k=2&charset=%D9%A4&min_confidence=0.5")
    told = asked(read_one_file(b"1", address, FormRequest))
    parts = (part(name, value.encode()) for name, value in address.multi_items())
    same = form(part("image", b"1"), *parts)
    assert told == same
    assert told.options.charset == "٤"


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    for read in (lambda: read_json(body, most=2), lambda: read_form(body, TYPE, most=2)):
        with suppress(APIError):
            assert read().images


@given(st.lists(st.tuples(st.text(max_size=20), st.binary(max_size=60)), min_size=1, max_size=4))
def test_what_a_form_carries_arrives(images: list[tuple[str, bytes]]) -> None:
    images = [(name.encode(errors="replace").decode(), content) for name, content in images]
    kept = [(n, c) for n, c in images if not set(n) & set('"\\\r\n\x00') and b"--x" not in c]
    if not kept:
        return
    wish = form(*[part("image", content, name) for name, content in kept])
    assert [(u.name or "", u.content) for u in wish.images] == kept


@given(st.lists(st.binary(max_size=60), min_size=1, max_size=4))
def test_what_json_carries_arrives(images: list[bytes]) -> None:
    wish = as_json({"images": [base64.b64encode(image).decode() for image in images]})
    assert [u.content for u in wish.images] == images
