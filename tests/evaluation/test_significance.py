from __future__ import annotations

import numpy as np
import pytest

from kalamos.errors import UsageError
from kalamos.evaluation.significance import mcnemar

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
