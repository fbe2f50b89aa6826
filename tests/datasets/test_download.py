"""Against a real server on this machine, with the habits that servers have."""

from __future__ import annotations

import hashlib
import re
import resource
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets.download import MAX_FRUITLESS_ATTEMPTS, Resource, download, md5_of, published
from kalamos.datasets.named import describe, names
from kalamos.errors import DatasetError, MissingExtraError, OutputError

DOWNLOADED = [name for name in names() if describe(name).torchvision]


@pytest.mark.parametrize("name", DOWNLOADED)
def test_every_download_is_looked_for_where_it_goes(name: str) -> None:
    pytest.importorskip("torchvision", reason="needs the extra 'train'")
    entry = describe(name)
    dataset, folder = entry.torchvision
    resources = published(dataset)
    for each in resources:
        assert re.fullmatch("[0-9a-f]{32}", each.md5)
        assert all(re.fullmatch(rf"https?://.+/{re.escape(each.file)}", url) for url in each.urls)
    files = {resource.file.removesuffix(".gz") for resource in resources}
    assert any(files == set(layout.files) and folder in layout.folders for layout in entry.layouts)


def test_mnist_has_two_mirrors() -> None:
    pytest.importorskip("torchvision", reason="needs the extra 'train'")
    assert [len(resource.urls) for resource in published("MNIST")] == [2] * 4


def test_without_torchvision_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "path", [])
    sys.path_importer_cache.clear()
    with pytest.raises(MissingExtraError, match=r"pip install 'kalamos\[train\]'"):
        published("MNIST")


CONTENT = np.random.default_rng(0).bytes(300_000)


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


@dataclass
class Site:
    """What the server does, and what it was asked."""

    url: str = ""
    content: bytes = CONTENT
    ranges: bool = True
    announces: bool = True
    cuts: list[int] = field(default_factory=list)
    """Bytes after which to hang up, an answer each; later answers are whole."""
    statuses: list[int] = field(default_factory=list)
    """Errors to answer with first."""
    pace: float = 0.0
    """Seconds between two pieces of 10,000 bytes."""
    stall: float = 0.0
    """Seconds before anything but the beginning is sent."""
    more: int = 0
    """Bytes that are announced and never come."""
    shift: int = 0
    """How far the ranges are beside what was asked for."""
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def ranges_asked(self) -> list[str | None]:
        return [headers.get("Range") for headers in self.asked]

    def resource(self, content: bytes = CONTENT) -> Resource:
        return Resource("digits.gz", (f"{self.url}/digits.gz",), md5(content))


class Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, *_: object) -> None:
        """The tests' output is not the place."""

    def do_GET(self) -> None:
        site = self.site
        site.asked.append(dict(self.headers))
        if site.statuses:
            self.send_error(site.statuses.pop(0))
            return
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if asked and site.ranges:
            start = int(asked[1])
            if start >= len(site.content):
                self.send_error(416)
                return
            self.send_response(206)
            self.send_header(
                "Content-Range",
                f"bytes {start + site.shift}-{len(site.content) - 1}/{len(site.content)}",
            )
        else:
            self.send_response(200)
        body = site.content[start:]
        if site.announces:
            self.send_header("Content-Length", str(len(body) + site.more))
        self.end_headers()
        body = body[: site.cuts.pop(0)] if site.cuts else body
        for piece in range(0, len(body), 10_000):
            time.sleep(site.stall if start + piece else 0)
            self.wfile.write(body[piece : piece + 10_000])
            time.sleep(site.pace)


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Site]]:
    """Starts servers with the habits given."""
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    def start(**habits: object) -> Site:
        site = Site(**habits)  # type: ignore[arg-type]
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneSite", (Handler,), {"site": site}))
        server.daemon_threads = True
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # clients that hang up are meant
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        site.url = f"http://127.0.0.1:{server.server_port}"
        return site

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def leave_part(folder: Path, content: bytes) -> None:
    (folder / "digits.gz.part").write_bytes(content)


def files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_comes_whole_and_is_told_of(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve()
    told: list[tuple[int, int | None]] = []
    path = download(site.resource(), tmp_path / "new" / "folder", progress=lambda *now: told.append(now))
    assert path == tmp_path / "new" / "folder" / "digits.gz"
    assert path.read_bytes() == CONTENT
    assert files(path.parent) == {"digits.gz"}
    assert told[0] == (0, len(CONTENT))
    assert told[-1] == (len(CONTENT), len(CONTENT))
    assert told == sorted(told)


def test_what_is_here_is_not_asked_for(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve()
    (tmp_path / "digits.gz").write_bytes(CONTENT)
    assert download(site.resource(), tmp_path) == tmp_path / "digits.gz"
    assert site.asked == []


def test_another_file_in_its_place_is_not_touched(serve: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "digits.gz").write_bytes(b"mine")
    with pytest.raises(DatasetError, match="is there, but it is not the published file"):
        download(serve().resource(), tmp_path)
    assert (tmp_path / "digits.gz").read_bytes() == b"mine"


@pytest.mark.parametrize("announces", [True, False])
def test_a_server_may_not_say_how_much_will_come(
    serve: Callable[..., Site], tmp_path: Path, announces: bool
) -> None:
    told = []
    download(serve(announces=announces).resource(), tmp_path, progress=lambda here, total: told.append(total))
    assert set(told) == {len(CONTENT) if announces else None}


def test_a_broken_connection_goes_on_where_it_broke(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(cuts=[100_000, 50_000])
    assert download(site.resource(), tmp_path, pause=0).read_bytes() == CONTENT
    assert site.ranges_asked == [None, "bytes=100000-", "bytes=150000-"]


def test_a_server_that_cannot_resume_starts_again(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(cuts=[100_000], ranges=False)
    assert download(site.resource(), tmp_path, pause=0).read_bytes() == CONTENT
    assert site.ranges_asked == [None, "bytes=100000-"]


def test_ranges_that_were_not_asked_for_are_not_used(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(cuts=[100_000], shift=7)
    assert download(site.resource(), tmp_path, pause=0).read_bytes() == CONTENT
    assert site.ranges_asked == [None, "bytes=100000-", None]


def test_a_killed_process_is_continued_by_the_next(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(pace=0.05)
    program = (
        "import sys; from pathlib import Path; from kalamos.datasets.download import *\n"
        "download(Resource('digits.gz', (sys.argv[1],), sys.argv[2]), Path(sys.argv[3]))"
    )
    child = subprocess.Popen(
        [sys.executable, "-c", program, f"{site.url}/digits.gz", md5(CONTENT), str(tmp_path)]
    )
    part = tmp_path / "digits.gz.part"
    while not (part.exists() and part.stat().st_size):
        assert child.poll() is None, "it ended by itself"
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    here = part.stat().st_size
    assert 0 < here < len(CONTENT)
    assert not (tmp_path / "digits.gz").exists()
    site.pace = 0
    assert download(site.resource(), tmp_path).read_bytes() == CONTENT
    assert site.ranges_asked == [None, f"bytes={here}-"]
    assert files(tmp_path) == {"digits.gz"}


def test_a_part_that_was_complete_needs_no_network(closed_port: int, tmp_path: Path) -> None:
    leave_part(tmp_path, CONTENT)
    wanted = Resource("digits.gz", (f"http://127.0.0.1:{closed_port}/digits.gz",), md5(CONTENT))
    assert download(wanted, tmp_path).read_bytes() == CONTENT


def test_a_file_that_has_changed_is_fetched_anew(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve()
    leave_part(tmp_path, b"x" * 1000)
    assert download(site.resource(), tmp_path, pause=0).read_bytes() == CONTENT
    assert site.ranges_asked == ["bytes=1000-", None]


@pytest.mark.parametrize("left", [b"x" * 1000, CONTENT + b"x", b"x" * len(CONTENT)])
@pytest.mark.parametrize("ranges", [True, False])
def test_whatever_lies_there_the_file_is_the_published_one(
    serve: Callable[..., Site], tmp_path: Path, left: bytes, ranges: bool
) -> None:
    leave_part(tmp_path, left)
    assert download(serve(ranges=ranges).resource(), tmp_path, pause=0).read_bytes() == CONTENT
    assert files(tmp_path) == {"digits.gz"}


def test_wrong_bytes_are_refused_and_not_kept(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(content=CONTENT[:-1] + b"!", cuts=[1000])
    with pytest.raises(DatasetError, match=r"127\.0\.0\.1: its bytes are not the published ones"):
        download(site.resource(), tmp_path, pause=0)
    assert files(tmp_path) == set()
    assert len(site.asked) == 2


def test_wrong_bytes_are_asked_for_once_more_where_old_ones_may_be_to_blame(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    site = serve(content=CONTENT[:-1] + b"!")
    leave_part(tmp_path, CONTENT[:1000])
    with pytest.raises(DatasetError, match="its bytes are not the published ones"):
        download(site.resource(), tmp_path, pause=0)
    assert site.ranges_asked == ["bytes=1000-", None]
    assert files(tmp_path) == set()


def test_mirrors_are_tried_in_turn_and_share_what_has_come(
    serve: Callable[..., Site], closed_port: int, tmp_path: Path
) -> None:
    gone, wrong, poor, good = serve(statuses=[404]), serve(content=b"<html>"), serve(cuts=[70_000]), serve()
    poor.statuses = [503] * MAX_FRUITLESS_ATTEMPTS
    mirrors = (f"http://127.0.0.1:{closed_port}/", gone.url, wrong.url, poor.url, good.url)
    wanted = Resource("digits.gz", mirrors, md5(CONTENT))
    assert download(wanted, tmp_path, pause=0).read_bytes() == CONTENT
    assert [len(site.asked) for site in (gone, wrong, poor, good)] == [1, 1, MAX_FRUITLESS_ATTEMPTS, 1]

    (tmp_path / "digits.gz").unlink()
    leave_part(tmp_path, CONTENT[:1234])
    download(Resource("digits.gz", (good.url,), md5(CONTENT)), tmp_path)
    assert good.asked[-1]["Range"] == "bytes=1234-"


def test_a_passing_trouble_passes(serve: Callable[..., Site], tmp_path: Path) -> None:
    site = serve(statuses=[503, 429])
    assert download(site.resource(), tmp_path, pause=0).read_bytes() == CONTENT


def test_a_silent_server_is_given_up_and_what_has_come_is_kept(
    serve: Callable[..., Site], tmp_path: Path
) -> None:
    site = serve(stall=1.0)
    with pytest.raises(DatasetError, match=r"silent for 0\.05 seconds"):
        download(site.resource(), tmp_path, timeout=0.05, pause=0)
    assert (tmp_path / "digits.gz.part").stat().st_size == 10_000
    assert len(site.asked) == 1 + MAX_FRUITLESS_ATTEMPTS


def test_without_a_network_it_says_what_to_do_by_hand(closed_port: int, tmp_path: Path) -> None:
    urls = (f"http://127.0.0.1:{closed_port}/digits.gz", "file:///etc/passwd")
    with pytest.raises(DatasetError) as caught:
        download(Resource("digits.gz", urls, md5(CONTENT)), tmp_path)
    assert "digits.gz could not be downloaded" in caught.value.problem
    assert "no connection (Connection refused)" in caught.value.problem
    assert "not an address of the web" in caught.value.problem
    assert f"put digits.gz into {tmp_path} by hand, from {urls[0]}" in caught.value.remedy
    assert files(tmp_path) == set()


def test_a_full_disk_says_so_and_keeps_what_has_come(serve: Callable[..., Site], tmp_path: Path) -> None:
    # A limit on file sizes fails as a full disk does.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_001, hard))
    try:
        with pytest.raises(OutputError, match=r"digits\.gz\.part.*; free some space.*is kept"):
            download(serve().resource(), tmp_path, pause=0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (tmp_path / "digits.gz.part").stat().st_size == 100_001
    site = serve()
    assert download(site.resource(), tmp_path).read_bytes() == CONTENT
    assert site.ranges_asked == ["bytes=100001-"]


def test_a_file_larger_than_the_disk_is_not_begun(serve: Callable[..., Site], tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"more bytes are to come, and [\d,]+ are free"):
        download(serve(more=1 << 60).resource(), tmp_path)


def test_a_folder_that_takes_nothing_is_an_output_error(serve: Callable[..., Site], tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError, match="choose a data folder that you may write to"):
        download(serve().resource(), tmp_path / "file" / "folder")


def test_md5_of_what_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        md5_of(tmp_path / "absent")
    (tmp_path / "a").write_bytes(b"abc")
    assert md5_of(tmp_path / "a") == "900150983cd24fb0d6963f7d28e17f72"


@pytest.mark.parametrize("delay", [0, 0.02, 0.1])
def test_two_at_once_do_no_harm(serve: Callable[..., Site], tmp_path: Path, delay: float) -> None:
    site = serve(pace=0.005)
    errors: list[Exception] = []

    def fetch() -> None:
        try:
            download(site.resource(), tmp_path, pause=0.01)
        except (DatasetError, OutputError) as error:
            errors.append(error)

    threads = [threading.Thread(target=fetch) for _ in range(2)]
    for thread in threads:
        thread.start()
        time.sleep(delay)
    for thread in threads:
        thread.join()
    assert md5_of(tmp_path / "digits.gz") == md5(CONTENT)
    assert errors == []
    assert len(site.asked) == 1  # the other waited
