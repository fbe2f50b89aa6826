from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.errors import UsageError
from kalamos.export.destinations import check_destination, default_destination, name_of


@pytest.mark.parametrize(
    ("source", "suffix", "expected"),
    [
        ("runs/digits", ".onnx", "runs/digits.onnx"),
        ("runs/v1.2/", ".onnx", "runs/v1.2.onnx"),
        ("runs/ب", ".torchscript.pt", "runs/ب.torchscript.pt"),
        ("models/digits.onnx", ".pt2", "models/digits.pt2"),
        ("models/DIGITS.ONNX", ".int8.onnx", "models/DIGITS.int8.onnx"),
        ("models/v1.2.onnx", ".full.pt", "models/v1.2.full.pt"),
    ],
)
def test_an_export_lands_beside_its_source(source: str, suffix: str, expected: str) -> None:
    assert default_destination(source, suffix) == Path(expected)


def test_a_shipped_model_lands_in_the_current_folder() -> None:
    assert default_destination("digits", ".pt2", shipped=True) == Path("digits.pt2")


@pytest.mark.parametrize("inside", [".", "./", "../digits"])
def test_a_run_is_named_by_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str) -> None:
    (tmp_path / "digits").mkdir()
    monkeypatch.chdir(tmp_path / "digits")
    assert default_destination(inside, ".onnx").resolve() == (tmp_path / "digits.onnx").resolve()
    (tmp_path / "digits" / "deeper").mkdir()
    monkeypatch.chdir(tmp_path / "digits" / "deeper")
    assert default_destination("..", ".onnx") == tmp_path / "digits.onnx"


@pytest.mark.parametrize(
    ("destination", "suffix", "name"),
    [
        ("a/digits.onnx", ".onnx", "digits"),
        ("a/digits.full.pt", ".full.pt", "digits"),
        ("a/digits.pt", ".full.pt", "digits"),
        ("a/digits", ".onnx", "digits"),
        ("a/v1.2.int8.onnx", ".int8.onnx", "v1.2"),
        (".onnx", ".onnx", ".onnx"),
    ],
)
def test_a_model_is_called_as_its_file(destination: str, suffix: str, name: str) -> None:
    assert name_of(Path(destination), suffix) == name


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text("{}")
    return folder


@pytest.mark.parametrize("name", ["scan.png", "scan.JPG", "new.tiff"])
def test_an_images_name_is_refused(run: Path, name: str) -> None:
    with pytest.raises(UsageError, match="this is an image; name another file after -o"):
        check_destination(run.parent / name, run)


def test_an_image_by_another_name_is_refused(run: Path) -> None:
    path = run.parent / "scan"
    path.write_bytes(cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes())
    with pytest.raises(UsageError, match="this is an image"):
        check_destination(path, run)


def test_the_runs_own_files_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (run / "run.json", run / ".." / "run" / "run.json"):
        with pytest.raises(UsageError, match=r"run\.json: this is a file of the run"):
            check_destination(path, run)
    monkeypatch.chdir(run)
    with pytest.raises(UsageError, match="this is a file of the run"):
        check_destination(Path("run.json"), Path())
    (run.parent / "link").symlink_to(run / "run.json")
    with pytest.raises(UsageError, match="this is a file of the run"):
        check_destination(run.parent / "link", run)


def test_the_model_itself_is_refused(tmp_path: Path) -> None:
    model, other = tmp_path / "model.onnx", tmp_path / "other.onnx"
    model.write_bytes(b"x")
    other.hardlink_to(model)
    for path in (model, other):
        with pytest.raises(UsageError, match="this is the very model"):
            check_destination(path, model)


def test_anything_else_may_be_written(run: Path) -> None:
    older = run.parent / "older.onnx"
    older.write_bytes(b"x")
    for path in (older, run.parent / "new.onnx", run / "run.onnx", run.parent / "a\0b", run.parent):
        check_destination(path, run)
