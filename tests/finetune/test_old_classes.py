"""What teaching does to the classes that a model has."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kalamos.errors import UsageError
from kalamos.finetune import Examples, FineTuned, fine_tune
from kalamos.finetune.head import Head
from kalamos.finetune.old_classes import labels_as_new, measure_taken, unlike_labels
from kalamos.finetune.replay import EmbeddingStats


def test_examples_of_other_shapes_under_a_known_label_are_asked_about(
    seven: Path, new_digits: Examples
) -> None:
    others = Examples(
        "korean",
        new_digits.images,
        tuple({"7": "0", "8": "5"}.get(label, label) for label in new_digits.labels),
    )
    with pytest.raises(UsageError, match=r"korean: seven .*: 0.*--same .* --new"):
        fine_tune(seven, others, holdout=0)
    taught = fine_tune(seven, others, holdout=0, existing="new")
    assert taught.new_labels == ("0 (korean)", "5 (korean)", "9")
    assert fine_tune(seven, others, holdout=0, existing="same").new_labels == ("9",)


def test_few_examples_are_judged_together() -> None:
    head, eye = Head(np.eye(6), np.zeros(6)), np.eye(6, dtype=np.float32)
    # The second best three times, and once the last.
    shown = np.stack([eye[0] * 2 + eye[1], eye[0] * 2 + eye[2], eye[0] * 2 + eye[3], eye[0] - eye[4]])
    codes = np.array([1, 2, 3, 4])
    assert unlike_labels(head, shown, codes, "abcdef") == ()
    assert unlike_labels(head, shown[3:], codes[3:], "abcdef") == ("e",)


def test_a_label_of_a_dataset_s_own_is_free() -> None:
    assert labels_as_new(["a"], ("a", "a (mine)"), "mine") == ("a (mine 2)",)


def test_old_classes_that_lose_are_listed_with_how_much() -> None:
    stats = EmbeddingStats(np.eye(3) * 9, np.zeros((3, 1)), np.full(3, 0.1))
    before = Head(np.eye(3), np.zeros(3))
    after = Head(np.vstack([np.eye(3), np.eye(3)[1]]), np.array([0, 0, 0, 1.0]))
    assert measure_taken(before, after, stats, ("i", "o", "u", "ο"), seed=0) == (("o", "ο", 200, 200),)


def test_new_classes_say_what_they_take(lesson: FineTuned) -> None:
    old = set(lesson.labels) - set(lesson.new_labels)
    assert all(
        label in old and new in lesson.new_labels and n >= taken for label, new, taken, n in lesson.taken
    )
    assert lesson.notes == ()


def test_copies_are_not_held_out(seven: Path, new_digits: Examples) -> None:
    twice = Examples("twice", [*new_digits.images] * 2, new_digits.labels * 2)
    taught = fine_tune(seven, twice, holdout=0.5)
    assert taught.after.n < 30
    assert f"{30 - taught.after.n} examples are copies of others" in taught.notes[0]
