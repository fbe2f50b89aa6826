from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest

from kalamos.app.models import ModelShelf
from kalamos.errors import KalamosError, ModelError, ModelFileError, ModelNotFoundError
from kalamos.zoo import model_path, names


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return Path(shutil.copy(model_path("digits"), tmp_path / "mine.onnx"))


def test_all_shipped_models_by_default() -> None:
    shelf = ModelShelf()
    assert shelf.names() == names()
    assert shelf.default == "digits"
    assert shelf.spec("digits").name == "digits"


def test_the_first_named_is_the_default(copied: Path) -> None:
    shelf = ModelShelf([copied, "digits"])
    assert (shelf.default, shelf.names()) == ("mine", ("mine", "digits"))
    assert "mine" in shelf
    assert "other" not in shelf


@pytest.mark.parametrize("wrong", [[], ["digit"], ["no-such.onnx"]])
def test_what_is_not_there_is_told_at_once(wrong: list[str]) -> None:
    with pytest.raises(ModelNotFoundError, match="digits"):
        ModelShelf(wrong)


def test_a_bad_file_is_told_at_once(tmp_path: Path) -> None:
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(b"no model")
    with pytest.raises(ModelError, match="bad"):
        ModelShelf([bad])
    shelf = ModelShelf(["digits"])
    with pytest.raises(ModelFileError):
        shelf.add(bad)
    assert shelf.names() == ("digits",)


def test_names_stay_apart(copied: Path, tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    other = shutil.copy(copied, tmp_path / "more")
    shelf = ModelShelf([copied, copied, other, "digits"])
    assert shelf.names() == ("mine", "mine-2", "digits")


def test_added_models_are_opened_anew(copied: Path) -> None:
    shelf = ModelShelf(["digits"])
    assert shelf.add(copied) == "mine"
    first = shelf.get("mine")
    assert shelf.add(copied) == "mine"
    assert shelf.get("mine") is not first
    assert shelf.names() == ("digits", "mine")


def test_many_threads_get_one_reader() -> None:
    shelf = ModelShelf(["digits"])
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(shelf.get("digits"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(reader) for reader in found}) == 1


def test_a_file_that_goes_bad_is_an_error_each_time(copied: Path) -> None:
    shelf = ModelShelf([copied])
    copied.write_bytes(b"")
    for _ in range(2):
        with pytest.raises(KalamosError):
            shelf.get("mine")
