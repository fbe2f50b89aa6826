from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, load_dataset
from kalamos.errors import DatasetError


def test_a_missing_file_says_where_it_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        load_dataset("mnist", tmp_path)
    assert str(tmp_path / "mnist" / "train-images-idx3-ubyte.gz") in caught.value.problem
    assert "MNIST/raw" in caught.value.problem
    for hint in (str(tmp_path / "mnist"), "kalamos data get mnist", "--data-dir", "KALAMOS_DATA"):
        assert hint in caught.value.remedy


def test_a_data_folder_is_read(digits_folder: Path, digits: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KALAMOS_DATA", str(digits_folder))
    loaded = load_dataset("mnist")
    assert loaded.alphabet.labels == tuple("0123456789")
    assert loaded.train.sha256 == digits.train.sha256
    assert loaded.test.sha256 == digits.test.sha256
    assert loaded.train.labels.dtype == np.int64


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("dotted", [True, False])
@pytest.mark.parametrize("folder", ["mnist", "MNIST/raw"])
def test_the_names_of_the_mirrors_and_torchvision_s_folder(
    digits_folder: Path, digits: Dataset, tmp_path: Path, gzipped: bool, dotted: bool, folder: str
) -> None:
    (tmp_path / folder).mkdir(parents=True)
    for source in (digits_folder / "mnist").iterdir():
        name = source.name if gzipped else source.stem
        content = source.read_bytes() if gzipped else gzip.decompress(source.read_bytes())
        (tmp_path / folder / (name.replace("-idx", ".idx") if dotted else name)).write_bytes(content)
    assert load_dataset("mnist", tmp_path).test.sha256 == digits.test.sha256


def test_mismatched_files_are_refused(digits_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mnist").mkdir()
    for source in (digits_folder / "mnist").iterdir():
        (tmp_path / "mnist" / source.name).write_bytes(source.read_bytes())
    labels = tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes((digits_folder / "mnist" / "train-labels-idx1-ubyte.gz").read_bytes())
    with pytest.raises(DatasetError, match="60 images came with 300 labels"):
        load_dataset("mnist", tmp_path)


@pytest.mark.parametrize("folder", ["kmnist", "KMNIST/raw"])
def test_kmnist_is_mnist_with_other_characters(
    write_idx: Callable[..., None], tmp_path: Path, folder: str
) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    generator = np.random.default_rng(3)
    for part, count in (("train", 20), ("t10k", 10)):
        images = generator.integers(0, 256, (count, 28, 28), np.uint8)
        write_idx(tmp_path / folder / f"{part}-images-idx3-ubyte.gz", images)
        write_idx(
            tmp_path / folder / f"{part}-labels-idx1-ubyte.gz", (np.arange(count) % 10).astype(np.uint8)
        )
    loaded = load_dataset("kmnist", tmp_path)
    assert np.array_equal(loaded.test.images, images)
    assert loaded.test.labels.tolist() == list(range(10))
    # What torchvision calls them, in Latin letters.
    romaji = dict(
        zip("おきすつなはまやれを", ["o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"], strict=True)
    )
    assert [romaji[label] for label in loaded.alphabet.labels] == torchvision.datasets.KMNIST.classes


def test_mnist_is_the_official_one(mnist: Dataset) -> None:
    assert mnist.train.images.shape == (60_000, 28, 28)
    assert mnist.test.images.shape == (10_000, 28, 28)
    assert np.bincount(mnist.train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip
    assert np.bincount(mnist.test.labels).tolist() == [
        980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009,
    ]  # fmt: skip
    assert mnist.test.labels[:8].tolist() == [7, 2, 1, 0, 4, 1, 4, 9]


@pytest.mark.parametrize(
    ("name", "md5"),
    [
        ("train-images-idx3-ubyte", "6bbc9ace898e44ae57da46a324031adb"),
        ("t10k-images-idx3-ubyte", "2646ac647ad5339dbf082846283269ea"),
    ],
)
def test_mnist_s_files_are_the_known_ones(mnist: Dataset, name: str, md5: str) -> None:
    folder = Path(os.environ["KALAMOS_DATA"]) / "mnist"
    [path] = [p for p in folder.iterdir() if p.name.replace(".idx", "-idx").startswith(name)]
    content = path.read_bytes()
    raw = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    assert hashlib.md5(raw, usedforsecurity=False).hexdigest() == md5
