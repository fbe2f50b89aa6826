from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, SkippedFile, Split, load_dataset, names
from kalamos.datasets.named import data_dir, describe
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import Layout
from kalamos.errors import DatasetError

ALL = {
    "mnist", "emnist-balanced", "emnist-byclass", "emnist-bymerge", "emnist-letters", "emnist-digits",
    "emnist-mnist", "kmnist", "usps", "ocr-arabic", "ocr-arabic-punctuation", "ahcd", "hijja", "emnist-47",
    "hijja-28", "arabic-letters",
}  # fmt: skip


def split(count: int) -> Split:
    return Split(np.zeros((count, 2, 2), np.uint8), np.arange(count) % 10)


def two(read: Parts) -> NamedDataset:
    return NamedDataset(
        "two", DIGITS, 3, 2, "nobody", (Layout(("two.npz",), ("",)),), lambda paths: read, home="the moon"
    )


def test_names() -> None:
    assert set(names()) == ALL
    assert list(names()) == sorted(names())


def test_a_misspelt_dataset_is_answered_with_the_nearest() -> None:
    with pytest.raises(DatasetError, match="there is no dataset 'mnst'; did you mean 'mnist'"):
        load_dataset("mnst")
    with pytest.raises(
        DatasetError, match="there is no dataset 'emnist-letter'; did you mean 'emnist-letters'"
    ):
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
