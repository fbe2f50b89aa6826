from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.learn.compare.outcomes import PairwiseTest, compare_pairs, holm, majority_p

p_values = st.lists(st.floats(0, 1), min_size=1, max_size=8)


def reads(right: int, n: int = 200) -> np.ndarray:
    return np.arange(n) < right


@given(p_values)
def test_holm_never_lowers_a_p_value_and_keeps_their_order(values: list[float]) -> None:
    corrected = holm(values)
    assert all(before <= after <= 1 for before, after in zip(values, corrected, strict=True))
    assert min(corrected) == pytest.approx(min(1.0, len(values) * min(values)))
    for i, a in enumerate(values):
        assert all(corrected[i] <= corrected[j] for j, b in enumerate(values) if a < b)


def test_holm_of_nothing_is_nothing() -> None:
    assert holm([]) == []


@given(p_values)
def test_most_seeds_must_show_a_difference(values: list[float]) -> None:
    combined = majority_p(values)
    assert 0 <= combined <= 1
    if sum(p >= 0.05 for p in values) >= len(values) / 2:
        assert combined >= 0.05


def test_two_systems_are_told_apart_in_words() -> None:
    [verdict] = compare_pairs(["transfer", "cnn2"], [[reads(130)], [reads(190)]])
    assert verdict.better == "cnn2"
    assert str(verdict) == "cnn2 is better than transfer: 95.00 % against 65.00 %, p < 0.001"
    assert (verdict.tests[0].only_a, verdict.tests[0].only_b) == (0, 60)


def test_a_small_difference_is_not_called_one() -> None:
    [verdict] = compare_pairs(["a", "b"], [[reads(190)], [reads(187)]])
    assert verdict.better is None
    assert verdict.p_value == verdict.p_corrected == pytest.approx(0.25)
    assert str(verdict) == "no difference is shown between a and b: 95.00 % against 93.50 %, p = 0.250"


def test_the_same_answers_are_no_difference() -> None:
    [verdict] = compare_pairs(["a", "b"], [[reads(100)], [reads(100)]])
    assert (verdict.better, verdict.p_value) == (None, 1.0)


def test_more_pairs_ask_for_more_evidence() -> None:
    # Six images that only one reads: p = 0.031, enough alone and too little among three pairs.
    six = [reads(100), reads(106)]
    assert compare_pairs(["a", "b"], [[answers] for answers in six])[0].better == "b"
    verdicts = compare_pairs(["a", "b", "c"], [[six[0]], [six[1]], [six[1]]])
    assert [(v.a, v.b) for v in verdicts] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert [v.better for v in verdicts] == [None, None, None]
    assert verdicts[0].p_corrected == pytest.approx(3 * verdicts[0].p_value)


def test_a_seed_that_speaks_for_the_other_system_is_no_evidence() -> None:
    [verdict] = compare_pairs(["a", "b"], [[reads(190), reads(100)], [reads(100), reads(150)]])
    assert verdict.accuracy_a > verdict.accuracy_b
    assert all(test.p_value < 1e-6 for test in verdict.tests)
    assert (verdict.p_value, verdict.better) == (1.0, None)


def test_seeds_that_failed_are_left_out_of_both() -> None:
    [verdict] = compare_pairs(["a", "b"], [[None, reads(150), reads(10)], [reads(150), reads(100)]])
    assert len(verdict.tests) == 1
    assert (verdict.accuracy_a, verdict.accuracy_b) == (0.75, 0.5)
    assert compare_pairs(["a", "b"], [[None], [reads(100)]]) == ()


def test_equal_means_have_no_better_one() -> None:
    assert PairwiseTest("a", "b", 0.5, 0.5, (), 0.01, 0.01).better is None
