from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos import load
from kalamos.app.errors import Limits
from kalamos.app.page.folder_tab import export, read_sheet
from kalamos.errors import DatasetError, UsageError
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import Recognizer


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return load("digits")


def _png(text: str) -> bytes:
    page = np.full((60, 50), 255, np.uint8)
    if text:
        cv2.putText(page, text, (8, 50), cv2.FONT_HERSHEY_SIMPLEX, 1.7, 0, 5, cv2.LINE_AA)
    return cv2.imencode(".png", page)[1].tobytes()


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    for number in range(10):
        (folder / f"{number}.png").write_bytes(_png(str(number)))
    (folder / "B.PNG").write_bytes(_png("8"))
    (folder / "blank.png").write_bytes(_png(""))
    (folder / "broken.png").write_bytes(_png("1")[:60])
    (folder / "empty.png").write_bytes(b"")
    (folder / "text.png").write_bytes(b"hello")
    (folder / "=cmd,é.png").write_bytes(_png("3"))
    (folder / "notes.txt").write_bytes(b"no image")
    (folder / "inner").mkdir()
    (folder / "inner" / "5.png").write_bytes(_png("5"))
    return folder


def _zipped(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*"), reverse=True):
            archive.write(path, path.relative_to(folder).as_posix())
    return target


@pytest.mark.parametrize("form", ["csv", "json", "parquet"])
def test_a_zip_gives_the_very_document_of_the_command_line(
    form: str, scans: Path, reader: Recognizer, tmp_path: Path
) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    archive = _zipped(scans, tmp_path / "scans.zip")
    sheet = read_sheet(reader, "digits", [("scans.zip", archive)], kept, Limits())
    said = tmp_path / f"said.{form}"
    given = sorted(path.name for path in scans.iterdir() if path.suffix != ".txt")
    command = [sys.executable, "-m", "kalamos", "predict", *given, "-q", "-o", str(said)]
    assert subprocess.run(command, cwd=scans, check=False).returncode == 1
    assert export(sheet, form) == said.read_bytes()
    assert sheet.skipped == 1
    assert len(sheet.rows) == 17
    assert all(row.stored is None or row.stored.parent == kept for row in sheet.rows)


def test_progress_is_told_to_the_end(scans: Path, reader: Recognizer, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    files = [(path.name, path) for path in scans.glob("*.png")] * 6
    read_sheet(reader, "digits", files, tmp_path, Limits(), progress=lambda *each: told.append(each))
    assert told == [(64, 90), (90, 90)]


def test_options_reach_the_model(scans: Path, reader: Recognizer, tmp_path: Path) -> None:
    files = [("7.png", scans / "7.png")]
    [row] = read_sheet(reader, "d", files, tmp_path, Limits(), PredictOptions(charset="1 2")).rows
    assert row.prediction.label in ("1", "2")
    [row] = read_sheet(reader, "d", files, tmp_path, Limits(), PredictOptions(min_confidence=1.0)).rows
    assert row.prediction.abstained
    with pytest.raises(UsageError):
        read_sheet(reader, "d", files, tmp_path, Limits(), PredictOptions(charset="A"))


def test_limits_make_rows_of_errors(scans: Path, reader: Recognizer, tmp_path: Path) -> None:
    files = [("7.png", scans / "7.png")]
    [row] = read_sheet(reader, "d", files, tmp_path, Limits(pixels=100)).rows
    assert row.prediction.error is not None
    assert row.prediction.error.summary == "too large"
    rows = read_sheet(reader, "d", files * 400, tmp_path, Limits(upload_bytes=1000)).rows
    assert {row.prediction.label for row in rows} == {"7", None}
    assert rows[-1].prediction.error is not None


def test_no_message_names_a_place_on_the_server(scans: Path, reader: Recognizer, tmp_path: Path) -> None:
    files = [("é.png", scans / "broken.png"), ("gone.png", scans / "gone.png")]
    for row in read_sheet(reader, "d", files, tmp_path, Limits()).rows:
        assert row.prediction.error is not None
        assert str(tmp_path) not in str(row.prediction.error)
        assert str(row.prediction.path) in str(row.prediction.error)
    bad = tmp_path / "bad.zip"
    bad.write_bytes(b"PK no zip")
    with pytest.raises(DatasetError, match=r"^mine\.zip: ") as refusal:
        read_sheet(reader, "d", [("mine.zip", bad)], tmp_path, Limits())
    assert str(tmp_path) not in str(refusal.value)


def test_archives_of_nothing_and_of_two(scans: Path, reader: Recognizer, tmp_path: Path) -> None:
    empty = tmp_path / "empty.zip"
    with zipfile.ZipFile(empty, "w"):
        pass
    with pytest.raises(UsageError, match="no image"):
        read_sheet(reader, "d", [("empty.zip", empty)], tmp_path, Limits())
    one = _zipped(scans / "inner", tmp_path / "one.zip")
    rows = read_sheet(reader, "d", [("a.zip", one), ("b.ZIP", one)], tmp_path, Limits()).rows
    assert [row.prediction.path for row in rows] == ["a/5.png", "b/5.png"]
