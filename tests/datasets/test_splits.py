from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets import stratified_split
from kalamos.errors import DatasetError

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(lambda labels: np.array(labels, np.int64))
FRACTIONS = st.floats(0.01, 0.99)


@given(LABELS, FRACTIONS, st.integers(0, 2**32))
def test_the_parts_are_disjoint_sorted_and_complete(labels: np.ndarray, fraction: float, seed: int) -> None:
    train, validation = stratified_split(labels, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert train.dtype == validation.dtype == np.int64


@given(LABELS, FRACTIONS, st.integers(0, 2**32))
def test_every_class_keeps_its_share_and_both_sides(labels: np.ndarray, fraction: float, seed: int) -> None:
    train, validation = stratified_split(labels, fraction, seed)
    for label, count in zip(*np.unique(labels, return_counts=True), strict=True):
        held = int((labels[validation] == label).sum())
        assert abs(held - fraction * count) <= 1
        if count >= 2:
            assert held >= 1
            assert (labels[train] == label).any()


def test_the_seed_decides() -> None:
    labels = np.repeat(np.arange(10), 50)
    one, again, other = (stratified_split(labels, 0.1, seed)[1] for seed in (7, 7, 8))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


def test_validation_is_not_the_first_of_each_class() -> None:
    _, validation = stratified_split(np.zeros(1000, np.int64), 0.1, seed=0)
    assert len(validation) == 100
    assert validation.mean() == pytest.approx(499.5, abs=100)


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 1.5, float("nan")])
def test_a_fraction_is_between_0_and_1(fraction: float) -> None:
    with pytest.raises(DatasetError, match="not between 0 and 1"):
        stratified_split(np.array([0, 1]), fraction, seed=0)
