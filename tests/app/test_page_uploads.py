"""Uploads to the page that are too much, break off, stall, or are nobody's; over a real socket."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from kalamos.app.api import create_app
from kalamos.app.errors import Limits
from kalamos.app.page_uploads import MAX_UPLOADS_AT_ONCE
from kalamos.app.visits import VisitLimits

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
from tests.app.page_helpers import GRADIO_WARNINGS

pytestmark = GRADIO_WARNINGS

gr = pytest.importorskip("gradio", reason="needs the extra 'app'")

LIMITS = Limits(upload_bytes=200_000, seconds=2)
VISITS = VisitLimits(visit_bytes=1_000_000, total_bytes=2_000_000, visit_files=50)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("uploads").resolve()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRADIO_TEMP_DIR", str(folder))
        yield folder


@pytest.fixture(scope="module")
def page(registry, start: Callable, folder: Path) -> Iterator[str]:
    with gr.Blocks() as blocks:
        gr.File()
    with start(create_app(registry, LIMITS, blocks, visit_limits=VISITS)) as address:
        yield address


@pytest.fixture
def visitor(page: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=page, timeout=60) as client:
        client.get("/config")
        yield client


def written(folder: Path) -> int:
    """Bytes under the folder for uploads, whoever's they are and however they are called."""
    total = 0
    for path in folder.rglob("*"):
        # The server may delete what a visit left while this looks.
        with suppress(FileNotFoundError):
            total += path.stat().st_size if path.is_file() else 0
    return total


def post(client: httpx.Client, *sizes: int) -> httpx.Response:
    files = [("files", (f"{number}.png", bytes(size))) for number, size in enumerate(sizes)]
    return client.post("/gradio_api/upload", files=files)


def part_of_upload(client: httpx.Client, size: int, *, declared: int = 150_000) -> socket.socket:
    """A connection on which so many bytes of an upload have come, and no more."""
    url = urlsplit(str(client.base_url))
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    head = (
        f"POST /gradio_api/upload HTTP/1.1\r\nHost: {url.netloc}\r\nCookie: {cookies}\r\n"
        f"Content-Type: multipart/form-data; boundary=x\r\nContent-Length: {declared}\r\n\r\n"
        '--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n'
    )
    connection = socket.create_connection((url.hostname or "", url.port or 0), timeout=30)
    connection.sendall(head.encode() + bytes(size))
    return connection


def until(told: Callable[[], bool]) -> bool:
    end = time.monotonic() + 20
    while not told() and time.monotonic() < end:
        time.sleep(0.05)
    return told()


def test_nobodys_upload_is_refused_and_leaves_nothing(page: str, folder: Path) -> None:
    before = written(folder)
    with httpx.Client(base_url=page, timeout=60) as nobody:
        answer = post(nobody, 100_000, 100_000)
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "no_visit")
    assert written(folder) == before


def test_what_a_visit_holds_is_bounded_however_often_it_uploads(visitor: httpx.Client, folder: Path) -> None:
    before, paths = written(folder), []
    for _ in range(12):
        answer = post(visitor, 150_000)
        assert answer.status_code == 200, answer.text
        paths += answer.json()
    assert written(folder) - before <= VISITS.visit_bytes
    assert Path(paths[-1]).exists()
    assert not Path(paths[0]).exists()
    assert visitor.get(f"/gradio_api/file={paths[0]}").status_code == 403
    for sizes in ((200_001,), (190_000,) * 8, (0,) * 1_001):
        assert post(visitor, *sizes).status_code == 413
    assert written(folder) - before <= VISITS.visit_bytes


def test_many_tiny_files_are_bounded_too(visitor: httpx.Client) -> None:
    paths = [path for _ in range(3) for path in post(visitor, *[1] * 30).json()]
    assert len(paths) == 90
    assert sum(Path(path).exists() for path in paths) == VISITS.visit_files


def test_all_visits_together_are_bounded_and_nobody_loses_files_to_another(page: str, folder: Path) -> None:
    with (
        httpx.Client(base_url=page, timeout=60) as first,
        httpx.Client(base_url=page, timeout=60) as second,
        httpx.Client(base_url=page, timeout=60) as third,
    ):
        outcomes, paths = [], []
        for client in (first, second, third):
            client.get("/config")
            for _ in range(5):
                answer = post(client, 180_000)
                outcomes.append(answer.status_code)
                paths += answer.json() if answer.status_code == 200 else []
        assert outcomes[-1] == 503
        assert written(folder) <= VISITS.total_bytes
        assert all(Path(path).exists() for path in paths)


def test_what_breaks_off_leaves_nothing(visitor: httpx.Client, folder: Path) -> None:
    before = written(folder)
    with closing(part_of_upload(visitor, 50_000)):
        assert until(lambda: written(folder) > before)
    assert until(lambda: written(folder) == before)


def test_what_stalls_is_cut_off_and_leaves_nothing(visitor: httpx.Client, folder: Path) -> None:
    before = written(folder)
    with closing(part_of_upload(visitor, 50_000)) as connection:
        started = time.monotonic()
        assert connection.recv(100).startswith(b"HTTP/1.1 408")
        assert time.monotonic() - started < 20
        assert written(folder) == before


def test_what_drips_is_cut_off(visitor: httpx.Client, folder: Path) -> None:
    before = written(folder)
    with closing(part_of_upload(visitor, 1_000)) as connection:
        connection.settimeout(0.2)
        end, answer = time.monotonic() + 30, b""
        while not answer and time.monotonic() < end:
            connection.sendall(b"a")
            try:
                answer = connection.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408")
        assert written(folder) == before


def test_uploads_at_once_are_few(visitor: httpx.Client) -> None:
    waiting = [part_of_upload(visitor, 10) for _ in range(MAX_UPLOADS_AT_ONCE)]
    try:
        time.sleep(0.5)
        assert post(visitor, 10).status_code == 429
    finally:
        for connection in waiting:
            connection.close()
    assert until(lambda: post(visitor, 10).status_code == 200)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("text/plain", b"a"),
        ("multipart/form-data", b"a"),
        ("multipart/form-data; boundary=x", b"a"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\nno head\r\n--x--\r\n"),
        ("multipart/form-data; boundary=x", b"--x\r\n\r\n\r\n--x--\r\n"),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="files"; filename="a"\r\n',
        ),
        (
            "multipart/form-data; boundary=x",
            b'--x\r\nContent-Disposition: form-data; name="a"\r\n\r\nb\r\n--x--\r\n',
        ),
        ("multipart/form-data; boundary=x", b"--x\r\nA: " + b"a" * 9_000 + b"\r\n\r\nb\r\n--x--\r\n"),
    ],
)
def test_what_is_no_form_of_files(visitor: httpx.Client, kind: str, body: bytes) -> None:
    answer = visitor.post("/gradio_api/upload", content=body, headers={"content-type": kind})
    assert (answer.status_code, answer.json()["error"]["code"] != "internal") == (422, True)


def test_names_are_kept_and_harmless(visitor: httpx.Client, folder: Path) -> None:
    for name in ("../../evil.png", "..\\evil.png", "é ط.png", "a" * 300 + ".png", "CON", ".htaccess"):
        answer = visitor.post("/gradio_api/upload", files={"files": (name, b"7")})
        assert answer.status_code == 200, answer.text
        [path] = answer.json()
        assert Path(path).is_relative_to(folder)
        assert Path(path).parent.parent.name == "uploads"
        assert visitor.get(f"/gradio_api/file={path}").content == b"7"


def test_progress_is_told_to_its_own_visit(visitor: httpx.Client, page: str) -> None:
    with closing(part_of_upload(visitor, 0)):
        pass
    answer = visitor.post("/gradio_api/upload?upload_id=mine", files={"files": ("a.png", bytes(9))})
    assert answer.status_code == 200
    with httpx.Client(base_url=page, timeout=60) as other:
        other.get("/config")
        other.post("/gradio_api/upload", files={"files": ("a.png", b"a")})
        assert other.get("/gradio_api/upload_progress?upload_id=mine").status_code == 404
    told = visitor.get("/gradio_api/upload_progress?upload_id=mine").text
    assert '"msg": "done"' in told
