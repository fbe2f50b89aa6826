"""Pages and forms over HTTP: a real server, a real client."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import httpx
import numpy as np
import pytest
from PIL import Image
from tests.app.form_helpers import exam, filled, line_of, templates

from kalamos import load
from kalamos.app import page_api
from kalamos.app.api import create_app
from kalamos.app.errors import Limits
from kalamos.app.scans import FormRegistry
from kalamos.app.schema import Failure, Forms, FormsAnswer, PagesAnswer
from kalamos.errors import FormError
from kalamos.forms.reader import FormReader
from kalamos.pages import PageReader
from kalamos.parallel import default_jobs

VALUES = {"student": "4725", "mark": "31", "passed": "no"}


@pytest.fixture(scope="module")
def forms(tmp_path_factory: pytest.TempPathFactory) -> FormRegistry:
    return FormRegistry(templates(tmp_path_factory.mktemp("forms"), 1, 2))


@pytest.fixture(scope="module")
def client(registry, forms: FormRegistry, ask_of: Callable) -> Iterator[httpx.Client]:
    with ask_of(create_app(registry, forms=forms)) as client:
        yield client


def files(*contents: bytes) -> list[tuple[str, tuple[str, bytes]]]:
    return [("image", (f"{place}.png", content)) for place, content in enumerate(contents, 1)]


def pages(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.status_code == 200, answer.text
    PagesAnswer.model_validate_json(answer.content, strict=True)
    return answer.json()["results"]


def rows(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.status_code == 200, answer.text
    FormsAnswer.model_validate_json(answer.content, strict=True)
    return answer.json()["results"]


def failure(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, Failure.model_validate_json(answer.content, strict=True).error.code


def test_the_rows_are_those_of_the_library_in_the_order_sent(client: httpx.Client) -> None:
    texts = ["47253", "11", "8604", "290"]
    answered = pages(client.post("/v1/read", files=files(*map(line_of, texts))))
    assert [row["text"] for row in answered] == texts
    for row, text in zip(answered, texts, strict=True):
        expected = PageReader(load("digits")).read(line_of(text)).to_dict()
        assert row == {**expected, "path": row["path"], "code": None}
    assert [row["path"] for row in answered] == ["1.png", "2.png", "3.png", "4.png"]


def test_what_cannot_be_read_is_a_row_and_stops_no_other(client: httpx.Client) -> None:
    good, blank = line_of("47"), cv2.imencode(".png", np.full((300, 300), 255, np.uint8))[1].tobytes()
    sent = [good, good[:80], b"this is no image", blank, b"", good]
    answered = pages(client.post("/v1/read", files=files(*sent)))
    assert [row["text"] for row in answered] == ["47", "", "", "", "", "47"]
    assert [row["code"] for row in answered] == [None, "damaged", "unsupported_format", None, "damaged", None]
    assert all((row["error"] is None) == (row["code"] is None) for row in answered)
    assert "2.png" in str(answered[1]["error"])


def test_json_and_form_answer_alike(client: httpx.Client) -> None:
    data = base64.b64encode(line_of("47")).decode()
    [row] = pages(client.post("/v1/read", files=files(line_of("47"))))
    [same] = pages(client.post("/v1/read", json={"image": {"data": data, "name": "1.png"}}))
    [nameless, broken] = pages(client.post("/v1/read", json={"images": [data, "é"]}))
    assert row == same == {**nameless, "path": "1.png"}
    assert (broken["path"], broken["code"]) == (None, "damaged")
    assert "image 2: this is not base64" in str(broken["error"])


def test_a_body_that_is_one_file(client: httpx.Client) -> None:
    [row] = pages(client.post("/v1/read", files=files(line_of("47")), data={"layout": "line"}))
    kind = {"content-type": "image/png"}
    [same] = pages(client.post("/v1/read?layout=line", content=line_of("47"), headers=kind))
    assert same == {**row, "path": None}
    scan = filled(exam(), VALUES)
    [wanted] = rows(client.post("/v1/forms/exam", files=files(scan)))
    [form] = rows(client.post("/v1/forms/exam", content=scan, headers=kind))
    assert form["fields"] == wanted["fields"]
    answer = client.post("/v1/forms/exam?layout=line", content=scan, headers=kind)
    assert failure(answer) == (422, "unknown_field")


def test_a_pdf_as_the_body(client: httpx.Client) -> None:
    document = io.BytesIO()
    with Image.open(io.BytesIO(line_of("47"))) as first, Image.open(io.BytesIO(line_of("8604"))) as second:
        first.convert("L").save(document, "PDF", save_all=True, append_images=[second.convert("L")])
    kind = {"content-type": "application/pdf"}
    answered = pages(client.post("/v1/read", content=document.getvalue(), headers=kind))
    assert [(row["page"], row["text"]) for row in answered] == [(1, "47"), (2, "8604")]


def test_options_are_heard(client: httpx.Client) -> None:
    def ask(**options: str) -> dict[str, object]:
        return pages(client.post("/v1/read", files=files(line_of("47")), data=options))[0]

    assert ask(layout="line")["layout"] == "line"
    assert set(str(ask(charset="12")["text"])) <= set("12")
    withheld = ask(min_confidence="1")
    assert withheld["text"] == ""
    [line] = withheld["lines"]  # type: ignore[misc]
    assert {each["reason"] for word in line["words"] for each in word["characters"]} == {"not sure enough"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"model": "digit"}, "unknown_model"),
        ({"layout": "pages"}, "invalid_field"),
        ({"charset": "é"}, "invalid_option"),
        ({"min_confidence": "2"}, "invalid_field"),
        ({"min_confidence": "0.5", "target_accuracy": "0.9"}, "invalid_option"),
        ({"top_k": "3"}, "unknown_field"),
    ],
)
def test_options_that_are_refused(client: httpx.Client, options: dict[str, str], code: str) -> None:
    answer = client.post("/v1/read", files=files(line_of("4")), data=options)
    assert failure(answer) == (422, code)


def test_bodies_that_are_refused(client: httpx.Client) -> None:
    for path in ("/v1/read", "/v1/forms/exam"):
        assert failure(client.post(f"{path}?layout=line", files=files(b"1"))) == (422, "unknown_field")
        assert failure(client.post(path, content=b"1")) == (415, "unsupported_media_type")
        assert failure(client.post(path, json={})) == (422, "no_image")
        assert failure(client.post(path, json={"imgae": "AAAA"})) == (422, "unknown_field")
        assert failure(client.get(path)) == (405, "wrong_method")


def test_the_forms_and_their_fields(client: httpx.Client) -> None:
    listed = Forms.model_validate_json(client.get("/v1/forms").content, strict=True).forms
    assert [(each.name, each.pages) for each in listed] == [("exam", 1), ("exam-2", 2)]
    student, mark, room, passed = listed[0].fields
    assert (student.boxes, mark.pattern, room.may_be_blank) == (4, r"[0-4]\d", True)
    assert passed.options == ["yes", "no"]


def test_scans_are_rows_as_the_library_reads_them(client: httpx.Client) -> None:
    scans = [filled(exam(), VALUES), filled(exam(), {**VALUES, "mark": "97"}), line_of("47"), b"GIF89a"]
    answered = rows(client.post("/v1/forms/exam", files=files(*scans)))
    texts = [{name: field["text"] for name, field in row["fields"].items()} for row in answered]  # type: ignore[attr-defined]
    assert texts[0] == {"student": "4725", "mark": "31", "room": "", "passed": "no"}
    # 97 breaks the field's pattern, so a person is to look, whatever is sure about it.
    assert answered[1]["fields"]["mark"]["status"] == "check"  # type: ignore[index]
    assert [row["status"] for row in answered[1:]] == ["check", "unregistered", "error"]
    assert [row["path"] for row in answered] == ["1.png", "2.png", "3.png", "4.png"]
    assert "4.png" in str(answered[3]["error"])
    expected = FormReader(exam()).read(scans[0]).to_dict()
    named = [{**scan, "path": "1.png"} for scan in expected["scans"]]
    assert answered[0] == {**expected, "path": "1.png", "scans": named}


def test_scans_of_several_pages_are_one_row(client: httpx.Client) -> None:
    form = exam(2)
    scans = [
        filled(form, VALUES),
        filled(form, {"points": "12"}, page=2),
        filled(form, {"points": "30"}, page=2),
        filled(form, VALUES),
    ]
    answered = rows(client.post("/v1/forms/exam-2", files=files(*scans)))
    assert [row["path"] for row in answered] == ["1.png; 2.png", "3.png; 4.png"]
    assert [row["fields"]["points"]["text"] for row in answered] == ["12", "30"]  # type: ignore[index]


def test_a_form_that_is_not_there(client: httpx.Client, registry, ask_of: Callable) -> None:
    answer = client.post("/v1/forms/exan", files=files(b"1"))
    assert failure(answer) == (404, "unknown_form")
    assert answer.json()["error"]["remedy"].startswith("did you mean 'exam")
    with ask_of(create_app(registry)) as without:
        assert without.get("/v1/forms").json() == {"forms": []}
        answer = without.post("/v1/forms/exam", files=files(b"1"))
        assert failure(answer) == (404, "unknown_form")
        assert "--forms" in answer.json()["error"]["remedy"]


def test_templates_that_cannot_be_used_are_said_at_the_start(tmp_path: Path) -> None:
    with pytest.raises(FormError, match="no folder"):
        FormRegistry(tmp_path / "nowhere")
    with pytest.raises(FormError, match="holds no form template"):
        FormRegistry(tmp_path)
    templates(tmp_path)
    path = tmp_path / "exam.toml"
    path.write_text(path.read_text("utf-8").replace("[0-4]", "[0-"), "utf-8")
    with pytest.raises(FormError, match="mark"):
        FormRegistry(tmp_path)


class Held:
    """A reader whose pages wait until they are let, and are counted."""

    go, begun = threading.Event(), 0

    def __init__(self, *arguments: object, **options: object) -> None:
        self._reader = PageReader(*arguments, **options)  # type: ignore[arg-type]
        self.model = self._reader.model

    def read_image(self, *arguments: object, **options: object) -> object:
        type(self).begun += 1
        self.go.wait(30)
        return self._reader.read_image(*arguments, **options)  # type: ignore[arg-type]


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Held]]:
    held = type("Fresh", (Held,), {"go": threading.Event(), "begun": 0})
    monkeypatch.setattr(page_api, "PageReader", held)
    yield held
    held.go.set()


def until(is_so: Callable[[], bool]) -> None:
    end = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_what_takes_too_long_is_given_up(registry, held: type[Held], ask_of: Callable) -> None:
    page = line_of("4")
    # Long enough for a page that is read on a busy machine, at the end.
    with ask_of(create_app(registry, Limits(seconds=4))) as client:
        assert failure(client.post("/v1/read", files=files(*[page] * 20))) == (504, "too_long")
        # Those that a thread is in; the others are not begun, nor do they wait.
        assert client.get("/health").json()["waiting"] == held.begun == default_jobs()
        held.go.set()
        until(lambda: client.get("/health").json()["waiting"] == 0)
        assert held.begun == default_jobs()
        assert pages(client.post("/v1/read", files=files(page)))[0]["text"] == "4"


def test_pages_take_places_in_the_queue(registry, held: type[Held], ask_of: Callable, one: bytes) -> None:
    with ask_of(create_app(registry, Limits(queue=4, images=4))) as client, ThreadPoolExecutor(1) as others:
        waiting = others.submit(client.post, "/v1/read", files=files(*[line_of("4")] * 4))
        until(lambda: client.get("/health").json()["waiting"] == 4)
        for path in ("/v1/read", "/v1/predict"):
            answer = client.post(path, files=files(one))
            assert failure(answer) == (429, "busy")
            assert answer.headers["retry-after"] == "1"
        held.go.set()
        assert len(pages(waiting.result())) == 4
        assert client.get("/health").json()["waiting"] == 0


def test_the_limit_on_pixels_holds(registry, forms: FormRegistry, ask_of: Callable, tmp_path: Path) -> None:
    few = FormRegistry(templates(tmp_path), max_pixels=1000)
    with ask_of(create_app(registry, Limits(pixels=1000), forms=few)) as client:
        [page] = pages(client.post("/v1/read", files=files(line_of("4"))))
        assert (page["code"], page["text"]) == ("too_large", "")
        assert "scale it down" in str(page["error"])
        [form] = rows(client.post("/v1/forms/exam", files=files(filled(exam(), VALUES))))
        assert (form["status"], "1,000" in str(form["error"])) == ("error", True)


def test_what_nobody_foresaw_is_told_without_details(
    registry, ask_of: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: object, **options: object) -> object:
        raise RuntimeError("a detail of /some/path")

    monkeypatch.setattr(page_api, "PageReader", broken)
    with ask_of(create_app(registry)) as client:
        answer = client.post("/v1/read", files=files(*[line_of("4")] * 3))
        assert failure(answer) == (500, "internal")
        assert "detail" not in answer.text
        assert client.get("/health").json()["waiting"] == 0


def test_the_pages_of_a_file_have_a_row_each(client: httpx.Client, tmp_path: Path) -> None:
    from PIL import Image

    scans = [Image.open(io.BytesIO(content)) for content in (line_of("47"), line_of("3"), line_of("290"))]
    path = tmp_path / "pages.tif"
    scans[0].save(path, save_all=True, append_images=scans[1:])
    answered = pages(client.post("/v1/read", files=files(path.read_bytes(), line_of("8"))))
    told = [(row["path"], row["page"], row["text"]) for row in answered]
    assert told == [("1.png", 1, "47"), ("1.png", 2, "3"), ("1.png", 3, "290"), ("2.png", 1, "8")]
    sheets = [Image.open(io.BytesIO(filled(exam(), {**VALUES, "mark": mark}))) for mark in ("31", "12")]
    sheets[0].save(path, save_all=True, append_images=sheets[1:])
    answered = rows(client.post("/v1/forms/exam", files=files(path.read_bytes())))
    assert [(row["path"], row["fields"]["mark"]["text"]) for row in answered] == [  # type: ignore[index]
        ("1.png#1", "31"),
        ("1.png#2", "12"),
    ]


def test_no_more_pages_of_a_file_than_images_of_a_request(registry, ask_of: Callable, tmp_path: Path) -> None:
    from PIL import Image

    page = Image.open(io.BytesIO(line_of("4")))
    page.save(tmp_path / "pages.tif", save_all=True, append_images=[page] * 4)
    with ask_of(create_app(registry, Limits(images=3))) as client:
        answered = pages(client.post("/v1/read", files=files((tmp_path / "pages.tif").read_bytes())))
    assert [row["code"] for row in answered] == [None, None, None, "too_large"]
    assert "more than 3 pages" in str(answered[3]["error"])
