from __future__ import annotations

import math
import string
import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import CONFUSABLES, LATIN_26
from kalamos.errors import UsageError
from kalamos.evaluation.metrics import (
    brier_score,
    case_folding,
    class_scores,
    confusable_groups,
    confusion_matrix,
    expected_calibration_error,
    folded_confidence,
    log_loss,
    mcnemar,
    merging,
    reliability,
    truth_ranks,
    wilson_interval,
)

EMNIST_47 = tuple("0123456789" + string.ascii_uppercase + "abdefghnqrt")
ARABIC = tuple("ابتثجحخدذرزسشصضطظعغفقكلمنهوي")


def test_the_groups_are_disjoint_and_composed() -> None:
    members = "".join(CONFUSABLES)
    assert len(set(members)) == len(members)
    assert unicodedata.normalize("NFC", members) == members


def test_digits_have_none() -> None:
    assert confusable_groups(tuple("0123456789")) == ()
    assert merging(tuple("0123456789")) is None


def test_emnist_keeps_l_under_its_capital() -> None:
    groups = confusable_groups(EMNIST_47, "latin-47")
    assert ("1", "I", "L") in groups
    assert ("9", "g", "q") in groups
    assert ("1", "I") in confusable_groups(EMNIST_47, "a folder whose L is L alone")
    assert confusable_groups(LATIN_26.labels, "latin-26") == (("I", "L"), ("G", "Q"))
    every = confusable_groups(tuple(string.digits + string.ascii_letters))
    assert ("1", "i", "l", "I") in every
    assert ("C",) not in groups
    assert ("c", "C") in every


def test_arabic_letters_of_one_skeleton_merge() -> None:
    groups = {"".join(group) for group in confusable_groups(ARABIC)}
    assert groups == {"بتثني", "جحخ", "دذ", "رز", "سش", "صض", "طظ", "عغ", "فق"}


def test_merged_labels_share_the_first_of_their_group() -> None:
    to = merging(ARABIC)
    assert to is not None
    assert {ARABIC[i] for i in to} == set("ابجدرسصطعفكلمهو")
    assert np.array_equal(to[to], to)


def test_a_label_of_several_characters_is_in_no_group() -> None:
    assert confusable_groups(("لا", "ا", "0O")) == ()
    assert confusable_groups(("0", "0O", "x")) == ()


def test_decomposed_labels_are_known() -> None:
    assert confusable_groups((unicodedata.normalize("NFD", "أ"), "ا")) != ()


def test_case_folding() -> None:
    to = case_folding(EMNIST_47)
    assert to is not None
    assert EMNIST_47[to[EMNIST_47.index("q")]] == "Q"
    assert case_folding(ARABIC) is None
    assert case_folding(tuple(string.ascii_lowercase)) is None


def test_a_single_label_is_confused_with_none() -> None:
    assert confusable_groups(("0",)) == ()
    assert merging(("0",)) is None
    assert case_folding(("a",)) is None


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        # Newcombe 1998, table I, method 3: the score interval without continuity correction.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_gives_the_published_values(correct: int, n: int, low: float, high: float) -> None:
    assert wilson_interval(correct, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 10**6).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_wilson_holds_the_share_and_stays_in_range(case: tuple[int, int]) -> None:
    correct, n = case
    low, high = wilson_interval(correct, n)
    assert 0 <= low <= correct / n + 1e-12
    assert correct / n - 1e-12 <= high <= 1
    assert low < high
    mirrored = wilson_interval(n - correct, n)
    assert mirrored == pytest.approx((1 - high, 1 - low), abs=1e-9)


def test_ece_by_hand() -> None:
    # Two of fifteen bins: around 0.9, one of two right, so a gap of 0.4; around 0.6, a gap of 0.4.
    confidence = np.array([0.9, 0.9, 0.61, 0.63])
    correct = np.array([True, False, True, True])
    assert expected_calibration_error(confidence, correct) == pytest.approx((2 * 0.4 + 0.39 + 0.37) / 4)


def test_gaps_of_one_bin_cancel_and_of_two_bins_do_not() -> None:
    correct = np.array([True, False])
    assert expected_calibration_error(np.array([0.5, 0.5]), correct) == 0
    assert expected_calibration_error(np.array([0.2, 0.8]), correct) == pytest.approx(0.8)
    assert expected_calibration_error(np.array([0.2, 0.8]), correct, bins=1) == pytest.approx(0)


def test_the_ends_count() -> None:
    assert expected_calibration_error(np.array([1.0, 0.0]), np.array([True, False])) == 0
    assert expected_calibration_error(np.array([1.0]), np.array([False])) == 1
    assert math.isnan(expected_calibration_error(np.array([]), np.array([], bool)))


def test_rows_are_the_truth() -> None:
    counts = confusion_matrix(np.array([0, 2, 2, 2]), np.array([0, 1, 1, 2]), 3)
    assert counts.tolist() == [[1, 0, 0], [0, 0, 0], [0, 2, 1]]
    assert counts.dtype == np.int64
    assert confusion_matrix(np.array([], np.int64), np.array([], np.int64), 2).tolist() == [[0, 0], [0, 0]]


# --- against scikit-learn ------------------------------------------------------------------------


def a_measurement(seed: int, n: int = 400, classes: int = 7) -> tuple[Any, Any]:
    """Probabilities float32 [N, C] without ties, and labels; class 2 is never answered."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(0, classes, n)
    scores = generator.normal(size=(n, classes))
    scores[np.arange(n), truth] += 1.5
    scores[:, 2] = -20
    powers = np.exp(scores)
    return (powers / powers.sum(1, keepdims=True)).astype(np.float32), truth


@pytest.mark.parametrize("seed", range(3))
def test_precision_recall_f1_are_those_of_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra 'train'")
    probabilities, truth = a_measurement(seed)
    truth[truth == 5] = 4  # a class without images
    predicted = probabilities.argmax(1)
    predicted[::50] = -1
    scores = class_scores(truth, predicted, 7)
    present = [label for label in range(7) if label != 5]
    expected = sklearn.precision_recall_fscore_support(
        truth, predicted, labels=range(7), zero_division=np.nan
    )
    assert np.isnan(scores.recall[5])
    assert scores.precision[2] == 0
    np.testing.assert_allclose(np.delete(scores.precision, 2), np.delete(expected[0], 2))
    np.testing.assert_allclose(scores.recall, expected[1])
    np.testing.assert_allclose(scores.f1, expected[2])
    assert scores.support.tolist() == expected[3].tolist()
    for average, means in (("macro", scores.macro()), ("weighted", scores.weighted())):
        theirs = sklearn.precision_recall_fscore_support(
            truth, predicted, labels=present, average=average, zero_division=0
        )
        assert means == pytest.approx(theirs[:3])


@pytest.mark.parametrize("seed", range(3))
def test_ranks_loss_and_brier_are_those_of_scikit_learn(seed: int) -> None:
    sklearn = pytest.importorskip("sklearn.metrics", reason="needs the extra 'train'")
    probabilities, truth = a_measurement(seed)
    ranks = truth_ranks(probabilities, truth)
    for k in range(1, 6):
        theirs = sklearn.top_k_accuracy_score(truth, probabilities, k=k, labels=range(7))
        assert (ranks < k).mean() == pytest.approx(theirs)
    exact = probabilities.astype(np.float64)
    exact /= exact.sum(1, keepdims=True)
    assert log_loss(probabilities, truth) == pytest.approx(sklearn.log_loss(truth, exact, labels=range(7)))
    theirs = sklearn.brier_score_loss(truth, exact, labels=range(7), scale_by_half=False)
    assert brier_score(probabilities, truth) == pytest.approx(theirs)


def test_more_rows_than_one_chunk_are_all_counted() -> None:
    probabilities, truth = a_measurement(0, n=20_000)
    ranks = truth_ranks(probabilities, truth)
    order = np.argsort(-probabilities, axis=1, kind="stable")
    assert np.array_equal(order[np.arange(20_000), ranks], truth)
    expected = np.square(probabilities.astype(np.float64) - np.eye(7)[truth]).sum(1).mean()
    assert brier_score(probabilities, truth) == pytest.approx(expected)


def test_the_earlier_of_equal_candidates_goes_first() -> None:
    even = np.full((3, 3), 1 / 3, np.float32)
    assert truth_ranks(even, np.array([0, 1, 2])).tolist() == [0, 1, 2]


def test_a_certain_mistake_costs_much_but_not_infinity() -> None:
    certain = np.array([[1.0, 0.0]], np.float32)
    assert log_loss(certain, np.array([1])) == pytest.approx(87.34, abs=0.01)
    assert brier_score(certain, np.array([1])) == 2
    assert math.isnan(log_loss(certain[:0], np.array([], np.int64)))
    assert math.isnan(brier_score(certain[:0], np.array([], np.int64)))


# --- reliability ---------------------------------------------------------------------------------


def test_every_bin_has_as_many_images_and_its_interval() -> None:
    confidence = np.linspace(0.01, 0.99, 45)
    correct = np.arange(45) % 3 > 0
    diagram = reliability(confidence[::-1], correct[::-1])
    assert diagram.counts.tolist() == [3] * 15
    np.testing.assert_allclose(diagram.confidence, confidence.reshape(15, 3).mean(1))
    assert diagram.lowest.tolist() == confidence[::3].tolist()
    assert diagram.highest.tolist() == confidence[2::3].tolist()
    assert set(zip(diagram.low, diagram.high, strict=True)) == {wilson_interval(2, 3)}
    assert diagram.ece == pytest.approx(np.abs(confidence.reshape(15, 3).mean(1) - 2 / 3).mean())


def test_bins_differ_by_one_image_where_the_number_does_not_divide() -> None:
    diagram = reliability(np.linspace(0, 1, 100), np.ones(100, bool))
    assert sorted(set(diagram.counts.tolist())) == [6, 7]
    assert diagram.counts.sum() == 100


def test_equal_confidences_share_the_bin_of_their_middle() -> None:
    # Ten images in five bins of two: the six of 0.5 are ranks 2 to 7, whose middle is in the third bin.
    confidence = np.array([0.1, 0.2, *[0.5] * 6, 0.8, 0.9])
    correct = np.array([False, False, *[True] * 3, *[False] * 3, True, True])
    diagram = reliability(confidence, correct, bins=5)
    assert diagram.counts.tolist() == [2, 6, 2]
    assert diagram.accuracy.tolist() == [0, 0.5, 1]
    assert diagram.ece == pytest.approx((2 * 0.15 + 6 * 0 + 2 * 0.15) / 10)


def test_fewer_images_than_bins_have_a_bin_each() -> None:
    diagram = reliability(np.array([0.95, 0.1, 0.6]), np.array([True, True, False]))
    assert diagram.counts.tolist() == [1, 1, 1]
    assert diagram.confidence.tolist() == [0.1, 0.6, 0.95]
    assert diagram.ece == pytest.approx((0.9 + 0.6 + 0.05) / 3)


@given(st.integers(0, 2**32), st.integers(2000, 6000))
def test_perfect_calibration_has_a_small_error(seed: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    confidence = generator.beta(5, 1, n)
    correct = generator.random(n) < confidence
    # A bin's gap has a standard deviation of at most 1 / (2 sqrt(n / 15)), and a mean of 0.8 of it.
    assert expected_calibration_error(confidence, correct) < 1.5 * 0.5 / math.sqrt(n / 15)
    assert expected_calibration_error(0.5 * confidence, correct) > 0.35


readings = st.lists(
    st.tuples(st.floats(0, 1, width=32) | st.sampled_from([0.25, 0.5, 1.0]), st.booleans()),
    min_size=1,
    max_size=80,
)


@given(readings, st.randoms())
def test_the_error_is_a_share_that_no_order_changes(pairs: list[tuple[float, bool]], random: Any) -> None:
    def error(of: list[tuple[float, bool]]) -> float:
        confidence, correct = zip(*of, strict=True)
        return expected_calibration_error(np.array(confidence, np.float32), np.array(correct))

    shuffled = random.sample(pairs, len(pairs))
    assert error(pairs) == error(shuffled)
    assert 0 <= error(pairs) <= 1


@given(readings)
def test_the_bins_hold_every_image_in_order(pairs: list[tuple[float, bool]]) -> None:
    confidence, correct = zip(*pairs, strict=True)
    diagram = reliability(np.array(confidence), np.array(correct))
    assert diagram.counts.sum() == len(pairs)
    assert 0 < len(diagram.counts) <= 15
    assert (diagram.counts > 0).all()
    assert (diagram.lowest <= diagram.highest).all()
    assert (diagram.highest[:-1] < diagram.lowest[1:]).all()
    assert diagram.accuracy @ diagram.counts == pytest.approx(sum(correct))


# --- case folded ---------------------------------------------------------------------------------


def test_both_cases_of_an_answer_are_summed() -> None:
    labels = ("A", "B", "a", "7")
    shares = np.array([[0.1, 0.2, 0.6, 0.1], [0.3, 0.4, 0.3, 0.0], [0.0, 0.1, 0.2, 0.7]])
    found = folded_confidence(shares, shares.argmax(1), case_folding(labels))
    assert found == pytest.approx([0.7, 0.4, 0.7])
    alone = folded_confidence(shares, shares.argmax(1), case_folding(("A", "B", "C", "7")))
    assert alone.tolist() == shares.max(1).tolist()


def test_rounding_takes_no_sum_above_one() -> None:
    shares = np.array([[0.1, 0.9 + 2**-20]], np.float32)
    assert folded_confidence(shares, np.array([1]), case_folding(("A", "a"))).tolist() == [1]


pytest.importorskip("scipy", reason="needs the extra 'train'")


def disagreeing(only_a: int, only_b: int, both: int = 100, neither: int = 7):
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


@pytest.mark.parametrize(
    ("only_a", "only_b", "p_value", "exact"),
    [
        # By hand: 2 * (1 + 10 + 45) / 2^10, and 2 / 2^6.
        (8, 2, 112 / 1024, True),
        (0, 6, 2 / 64, True),
        (5, 5, 1.0, True),
        (0, 0, 1.0, True),
        # Agresti 1990, table 10.1 (approval ratings, 86 and 150): (|86 - 150| - 1)^2 / 236 = 16.82.
        (86, 150, 4.1e-5, False),
        (13, 13, 1.0, False),
        (13, 12, 1.0, False),
    ],
)
def test_published_and_hand_made_values(only_a: int, only_b: int, p_value: float, exact: bool) -> None:
    outcome = mcnemar(*disagreeing(only_a, only_b))
    assert (outcome.only_a, outcome.only_b, outcome.exact) == (only_a, only_b, exact)
    assert outcome.p_value == pytest.approx(p_value, rel=0.02)
    assert outcome.significant() == (p_value < 0.05)


def test_the_test_changes_at_25_and_hardly_the_answer() -> None:
    few, many = mcnemar(*disagreeing(17, 7)), mcnemar(*disagreeing(18, 7))
    assert (few.exact, many.exact) == (True, False)
    assert few.p_value == pytest.approx(0.064, abs=1e-3)
    assert many.p_value == pytest.approx(0.0455, abs=1e-3)


def test_the_two_may_change_places() -> None:
    a, b = disagreeing(40, 20)
    assert mcnemar(a, b).p_value == mcnemar(b, a).p_value


def test_what_both_know_says_nothing() -> None:
    assert mcnemar(*disagreeing(8, 2, both=0)).p_value == mcnemar(*disagreeing(8, 2, both=10**5)).p_value


@pytest.mark.parametrize(
    ("a", "b", "told"),
    [
        (np.ones(3, bool), np.ones(4, bool), "3 and 4 answers cannot be compared"),
        (np.ones(3), np.ones(3, bool), r"takes bool \[N\], not float64"),
        (np.ones((2, 2), bool), np.ones((2, 2), bool), "takes bool"),
    ],
)
def test_wrong_inputs_are_refused(a, b, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        mcnemar(a, b)
