from __future__ import annotations

import numpy as np
import pytest

from kalamos.evaluation.calibration import fit_temperature, negative_log_likelihood
from kalamos.probabilities import softmax


@pytest.mark.parametrize("temperature", [0.3, 1.0, 2.5, 8.0])
def test_a_known_temperature_is_found_again(temperature: float) -> None:
    generator = np.random.default_rng(0)
    honest = generator.normal(0, 2, (20_000, 10))
    uniform = generator.random((len(honest), 1))
    labels = (softmax(honest).cumsum(axis=1) < uniform).sum(axis=1)  # drawn from what the logits say
    assert fit_temperature(honest * temperature, labels) == pytest.approx(temperature, rel=0.03)


def test_the_minimum_is_one() -> None:
    generator = np.random.default_rng(1)
    logits = generator.normal(0, 3, (500, 4))
    labels = np.where(generator.random(500) < 0.6, logits.argmax(axis=1), generator.integers(0, 4, 500))
    found = fit_temperature(logits, labels)
    least = negative_log_likelihood(logits, labels, found)
    for factor in (0.9, 1.1):
        assert negative_log_likelihood(logits, labels, found * factor) > least


@pytest.mark.parametrize(("right", "bound"), [(True, 0.05), (False, 20.0)])
def test_the_temperature_is_bounded(right: bool, bound: float) -> None:
    logits = np.eye(3)
    labels = np.arange(3) if right else (np.arange(3) + 1) % 3
    assert fit_temperature(logits, labels) == pytest.approx(bound, rel=0.01)


def test_negative_log_likelihood_by_hand() -> None:
    logits = np.log([[0.25, 0.75], [0.5, 0.5]])
    expected = -(np.log(0.75) + np.log(0.5)) / 2
    assert negative_log_likelihood(logits, np.array([1, 0])) == pytest.approx(expected)


def test_what_was_thought_impossible_costs_much_but_not_infinity() -> None:
    cost = negative_log_likelihood(np.array([[1e6, 0.0]]), np.array([1]))
    assert 600 < cost < np.inf


def test_a_weight_counts_as_so_many_images() -> None:
    generator = np.random.default_rng(2)
    logits = generator.normal(0, 3, (300, 4))
    labels = np.where(generator.random(300) < 0.6, logits.argmax(axis=1), generator.integers(0, 4, 300))
    times = generator.integers(1, 4, 300)
    repeated = fit_temperature(np.repeat(logits, times, axis=0), np.repeat(labels, times))
    assert fit_temperature(logits, labels, times.astype(float)) == pytest.approx(repeated)
    assert fit_temperature(logits, labels) != pytest.approx(repeated, rel=1e-3)
