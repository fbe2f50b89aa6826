"""Folders within folders: it is asked which are the classes, or it is no question."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from kalamos.datasets import load_dataset
from kalamos.errors import DatasetError
from kalamos.finetune import load_examples

Files = dict[str, bytes]


def tree(draw, path: Callable[[str, str, int], str], classes: str, hands: list[str]) -> Files:
    """An image of each class by each hand."""
    return {
        path(label, hand, number): cv2.imencode(".png", image)[1].tobytes()
        for number, label in enumerate(classes)
        for hand, image in zip(hands, draw(number, len(hands), seed=3), strict=True)
    }


HANDS = ["w1", "w2", "w3", "w4", "w5"]


@pytest.mark.parametrize("hands", [HANDS, ["anna", "ben", "carla", "dirk", "emil"]])
def test_writers_that_hold_classes_are_asked_about(draw, as_either, hands: list[str]) -> None:
    path: Path = as_either(tree(draw, lambda label, hand, _: f"{hand}/{label}/1.png", "abc", hands))
    with pytest.raises(DatasetError, match=rf"{hands[0]} .*Inner: a b c; .*--classes inner"):
        load_dataset(path)
    dataset = load_dataset(path, classes="inner")
    assert dataset.alphabet.labels == ("a", "b", "c")
    assert dataset.train.groups is not None
    assert len(set(dataset.train.groups.tolist())) == 5
    assert load_dataset(path, classes="outer").alphabet.labels == tuple(hands)
    assert load_dataset(path, classes="both").alphabet.labels[0] == f"{hands[0]}/a"
    with pytest.raises(DatasetError, match="--classes inner"):
        load_examples(path)
    examples = load_examples(path, classes="inner")
    assert set(examples.groups or ()) == set(hands)


def test_classes_that_hold_hands_are_no_question(draw, as_folder) -> None:
    path = as_folder(tree(draw, lambda label, hand, _: f"{label}/{hand}/1.png", "abc", HANDS))
    assert load_dataset(path).alphabet.labels == ("a", "b", "c")


def test_names_that_tell_nothing_leave_it_to_the_images(draw, as_folder) -> None:
    words = {"a": "alpha", "b": "beta", "c": "gamma"}
    people = ["anna", "ben", "carla", "dirk", "emil"]
    path = as_folder(tree(draw, lambda label, hand, _: f"{words[label]}/{hand}/1.png", "abc", people))
    assert load_dataset(path).alphabet.labels == ("alpha", "beta", "gamma")


def test_upper_and_lower_are_asked_about_and_say_the_case(draw, as_folder) -> None:
    files = {
        **tree(draw, lambda label, hand, _: f"upper/{label.upper()}/{hand}.png", "ab", HANDS),
        **tree(draw, lambda label, hand, _: f"lower/{label.upper()}/{hand}.png", "abcd", HANDS),
    }
    path = as_folder(files)
    with pytest.raises(DatasetError, match=r"Outer: lower upper\. Inner: A B"):
        load_dataset(path)
    assert load_dataset(path, classes="inner").alphabet.labels == ("A", "B", "a", "b", "c", "d")


def test_a_hidden_folder_of_images_is_named_and_those_of_programs_are_not(png, as_either) -> None:
    files = {"1/1.png": png(1), "2/1.png": png(2), ".5/1.png": png(3), ".ipynb_checkpoints/1.png": png(4)}
    [problem] = load_dataset(as_either(files)).problems
    assert problem.where == ".5"
    assert "%2E" in problem.what
    assert not problem.lost
    assert load_dataset(as_either({**files, "%2E5/1.png": png(3)})).alphabet.labels == ("1", "2", ".5")
