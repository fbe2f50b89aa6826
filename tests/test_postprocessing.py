from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from kalamos.alphabets import DIGITS, restrict
from kalamos.postprocessing import AnswerRule, Inference, predictions_of, restricted_softmax, softmax

ANSWERING_LOGITS = np.log(
    np.array([[0.5, 0.3, *[0.025] * 8], [0.05, 0.05, 0.86, *[0.04 / 7] * 7]], np.float32)
)


def predictions(logits: np.ndarray, temperature: float, rule: AnswerRule, *paths: str | None) -> list:
    found = Inference.of_logits(np.arange(len(logits)), logits, temperature, rule.class_mask)
    return predictions_of(found, paths or [""] * len(logits), rule)


def test_the_most_probable_come_first_and_unsure_ones_abstain() -> None:
    options = AnswerRule(2, 0.6, DIGITS.labels, None)
    unsure, sure = predictions(ANSWERING_LOGITS, 1.0, options, "a", None)
    assert (unsure.label, unsure.abstained, unsure.path) == (None, True, "a")
    assert [each.label for each in unsure.top] == ["0", "1"]
    assert (sure.label, sure.abstained, sure.removed) == ("2", False, None)
    assert sure.confidence == pytest.approx(0.86, abs=1e-5)


def test_the_temperature_takes_confidence_and_no_label() -> None:
    options = AnswerRule(1, 0.0, DIGITS.labels, None)
    for warm, cold in zip(
        *(predictions(ANSWERING_LOGITS, each, options) for each in (3.0, 1.0)), strict=True
    ):
        assert warm.label == cold.label
        assert warm.confidence < cold.confidence


def test_a_charset_answers_alone_and_tells_what_it_took() -> None:
    mask = restrict(DIGITS, "12")
    options = AnswerRule(5, 0.0, mask.labels, mask)
    first, second = predictions(ANSWERING_LOGITS, 1.0, options)
    assert (first.label, second.label) == ("1", "2")
    assert {each.label for each in first.top} == {"1", "2"}
    assert first.removed == pytest.approx(1 - 0.325, abs=1e-5)


def test_equal_ones_come_in_the_alphabets_order() -> None:
    [answer] = predictions(np.zeros((1, 10), np.float32), 1.0, AnswerRule(3, 0, DIGITS.labels))
    assert [each.label for each in answer.top] == ["0", "1", "2"]


PROBABILITIES_LOGITS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)
TEMPERATURES = st.floats(0.05, 20)


@given(PROBABILITIES_LOGITS, TEMPERATURES)
def test_every_row_is_a_distribution(logits: NDArray[np.float32], temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    assert probabilities.dtype == np.float64
    assert probabilities.shape == logits.shape
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


@given(PROBABILITIES_LOGITS, TEMPERATURES)
def test_the_largest_logit_stays_the_most_probable(logits: NDArray[np.float32], temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    best = logits.argmax(axis=1)
    assert (probabilities.max(axis=1) == probabilities[np.arange(len(logits)), best]).all()


def test_known_values() -> None:
    expected = np.array([1, 2, 4]) / 7
    np.testing.assert_allclose(softmax(np.log([[1.0, 2.0, 4.0]])), [expected], rtol=1e-14)
    np.testing.assert_allclose(softmax(np.log([[1.0, 4.0]]), 2.0), [[1 / 3, 2 / 3]], rtol=1e-14)


def test_only_differences_count() -> None:
    logits = np.array([[0.5, -2.0, 3.0]])
    np.testing.assert_allclose(softmax(logits + 1000), softmax(logits), rtol=1e-10)


@pytest.mark.parametrize(("temperature", "compare"), [(4.0, np.less), (0.25, np.greater)])
def test_temperature_tempers_or_sharpens(temperature: float, compare: np.ufunc) -> None:
    logits = np.array([[2.0, 0.0, -1.0]])
    assert compare(softmax(logits, temperature).max(), softmax(logits).max())


def test_the_input_is_left_alone() -> None:
    logits = np.array([[1.0, 2.0]])
    softmax(logits)
    assert logits.tolist() == [[1.0, 2.0]]


def test_restricted_softmax_is_the_conditional_probability() -> None:
    logits = np.random.default_rng(0).normal(size=(50, 6)) * 4
    full = softmax(logits, 1.7)
    kept = [1, 4, 5]
    within, removed = restricted_softmax(logits, kept, 1.7)
    assert within == pytest.approx(full[:, kept] / full[:, kept].sum(axis=1, keepdims=True))
    assert removed == pytest.approx(full[:, [0, 2, 3]].sum(axis=1))


def test_restricted_softmax_stands_where_nothing_is_left() -> None:
    within, removed = restricted_softmax(np.array([[0.0, 1.0, 5000.0]]), [0, 1])
    assert within == pytest.approx(softmax(np.array([[0.0, 1.0]])))
    assert removed.tolist() == [1.0]
    within, removed = restricted_softmax(np.array([[0.1, 0.2, 0.3]] * 2), [0, 1, 2])
    assert removed == pytest.approx([0.0, 0.0], abs=1e-15)
    assert (removed >= 0).all()
    assert restricted_softmax(np.zeros((0, 3)), [2])[1].shape == (0,)


def test_no_share_is_below_nothing() -> None:
    logits = np.random.default_rng(1).normal(size=(5000, 6))
    _, removed = restricted_softmax(logits, range(6))
    assert removed.min() == 0.0


def test_what_is_no_character_is_withheld_before_what_is_unsure() -> None:
    rule = AnswerRule(top_k=1, threshold=0.9, labels=("a", "b"), known_threshold=0.5)
    assert rule.reason(0.9, 0.5) is rule.reason(1.0, None) is None
    assert rule.reason(0.89, 0.5) == rule.reason(float("nan"), None) == "not sure enough"
    assert rule.reason(1.0, 0.49) == rule.reason(0.1, float("nan")) == "not a character"
