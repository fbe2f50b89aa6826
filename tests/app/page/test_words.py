from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, LATIN_47
from kalamos.app.page.words import (
    alphabet_summary,
    answer_html,
    correct_of,
    glyph_html,
    percent,
    problem_html,
    verdict,
)
from kalamos.errors import CorruptImageError, NoInkError
from kalamos.predictions import Candidate, Prediction

READ = Prediction("ب", 0.93, (Candidate("ب", 0.93), Candidate("ت", 0.07)))


def test_every_outcome_is_said_in_words() -> None:
    assert verdict(Prediction(None, None, error=NoInkError("blank"))) == "No ink: nothing is written here."
    unsure = Prediction(None, 0.41, (Candidate("7", 0.41),), abstained=True)
    assert verdict(unsure) == "Not sure enough to say. The best guess is 7, 41 % sure."
    damaged = Prediction(None, None, error=CorruptImageError("a.png: cut off", remedy="copy it again"))
    assert verdict(damaged) == "Cannot be read: a.png: cut off; copy it again."
    assert verdict(READ) == "Read as ب, 93 % sure."


def test_an_arabic_letter_is_large_right_to_left_and_named() -> None:
    shown = answer_html(READ, None)
    assert '<div class="glyph" dir="rtl">ب</div>' in shown
    assert "ba" in shown
    assert "باء" in shown
    assert 'dir="ltr">7<' in glyph_html("7")


def test_the_thumbnail_is_shown_where_there_is_one() -> None:
    assert "<img" not in answer_html(READ, None)
    assert 'alt="What the model saw, 28×28 pixels"' in answer_html(READ, np.zeros((28, 28), np.uint8))


def test_what_comes_from_outside_is_escaped() -> None:
    evil = "<img src=x onerror=alert(1)>"
    candidate = Candidate(evil, 0.9)
    for shown in (
        answer_html(Prediction(evil, 0.9, (candidate,)), None),
        answer_html(Prediction(None, 0.9, (candidate,), abstained=True), None),
        answer_html(Prediction(None, None, error=CorruptImageError(evil)), None),
        problem_html(evil),
    ):
        assert "<img" not in shown
        assert "&lt;img" in shown


@pytest.mark.parametrize(
    ("share", "shown"),
    [
        (0, "0 %"),
        (0.0001, "under 0.1 %"),
        (0.001, "0.1 %"),
        (0.004, "0.4 %"),
        (0.00996, "1 %"),
        (0.014, "1 %"),
        (0.5, "50 %"),
        (0.994, "99.4 %"),
        (1, "over 99.9 %"),
    ],
)
def test_shares_are_never_rounded_to_certainty(share: float, shown: str) -> None:
    assert percent(share) == shown


def _shown(share: float) -> float:
    return {"over 99.9 %": 99.95, "under 0.1 %": 0.05}.get(percent(share)) or float(percent(share)[:-2])


@given(st.lists(st.floats(0, 1), max_size=6))
def test_candidates_in_the_order_of_their_shares_show_no_larger_one_below_a_smaller(
    shares: list[float],
) -> None:
    shown = [_shown(share) for share in sorted(shares, reverse=True)]
    assert shown == sorted(shown, reverse=True)


def test_few_examples_have_no_percentage() -> None:
    assert correct_of(1, 1) == "1 of 1"
    assert correct_of(19, 19) == "19 of 19"
    assert correct_of(20, 20) == "20 of 20 (100 %)"
    assert correct_of(1999, 2000) == "1,999 of 2,000 (100 %)"


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("0123456789", "0-9"),
        ("01", "2 digits"),
        ("013", "3 digits"),
        ("abc", "a-c"),
        (LATIN_47.labels, "47 letters and digits"),
        (ARABIC_28.labels, "28 letters"),
        (["a", "7", "?"], "3 characters"),
        (["e\u0301", "लो"], "2 letters"),
        (["+", "-"], "2 signs"),
        (["<b>", "x"], "2 letters and signs"),
    ],
)
def test_what_a_model_reads_in_a_few_words(labels: list[str], said: str) -> None:
    assert alphabet_summary(labels) == said
