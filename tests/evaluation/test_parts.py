from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.errors import DatasetError, UsageError
from kalamos.evaluation.parts import dataset_split, run_split

numpy_files = pytest.importorskip("safetensors.numpy", reason="needs the extra 'train'")

ROWS = {
    "train": np.arange(0, 200),
    "val": np.array([5, 250, 299]),
    "test": np.zeros(0, np.int64),
}


def save(folder: Path, digits: Dataset, rows: dict[str, np.ndarray]) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "run.json").write_text(json.dumps({"data_sha256": digits.train.sha256}))
    (folder / "split.safetensors").write_bytes(numpy_files.save(rows))
    return folder


@pytest.fixture
def run(digits: Dataset, tmp_path: Path) -> Path:
    return save(tmp_path / "run", digits, ROWS)


def test_the_test_split_where_there_is_one_else_all(digits: Dataset) -> None:
    assert dataset_split(digits, None) == (digits.test, "test")
    whole = replace(digits, test=None)
    assert dataset_split(whole, None) == (whole.train, "all")
    assert dataset_split(whole, "all") == (whole.train, "all")
    assert dataset_split(digits, "train") == (digits.train, "train")


def test_an_official_validation_part_is_not_for_training(digits: Dataset) -> None:
    held = replace(digits, val_rows=np.array([3, 7]))
    split, part = dataset_split(held, "val")
    assert part == "val"
    assert np.array_equal(split.images, digits.train.images[[3, 7]])
    split, _ = dataset_split(held, "train")
    assert np.array_equal(split.images, np.delete(digits.train.images, [3, 7], axis=0))
    assert len(dataset_split(held, "all")[0]) == 360


def test_all_is_train_and_then_test(digits: Dataset) -> None:
    split, part = dataset_split(digits, "all")
    assert (len(split), part) == (360, "all")
    assert np.array_equal(split.images[300], digits.test.images[0])
    assert split.labels.tolist() == [*digits.train.labels, *digits.test.labels]


def test_all_of_different_sizes(digits: Dataset) -> None:
    larger = Split(RaggedImages.of([np.pad(i, 3) for i in digits.test.images]), digits.test.labels)
    split, _ = dataset_split(replace(digits, test=larger), "all")
    assert [split.images[row].shape for row in (0, 299, 300)] == [(28, 28), (28, 28), (34, 34)]


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_part_that_there_is_not(digits: Dataset, part: str) -> None:
    with pytest.raises(UsageError, match=f"mnist has no {part} split of its own; .*--split-of RUN"):
        dataset_split(replace(digits, test=None), part)


def test_what_a_run_held_out(digits: Dataset, run: Path) -> None:
    split = run_split(digits, run, "val")
    assert np.array_equal(split.images, digits.train.images[[5, 250, 299]])
    assert len(run_split(digits, run, "train")) == 200


def test_an_empty_part_says_where_the_test_split_is(digits: Dataset, run: Path) -> None:
    with pytest.raises(UsageError, match="kept no test part; leave out --split-of"):
        run_split(digits, run, "test")


def test_other_data_are_refused(digits: Dataset, run: Path) -> None:
    other = replace(digits, train=digits.train.take(np.arange(299)))
    with pytest.raises(DatasetError, match="was trained on other images than those of mnist"):
        run_split(other, run, "val")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ({"val": np.array([0, 300])}, "does not index the 300 images"),
        ({"val": np.array([-1, 3])}, "does not index"),
        ({"val": np.array([0.0, 1.0])}, "does not index"),
        ({"val": np.array([[0, 1]])}, "does not index"),
    ],
)
def test_rows_that_cannot_be(digits: Dataset, tmp_path: Path, rows: dict[str, np.ndarray], told: str) -> None:
    with pytest.raises(DatasetError, match=told):
        run_split(digits, save(tmp_path, digits, rows), "val")


@pytest.mark.parametrize(
    ("story", "told"),
    [(b"", "does not say"), (b"[]", "does not say"), (b"{}", "does not say"), (b"\xff", "does not say")],
)
def test_a_story_that_tells_nothing(digits: Dataset, run: Path, story: bytes, told: str) -> None:
    (run / "run.json").write_bytes(story)
    with pytest.raises(DatasetError, match=told):
        run_split(digits, run, "val")


@pytest.mark.parametrize("content", [b"", b"junk", b"\xff" * 64, numpy_files.save(ROWS)[:-8]])
def test_damaged_indices(digits: Dataset, run: Path, content: bytes) -> None:
    (run / "split.safetensors").write_bytes(content)
    with pytest.raises(DatasetError, match="is damaged"):
        run_split(digits, run, "val")


def test_no_run_and_an_old_run(digits: Dataset, run: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none: has no run.json .*give the folder"):
        run_split(digits, tmp_path / "none", "val")
    (run / "split.safetensors").unlink()
    with pytest.raises(DatasetError, match=r"split.safetensors: cannot be read \(No such file"):
        run_split(digits, run, "val")
