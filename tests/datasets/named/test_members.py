from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from kalamos.datasets import SkippedFile
from kalamos.datasets.named.members import read_members
from kalamos.errors import DatasetError

Files = dict[str, bytes]


def label_of(member: str) -> int | None:
    return {"a": 0, "b": 1}.get(member[0])


def test_labels_stay_with_the_images_that_can_be_read(
    as_either: Callable[[Files], Path], png: Callable[..., bytes]
) -> None:
    path = as_either({"b/2.png": png(20), "a/1.png": b"torn", "c/3.png": png(), "a/4.png": png(40, 2, 3)})
    split, problems = read_members(path, label_of, dataset="Letters", example_folder="a")
    assert split.names == ("a/4.png", "b/2.png")
    assert split.labels.tolist() == [0, 1]
    assert [int(image[0, 0]) for image in split.images] == [40, 20]
    assert problems[0] == SkippedFile("c/3.png", "not named like an image of Letters")
    assert [problem.where for problem in problems] == ["c/3.png", "a/1.png"]


def test_nothing_of_the_dataset(as_either: Callable[[Files], Path], png: Callable[..., bytes]) -> None:
    path = as_either({"c/3.png": png(), "a/1.png": b"torn"})
    with pytest.raises(DatasetError, match="no image of Letters in it; it holds folders such as 'a'"):
        read_members(path, label_of, dataset="Letters", example_folder="a")
