"""`kalamos data inspect`, over folders of images, by its command object.

`kalamos data render`, over fonts drawn here, by its command object.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from kalamos.cli import cli
from kalamos.datasets import Dataset, load_dataset, names
from kalamos.errors import DatasetError, OutputError, UsageError


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
    assert table["drawn-persian-digits"][4:8] == ["none,", "it", "is", "drawn"]
    text = outcome.out.decode()
    assert str(tmp_path) in text
    assert "one sub-folder per class" in text
    assert "path,label[,group,split]" in text
    assert "Clanuwat et al. 2018. Licence: CC BY-SA 4.0" in text
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
    assert "unknown command 'data lst'; did you mean 'list'?" in outcome.err
    outcome = command("data", "get", "mnits")
    assert (outcome.code, outcome.out) == (2, b"")
    assert outcome.err == "kalamos: unknown dataset 'mnits'; did you mean 'mnist'?\n"
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


def test_what_is_drawn_is_not_to_be_got(command, tmp_path: Path) -> None:
    outcome = command("data", "get", "drawn-persian-digits", "--data-dir", tmp_path)
    assert (outcome.code, outcome.err) == (0, "")
    assert "needs no files" in outcome.out.decode()
    assert not list(tmp_path.iterdir())


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
    assert f"move {tmp_path / 'mnist'} away, and download it again" in outcome.err


def run_data_inspect(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["data", "inspect", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes of twelve images each, all different and fine."""
    hand = np.random.default_rng(0)
    for label, corners in {"ا": [(14, 6), (14, 22)], "ب": [(6, 10), (9, 18), (19, 18), (22, 10)]}.items():
        (tmp_path / "data" / label).mkdir(parents=True)
        for number in range(12):
            page = np.zeros((112, 112), np.uint8)
            points = (4 * (np.array(corners) + hand.normal(0, 1.5, (len(corners), 2)))).astype(np.int32)
            cv2.polylines(
                page, [points.reshape(-1, 1, 2)], False, 255, int(hand.integers(6, 12)), cv2.LINE_AA
            )
            image = cv2.resize(page, (28, 28), interpolation=cv2.INTER_AREA)
            (tmp_path / "data" / label / f"{number}.png").write_bytes(
                cv2.imencode(".png", image)[1].tobytes()
            )
    return tmp_path / "data"


def test_a_clean_folder_exits_with_zero(folder: Path) -> None:
    outcome = run_data_inspect(folder, "--no-labels")
    assert (outcome.exit_code, outcome.stderr) == (0, "")
    assert outcome.stdout.startswith("data: nothing wrong was found")


def test_errors_exit_with_one_and_are_told(folder: Path) -> None:
    (folder / "ب" / "copy.png").write_bytes((folder / "ا" / "3.png").read_bytes())
    (folder / "ا" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    outcome = run_data_inspect(folder, "--no-labels")
    assert outcome.exit_code == 1
    assert outcome.stdout.startswith("data: 2 errors, 0 warnings")
    assert "error    equal images under different labels: 1 set of 2 images" in outcome.stdout
    assert "ا/bad.png: " in outcome.stdout


def test_warnings_alone_exit_with_zero(folder: Path) -> None:
    (folder / "notes.txt").write_text("mine")
    outcome = run_data_inspect(folder, "--no-labels")
    assert outcome.exit_code == 0
    assert "0 errors, 1 warning" in outcome.stdout


def test_json_is_all_that_is_written(folder: Path, tmp_path: Path) -> None:
    (folder / "ب" / "copy.png").write_bytes((folder / "ا" / "3.png").read_bytes())
    outcome = run_data_inspect(folder, "--no-labels", "-f", "json", "--report", tmp_path / "report")
    assert outcome.exit_code == 1
    record = json.loads(outcome.stdout)
    assert [finding["kind"] for finding in record["findings"]] == ["two-labels"]
    assert record == json.loads((tmp_path / "report" / "inspection.json").read_text("utf-8"))
    assert "ا" in outcome.stdout


def test_a_page_can_be_had(folder: Path, tmp_path: Path) -> None:
    outcome = run_data_inspect(folder, "--no-labels", "--report", tmp_path / "page.html")
    assert outcome.exit_code == 0
    assert outcome.stdout.endswith(f"wrote {tmp_path / 'page.html'}\n")
    assert (tmp_path / "page.html").read_text("utf-8").startswith("<!doctype html>")


def test_labels_are_checked(folder: Path) -> None:
    (folder / "ا" / "2.png").rename(folder / "ب" / "wrong.png")
    outcome = run_data_inspect(folder, "-f", "json", "--sample", "20")
    record = json.loads(outcome.stdout)
    assert record["label_check"]["of"] == 24
    assert 18 <= record["label_check"]["judged"] <= 22
    assert outcome.exit_code == 0


@pytest.mark.parametrize("arguments", [["-f", "xml"], ["--sample", "0"], ["--most", "-1"], ["--typo"]])
def test_wrong_usage_exits_with_two(arguments: list[str]) -> None:
    assert run_data_inspect("mnist", *arguments).exit_code == 2


def run_data_render(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["data", "render", *map(str, arguments)])


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    """Two families, "kalam" and "caveat", that have two digits."""
    builder = pytest.importorskip("fontTools.fontBuilder", reason="needs the extra 'fonts'")
    pens = pytest.importorskip("fontTools.pens.ttGlyphPen")
    pytest.importorskip("PIL")
    for family in ("kalam", "caveat"):
        font = builder.FontBuilder(1000)
        font.setupGlyphOrder([".notdef", "one", "dash"])
        font.setupCharacterMap({ord("1"): "one", ord("7"): "dash"})
        glyphs = {}
        for name, (right, top) in {".notdef": (400, 400), "one": (100, 700), "dash": (600, 100)}.items():
            pen = pens.TTGlyphPen(None)
            pen.moveTo((0, 0))
            for corner in ((0, top), (right, top), (right, 0)):
                pen.lineTo(corner)
            pen.closePath()
            glyphs[name] = pen.glyph()
        font.setupGlyf(glyphs)
        font.setupHorizontalMetrics(dict.fromkeys(glyphs, (600, 0)))
        font.setupHorizontalHeader(ascent=800, descent=-200)
        font.setupNameTable({"familyName": family, "styleName": "Regular"})
        font.setupOS2()
        font.setupPost()
        (tmp_path / "fonts" / family).mkdir(parents=True)
        font.save(tmp_path / "fonts" / family / "regular.ttf")
    return tmp_path / "fonts"


def test_a_dataset_is_made(fonts: Path, tmp_path: Path) -> None:
    outcome = run_data_render(fonts, "--alphabet", "digits", "-o", tmp_path / "data", "--per-glyph", "2")
    assert outcome.exit_code == 0, outcome.output
    assert "8 images, 2 of 10 classes, 2 fonts" in outcome.stdout
    assert "kalam: has no 0 2 3 4 5 6 8 9" in outcome.stderr
    assert len(load_dataset(tmp_path / "data" / "digits.csv").train) == 8


def test_the_list_and_its_sides_choose(fonts: Path, tmp_path: Path) -> None:
    listed = tmp_path / "list.txt"
    listed.write_text("@fontsource/kalam 5.3.0 train latin\n@fontsource/caveat 5.3.0 judge latin\n")
    common = (fonts, "--alphabet", "digits", "--list", listed)
    for side, family in (("train", "kalam"), ("judge", "caveat")):
        outcome = run_data_render(*common, "--side", side, "-o", tmp_path / side)
        assert outcome.exit_code == 0, outcome.output
        names = {path.name.partition("-")[0] for path in (tmp_path / side / "1").iterdir()}
        assert names == {family}
    assert run_data_render(*common, "-o", tmp_path / "both").exit_code == 0
    assert "2 fonts" in run_data_render(*common, "-o", tmp_path / "again").stdout


def test_what_could_not_be_read_is_told_and_exits_with_one(fonts: Path, tmp_path: Path) -> None:
    (fonts / "kalam" / "bad.otf").write_bytes(b"no font")
    outcome = run_data_render(fonts, "--alphabet", "digits", "-o", tmp_path / "data")
    assert outcome.exit_code == 1
    assert "kalam/bad.otf: " in outcome.stderr
    assert "2 fonts" in outcome.stdout
    listed = tmp_path / "list.txt"
    listed.write_text("@fontsource/caveat 5.3.0 judge latin\n@fontsource/handlee 5.3.0 train latin\n")
    outcome = run_data_render(fonts, "--alphabet", "digits", "-o", tmp_path / "other", "--list", listed)
    assert outcome.exit_code == 1
    assert "handlee: listed, but not in the folder of fonts" in outcome.stderr


def test_wrong_usage(fonts: Path, tmp_path: Path) -> None:
    assert run_data_render(fonts, "--alphabet", "digts", "-o", tmp_path / "data").exit_code == 2
    assert run_data_render(fonts, "-o", tmp_path / "data").exit_code == 2
    assert run_data_render(fonts, "--alphabet", "digits").exit_code == 2
    assert (
        run_data_render(fonts, "--alphabet", "digits", "-o", tmp_path / "data", "--per-glyph", "0").exit_code
        == 2
    )
    outcome = run_data_render(fonts, "--alphabet", "digits", "-o", tmp_path / "data", "--side", "judge")
    assert isinstance(outcome.exception, UsageError)
    assert isinstance(run_data_render(fonts, "--alphabet", "digits", "-o", fonts).exception, OutputError)
    assert isinstance(
        run_data_render(tmp_path / "no", "--alphabet", "digits", "-o", fonts).exception, DatasetError
    )
    assert not (tmp_path / "data").exists()
