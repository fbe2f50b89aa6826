from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, RaggedImages, Split, load_dataset
from kalamos.errors import AlphabetError, DatasetError

Write = Callable[[Mapping[str, bytes]], Path]
Png = Callable[..., bytes]


def values(split: Split) -> list[int]:
    """The pixel value by which each image of a split is known."""
    return [int(image[0, 0]) for image in split.images]


def words(dataset: Dataset, split: Split) -> list[str]:
    return [dataset.alphabet.labels[label] for label in split.labels.tolist()]


def test_sub_folders_are_classes_in_natural_order(as_either: Write, png: Png) -> None:
    dataset = load_dataset(
        as_either({"10/a.png": png(1), "2/b.png": png(2), "2/10.png": png(3), "1/c.png": png(4)})
    )
    assert dataset.name == dataset.alphabet.name == "letters"
    assert dataset.alphabet.labels == ("1", "2", "10")
    assert isinstance(dataset.train.images, np.ndarray)
    assert dataset.train.images.shape == (4, 6, 5)
    assert values(dataset.train) == [4, 3, 2, 1]
    assert dataset.train.labels.tolist() == [0, 1, 1, 2]
    assert dataset.train.names == ("1/c.png", "2/10.png", "2/b.png", "10/a.png")
    assert (dataset.test, dataset.train.groups, dataset.problems, dataset.val_rows) == (
        None,
        None,
        (),
        None,
    )


def test_images_of_different_sizes_stay_as_they_are(as_either: Write, png: Png) -> None:
    dataset = load_dataset(as_either({"a/1.png": png(7, 3, 9), "b/1.png": png(8, 20, 2)}))
    assert isinstance(dataset.train.images, RaggedImages)
    assert dataset.train.images.shapes.tolist() == [[3, 9], [20, 2]]
    assert values(dataset.train) == [7, 8]


def test_images_in_nested_folders_belong_to_the_class_at_the_top(as_either: Write, png: Png) -> None:
    files = {"2 ba/2.1/7.png": png(1), "1 alif/1.1/3.png": png(2), "1 alif/1.2/deep/3.png": png(3)}
    dataset = load_dataset(as_either(files))
    assert dataset.alphabet.labels == ("1 alif", "2 ba")
    assert words(dataset, dataset.train) == ["1 alif", "1 alif", "2 ba"]


def test_class_names_are_composed(as_either: Write, png: Png) -> None:
    composed, apart = "é", unicodedata.normalize("NFD", "é")
    dataset = load_dataset(
        as_either({f"{apart}/1.png": png(1), f"{composed}/2.png": png(2), "ß/1.png": png(3)})
    )
    assert dataset.alphabet.labels == ("ß", "é")
    assert sorted(zip(words(dataset, dataset.train), values(dataset.train), strict=True)) == [
        ("ß", 3), ("é", 1), ("é", 2),
    ]  # fmt: skip


def test_what_is_passed_over_is_reported_and_the_rest_is_loaded(as_either: Write, png: Png) -> None:
    dataset = load_dataset(
        as_either(
            {
                "a/1.png": png(1),
                "a/2.PNG": png(2),
                "a/broken.png": png()[:40],
                "a/empty.jpg": b"",
                "a/other.png": b"%PDF-1.4",
                "a/notes.txt": b"hello",
                "b/1.png": png(3),
                "c/": b"",
                "d/damaged.png": b"\x89PNG",
                "e/only.txt": b"",
                "loose.png": png(4),
                "README.md": b"# letters",
            }
        )
    )
    assert dataset.alphabet.labels == ("a", "b")
    assert values(dataset.train) == [1, 2, 3]
    problems = {problem.where: problem.what for problem in dataset.problems}
    assert problems.pop("c") == problems.pop("e") == "a class folder without any image"
    assert problems.pop("a/notes.txt") == problems.pop("README.md") == "not named like an image"
    assert problems.pop("e/only.txt") == "not named like an image"
    assert problems.pop("loose.png") == "an image outside the class folders"
    assert problems.pop("d") == "no image of this class can be read"
    assert "PDF" in problems.pop("a/other.png")
    assert set(problems) == {"a/broken.png", "a/empty.jpg", "d/damaged.png"}
    assert not any(what.startswith(where) for where, what in problems.items())


def test_official_splits_share_one_alphabet(as_either: Write, png: Png) -> None:
    dataset = load_dataset(
        as_either(
            {
                "train/a/1.png": png(1),
                "train/c/1.png": png(3),
                "Test/c/1.png": png(4),
                "Test/b/1.png": png(5),
                "valid/c/9.png": png(6),
                "valid/a/": b"",
                "extra/1.png": png(9),
            }
        )
    )
    assert dataset.alphabet.labels == ("a", "b", "c")
    assert dataset.test is not None
    assert (words(dataset, dataset.train), values(dataset.train)) == (["a", "c", "c"], [1, 3, 6])
    assert (words(dataset, dataset.test), values(dataset.test)) == (["b", "c"], [5, 4])
    assert dataset.val_rows is not None
    assert dataset.val_rows.tolist() == [2]
    assert sorted(problem.where for problem in dataset.problems) == ["extra/1.png", "valid/a"]


def test_a_lone_train_folder_holds_the_classes(as_either: Write, png: Png) -> None:
    dataset = load_dataset(as_either({"train/a/1.png": png(), "train/b/1.png": png()}))
    assert dataset.alphabet.labels == ("a", "b")
    assert dataset.test is None


@pytest.mark.parametrize("files", [("train/1.png", "test/1.png"), ("train/x/1.png", "car/1.png")])
def test_a_class_may_be_called_train(as_either: Write, png: Png, files: tuple[str, ...]) -> None:
    dataset = load_dataset(as_either(dict.fromkeys(files, png())))
    assert set(dataset.alphabet.labels) == {name.split("/")[0] for name in files}


def test_one_folder_around_everything_in_an_archive_is_seen_through(as_zip: Write, png: Png) -> None:
    files = {
        "all/mine/train/a/1.png": png(1),
        "all/mine/train/b/1.png": png(2),
        "all/mine/test/a/1.png": png(3),
    }
    dataset = load_dataset(as_zip({**files, "all/LICENSE": b"", "__MACOSX/all/._x": b""}))
    assert dataset.alphabet.labels == ("a", "b")
    assert dataset.test is not None
    assert values(dataset.test) == [3]
    assert [problem.where for problem in dataset.problems] == ["all/LICENSE"]


def test_a_folder_with_one_class_is_an_error_that_shows_the_way(as_folder: Write, png: Png) -> None:
    with pytest.raises(DatasetError, match="letters: one class with images, 'a'") as caught:
        load_dataset(as_folder({"a/1.png": png(), "b/1.png": b"GIF"}))
    assert "b/1.png" in caught.value.problem
    assert "one sub-folder for each of two or more classes" in caught.value.remedy


@pytest.mark.parametrize("files", [{}, {"1.png": b""}, {"a/": b"", "b/": b""}])
def test_no_class_is_an_error(as_either: Write, files: dict[str, bytes]) -> None:
    with pytest.raises(DatasetError, match="no class with images"):
        load_dataset(as_either(files))


def test_nothing_to_train_on_is_an_error(as_either: Write, png: Png) -> None:
    with pytest.raises(DatasetError, match="none of its images is for training"):
        load_dataset(as_either({"train/a/": b"", "test/a/1.png": png(), "test/b/1.png": png()}))


def test_a_class_whose_name_is_no_label_is_refused(as_either: Write, png: Png) -> None:
    with pytest.raises(AlphabetError, match="blank label"):
        load_dataset(as_either({" /1.png": png(), "b/1.png": png()}))


def test_a_real_archive() -> None:
    path = Path(os.environ.get("KALAMOS_DATA", "")) / "ocr-arabic-punctuation.zip"
    if not path.is_file():
        pytest.skip("KALAMOS_DATA is not set or has no ocr-arabic-punctuation.zip")
    dataset = load_dataset(path)
    assert (len(dataset.alphabet), len(dataset.train), dataset.problems) == (11, 1595, ())
    assert isinstance(dataset.train.images, RaggedImages)
