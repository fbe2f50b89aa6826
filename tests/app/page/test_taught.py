from __future__ import annotations

import logging
import os
import shutil
from pathlib import Path

import pytest

from kalamos.app.models import ModelRegistry
from kalamos.app.page.taught import MAX_TAUGHT_MODELS, TaughtModelRegistry
from kalamos.errors import ModelNotFoundError
from kalamos.zoo import model_path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "taught models"


@pytest.fixture
def registry(folder: Path) -> TaughtModelRegistry:
    return TaughtModelRegistry(ModelRegistry(["digits"]), folder)


def _put(folder: Path, name: str, model: str = "digits") -> Path:
    folder.mkdir(exist_ok=True)
    return Path(shutil.copyfile(model_path(model), folder / f"{name}.onnx"))


def test_the_folder_may_come_and_go(registry: TaughtModelRegistry, folder: Path) -> None:
    assert registry.names() == ("digits",)
    file = _put(folder, "mine", "arabic")
    assert registry.names() == ("digits", "mine")
    assert "mine" in registry
    assert registry.spec("mine").alphabet.labels[0] == "ا"
    reader = registry.get("mine")
    assert registry.get("mine") is reader
    file.unlink()
    assert registry.names() == ("digits",)
    with pytest.raises(ModelNotFoundError):
        registry.get("mine")
    with pytest.raises(ModelNotFoundError):
        registry.spec("mine")


def test_a_file_that_changed_is_opened_anew(registry: TaughtModelRegistry, folder: Path) -> None:
    _put(folder, "mine", "arabic")
    assert len(registry.get("mine").labels) == 28
    _put(folder, "mine", "digits")
    assert len(registry.get("mine").labels) == len(registry.spec("mine").alphabet.labels) == 10


def test_what_is_no_model_is_passed_over_and_logged_once(
    registry: TaughtModelRegistry, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    _put(folder, "mine")
    (folder / "broken.onnx").write_bytes(b"no model")
    (folder / "folder.onnx").mkdir()
    (folder / "notes.txt").write_text("a", encoding="utf-8")
    with caplog.at_level(logging.WARNING, "kalamos.app"):
        for _ in range(3):
            assert registry.names() == ("digits", "mine")
    assert len(caplog.records) == 1
    with pytest.raises(ModelNotFoundError):
        registry.get("broken")


def test_a_shipped_name_stays_the_shipped_models(registry: TaughtModelRegistry, folder: Path) -> None:
    _put(folder, "digits", "arabic")
    assert registry.names() == ("digits",)
    assert len(registry.get("digits").labels) == 10


def test_only_the_newest_are_listed(registry: TaughtModelRegistry, folder: Path) -> None:
    first = _put(folder, "m0")
    for number in range(1, MAX_TAUGHT_MODELS + 1):
        os.link(_put(folder, "other") if number == 1 else folder / "m1.onnx", folder / f"m{number}.onnx")
        if number == 1:
            (folder / "other.onnx").unlink()
    os.utime(first, ns=(0, 0))
    names = registry.names()
    assert len(names) == MAX_TAUGHT_MODELS + 1
    assert "m0" not in names
