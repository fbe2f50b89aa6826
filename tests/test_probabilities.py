from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from kalamos.probabilities import restricted_softmax, softmax

LOGITS = arrays(
    np.float32,
    array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.floats(-(2.0**100), 2.0**100, width=32),
)
TEMPERATURES = st.floats(0.05, 20)


@given(LOGITS, TEMPERATURES)
def test_every_row_is_a_distribution(logits: NDArray[np.float32], temperature: float) -> None:
    probabilities = softmax(logits, temperature)
    assert probabilities.dtype == np.float64
    assert probabilities.shape == logits.shape
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)


@given(LOGITS, TEMPERATURES)
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
