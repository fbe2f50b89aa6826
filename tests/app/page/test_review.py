from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.app.page.review import Review, checked_label
from kalamos.app.page.sheet import Row, Sheet
from kalamos.errors import AlphabetError, UsageError
from kalamos.predictions import Candidate, Prediction


def _review(*confidences: float) -> Review[str]:
    rows = [
        Row(at, Prediction("7", sure, (Candidate("7", sure),)), "", None)
        for at, sure in enumerate(confidences)
    ]
    return Review(Sheet("digits", ("1", "7"), rows))


def test_three_settled_one_undone() -> None:
    review = _review(0.9, 0.2, 0.5, 0.7)
    for label in ("1", "7", "2"):
        review.settle(label, f"kept as {label}")
    assert review.sheet.checked == {1: "1", 2: "7", 3: "2"}
    assert review.undo() == "kept as 2"
    assert review.current is not None
    assert review.current.index == 3
    assert review.sheet.checked == {1: "1", 2: "7"}
    assert review.settled == 2


def test_undo_goes_back_over_what_was_skipped() -> None:
    review = _review(0.1, 0.2, 0.3)
    review.settle("1", "first")
    review.skip()
    review.skip()
    assert review.current is None
    assert review.undo() == "first"
    assert review.current is not None
    assert review.current.index == 0
    assert review.undo() is None


def test_at_the_end_there_is_nothing_to_settle() -> None:
    review = _review()
    assert review.current is None
    review.skip()
    with pytest.raises(UsageError):
        review.settle("1", "")


@given(st.lists(st.sampled_from(["settle", "skip", "undo"]), max_size=30))
def test_whatever_is_pressed_checked_and_settled_agree(presses: list[str]) -> None:
    review = _review(0.5, 0.4, 0.3)
    for press in presses:
        if press == "settle" and review.current is not None:
            review.settle("1", "")
        elif press != "settle":
            getattr(review, press)()
        assert review.settled == len(review.sheet.checked)
        assert 0 <= review.position <= 3


def test_labels_as_people_type_them() -> None:
    assert checked_label("  e\u0301 ") == "é"
    assert checked_label("") == ""
    for wrong in ("a" * 100, "a\x07b", "  ", "\u3000"):
        with pytest.raises(AlphabetError):
            checked_label(wrong)
