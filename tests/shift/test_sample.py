from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.errors import UsageError
from kalamos.shift.sample import stratified_sample


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(1, 70), st.integers(0, 5))
def test_every_class_keeps_its_share(values: list[int], count: int, seed: int) -> None:
    labels = np.array(values)
    rows = stratified_sample(labels, count, seed)
    assert len(rows) == min(count, len(labels))
    assert len(set(rows.tolist())) == len(rows)
    assert rows.tolist() == sorted(rows.tolist())
    for label in set(values):
        wanted = len(rows) * values.count(label) / len(values)
        assert abs((labels[rows] == label).sum() - wanted) <= 2


def test_a_rare_class_stays_rare() -> None:
    labels = np.repeat([0, 1], [90, 10])
    assert np.bincount(labels[stratified_sample(labels, 20, 1)]).tolist() == [18, 2]


def test_a_smaller_sample_is_part_of_a_larger_one() -> None:
    labels = np.tile(np.arange(10), 30)
    small, large = (set(stratified_sample(labels, count, 3).tolist()) for count in (50, 120))
    assert small < large
    assert small != set(stratified_sample(labels, 50, 4).tolist())


@pytest.mark.parametrize("count", [0, 6, 7])
def test_all_of_them(count: int) -> None:
    assert stratified_sample(np.zeros(6, np.int64), count, 1).tolist() == list(range(6))


def test_fewer_than_none_is_refused() -> None:
    with pytest.raises(UsageError, match="-1 images"):
        stratified_sample(np.zeros(6, np.int64), -1, 1)
