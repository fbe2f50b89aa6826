from __future__ import annotations

import bz2
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, load_dataset
from kalamos.errors import DatasetError


def libsvm(pixels: np.ndarray, labels: np.ndarray) -> bytes:
    """As LIBSVM writes it, with labels from 1."""
    lines = []
    for row, label in zip(pixels.reshape(len(pixels), -1), labels, strict=True):
        lines.append(f"{label + 1} " + " ".join(f"{i}:{value:g}" for i, value in enumerate(row, 1)) + " ")
    return ("\n".join(lines) + "\n").encode()


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (10, 16, 16)).round(3)


@pytest.mark.parametrize("folder", ["usps", "USPS", "."])
def test_torchvision_s_files_are_read_as_it_reads_them(
    tmp_path: Path, pixels: np.ndarray, folder: str
) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    place = tmp_path / folder
    place.mkdir(exist_ok=True)
    (place / "usps.bz2").write_bytes(bz2.compress(libsvm(pixels, np.arange(10))))
    (place / "usps.t.bz2").write_bytes(bz2.compress(libsvm(pixels[::-1], np.arange(10))))
    ours = load_dataset("usps", tmp_path)
    for split, train in ((ours.train, True), (ours.test, False)):
        theirs = torchvision.datasets.USPS(place, train=train)
        assert split.labels.tolist() == theirs.targets
        # It cuts the fraction of a grey level off, where this rounds.
        assert np.abs(split.images.astype(int) - theirs.data).max() <= 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "not 16x16 pixels"),
        (b"1 1:0 2:0\n", "not 16x16 pixels"),
        (b"1 1:0 2:0\n2 1:0\n", "cannot be read"),
        (b"<html>\n", "cannot be read"),
        (libsvm(np.full((2, 16, 16), 1.5), np.arange(2)), "pixels outside of -1 to 1"),
        (libsvm(np.full((2, 16, 16), np.nan), np.arange(2)), "pixels outside of -1 to 1"),
        (libsvm(np.zeros((2, 16, 16)), np.arange(2)).replace(b" 7:0", b" 9:0"), "in order"),
        (libsvm(np.zeros((2, 16, 16)), np.array([0, 10])), "labels run from 0 to 10"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, pixels: np.ndarray, content: bytes, message: str) -> None:
    (tmp_path / "usps.bz2").write_bytes(bz2.compress(content))
    (tmp_path / "usps.t.bz2").write_bytes(bz2.compress(libsvm(pixels, np.arange(10))))
    with pytest.raises(DatasetError, match=message):
        load_dataset("usps", tmp_path)


def test_a_truncated_file_is_refused(tmp_path: Path, pixels: np.ndarray) -> None:
    whole = bz2.compress(libsvm(pixels, np.arange(10)))
    (tmp_path / "usps.bz2").write_bytes(whole[:100])
    (tmp_path / "usps.t.bz2").write_bytes(whole)
    with pytest.raises(DatasetError, match=r"usps\.bz2: cannot be read"):
        load_dataset("usps", tmp_path)


def test_the_real_one(usps: Dataset) -> None:
    assert usps.train.images.shape == (7_291, 16, 16)
    assert usps.test.images.shape == (2_007, 16, 16)
    assert np.bincount(usps.test.labels).tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]


def test_both_files_give_the_same_images(usps: Dataset, tmp_path: Path) -> None:
    values = usps.train.images[:20] / 255 * 2 - 1
    for name in ("usps.bz2", "usps.t.bz2"):
        (tmp_path / name).write_bytes(bz2.compress(libsvm(values.round(3), usps.train.labels[:20])))
    again = load_dataset("usps", tmp_path)
    assert again.train.sha256 == usps.train.take(np.arange(20)).sha256
