from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from kalamos.app.models import ModelRegistry
from kalamos.errors import KalamosError, ModelError, ModelFileError, ModelNotFoundError
from kalamos.zoo import model_path, names


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copy(model_path("digits"), tmp_path / "mine.onnx"))


def test_all_shipped_models_by_default() -> None:
    registry = ModelRegistry()
    assert registry.names() == names()
    assert registry.default == "digits"
    assert registry.spec("digits").name == "digits"


def test_the_first_named_is_the_default(copied: Path) -> None:
    registry = ModelRegistry([copied, "digits"])
    assert (registry.default, registry.names()) == ("mine", ("mine", "digits"))
    assert "mine" in registry
    assert "other" not in registry


@pytest.mark.parametrize("wrong", [[], ["digit"], ["no-such.onnx"]])
def test_what_is_not_there_is_told_at_once(wrong: list[str]) -> None:
    with pytest.raises(ModelNotFoundError, match="digits"):
        ModelRegistry(wrong)


def test_a_bad_file_is_told_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(ModelError, match="bad"):
        ModelRegistry([bad])
    registry = ModelRegistry(["digits"])
    with pytest.raises(ModelFileError):
        registry.add(bad)
    assert registry.names() == ("digits",)


def test_names_stay_apart(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    other = shutil.copy(copied, tmp_path / "more")
    registry = ModelRegistry([copied, copied, other, "digits"])
    assert registry.names() == ("mine", "mine-2", "digits")


def test_added_models_are_opened_anew(copied: Path) -> None:
    registry = ModelRegistry(["digits"])
    assert registry.add(copied) == "mine"
    first = registry.get("mine")
    assert registry.add(copied) == "mine"
    assert registry.get("mine") is not first
    assert registry.names() == ("digits", "mine")


def test_many_threads_get_one_reader() -> None:
    registry = ModelRegistry(["digits"])
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(registry.get("digits"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(reader) for reader in found}) == 1


def test_a_file_that_goes_bad_is_an_error_each_time(copied: Path) -> None:
    registry = ModelRegistry([copied])
    copied.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(KalamosError):
            registry.get("mine")
