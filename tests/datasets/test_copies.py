"""One picture stands on one side of a split, however it was saved."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split
from kalamos.datasets.copies import copy_sets, drop_copies, without_leaks


def test_equal_and_near_images_are_one_set_and_blank_ones_are_none(draw) -> None:
    images = [*draw(0, 6, seed=1), *draw(1, 6, seed=1)]
    again = [images[2].copy(), 255 - images[2] // 2, np.pad(images[7], 2)]
    blank = [np.zeros((28, 28), np.uint8)] * 2
    sets = copy_sets([*images, *again, *blank])
    assert sets[[2, 12, 13]].tolist() == [2, 2, 2]
    assert sets[14] == sets[7]
    assert len(np.unique(sets[:12])) == 12
    assert sets[15] != sets[16]


def test_what_is_held_keeps_no_copy_of_what_is_learnt() -> None:
    sets = np.array([0, 1, 0, 3, 3])
    assert drop_copies(sets, np.array([0, 1]), np.array([2, 3, 4])).tolist() == [3, 4]


def test_a_test_split_loses_the_copies_of_training_images_and_says_so(draw) -> None:
    train, test = draw(0, 8, seed=1), draw(0, 4, seed=2)
    test[1] = train[5]
    alphabet = Alphabet("one", ("a", "b"))
    labels = np.zeros(8, np.int64)
    own = Dataset(
        "own",
        alphabet,
        Split(train, labels),
        Split(test, labels[:4], names=("0.png", "1.png", "2.png", "3.png")),
        "mine",
        local=True,
    )
    found = without_leaks(own)
    assert found.test is not None
    assert found.test.names == ("0.png", "2.png", "3.png")
    assert [problem.where for problem in found.problems] == ["1.png"]
    published = replace(own, local=False)
    assert without_leaks(published) is published
