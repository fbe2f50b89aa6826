from __future__ import annotations

import base64
import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.app.refusals import APIError
from kalamos.app.uploads import PredictRequest, read_form, read_json
from kalamos.errors import CorruptImageError

TYPE = "multipart/form-data; boundary=x"


def part(name: str, content: bytes = b"", filename: str | None = None) -> bytes:
    told = f'; filename="{filename}"' if filename is not None else ""
    head = f'Content-Disposition: form-data; name="{name}"{told}'.encode()
    return b"--x\r\n" + head + b"\r\n\r\n" + content + b"\r\n"


def form(*parts: bytes, most: int = 4) -> PredictRequest:
    return read_form(b"".join(parts) + b"--x--\r\n", TYPE, most=most)


def as_json(value: object, most: int = 4) -> PredictRequest:
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
