"""What a training says of the user's own data before it begins."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split
from kalamos.errors import DatasetError
from kalamos.learn import Recipe
from kalamos.learn.notes import split_notes
from kalamos.learn.run import plan_split


@pytest.fixture(scope="module")
def own(draw) -> Dataset:
    """Ten images of each of three classes, one of a fourth; each of the first class is there twice."""
    first = draw(0, 10, seed=5)
    images = np.concatenate([first, first, draw(1, 10, seed=5), draw(2, 10, seed=5), draw(3, 1, seed=5)])
    labels = np.repeat([0, 0, 1, 2, 3], [10, 10, 10, 10, 1])
    alphabet = Alphabet("own", ("a", "b", "\u0430", "d"))
    return Dataset("own", alphabet, Split(images, labels), None, "mine", local=True)


def test_copies_are_not_held_out_and_all_that_is_odd_is_said(own: Dataset) -> None:
    plan = plan_split(own, Recipe(val_fraction=0.3))
    images = own.train.stack()
    held = {image.tobytes() for image in images[plan.val]}
    assert held
    assert not held & {image.tobytes() for image in images[plan.train]}
    as_published = plan_split(replace(own, local=False), Recipe(val_fraction=0.3))
    assert plan.train.tolist() == as_published.train.tolist()
    assert set(plan.val) < set(as_published.val)
    classes, *odd = split_notes(own, plan)
    assert classes == "4 classes: a b \u0430 d"
    assert any(note.startswith("class names that look alike: a (U+0061), \u0430 (U+0430)") for note in odd)
    assert any(note.startswith("nothing held out: ") and "d" in note for note in odd)
    dropped = len(as_published.val) - len(plan.val)
    assert any(note.startswith(f"{dropped} images are copies of others to train on") for note in odd)
    assert split_notes(replace(own, local=False), as_published) == (classes,)


def test_a_class_without_a_training_image_is_named(own: Dataset) -> None:
    given = replace(own, val_rows=np.array([20, 21, 40]))
    notes = split_notes(given, plan_split(given, Recipe()))
    assert any(note.startswith("no image to train on: d;") for note in notes)


def test_near_copies_are_held_out_where_nothing_else_can_be_and_that_is_said(own: Dataset) -> None:
    images = own.train.stack().copy()
    images[10:20] = 255 - images[:10] // 2
    given = replace(own, train=replace(own.train, images=images), val_rows=np.arange(10))
    plan = plan_split(given, Recipe())
    assert (len(plan.val), plan.near_held) == (10, 10)
    assert any(note.startswith("all images that could be held out") for note in split_notes(given, plan))


def test_nothing_but_copies_to_hold_out_is_refused(own: Dataset) -> None:
    given = replace(own, val_rows=np.arange(10))
    with pytest.raises(DatasetError, match="are copies of images to train on"):
        plan_split(given, Recipe())
