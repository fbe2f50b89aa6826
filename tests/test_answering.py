from __future__ import annotations

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.answering import AnswerRule, Inference, predictions_of
from kalamos.charset import restrict

LOGITS = np.log(np.array([[0.5, 0.3, *[0.025] * 8], [0.05, 0.05, 0.86, *[0.04 / 7] * 7]], np.float32))


def predictions(logits: np.ndarray, temperature: float, rule: AnswerRule, *paths: str | None) -> list:
    found = Inference.of_logits(np.arange(len(logits)), logits, temperature, rule.class_mask)
    return predictions_of(found, paths or [""] * len(logits), rule)


def test_the_most_probable_come_first_and_unsure_ones_abstain() -> None:
    options = AnswerRule(2, 0.6, DIGITS.labels, None)
    unsure, sure = predictions(LOGITS, 1.0, options, "a", None)
    assert (unsure.label, unsure.abstained, unsure.path) == (None, True, "a")
    assert [each.label for each in unsure.top] == ["0", "1"]
    assert (sure.label, sure.abstained, sure.removed) == ("2", False, None)
    assert sure.confidence == pytest.approx(0.86, abs=1e-5)


def test_the_temperature_takes_confidence_and_no_label() -> None:
    options = AnswerRule(1, 0.0, DIGITS.labels, None)
    for warm, cold in zip(*(predictions(LOGITS, each, options) for each in (3.0, 1.0)), strict=True):
        assert warm.label == cold.label
        assert warm.confidence < cold.confidence


def test_a_charset_answers_alone_and_tells_what_it_took() -> None:
    mask = restrict(DIGITS, "12")
    options = AnswerRule(5, 0.0, mask.labels, mask)
    first, second = predictions(LOGITS, 1.0, options)
    assert (first.label, second.label) == ("1", "2")
    assert {each.label for each in first.top} == {"1", "2"}
    assert first.removed == pytest.approx(1 - 0.325, abs=1e-5)


def test_equal_ones_come_in_the_alphabets_order() -> None:
    [answer] = predictions(np.zeros((1, 10), np.float32), 1.0, AnswerRule(3, 0, DIGITS.labels))
    assert [each.label for each in answer.top] == ["0", "1", "2"]
