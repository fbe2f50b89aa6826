from __future__ import annotations

from dataclasses import replace

import numpy as np

from kalamos.evaluation.evaluate import Evaluation
from kalamos.evaluation.examples import confused_pairs, right_samples, surest_mistakes, unread_rows


def test_mistakes_are_wrong_read_and_sorted(measured: Evaluation) -> None:
    rows = surest_mistakes(measured, 100)
    assert set(rows) == set(np.flatnonzero(~measured.correct)) - {30}
    assert (np.diff(measured.confidence[rows]) <= 0).all()
    assert surest_mistakes(measured, 3).tolist() == rows[:3].tolist()
    assert unread_rows(measured, 9).tolist() == [30]


def test_samples_are_right_drawn_by_seed_and_never_twice(measured: Evaluation) -> None:
    rows = right_samples(measured, 20, seed=1)
    assert measured.correct[rows].all()
    assert len(set(rows.tolist())) == 20
    assert rows.tolist() == right_samples(measured, 20, seed=1).tolist()
    assert rows.tolist() != right_samples(measured, 20, seed=2).tolist()
    assert right_samples(measured, 1000).tolist() == np.flatnonzero(measured.correct).tolist()


def test_a_pair_has_its_images_and_something_to_compare_with(measured: Evaluation, answering) -> None:
    answers = measured.truth.copy()
    fours = np.flatnonzero(measured.truth == 4)
    answers[fours[:3]] = 9
    wrong = answering(measured, answers, np.linspace(0.5, 0.9, 60))
    [pair] = confused_pairs(wrong, 5, each=2)
    assert (pair.truth, pair.predicted, pair.count, pair.share) == ("4", "9", 3, 3 / len(fours))
    assert pair.rows == (fours[2], fours[1])
    assert pair.like == (fours[-1], np.flatnonzero(measured.truth == 9)[-1])
    assert pair.frequency == f"3 times, {3 / len(fours):.1%}"
    answers[fours] = 9
    assert confused_pairs(answering(measured, answers), 5, each=2)[0].like[0] is None


def test_nothing_confused_is_no_pair(measured: Evaluation, answering) -> None:
    assert confused_pairs(answering(measured, measured.truth), 5, 5) == []
    blank = replace(measured, probabilities=np.zeros_like(measured.probabilities))
    assert (confused_pairs(blank, 5, 5), len(right_samples(blank, 5))) == ([], 0)
