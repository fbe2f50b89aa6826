"""Attacks on the page: files that nobody uploaded, and other visits. A real server, without a browser."""

from __future__ import annotations

import copy
import gc
import json
import logging
import os
import re
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import gradio as gr
import httpx
import numpy as np
import pytest
from gradio.data_classes import FileData, ListFiles
from tests.app.page_helpers import GRADIO_WARNINGS

from kalamos.app.api import create_app
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page import build_page
from kalamos.app.page.context import files_input, picture_input
from kalamos.app.visits import Visit, VisitLimits, current_visit

pytestmark = GRADIO_WARNINGS

Start = Callable[..., AbstractContextManager[str]]

FILE = {"_type": "gradio.FileData"}

_opened: list[str] = []
_watched: list[str] = []


def _note_open(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "open" and _watched and isinstance(arguments[0], str) and "secret" in arguments[0]:
        _opened.append(arguments[0])


sys.addaudithook(_note_open)  # cannot be taken away again; it only notes while a test watches


def stroke() -> bytes:
    page = np.full((40, 40), 255, np.uint8)
    page[6:34, 18:22] = 0
    return cv2.imencode(".png", page)[1].tobytes()


class Visitor:
    """A browser's cookie, and one open page."""

    def __init__(
        self, address: str, *, cookies: Any = None, page: str = "abcdefghijk", keep_alive: bool = True
    ) -> None:
        # Idle connections hold up the end of a server for seconds: nobody reads that they were closed.
        limits = httpx.Limits(max_keepalive_connections=None if keep_alive else 0)
        self.http = httpx.Client(base_url=address, timeout=60, cookies=cookies, limits=limits)
        self.page = page
        self.config = self.http.get("/config").json()
        self.kinds = {
            each["id"]: (each["type"], each["props"].get("elem_id")) for each in self.config["components"]
        }

    def upload(self, *contents: bytes, name: str = "a.png") -> list[str]:
        files = [("files", (name, content)) for content in contents]
        answer = self.http.post("/gradio_api/upload", files=files)
        assert answer.status_code == 200, answer.text
        paths: list[str] = answer.json()
        return paths

    def event(self, *, trigger: str) -> dict[str, Any]:
        """The event that a component (by its elem_id) triggers."""
        return next(
            each
            for each in self.config["dependencies"]
            if each["backend_fn"]
            and any(self.kinds.get(at, ("", ""))[1] == trigger for at, _ in each["targets"])
        )

    def inputs(self, event: dict[str, Any]) -> list[Any]:
        """What the page would send: each component's own value."""
        values = {each["id"]: each["props"].get("value") for each in self.config["components"]}
        return [values.get(at) for at in event["inputs"]]

    def join(self, event: dict[str, Any], data: list[Any], **more: Any) -> httpx.Response:
        body = {"data": data, "fn_index": event["id"], "session_hash": self.page, **more}
        return self.http.post("/gradio_api/queue/join", json=body)

    def wait(self) -> dict[str, Any]:
        query = {"session_hash": self.page}
        with self.http.stream("GET", "/gradio_api/queue/data", params=query) as lines:
            for line in lines.iter_lines():
                if line.startswith("data:"):
                    message = json.loads(line[5:])
                    if message["msg"] in {"process_completed", "unexpected_error", "close_stream"}:
                        return dict(message)
        raise AssertionError("no answer came")

    def call(self, event: dict[str, Any], data: list[Any]) -> str:
        answer = self.join(event, data)
        assert answer.status_code == 200, answer.text
        return json.dumps(self.wait(), ensure_ascii=False)

    def read(self, path: str) -> str:
        """Read one picture; the page's answer."""
        event = next(
            each
            for each in self.config["dependencies"]
            if any(self.kinds[at] == ("image", "picture") for at in each["inputs"])
        )
        data = self.inputs(event)
        at = next(n for n, each in enumerate(event["inputs"]) if self.kinds[each] == ("image", "picture"))
        data[at] = {"path": path, "meta": FILE}
        return self.call(event, data)

    def read_again(self) -> str:
        """Read once more what the visit read last."""
        event = self.event(trigger="read")
        return self.call(event, self.inputs(event))


@pytest.fixture(scope="module", autouse=True)
def collected() -> Iterator[None]:
    """Event loops that Gradio leaves are collected here, not when all tests are over."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("uploads").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def address(start: Start, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    page = build_page(ModelRegistry(["digits"]), Limits(), tmp_path_factory.mktemp("corrections"))
    with start(create_app(ModelRegistry(["digits"]), Limits(), page)) as address:
        yield address


def _components_with_files() -> list[gr.components.Component]:
    """One of each of Gradio's components that takes a file, by what it says of what it takes."""
    kinds, pending = {}, [gr.components.Component]
    while pending:
        kind = pending.pop()
        pending += kind.__subclasses__()
        if kind.__module__.startswith("gradio.components."):
            kinds[kind.__name__] = kind
    found = []
    for kind in kinds.values():
        try:
            component = kind(render=False)
        except (TypeError, AttributeError):  # a base; one for Hugging Face alone
            continue
        model = getattr(component, "data_model", None)
        if model is not None and '"path"' in json.dumps(model.model_json_schema()):
            found.append(component)
    return found


@pytest.fixture(scope="module")
def every(start: Start, folder: Path) -> Iterator[str]:
    """A page with every component that takes a file: Gradio's, and kalamos's own two."""
    with gr.Blocks() as blocks:
        for component in _components_with_files():
            component.render()
            gr.Button().click(repr, component, gr.Textbox())
        for component in (files_input(), picture_input()):
            gr.Button().click(repr, component, gr.Textbox())
    with start(create_app(ModelRegistry(["digits"]), Limits(), blocks)) as address:
        yield address


@pytest.fixture
def secret(tmp_path: Path) -> Iterator[Path]:
    """An image on the server that nobody uploaded; fails where anything opens it."""
    path = tmp_path / "secret.png"
    path.write_bytes(stroke())
    _opened.clear()
    _watched.append("")
    yield path
    _watched.clear()
    assert _opened == []


def spellings(secret: Path, own: str, folder: Path) -> list[str]:
    up = "/".join([".."] * len(Path(own).parent.parts[1:]))
    link = secret.with_name("link-to-secret.png")
    if not link.exists() and os.name != "nt":
        link.symlink_to(secret)
    text = str(secret)
    return [
        *(text, quote(text), quote(text, safe=""), f"file://{text}", f"/{text}", text.upper()),
        *(os.path.relpath(text), str(link), f"{Path(own).parent}/{up}{text}", f"{own}/../../../..{text}"),
        *(f"{folder}/../{text}", f"\\\\localhost{text}", f"//localhost{text}", text.replace("/", "\\")),
        *(f"{own}\0{text}", f"http://127.0.0.1{text}", f"{Path(own).parent}", "~/secret.png", "secret.png"),
    ]


def files(path: str, own: str) -> list[Any]:
    """Objects that name the file, in every key that Gradio or an older one has looked at."""
    return [
        {"path": path},
        {"path": path, "meta": FILE},
        {"path": path, "meta": FILE, "orig_name": "a.png", "mime_type": "image/png", "is_stream": False},
        {"path": path, "url": None, "meta": "no object"},
        {"path": path, "is_stream": True, "meta": FILE},
        {"path": {"path": path, "meta": FILE}, "meta": FILE},
        {"path": [path]},
        {"path": own, "url": path, "meta": FILE},
        {"url": path, "meta": FILE},
        {"url": f"http://127.0.0.1/gradio_api/file={path}"},
        {"path": "", "url": path},
    ]


def wrapped(file: Any) -> list[Any]:
    """Where components have their files."""
    return [
        file,
        [file],
        {"root": [file]},
        {"image": file, "caption": None},
        [{"image": file, "caption": None}],
        [{"video": file, "caption": None}],
        {"video": file, "subtitles": None},
        {"background": file, "layers": [file], "composite": file},
        {"text": "", "files": [file]},
        [[file, None], [None, file]],
        [file, file],
        {"value": file},
        [{"role": "user", "content": [{"type": "file", "file": file}], "metadata": None}],
        {"a": {"b": [{"c": file}]}},
    ]


def test_the_walk_finds_the_components_that_take_files() -> None:
    names = {type(component).__name__ for component in _components_with_files()}
    assert {"File", "Image", "Audio", "Video", "Gallery", "ImageEditor", "MultimodalTextbox"} <= names


@pytest.mark.parametrize("which", ["address", "every"])
def test_no_event_opens_what_was_not_uploaded(
    which: str, request: pytest.FixtureRequest, secret: Path, folder: Path
) -> None:
    visitor = Visitor(request.getfixturevalue(which))
    [own] = visitor.upload(stroke())
    events = [each for each in visitor.config["dependencies"] if each["backend_fn"]]
    taken = 0
    for event in events:
        for place, component in enumerate(event["inputs"]):
            kind = visitor.kinds[component][0]
            takes_files = which == "every" or kind in {"image", "file"}
            texts = spellings(secret, own, folder) if takes_files else [str(secret)]
            for number, path in enumerate(texts):
                named = files(path, own)
                for key, file in enumerate(named if takes_files and number == 0 else [*named[:2], named[7]]):
                    for value in wrapped(file) if number == 0 and key in {0, 1, 7} else [file]:
                        data = visitor.inputs(event)
                        data[place] = value
                        answer = visitor.join(event, data)
                        assert answer.status_code == 403, (kind, value, answer.text)
                        taken += 1
    assert taken > 500


def test_no_other_way_in_opens_it(address: str, secret: Path) -> None:
    visitor = Visitor(address)
    [own] = visitor.upload(stroke())
    event = next(
        each
        for each in visitor.config["dependencies"]
        if any(visitor.kinds[at] == ("image", "picture") for at in each["inputs"])
    )
    data = [{"path": str(secret), "meta": FILE} for _ in event["inputs"]]
    body = {"data": data, "fn_index": event["id"], "session_hash": visitor.page}
    for route in (
        *(
            "run/predict",
            "api/predict",
            "run/read",
            "call/read",
            "call/v2/read",
            "stream/0",
            "stream/0/close",
        ),
        *("component_server", "process_recording", "queue/push", "predict", "call/_read", "vibe-edit"),
    ):
        assert visitor.http.post(f"/gradio_api/{route}", json=body).status_code in {403, 404}, route
    for more in ({"event_data": data[0]}, {"extra": [data[0]]}, {"event_data": {"files": data}}):
        inputs = visitor.inputs(event)
        assert visitor.join(event, inputs, **more).status_code == 403
    for path in spellings(secret, own, Path(own).parent):
        for at in (f"/gradio_api/file={path}", f"/gradio_api/file={quote(path, safe='')}", f"/file={path}"):
            try:
                answer = visitor.http.get(at.replace("\0", "%00"))
            except httpx.InvalidURL:
                continue
            assert answer.status_code in {403, 404, 421}, (at, answer.text)
    assert visitor.http.get(f"/gradio_api/proxy={secret}").status_code == 404
    assert visitor.http.get("/config", params={"deep_link": "../a"}).json()["components"]


def test_a_picture_of_ones_own_is_read_and_its_name_opens_nothing(address: str, secret: Path) -> None:
    visitor = Visitor(address)
    [own] = visitor.upload(stroke())
    assert "Read as 1" in visitor.read(own)
    assert "Read as 1" in visitor.read(f"{Path(own).parent}/../{Path(own).parent.name}/{Path(own).name}")
    event = visitor.event(trigger="read-files")
    data = visitor.inputs(event)
    place = next(n for n, at in enumerate(event["inputs"]) if visitor.kinds[at] == ("file", "files"))
    data[place] = [{"path": own, "meta": FILE, "orig_name": f"../..{secret}"}]
    told = visitor.call(event, data)
    assert "1</b> images" in told
    assert str(secret.parent) not in told


def test_another_visits_upload_is_not_ones_own(address: str) -> None:
    mine, yours = Visitor(address), Visitor(address)
    [path] = mine.upload(stroke())
    for event in yours.config["dependencies"]:
        for place, at in enumerate(event["inputs"]):
            if event["backend_fn"] and yours.kinds[at][0] in {"image", "file"}:
                data = yours.inputs(event)
                data[place] = {"path": path, "meta": FILE}
                assert yours.join(event, data).status_code == 403
    assert yours.http.get(f"/gradio_api/file={path}").status_code == 403
    assert mine.http.get(f"/gradio_api/file={path}").content == stroke()


@pytest.mark.parametrize("component", [files_input, picture_input])
def test_where_bytes_are_read_it_is_asked_once_more(
    component: Callable[[], Any], secret: Path, tmp_path: Path
) -> None:
    file = FileData(path=str(secret), orig_name="a.png")
    payload = ListFiles(root=[file]) if component is files_input else file
    with gr.Blocks():
        take = component().preprocess
    for visit in (None, Visit(tmp_path / "visit", set(), lambda: 0.0)):
        reset = current_visit.set(visit)
        try:
            with pytest.raises(gr.Error, match="uploaded"):
                take(payload)
        finally:
            current_visit.reset(reset)


def test_an_event_that_came_past_the_door_opens_nothing(secret: Path, folder: Path) -> None:
    """Gradio's own work on an event, called as a route that is not known yet would."""
    import anyio

    from kalamos.app.errors import APIError

    page = build_page(ModelRegistry(["digits"]))
    create_app(ModelRegistry(["digits"]), Limits(), page)
    read = next(fn for fn in page.fns.values() if any(block.elem_id == "picture" for block in fn.inputs))
    data: list[Any] = [getattr(block, "value", None) for block in read.inputs]
    data[next(n for n, block in enumerate(read.inputs) if block.elem_id == "picture")] = {"path": str(secret)}

    async def work() -> None:
        await page.process_api(read, data)

    # In a thread: a browser of another test leaves this one with a loop of its own.
    with (
        ThreadPoolExecutor(1) as thread,
        pytest.raises(gr.Error, match="something went wrong in the server") as caught,
    ):
        thread.submit(anyio.run, work).result()
    assert isinstance(caught.value.__cause__, APIError)


def test_the_state_is_the_cookies_and_not_a_session_hashs(address: str) -> None:
    mine, yours = Visitor(address, page="sharedhash"), Visitor(address, page="sharedhash")
    [path] = mine.upload(stroke())
    assert "Read as 1" in mine.read(path)
    assert "Draw one character" in yours.read_again()
    assert "Read as 1" in mine.read_again()


def test_results_go_to_the_cookie_that_asked(address: str) -> None:
    mine, yours = Visitor(address, page="sharedhash"), Visitor(address, page="sharedhash")
    [path] = mine.upload(stroke())
    assert "Read as 1" in mine.read(path)
    event = mine.event(trigger="read")
    answer = mine.join(event, mine.inputs(event))
    # The same name, while an answer waits there for another.
    yours.upload(stroke())
    heard: list[str] = []
    with (
        suppress(httpx.RemoteProtocolError),  # Gradio breaks off where nobody has asked for anything
        yours.http.stream("GET", "/gradio_api/queue/data", params={"session_hash": "sharedhash"}) as lines,
    ):
        heard.extend(lines.iter_lines())
    assert "process_completed" not in "".join(heard)
    stolen = {"session_hash": "sharedhash", "fn_index": event["id"], **answer.json()}
    assert yours.http.post("/gradio_api/cancel", json=stolen).status_code == 403
    assert yours.http.get(f"/gradio_api/call/read/{answer.json()['event_id']}").status_code == 403
    assert "Read as 1" in json.dumps(mine.wait())


def test_a_reload_and_a_second_tab_are_the_same_visit(address: str) -> None:
    before = Visitor(address)
    [path] = before.upload(stroke())
    assert "Read as 1" in before.read(path)
    after = Visitor(address, cookies=before.http.cookies, page="anotherpage")
    assert "Read as 1" in after.read_again()
    assert after.http.get(f"/gradio_api/file={path}").status_code == 200


def test_a_thousand_and_one_requests_without_a_cookie_end_nobodys_visit(address: str) -> None:
    visitor = Visitor(address)
    [path] = visitor.upload(stroke())
    assert "Read as 1" in visitor.read(path)
    with httpx.Client(base_url=address, timeout=60) as anyone:
        for number in range(1_001):
            anyone.cookies.clear()
            at = "/config" if number % 250 == 0 else "/gradio_api/app_id"
            assert anyone.get(at).status_code == 200
    assert visitor.http.get(f"/gradio_api/file={path}").status_code == 200
    assert "Read as 1" in visitor.read_again()


def test_who_comes_when_all_places_are_taken_is_asked_to_come_later(
    start: Start, folder: Path, tmp_path: Path
) -> None:
    page = build_page(ModelRegistry(["digits"]), Limits(), tmp_path)
    app = create_app(ModelRegistry(["digits"]), Limits(), page, visit_limits=VisitLimits(visits=2))
    with start(app) as address:
        first, second, third = (Visitor(address, keep_alive=False) for _ in range(3))
        paths = [first.upload(stroke())[0], second.upload(stroke())[0]]
        event = third.event(trigger="read")
        for answer in (
            third.http.post("/gradio_api/upload", files={"files": ("a.png", b"a")}),
            third.join(event, third.inputs(event)),
        ):
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "full")
            assert int(answer.headers["retry-after"]) > 0
        for visitor, path in zip((first, second), paths, strict=True):
            assert "Read as 1" in visitor.read(path)


def test_uploads_go_when_the_visit_is_over(start: Start, folder: Path, tmp_path: Path) -> None:
    page = build_page(ModelRegistry(["digits"]), Limits(), tmp_path)
    limits = VisitLimits(idle_seconds=1)
    with start(create_app(ModelRegistry(["digits"]), Limits(), page, visit_limits=limits)) as address:
        visitor = Visitor(address, keep_alive=False)
        [path] = visitor.upload(stroke())
        assert "Read as 1" in visitor.read(path)
        until = time.monotonic() + 30
        folder_of_visit = Path(path).parents[2]
        while folder_of_visit.exists() and time.monotonic() < until:
            time.sleep(0.2)
        assert not folder_of_visit.exists()
        assert visitor.http.get(f"/gradio_api/file={path}").status_code == 403
        assert "Draw one character" in visitor.read_again()  # a new visit, under the same cookie
        [path] = visitor.upload(stroke())
    assert not Path(path).exists()  # nor does anything outlive the server


def test_without_model_upload_there_is_no_place_and_no_event_for_one(
    start: Start, folder: Path, two_letters: Path, tmp_path: Path
) -> None:
    def outcomes(*, allowed: bool) -> tuple[set[str], int]:
        page = build_page(ModelRegistry(["digits"]), Limits(), tmp_path, model_upload=allowed)
        with start(create_app(ModelRegistry(["digits"]), Limits(), page)) as address:
            visitor = Visitor(address, keep_alive=False)
            [path] = visitor.upload(two_letters.read_bytes(), name="two-letters.onnx")
            ways = {name for _, name in visitor.kinds.values() if name} & {"model-file"}
            found = 0
            for event in visitor.config["dependencies"]:
                for place, at in enumerate(event["inputs"]):
                    if event["backend_fn"] and visitor.kinds[at][0] == "file":
                        data = copy.deepcopy(visitor.inputs(event))
                        file = {"path": path, "meta": FILE, "orig_name": "two-letters.onnx"}
                        data[place] = [file] if visitor.kinds[at][1] == "files" else file
                        found += bool(re.search(r'"two-letters"', visitor.call(event, data)))
        return ways, found

    assert outcomes(allowed=True) == ({"model-file"}, 1)
    assert outcomes(allowed=False) == (set(), 0)


def test_values_that_do_not_fit_are_a_line_in_the_log_and_no_traceback(
    address: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    visitor = Visitor(address)
    events = [each for each in visitor.config["dependencies"] if each["backend_fn"] and each["inputs"]]
    refused = []
    with caplog.at_level(logging.INFO, "kalamos.app"):
        for event in events:
            for data in ([], [["a"]] * len(event["inputs"]), [{"image": {"root": 7}}] * len(event["inputs"])):
                answer = visitor.join(event, data)
                if answer.status_code == 200:
                    message = visitor.wait()
                    if not message["success"]:
                        refused.append(message["output"]["error"])
    # Those that take what the page's own script sends look at it themselves, and tell the visitor.
    told = [each for each in refused if "what was corrected did not arrive whole" in each]
    assert told
    lines = [record for record in caplog.records if "page event" in record.message]
    assert len(lines) == len(refused) - len(told) > 0
    assert not any(record.exc_info for record in lines)
    assert "Traceback" not in "".join(capfd.readouterr())
    assert "Read as 1" in visitor.read(visitor.upload(stroke())[0])
