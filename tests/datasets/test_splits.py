from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kalamos.datasets import grouped_split, k_fold, stratified_split
from kalamos.datasets.splits import block_groups
from kalamos.errors import DatasetError

LABELS = st.lists(st.integers(0, 5), min_size=1, max_size=60).map(lambda labels: np.array(labels, np.int64))
LABELS_AND_GROUPS = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 9)), min_size=1, max_size=60).map(
    lambda pairs: (np.array([pair[0] for pair in pairs]), np.array([pair[1] for pair in pairs]))
)
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


Labelled = tuple[np.ndarray, np.ndarray]


@given(LABELS_AND_GROUPS, FRACTIONS, st.integers(0, 2**32))
def test_no_group_is_on_both_sides_and_training_has_every_class(
    rows: Labelled, fraction: float, seed: int
) -> None:
    labels, groups = rows
    movable = [group for group in set(groups.tolist()) if set(labels[groups != group]) == set(labels)]
    if not movable:
        with pytest.raises(
            DatasetError, match="groups are too few to split: each holds all images of a class"
        ):
            grouped_split(labels, groups, fraction, seed)
        return
    train, validation = grouped_split(labels, groups, fraction, seed)
    assert sorted([*train, *validation]) == list(range(len(labels)))
    assert (np.diff(train) > 0).all()
    assert (np.diff(validation) > 0).all()
    assert train.dtype == validation.dtype == np.int64
    assert not set(groups[train]) & set(groups[validation])
    assert set(labels[train]) == set(labels)
    assert len(validation)
    again = grouped_split(labels, groups, fraction, seed)
    assert np.array_equal(validation, again[1])


@settings(max_examples=25)
@given(st.integers(0, 2**32), st.sampled_from([0.1, 0.15, 0.2, 0.5, 0.8]))
def test_groups_of_many_sizes_come_near_the_fraction_in_every_class(seed: int, fraction: float) -> None:
    generator = np.random.default_rng(seed)
    sizes = generator.integers(5, 40, 60)
    groups = np.repeat(np.arange(60), sizes)
    labels = generator.integers(0, 5, len(groups))
    _, validation = grouped_split(labels, groups, fraction, seed)
    shares = np.bincount(labels[validation], minlength=5) / np.bincount(labels)
    assert abs(len(validation) / len(labels) - fraction) < 0.02
    assert np.abs(shares - fraction).max() < 0.06


@pytest.mark.parametrize("seed", range(20))
def test_few_groups_are_searched_well(seed: int) -> None:
    groups = np.repeat(np.arange(5), [60, 10, 10, 10, 10])
    _, validation = grouped_split(np.zeros(100, np.int64), groups, 0.4, seed)
    assert len(validation) == 40


def test_the_last_group_of_a_class_stays_in_training() -> None:
    train, validation = grouped_split(np.zeros(9, np.int64), np.repeat(np.arange(3), 3), 0.99, seed=0)
    assert (len(train), len(validation)) == (3, 6)


def test_the_seed_decides_between_groups_of_any_size() -> None:
    groups = np.repeat(np.arange(30), np.arange(10, 40))
    labels = np.arange(len(groups)) % 3
    parts = {tuple(grouped_split(labels, groups, 0.3, seed)[1].tolist()) for seed in range(5)}
    assert len(parts) > 1


@given(LABELS, st.integers(2, 6), st.integers(0, 2**32))
def test_every_image_is_held_out_once_and_folds_are_alike(labels: np.ndarray, folds: int, seed: int) -> None:
    if len(labels) < folds:
        with pytest.raises(DatasetError, match=f"{len(labels)} images are too few for {folds} folds"):
            k_fold(labels, folds, 0, seed)
        return
    parts = [k_fold(labels, folds, fold, seed) for fold in range(folds)]
    held = np.concatenate([validation for _, validation in parts])
    assert sorted(held.tolist()) == list(range(len(labels)))
    assert np.ptp([len(validation) for _, validation in parts]) <= 1
    for label in np.unique(labels):
        assert np.ptp([(labels[validation] == label).sum() for _, validation in parts]) <= 1
    for train, validation in parts:
        assert sorted([*train, *validation]) == list(range(len(labels)))
        assert (np.diff(validation) > 0).all()


@given(LABELS_AND_GROUPS, st.integers(2, 4), st.integers(0, 2**32))
def test_folds_keep_groups_whole(rows: Labelled, folds: int, seed: int) -> None:
    labels, groups = rows
    if len(set(groups.tolist())) < folds:
        with pytest.raises(DatasetError, match="groups are too few"):
            k_fold(labels, folds, 0, seed, groups)
        return
    parts = [k_fold(labels, folds, fold, seed, groups) for fold in range(folds)]
    assert sorted(np.concatenate([validation for _, validation in parts]).tolist()) == list(
        range(len(labels))
    )
    for train, validation in parts:
        assert len(validation)
        assert not set(groups[train]) & set(groups[validation])


def test_grouped_folds_are_balanced() -> None:
    generator = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), generator.integers(5, 40, 60))
    labels = generator.integers(0, 5, len(groups))
    counts = np.array([np.bincount(labels[k_fold(labels, 5, fold, 7, groups)[1]]) for fold in range(5)])
    assert np.abs(counts / np.bincount(labels) - 0.2).max() < 0.04


def test_groups_of_one_class_each_are_shared_out_by_class() -> None:
    groups = np.repeat(np.arange(20), [9, 8, 7, 6, 5] * 4)
    labels = np.repeat(np.arange(4), 35)
    counts = np.array([np.bincount(labels[k_fold(labels, 5, fold, 7, groups)[1]]) for fold in range(5)])
    assert counts.min() >= 5
    assert counts.max() <= 9


def test_the_seed_decides_the_folds() -> None:
    labels = np.repeat(np.arange(4), 25)
    one, again, other = (k_fold(labels, 5, 2, seed)[1] for seed in (7, 7, 8))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize(("folds", "fold"), [(1, 0), (0, 0), (5, 5), (5, -1)])
def test_a_fold_is_one_of_at_least_two(folds: int, fold: int) -> None:
    with pytest.raises(DatasetError, match=f"there is no fold {fold} of {folds}"):
        k_fold(np.zeros(10, np.int64), folds, fold, seed=0)


@pytest.mark.parametrize("fraction", [0, 1, float("nan")])
def test_a_fraction_of_groups_is_between_0_and_1(fraction: float) -> None:
    with pytest.raises(DatasetError, match="not between 0 and 1"):
        grouped_split(np.array([0, 1]), np.array([0, 1]), fraction, seed=0)


def test_each_image_has_one_group() -> None:
    with pytest.raises(DatasetError, match="3 labels came with 2 groups"):
        grouped_split(np.zeros(3, np.int64), np.zeros(2, np.int64), 0.5, seed=0)


def test_blocks_of_ids_count_from_the_lowest() -> None:
    assert block_groups(np.array([217, 1, 108, 109], np.uint16), 108).tolist() == [2, 0, 0, 1]
    assert block_groups(np.array([], np.int64), 108).tolist() == []
    assert block_groups(np.array([5]), 3).dtype == np.int64
    with pytest.raises(DatasetError, match="a block of 0 IDs is empty"):
        block_groups(np.array([1]), 0)
