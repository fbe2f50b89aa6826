"""Small files in the official format: transposed images, and for the letters labels from 1."""

from __future__ import annotations

import string
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.named.emnist import ARRANGEMENTS
from kalamos.errors import DatasetError

Write = Callable[[Path, str], np.ndarray]
MERGED = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"
CLASSES = {
    "balanced": MERGED,
    "bymerge": MERGED,
    "byclass": string.digits + string.ascii_uppercase + string.ascii_lowercase,
    "letters": string.ascii_uppercase,
    "digits": string.digits,
    "mnist": string.digits,
}


@pytest.fixture
def write(write_idx: Callable[..., None]) -> Write:
    """Write the files of an arrangement into a folder; returns the upright test images, one a class."""

    def write(folder: Path, arrangement: str, suffix: str = ".gz") -> np.ndarray:
        count = len(CLASSES[arrangement])
        first = 1 if arrangement == "letters" else 0
        for part in ("train", "test"):
            upright = np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
            codes = np.arange(first, first + count).astype(np.uint8)
            stem = f"emnist-{arrangement}-{part}"
            write_idx(folder / f"{stem}-images-idx3-ubyte{suffix}", upright.transpose(0, 2, 1))
            write_idx(folder / f"{stem}-labels-idx1-ubyte{suffix}", codes)
        return upright

    return write


def zipped(folder: Path, target: Path, top: str) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.iterdir()):
            archive.write(path, top + path.name)


def labels(dataset: Dataset) -> str:
    return "".join(dataset.alphabet.labels[label] for label in dataset.test.labels)


@pytest.mark.parametrize("arrangement", CLASSES)
@pytest.mark.parametrize("place", ["emnist", "emnist/gzip", "EMNIST/raw", "."])
def test_images_are_upright_and_labels_right(
    write: Write, tmp_path: Path, arrangement: str, place: str
) -> None:
    upright = write(tmp_path / place, arrangement)
    loaded = load_dataset(f"emnist-{arrangement}", tmp_path)
    assert np.array_equal(loaded.test.images, upright)
    assert loaded.test.images.flags.c_contiguous
    assert labels(loaded) == CLASSES[arrangement]
    assert loaded.train.labels.dtype == np.int64


@pytest.mark.parametrize("arrangement", CLASSES)
@pytest.mark.parametrize("place", ["gzip.zip", "emnist/gzip.zip", "EMNIST/raw/gzip.zip"])
def test_the_official_archive_needs_no_unpacking(
    write: Write, tmp_path: Path, arrangement: str, place: str
) -> None:
    upright = write(tmp_path / "files", arrangement)
    zipped(tmp_path / "files", tmp_path / place, "gzip/")
    loaded = load_dataset(f"emnist-{arrangement}", tmp_path)
    assert np.array_equal(loaded.test.images, upright)
    assert labels(loaded) == CLASSES[arrangement]


@pytest.mark.parametrize("arrangement", CLASSES)
def test_torchvision_sees_the_same_in_its_own_folder(write: Write, tmp_path: Path, arrangement: str) -> None:
    torchvision = pytest.importorskip("torchvision", reason="needs the extra 'train'")
    write(tmp_path / "EMNIST" / "raw", arrangement, "")
    theirs = torchvision.datasets.EMNIST(tmp_path, arrangement, train=False)
    ours = load_dataset(f"emnist-{arrangement}", tmp_path)
    assert np.array_equal(ours.test.images, theirs.data.numpy().transpose(0, 2, 1))
    named = "".join(theirs.classes[code] for code in theirs.targets.tolist())
    assert labels(ours) == (named.upper() if arrangement == "letters" else named)


@pytest.mark.parametrize("packed", [True, False])
def test_the_mapping_file_is_the_truth(write: Write, tmp_path: Path, packed: bool) -> None:
    write(tmp_path / "emnist", "letters")
    lines = [f"{27 - rank} {64 + rank} {96 + rank}" for rank in range(1, 27)]
    (tmp_path / "emnist" / "emnist-letters-mapping.txt").write_text("\r\n".join([*lines, ""]))
    if packed:
        zipped(tmp_path / "emnist", tmp_path / "gzip.zip", "gzip/")
        for path in (tmp_path / "emnist").iterdir():
            path.unlink()
    assert labels(load_dataset("emnist-letters", tmp_path)) == string.ascii_uppercase[::-1]


@pytest.mark.parametrize(
    "line", ["0", "0 x", "0 -5", "0 99999999999", "0 8364", "999 48", "-300 48", "-1 48"]
)
def test_a_mapping_that_makes_no_sense_is_refused(write: Write, tmp_path: Path, line: str) -> None:
    write(tmp_path / "emnist", "digits")
    (tmp_path / "emnist" / "emnist-digits-mapping.txt").write_text(line)
    with pytest.raises(DatasetError, match=r"emnist-digits-mapping\.txt"):
        load_dataset("emnist-digits", tmp_path)


def test_labels_that_stand_for_nothing_are_refused(
    write: Write, write_idx: Callable[..., None], tmp_path: Path
) -> None:
    write(tmp_path / "emnist", "letters")
    strange = np.arange(26).astype(np.uint8)  # from 0, as nobody hands them out
    write_idx(tmp_path / "emnist" / "emnist-letters-train-labels-idx1-ubyte.gz", strange)
    with pytest.raises(
        DatasetError, match="emnist-letters-train has a label 0, which stands for no character"
    ):
        load_dataset("emnist-letters", tmp_path)


def test_files_of_another_kind_are_refused(
    write: Write, write_idx: Callable[..., None], tmp_path: Path
) -> None:
    write(tmp_path / "emnist", "mnist")
    images = tmp_path / "emnist" / "emnist-mnist-test-images-idx3-ubyte.gz"
    write_idx(images, np.zeros((10, 784), np.uint8))
    with pytest.raises(DatasetError, match="holds uint8 "):
        load_dataset("emnist-mnist", tmp_path)
    images.write_bytes(b"\x1f\x8bdamaged")
    with pytest.raises(DatasetError, match=r"test-images-idx3-ubyte\.gz: cannot be read"):
        load_dataset("emnist-mnist", tmp_path)
    images.unlink()
    images.with_suffix("").write_bytes(b"<html>")
    with pytest.raises(DatasetError, match="test-images-idx3-ubyte: not an IDX file"):
        load_dataset("emnist-mnist", tmp_path)


def test_an_archive_without_the_arrangement_says_what_it_lacks(write: Write, tmp_path: Path) -> None:
    write(tmp_path / "files", "digits")
    zipped(tmp_path / "files", tmp_path / "emnist" / "gzip.zip", "gzip/")
    with pytest.raises(
        DatasetError, match=r"gzip\.zip: there is no emnist-balanced-train-images.*\.gz in it"
    ):
        load_dataset("emnist-balanced", tmp_path)
    (tmp_path / "emnist" / "gzip.zip").write_bytes(b"half")
    with pytest.raises(DatasetError, match=r"gzip\.zip: not a zip archive"):
        load_dataset("emnist-digits", tmp_path)


def test_the_published_counts() -> None:
    assert {name: (len(alphabet), train, test) for name, (alphabet, train, test) in ARRANGEMENTS.items()} == {
        "byclass": (62, 697_932, 116_323),
        "bymerge": (47, 697_932, 116_323),
        "balanced": (47, 112_800, 18_800),
        "letters": (26, 124_800, 20_800),
        "digits": (10, 240_000, 40_000),
        "mnist": (10, 60_000, 10_000),
    }
