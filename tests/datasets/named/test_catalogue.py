from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, SkippedFile, Split, load_dataset, names
from kalamos.datasets.named import data_dir, describe
from kalamos.datasets.named.catalogue import Layout, NamedDataset, Parts, absent, archive, find, register
from kalamos.errors import DatasetError

ALL = {
    "mnist", "emnist-balanced", "emnist-byclass", "emnist-bymerge", "emnist-letters", "emnist-digits",
    "emnist-mnist", "kmnist", "usps", "ocr-arabic", "ocr-arabic-punctuation", "ahcd", "hijja", "emnist-47",
    "hijja-28", "arabic-letters", "unipen", "unipen-digits", "hmbd", "hmbd-15", "madbase",
}  # fmt: skip
DRAWN = {"drawn-persian-digits"}
"""These need no files."""


def split(count: int) -> Split:
    return Split(np.zeros((count, 2, 2), np.uint8), np.arange(count) % 10)


def two(read: Parts) -> NamedDataset:
    return NamedDataset(
        "two", DIGITS, 3, 2, "nobody", (Layout(("two.npz",), ("",)),), lambda paths: read, home="the moon"
    )


def test_names() -> None:
    assert set(names()) == ALL | DRAWN
    assert list(names()) == sorted(names())


def test_a_misspelt_dataset_is_answered_with_the_nearest() -> None:
    with pytest.raises(DatasetError, match="unknown dataset 'mnst'; did you mean 'mnist'"):
        load_dataset("mnst")
    with pytest.raises(DatasetError, match="unknown dataset 'emnist-letter'; did you mean 'emnist-letters'"):
        describe("emnist-letter")


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_dataset_is_described_before_it_is_here(name: str, tmp_path: Path) -> None:
    entry = describe(name)
    assert entry.name == name
    assert entry.train > entry.test >= 0
    assert entry.source
    assert bool(entry.torchvision) != bool(entry.home)
    with pytest.raises(DatasetError) as caught:
        entry.find(tmp_path)
    assert caught.value.problem.startswith(f"{name}: there is no {tmp_path}")
    way = f"kalamos data get {name} --data-dir {tmp_path}" if entry.torchvision else entry.home
    for hint in (way, "--data-dir", "KALAMOS_DATA"):
        assert hint in caught.value.remedy


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_what_is_drawn_needs_no_files(name: str, tmp_path: Path) -> None:
    entry = describe(name)
    assert entry.is_drawn
    assert entry.find(tmp_path / "absent") == ()
    entry.check(entry(tmp_path / "absent"))


@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("unipen", "CC BY 4.0"),
        ("unipen-digits", "CC BY 4.0"),
        ("kmnist", "CC BY-SA 4.0"),
        ("hijja", "not stated by the source"),
        ("arabic-letters", "not stated by the source"),
        ("emnist-letters", "not stated by the source"),
    ],
)
def test_a_licence_is_what_the_source_states(name: str, licence: str) -> None:
    assert describe(name).licence == licence


def test_a_dataset_without_a_stated_licence_says_so() -> None:
    assert two(Parts(split(3))).licence == "not stated by the source"


def test_the_folder_given_goes_before_the_environment_and_that_before_the_cache(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KALAMOS_DATA", str(tmp_path / "environment"))
    assert data_dir(tmp_path / "given") == tmp_path / "given"
    assert data_dir() == tmp_path / "environment"
    assert data_dir("~/given") == tmp_path / "given"
    monkeypatch.setenv("KALAMOS_DATA", "")
    assert data_dir() == tmp_path / "cache" / "kalamos"
    monkeypatch.delenv("KALAMOS_DATA")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_dir() == tmp_path / ".cache" / "kalamos"


def test_counts_are_checked_against_the_published_ones(tmp_path: Path) -> None:
    (tmp_path / "two.npz").touch()
    problem = SkippedFile("a.png", "torn")
    for parts, message in (
        (Parts(split(3), split(2)), None),
        (Parts(split(2), split(2)), r"two: 2 \+ 2 images were read, where 3 \+ 2 are published; delete"),
        (Parts(split(3)), r"two: 3 \+ 0 images were read"),
        (Parts(split(3), split(2), (problem,)), r"the first of 1 problems: a\.png: torn"),
    ):
        entry = two(parts)
        dataset = entry(tmp_path)
        assert isinstance(dataset, Dataset)
        assert (dataset.name, dataset.source, dataset.problems) == ("two", "nobody", parts.problems)
        if message is None:
            entry.check(dataset)
        else:
            with pytest.raises(DatasetError, match=message) as caught:
                entry.check(dataset)
            assert "get them again" in caught.value.remedy


def test_a_name_is_registered_once() -> None:
    with pytest.raises(ValueError, match="'mnist' is registered twice"):
        register(describe("mnist"))


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


PAIR = Layout(("a-idx3-ubyte", "b-idx1-ubyte"), ("one", "TWO/raw", ""))


@pytest.mark.parametrize("folder", ["one", "TWO/raw", "."])
@pytest.mark.parametrize("spelling", ["-idx3-ubyte.gz", "-idx3-ubyte", ".idx3-ubyte.gz", ".idx3-ubyte"])
def test_idx_files_are_found_in_every_folder_and_spelling(tmp_path: Path, folder: str, spelling: str) -> None:
    touch(tmp_path / folder, f"a{spelling}", "b-idx1-ubyte.gz")
    assert find(tmp_path, PAIR) == (
        tmp_path / folder / f"a{spelling}",
        tmp_path / folder / "b-idx1-ubyte.gz",
    )


def test_files_of_two_folders_do_not_make_one_dataset(tmp_path: Path) -> None:
    touch(tmp_path, "one/a-idx3-ubyte", "TWO/raw/b-idx1-ubyte")
    assert find(tmp_path, PAIR) is None
    touch(tmp_path, "TWO/raw/a-idx3-ubyte")
    assert find(tmp_path, PAIR) == (tmp_path / "TWO/raw/a-idx3-ubyte", tmp_path / "TWO/raw/b-idx1-ubyte")


def test_a_folder_is_no_file_and_an_empty_folder_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "one" / "a-idx3-ubyte.gz").mkdir(parents=True)
    touch(tmp_path, "one/b-idx1-ubyte", "letters.txt")
    assert find(tmp_path, PAIR) is None
    letters = Layout(("letters/",), ("",))
    assert find(tmp_path, letters) is None
    (tmp_path / "letters").mkdir()
    assert find(tmp_path, letters) is None
    touch(tmp_path, "letters/1.png")
    assert find(tmp_path, letters) == (tmp_path / "letters",)


@pytest.mark.parametrize(
    "place", ["v2.zip", "letters/v2.zip", "v2/1.png", "letters/v2/1.png", "letters/1.png"]
)
def test_an_archive_may_be_packed_or_unpacked_beside_or_below(tmp_path: Path, place: str) -> None:
    touch(tmp_path, place)
    [found] = [paths for layout in archive("letters", "v2") if (paths := find(tmp_path, layout))][:1]
    assert found == (tmp_path / place.removesuffix("/1.png"),)


@pytest.mark.parametrize("place", ["v2.zip", "v2/v2.zip", "v2/v2/1.png", "v2/1.png"])
def test_an_archive_may_be_called_as_the_dataset(tmp_path: Path, place: str) -> None:
    touch(tmp_path, place)
    [found] = [paths for layout in archive("v2", "v2") if (paths := find(tmp_path, layout))][:1]
    assert found == (tmp_path / place.removesuffix("/1.png"),)


@pytest.mark.parametrize("root", ["no\0where", "x" * 5000, "ab\ud800sent"])
def test_a_data_folder_that_cannot_be_is_one_that_is_not_there(root: str) -> None:
    assert find(Path(root), PAIR) is None
    assert find(Path(root), Layout(("letters/",), ("",))) is None


def test_what_is_missing_and_where_it_was_looked_for_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "one/b-idx1-ubyte")
    error = absent("pair", tmp_path, (PAIR, *archive("letters", "v2")), "pray")
    assert error.problem == (
        f"pair: there is no {tmp_path}/one/a-idx3-ubyte.gz; nor in TWO/raw or the data folder itself, "
        "nor v2.zip in the data folder itself or letters, nor v2/ in the data folder itself or letters, "
        "nor letters/ in the data folder itself"
    )
    assert error.remedy.startswith(f"pray, or put it into {tmp_path}/one, or point --data-dir")
