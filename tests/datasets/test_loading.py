from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from kalamos.datasets import load_dataset, resolve_dataset
from kalamos.errors import DatasetError

Write = Callable[[Mapping[str, bytes]], Path]
Png = Callable[..., bytes]


def test_a_name_is_a_name_even_where_a_folder_is_called_so(
    tmp_path: Path, digits_folder: Path, png: Png, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("mnist/a", "mnist/b"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "1.png").write_bytes(png())
    monkeypatch.chdir(tmp_path)
    assert load_dataset("mnist", digits_folder).alphabet.name == "digits"
    for path in ("./mnist", "mnist/", Path("mnist"), str(tmp_path / "mnist")):
        assert load_dataset(path, digits_folder).alphabet.labels == ("a", "b")


def test_a_bare_word_may_be_a_folder(as_folder: Write, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = as_folder({"a/1.png": png(), "b/1.png": png()})
    monkeypatch.chdir(folder.parent)
    assert load_dataset("letters").alphabet.name == "letters"
    monkeypatch.chdir(folder)
    assert load_dataset(".").alphabet.name == "letters"


def test_home_is_known(as_folder: Write, png: Png, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = as_folder({"a/1.png": png(), "b/1.png": png()})
    monkeypatch.setenv("HOME", str(folder.parent))
    assert load_dataset("~/letters").alphabet.name == "letters"


def test_nothing_is_read_to_tell_name_from_path(tmp_path: Path) -> None:
    assert resolve_dataset("mnist") == "mnist"
    assert resolve_dataset(tmp_path) == tmp_path


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("mnsit", "there is no dataset 'mnsit'; did you mean 'mnist'"),
        ("qqq", "there is no dataset 'qqq'; name a folder, a .csv or .zip file, or one of: .*mnist"),
        ("./mnist-", "no such file or folder"),
        ("~nobody-of-this-name/x", "no such file or folder"),
        ("no/where.csv", "no such file or folder"),
        ("", "there is no dataset ''"),
        ("a\0b", "no such file or folder"),
        ("x" * 5000, "there is no dataset 'xxx"),
    ],
)
def test_what_is_nowhere_says_so(
    given: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DatasetError, match=message):
        load_dataset(given)


@pytest.mark.parametrize("name", ["data.tar.gz", "data.npz", "picture.png", "data"])
def test_other_files_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"something")
    with pytest.raises(DatasetError, match="not a zip archive"):
        load_dataset(tmp_path / name)


def test_an_archive_is_known_by_its_content(as_zip: Write, png: Png) -> None:
    path = as_zip({"a/1.png": png(), "b/1.png": png()})
    assert load_dataset(path.rename(path.with_suffix(".ZIP"))).alphabet.labels == ("a", "b")


def test_a_folder_s_misspelt_name_is_recognised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "letters" / "a").mkdir(parents=True)
    with pytest.raises(DatasetError, match=r"there is no dataset 'leters'; did you mean 'letters'\?"):
        load_dataset("leters")
    with pytest.raises(DatasetError, match=r"no such file or folder; did you mean 'letters'\?"):
        load_dataset("leters/a")
