from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kalamos.datasets import Dataset, names


def rows(outcome: Any) -> dict[str, list[str]]:
    """The lines of the table by their first word, in cells."""
    return {line.split()[0]: line.split() for line in outcome.rows if line.strip()}


@pytest.fixture
def publish(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Path], str]]:
    """Makes torchvision's MNIST the files of a folder, on a server of ours; returns its address."""
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    monkeypatch.setenv("no_proxy", "*")
    servers = []

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    def start(folder: Path) -> str:
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        servers.append(server)
        url = f"http://127.0.0.1:{server.server_port}/"
        monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [url])
        checksums = [
            (path.name, hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest())
            for path in sorted(folder.iterdir())
        ]
        monkeypatch.setattr(torchvision.datasets.MNIST, "resources", checksums)
        return url

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_the_list_names_them_all_with_their_counts(command, tmp_path: Path) -> None:
    outcome = command("data", "list", "--data-dir", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0].split() == ["name", "classes", "train", "test", "files", "source"]
    table = rows(outcome)
    assert set(names()) <= set(table)
    assert table["mnist"][1:7] == ["10", "60,000", "10,000", "absent,", "to", "download"]
    assert table["hijja"][1:7] == ["29", "47,434", "-", "absent,", "by", "hand"]
    text = outcome.out.decode()
    assert str(tmp_path) in text
    assert "one sub-folder a class" in text
    assert "path,label[,group,split]" in text
    assert "\x1b" not in text


def test_the_list_shows_which_files_are_here(command, digits_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(digits_folder / "mnist", tmp_path / "MNIST" / "raw")
    (tmp_path / "hijja").mkdir()
    (tmp_path / "hijja" / "hijja2.zip").write_bytes(b"it is not opened")
    (tmp_path / "usps.npz").touch()
    (tmp_path / "ahcd").mkdir()  # empty
    table = rows(command("data", "list", "--data-dir", tmp_path))
    assert table["mnist"][4] == "MNIST/raw/"
    assert table["hijja"][4] == "hijja/hijja2.zip"
    assert table["usps"][4] == "usps.npz"
    assert table["ahcd"][4] == "absent,"


def test_a_verb_or_a_name_misspelt(command) -> None:
    outcome = command("data", "lst")
    assert outcome.code == 2
    assert "there is no command 'data lst'; did you mean 'list'?" in outcome.err
    outcome = command("data", "get", "mnits")
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err == "kalamos: there is no dataset 'mnits'; did you mean 'mnist'?\n"
    for arguments in ((), ("get",)):
        outcome = command("data", *arguments)
        assert outcome.code == 2
        assert "Usage: kalamos data" in outcome.err


def test_help_names_its_verbs(command) -> None:
    outcome = command("data", "--help")
    assert outcome.code == 0
    listed = {row.split()[0] for row in outcome.rows[outcome.rows.index("Commands:") + 1 :] if row}
    assert {"list", "get", "inspect"} <= listed


def test_names_complete(command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_KALAMOS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "kalamos data get emnist-b")
    monkeypatch.setenv("COMP_CWORD", "3")
    completed = [row.partition(",")[2] for row in command().rows]
    assert completed == ["emnist-balanced", "emnist-byclass", "emnist-bymerge"]


def test_what_is_not_to_be_downloaded_says_where_to_get_it(command, tmp_path: Path) -> None:
    for name, home in (
        ("hijja", "github.com/israksu/Hijja2"),
        ("ocr-arabic", "github.com/ahmedsaeedsaid/OCR-Arabic"),
        ("ahcd", "github.com/mloey/Arabic-Handwritten-Characters-Dataset"),
    ):
        outcome = command("data", "get", name, "--data-dir", tmp_path)
        assert outcome.code == 2
        assert home in outcome.err
        assert str(tmp_path) in outcome.err


def test_without_a_network_every_file_is_named(
    command,
    publish: Callable[[Path], str],
    digits_folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torchvision

    publish(digits_folder / "mnist")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        closed = f"http://127.0.0.1:{free.getsockname()[1]}/"
    monkeypatch.setattr(torchvision.datasets.MNIST, "mirrors", [closed])
    outcome = command("data", "get", "mnist", "--data-dir", tmp_path)
    assert outcome.code == 2
    assert "no connection (Connection refused)" in outcome.err
    assert f"put into {tmp_path / 'mnist'} by hand" in outcome.err
    for path in (digits_folder / "mnist").iterdir():
        assert f"{closed}{path.name}" in outcome.err


def test_a_download_that_is_not_what_was_published_is_told(
    command, publish: Callable[[Path], str], digits_folder: Path, tmp_path: Path
) -> None:
    publish(digits_folder / "mnist")
    outcome = command("data", "get", "mnist", "--data-dir", tmp_path)
    assert outcome.code == 2
    assert outcome.out.decode().count("checksum as published") == 4
    assert "300 + 60 images were read, where 60,000 + 10,000 are published" in outcome.err
    assert f"move {tmp_path / 'mnist'} away" in outcome.err


def test_the_real_mnist_is_downloaded_checked_and_not_downloaded_again(
    command, publish: Callable[[Path], str], mnist: Dataset, tmp_path: Path
) -> None:
    published = Path(os.environ["KALAMOS_DATA"]) / "mnist"
    if {path.suffix for path in published.iterdir()} != {".gz"}:
        pytest.skip("the MNIST that KALAMOS_DATA names is not gzipped")
    publish(published)
    whole = "mnist is complete: 60,000 + 10,000 images, 10 classes (LeCun et al. 1998)"
    first = command("data", "get", "mnist", "--data-dir", tmp_path)
    assert (first.code, first.err) == (0, "")
    assert first.rows[-1] == whole
    assert len(first.rows) == 5

    # One is lost: it alone is fetched.
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    second = command("data", "get", "mnist", "--data-dir", tmp_path)
    assert (second.code, second.err) == (0, "")
    assert [row.split()[0] for row in second.rows] == ["downloaded", "mnist"]

    third = command("data", "get", "mnist", "--data-dir", tmp_path)
    assert third.rows[0] == f"mnist is already here: {tmp_path / 'mnist'}"
    assert [row.partition(": ")[2] for row in third.rows[1:5]] == ["checksum as published"] * 4
    assert third.rows[5] == whole


def test_files_that_are_here_are_checked(
    command, publish: Callable[[Path], str], digits_folder: Path, tmp_path: Path
) -> None:
    publish(digits_folder / "mnist")
    shutil.copytree(digits_folder / "mnist", tmp_path / "mnist")
    damaged = tmp_path / "mnist" / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-10])
    outcome = command("data", "get", "mnist", "--data-dir", tmp_path)
    assert outcome.code == 2
    assert "t10k-images-idx3-ubyte.gz: not byte for byte the published file" in outcome.out.decode()
    assert "cannot be read" in outcome.err
    assert f"move {tmp_path / 'mnist'} away, and get it again" in outcome.err


def test_a_terminal_sees_how_far_it_is(
    publish: Callable[[Path], str], digits_folder: Path, tmp_path: Path, terminal
) -> None:
    import sys

    from kalamos.cli.data import _progress

    stream = os.fdopen(os.dup(terminal.theirs), "w")
    with pytest.MonkeyPatch.context() as patch, stream:
        patch.setattr(sys, "stderr", stream)
        with _progress("train-images-idx3-ubyte.gz") as progress:
            progress(1_000_000, 4_000_000)
            terminal.read_until("1.0/4.0 MB")
    assert "train-images-idx3-ubyte.gz" in terminal.text
