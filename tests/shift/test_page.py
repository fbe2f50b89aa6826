from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.pages import Page

from kalamos.evaluation.evaluate import EvalTarget
from kalamos.recognizer import Recognizer
from kalamos.shift.page import corruption_rows, robustness_page, surest_misreadings
from kalamos.shift.suite import Outcomes


def with_answers(outcomes: Outcomes, predicted: np.ndarray) -> Outcomes:
    confidence = np.where(predicted < 0, 0, 0.9).astype(np.float32)
    return replace(outcomes, predicted=predicted, confidence=confidence)


@pytest.fixture
def all_right(outcomes: Outcomes) -> np.ndarray:
    return np.broadcast_to(outcomes.truth, outcomes.predicted.shape).copy()


def test_each_image_says_how_it_was_read(
    outcomes: Outcomes, reader: Recognizer, all_right: np.ndarray
) -> None:
    all_right[1, 1] = (outcomes.truth + 1) % 10
    all_right[1, 2] = -1
    rows = corruption_rows(with_answers(outcomes, all_right), outcomes.names[1], reader)
    assert [len(row) for row in rows] == [10, 10, 10]
    assert [{each.kind for each in row} for row in rows] == [{"right"}, {"wrong"}, {"no-ink"}]
    assert rows[2][0].words == f"{rows[2][0].truth}, no ink found"


def test_the_image_is_the_corrupted_one(outcomes: Outcomes, reader: Recognizer) -> None:
    rows = corruption_rows(outcomes, "brightness", reader)
    assert [int(row[0].image[0, 0]) for row in rows] == [64, 128, 178]
    assert rows[0][0].seen.shape == (28, 28)


def test_images_are_of_all_classes(outcomes: Outcomes, reader: Recognizer) -> None:
    few = replace(
        outcomes,
        clean=replace(outcomes.clean, truth=outcomes.truth[:3], probabilities=np.eye(3, 10, dtype="f4")),
        rows=outcomes.rows[:3], inks=outcomes.inks[:3],
        predicted=outcomes.predicted[..., :3], confidence=outcomes.confidence[..., :3],
    )  # fmt: skip
    assert [len(row) for row in corruption_rows(few, "stripe", reader)] == [3, 3, 3]
    truths = [each.truth for each in corruption_rows(outcomes, "stripe", reader)[0]]
    assert len(set(truths)) == len(np.unique(outcomes.truth))


def test_the_most_confident_misreadings_come_first(
    outcomes: Outcomes, reader: Recognizer, all_right: np.ndarray
) -> None:
    all_right[0, 2, :4] = (outcomes.truth[:4] + 1) % 10
    confidence = np.linspace(0.5, 0.9, 40, dtype=np.float32) + np.zeros((4, 3, 1), np.float32)
    spoilt = replace(outcomes, predicted=all_right, confidence=confidence)
    wrong, shown = surest_misreadings(spoilt, outcomes.names[0], reader)
    assert (wrong, len(shown), {each.kind for each in shown}) == (4, 4, {"wrong"})
    assert [each.confidence for each in shown] == sorted((each.confidence for each in shown), reverse=True)
    assert {each.strength for each in shown} == {3}
    assert surest_misreadings(spoilt, outcomes.names[1], reader) == (0, [])


def test_labels_of_any_script_are_isolated_and_escaped(
    outcomes: Outcomes, reader: Recognizer, subject: EvalTarget
) -> None:
    labels = ("<script>", *"بتثجحخدذر")
    named = replace(outcomes, clean=replace(outcomes.clean, labels=labels))
    page = robustness_page(named, named.report(), reader, subject, {})
    assert "script" not in Page(page).tags
    assert '<bdi class="truth">ب</bdi>' in page
    assert page.count("<figure") > 3 * 10 * len(outcomes.names)
