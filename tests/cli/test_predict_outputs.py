"""What `kalamos predict` does not do: replace a table by nothing, mislead a program, command a terminal."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.errors import UsageError
from kalamos.recognizer import load
from kalamos.results import Results


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "in"
    path.mkdir()
    return path


def jsonl(out: bytes) -> list[dict[str, object]]:
    return [json.loads(line) for line in out.splitlines()]


# ------------------------------------------------------------------------------ nothing lost


@pytest.mark.parametrize(
    "paths",
    [
        ["scna"],
        ["missing.png"],
        ["scna", "missing.png"],
        ["*.nothing", "scna"],
        ["none*.png", "other*.png"],
        ["broken.png"],
    ],
)
def test_what_is_not_there_replaces_no_output(
    command, folder: Path, one: bytes, monkeypatch: pytest.MonkeyPatch, paths: list[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "scans").mkdir()
    (folder / "scans" / "a.png").write_bytes(one)
    (folder / "broken.png").symlink_to("nowhere.png")
    target = folder / "rows.csv"
    target.write_bytes(b"last week")
    outcome = command("predict", *paths, "-o", target)
    assert outcome.code == 2
    assert target.read_bytes() == b"last week"
    for path in paths:
        assert path in outcome.err
    assert ("did you mean 'scans'?" in outcome.err) == ("scna" in paths)
    assert sorted(path.name for path in folder.iterdir()) == ["broken.png", "rows.csv", "scans"]
    assert command("predict", *paths).code == 2


def test_a_table_and_a_pipe_of_paths_that_are_not_there_replace_no_output(
    command, folder: Path, one: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, target = folder / "list.csv", folder / "rows.json"
    table.write_text("path\n" + "\n".join(f"{place}.png" for place in range(9)))
    target.write_bytes(b"last week")
    for arguments in ([table], [table, folder / "absent"], ["-"]):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"x.png\ny.png\n")))
        outcome = command("predict", *arguments, "-o", target)
        assert outcome.code == 2
        assert target.read_bytes() == b"last week"
        assert "rows.json was not written: not found: " in outcome.err
    (folder / "3.png").write_bytes(one)
    assert command("predict", table, "-o", target).code == 1
    assert len(json.loads(target.read_bytes())) == 9


def test_blank_scans_do_give_a_table(command, folder: Path) -> None:
    blank = cv2.imencode(".png", np.full((28, 28), 255, np.uint8))[1].tobytes()
    for place in range(30):
        (folder / f"{place}.png").write_bytes(blank)
    target = folder / "rows.csv"
    target.write_bytes(b"last week")
    assert command("predict", folder, "-o", target).code == 1
    assert len(target.read_text().splitlines()) == 31


def test_what_is_not_there_is_a_row_among_others_and_named(
    command, folder: Path, one: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    (folder / "scans").mkdir()
    (folder / "scans" / "a.png").write_bytes(one)
    outcome = command("predict", "scans", "scnas", "no*.gif", "-f", "jsonl")
    assert outcome.code == 1
    glob, read, absent = jsonl(outcome.out)
    assert (glob["label"], read["label"], absent["label"]) == (None, "1", None)
    assert absent["error"] == "scnas: no such file or folder; did you mean 'scans'?"
    assert "not found: no*.gif, scnas\n" in outcome.err


@pytest.mark.parametrize(
    ("output", "format_name", "told"),
    [
        ("out.XLSX", "csv", "the name of a xlsx file, for the format csv; use -f xlsx"),
        ("out.xls", "text", "writes no workbooks but .xlsx; name a .xlsx or a .csv file"),
        ("out.ods", "json", "writes no workbooks but .xlsx; name a .xlsx or a .csv file"),
        ("out.numbers", "parquet", "writes no workbooks but .xlsx"),
        ("out.xlsm", "xlsx", "writes no workbooks but .xlsx"),
        ("out.tsv", None, "writes no .tsv files"),
        ("out.pdf", "text", "writes no .pdf files"),
        ("out.onnx", "csv", "writes no .onnx files"),
        ("out.parquet", "csv", "the name of a parquet file, for the format csv; use -f parquet"),
        ("out.csv", "json", "the name of a csv file, for the format json"),
        ("out.txt", "parquet", "the name of a text file, for parquet; name a .parquet file"),
        ("out.txt", "xlsx", "the name of a text file, for xlsx; name a .xlsx file"),
    ],
)
def test_a_name_that_promises_another_format_is_refused(
    command, folder: Path, samples: Path, output: str, format_name: str | None, told: str
) -> None:
    target = folder / output
    target.write_bytes(b"mine")
    form = [] if format_name is None else ["-f", format_name]
    outcome = command("predict", samples, "-o", target, *form)
    assert outcome.code == 2
    assert told in outcome.err
    assert target.read_bytes() == b"mine"
    if format_name != "text":
        with pytest.raises(UsageError):
            getattr(Results(), f"to_{format_name or 'csv'}")(target)


@pytest.mark.parametrize(
    ("output", "format_name"),
    [
        ("rows", "csv"),
        ("rows.dat", "json"),
        ("rows.txt", "csv"),
        ("rows.txt", "ascii"),
        ("rows.ndjson", "jsonl"),
    ],
)
def test_a_name_that_promises_nothing_else_is_taken(
    command, folder: Path, samples: Path, output: str, format_name: str
) -> None:
    assert command("predict", samples / "0-pen.png", "-o", folder / output, "-f", format_name).code == 0


def test_csv_for_excel(command, folder: Path, one: bytes) -> None:
    (folder / "=1;=2.png").write_bytes(one)
    target = folder / "rows.csv"
    assert command("predict", folder, "-o", target, "--bom").code == 0
    assert target.read_bytes().startswith(b"\xef\xbb\xbfpath,")
    assert f"{folder.as_posix()}/=1;'=2.png".encode() in target.read_bytes()
    assert command("predict", folder, "-o", target, "--no-formula-guard").code == 0
    assert f"{folder.as_posix()}/=1;=2.png".encode() in target.read_bytes()
    for option in ("--bom", "--no-formula-guard"):
        outcome = command("predict", folder, "-f", "json", option)
        assert outcome.code == 2
        assert f"{option} is for CSV, not for json" in outcome.err


@pytest.mark.parametrize("kind", ["text", "ascii", "csv", "json", "jsonl"])
def test_no_format_writes_what_a_terminal_would_obey(
    samples: Path, folder: Path, one: bytes, kind: str, terminal
) -> None:
    name = "a\x1b]0;x\x07\x9b31m\u202egnp\x7f.png"
    (folder / name).write_bytes(one)
    (folder / f"{name}.jxl").write_bytes(b"x")
    (folder / f"damaged{name}").write_bytes(b"x")
    arguments = ["predict", folder, folder / f"absent{name}", folder / f"damaged{name}", "-f", kind]
    command = [sys.executable, "-m", "kalamos", *arguments]
    piped = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False)
    subprocess.run(command, stdout=terminal.theirs, stderr=subprocess.STDOUT, check=False)
    for shown in (piped.stdout.decode(), terminal.read_to_end()):
        assert "png" in shown
        assert not set(shown) & set("\x1b\x07\x9b\u202e\x7f")
    if kind == "csv":  # a file of it has the names as they are
        redirected = folder / "rows"
        with redirected.open("wb") as out:
            subprocess.run(command, stdout=out, stderr=subprocess.DEVNULL, check=False)
        assert name in redirected.read_text()


def test_no_message_writes_what_a_terminal_would_obey(command, folder: Path) -> None:
    name = f"{folder}/--a\x1b[31m\u202e.png"
    for arguments in ([name], ["--a\x1b[31m\u202e"], [folder, "-m", name], [folder, "-o", name]):
        outcome = command("predict", *arguments)
        assert outcome.code == 2
        assert r"\x1b[31m" in outcome.err
        assert not set(outcome.err) & set("\x1b\u202e")


# ------------------------------------------------------------------------------ passed over


def test_a_folder_of_foreign_files_alone_says_so(command, folder: Path, tmp_path: Path) -> None:
    for place in range(3):
        (folder / f"IMG_{place}.JXL").write_bytes(b"\xff\x0a" + bytes(20))
    (folder / "no ending").write_bytes(b"\xff\x0a" + bytes(20))
    outcome = command("predict", folder, "-o", tmp_path / "rows.csv")
    assert outcome.code == 2
    told = "no image in this folder, but 4 JPEG XL images: convert them to JPEG or PNG (IMG_0.JXL, "
    assert told in outcome.err
    with pytest.raises(UsageError, match="but 4 JPEG XL images: convert them to JPEG or PNG"):
        list(load().predict_folder(folder))


def test_kinds_of_files_passed_over(command, folder: Path, one: bytes) -> None:
    (folder / "a.png").write_bytes(one)
    for name in ("b.jxl", "c.PDF", "d.pdf", "notes.txt", "scan"):
        (folder / name).write_bytes(one if name == "scan" else b"x")
    outcome = command("predict", folder)
    assert outcome.err.splitlines()[-5:] == [
        "skipped 5 files without an image extension:",
        "  2 PDFs: name them to have the pages read (c.PDF, d.pdf)",
        "  1 JPEG XL image: convert it to JPEG or PNG (b.jxl)",
        "  1 image under another name: let the name of it end in .png or .jpg, as it is (scan)",
        "  1 text file (notes.txt)",
    ]


def test_a_table_written_on_windows(command, folder: Path, one: bytes) -> None:
    (folder / "letters" / "a").mkdir(parents=True)
    (folder / "letters" / "a" / "1.png").write_bytes(one)
    (folder / "really\\so.png").write_bytes(one)
    (folder / "list.csv").write_text("path\r\nletters\\a\\1.png\r\nreally\\so.png\r\nletters\\b.png\r\n")
    outcome = command("predict", folder / "list.csv", "-f", "jsonl")
    assert [(row["path"].rpartition("in/")[2], row["label"]) for row in jsonl(outcome.out)] == [
        ("letters/a/1.png", "1"),
        ("really\\so.png", "1"),
        ("letters\\b.png", None),
    ]
