from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.datasets import Dataset, load_dataset
from kalamos.errors import DatasetError

Files = dict[str, bytes]


def table(values: np.ndarray) -> bytes:
    target = io.BytesIO()
    np.savetxt(target, values, fmt="%d", delimiter=",")
    return target.getvalue()


@pytest.fixture
def upright() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (28, 32, 32), np.uint8)


@pytest.fixture
def files(upright: np.ndarray) -> Files:
    rows = table(upright.transpose(0, 2, 1).reshape(28, -1))
    labels = table(np.arange(1, 29))
    return {
        "csvTrainImages 13440x1024.csv": rows,
        "csvTrainLabel 13440x1.csv": labels,
        "csvTestImages 3360x1024.csv": rows,
        "csvTestLabel 3360x1.csv": labels,
    }


def write(root: Path, files: Files, place: str) -> None:
    if place.endswith(".zip"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        with zipfile.ZipFile(root / place, "w") as archive:
            for name, content in files.items():
                archive.writestr(f"some folder/{name}", content)
        return
    (root / place).mkdir(parents=True)
    for name, content in files.items():
        (root / place / name).write_bytes(content)


@pytest.mark.parametrize(
    "place",
    [
        "ahcd-csv.zip", "ahcd/ahcd-csv.zip", "ahcd-csv", "ahcd",
        "Arabic Handwritten Characters Dataset CSV.zip",
    ],
)  # fmt: skip
def test_images_are_upright_and_letters_right(
    tmp_path: Path, files: Files, upright: np.ndarray, place: str
) -> None:
    write(tmp_path, files, place)
    loaded = load_dataset("ahcd", tmp_path)
    assert np.array_equal(loaded.train.images, upright)
    assert np.array_equal(loaded.test.images, upright)
    letters = [loaded.alphabet.labels[label] for label in loaded.test.labels]
    assert "".join(letters) == "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("csvTestLabel 3360x1.csv", table(np.arange(28)), "labels run from 0 to 27, where AHCD has 1 to 28"),
        ("csvTestLabel 3360x1.csv", table(np.arange(2, 30)), "labels run from 2 to 29"),
        ("csvTestLabel 3360x1.csv", table(np.arange(1, 28)), "28 images came with 27 labels"),
        ("csvTestImages 3360x1024.csv", table(np.zeros((28, 784))), "rows of 784 pixels"),
        ("csvTestImages 3360x1024.csv", table(np.full((28, 1024), 256)), "damaged"),
        ("csvTestImages 3360x1024.csv", b"1,2\n3\n", "damaged"),
        ("csvTestImages 3360x1024.csv", b"<html>", "damaged"),
        ("csvTestImages 3360x1024.csv", b"\xff\xfe", "damaged"),
        ("csvTestImages 3360x1024.csv", b"", "rows of 0 pixels|damaged|empty"),
        ("csvTestImages copy.csv", b"", "2 files are called csvTestImages"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, files: Files, name: str, content: bytes, message: str) -> None:
    write(tmp_path, {**files, name: content}, "ahcd-csv.zip")
    with pytest.raises(DatasetError, match=message) as caught:
        load_dataset("ahcd", tmp_path)
    assert "ahcd" in caught.value.problem


def test_a_missing_table_is_told(tmp_path: Path, files: Files) -> None:
    del files["csvTrainLabel 13440x1.csv"]
    write(tmp_path, files, "ahcd")
    with pytest.raises(DatasetError, match=r"0 files are called csvTrainLabel\*\.csv"):
        load_dataset("ahcd", tmp_path)


def test_a_writer_begins_where_the_letters_begin_anew(tmp_path: Path, files: Files) -> None:
    three = table(np.concatenate([np.repeat(np.arange(1, 11), 2), np.arange(1, 5), np.arange(1, 5)]))
    write(tmp_path, {**files, "csvTrainLabel 13440x1.csv": three}, "ahcd")
    loaded = load_dataset("ahcd", tmp_path)
    assert loaded.train.groups.tolist() == [0] * 20 + [1] * 4 + [2] * 4
    assert loaded.test.groups.tolist() == [0] * 28
    assert loaded.grouped_by == "writer"


def test_the_real_one(ahcd: Dataset, aspect: Callable[..., float]) -> None:
    assert ahcd.train.images.shape == (13_440, 32, 32)
    assert ahcd.test.images.shape == (3_360, 32, 32)
    assert np.bincount(ahcd.train.labels).tolist() == [480] * 28
    assert np.bincount(ahcd.test.labels).tolist() == [120] * 28
    for split in (ahcd.train, ahcd.test):
        tall, flat = (
            aspect(split.images[split.labels == ahcd.alphabet.index(letter)][:100]) for letter in "اس"
        )
        assert (tall > 1.5, flat < 0.9) == (True, True)  # the other way round, were they transposed


def test_the_real_writers_are_in_both_parts(ahcd: Dataset) -> None:
    assert np.bincount(ahcd.train.groups).tolist() == [28 * 8] * 60
    assert np.bincount(ahcd.test.groups).tolist() == [28 * 2] * 60
    own = []
    for label in range(0, 28, 3):
        theirs, ours = ahcd.train.labels == label, ahcd.test.labels == label
        train, test = (
            _blurred(split.images[rows]) for split, rows in ((ahcd.train, theirs), (ahcd.test, ours))
        )
        nearest = ahcd.train.groups[theirs][(test @ train.T).argmax(axis=1)]
        own.append((nearest == ahcd.test.groups[ours]).mean())
    assert np.mean(own) > 0.3  # by chance 1 / 60


def _blurred(images: np.ndarray) -> np.ndarray:
    """Unit vectors in which a stroke a pixel off is still near."""
    rows = np.stack([cv2.GaussianBlur(image, (5, 5), 0) for image in images]).reshape(len(images), -1)
    return rows / np.maximum(
        np.linalg.norm(rows.astype(np.float32), axis=1, keepdims=True), 1
    )  # one is blank
