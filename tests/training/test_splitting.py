from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.errors import DatasetError
from kalamos.training import Recipe
from kalamos.training.splitting import SplitPlan, plan_split, read_split, write_split


@pytest.fixture(scope="module")
def written(digits: Dataset) -> Dataset:
    """The synthetic digits by 15 writers, in no order."""
    return replace(digits, train=replace(digits.train, groups=np.random.default_rng(0).integers(0, 15, 300)))


def assert_parts(plan: SplitPlan, count: int = 300) -> None:
    together = np.concatenate([plan.train, plan.val, plan.test])
    assert sorted(together.tolist()) == list(range(count))
    for rows in (plan.train, plan.val, plan.test):
        assert rows.dtype == np.int64
        assert (np.diff(rows) > 0).all()


def per_class(dataset: Dataset, rows: np.ndarray) -> set[int]:
    return set(np.bincount(dataset.train.labels[rows], minlength=10).tolist())


def test_every_class_gets_its_share(digits: Dataset) -> None:
    plan = plan_split(digits, Recipe(val_fraction=0.2))
    assert_parts(plan)
    assert per_class(digits, plan.val) == {6}
    assert len(plan.test) == 0


def test_shares_are_of_the_whole(digits: Dataset) -> None:
    plan = plan_split(digits, Recipe(val_fraction=0.2, test_fraction=0.5))
    assert_parts(plan)
    assert (per_class(digits, plan.test), per_class(digits, plan.val)) == ({15}, {6})


def test_the_seed_decides_and_nothing_else(digits: Dataset) -> None:
    recipe = Recipe(val_fraction=0.2, test_fraction=0.2)
    one, again = plan_split(digits, recipe), plan_split(digits, replace(recipe, lr=0.5, arch="cnn2"))
    other = plan_split(digits, replace(recipe, seed=43))
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(one, name), getattr(again, name))
        assert not np.array_equal(getattr(one, name), getattr(other, name))


@pytest.mark.parametrize(
    "fractions", [{}, {"test_fraction": 0.2}, {"folds": 5}, {"folds": 4, "test_fraction": 0.2}]
)
def test_no_writer_is_on_two_sides(written: Dataset, fractions: dict[str, float]) -> None:
    plan = plan_split(written, Recipe(split="grouped", val_fraction=0.2, **fractions))  # type: ignore[arg-type]
    assert_parts(plan)
    groups = written.train.groups
    assert groups is not None
    sides = [set(groups[rows].tolist()) for rows in (plan.train, plan.val, plan.test)]
    assert sum(map(len, sides)) == len(set.union(*sides)) == 15
    assert sides[1]
    assert bool(sides[2]) == ("test_fraction" in fractions)


def test_every_image_is_held_out_in_one_fold(digits: Dataset) -> None:
    plans = [plan_split(digits, Recipe(folds=7, fold=fold, test_fraction=0.1)) for fold in range(7)]
    for plan in plans:
        assert_parts(plan)
        np.testing.assert_array_equal(plan.test, plans[0].test)
    held = np.concatenate([plan.val for plan in plans])
    assert sorted(held.tolist()) == sorted(set(range(300)) - set(plans[0].test.tolist()))


def test_an_official_validation_part_is_taken_unless_folds_are_asked_for(digits: Dataset) -> None:
    official = np.arange(0, 300, 7)
    dataset = replace(digits, val_rows=official)
    for fraction in (0.0, 0.5):
        plan = plan_split(dataset, Recipe(val_fraction=fraction, seed=5))
        assert_parts(plan)
        np.testing.assert_array_equal(plan.val, official)
    with_test = plan_split(dataset, Recipe(test_fraction=0.2))
    assert_parts(with_test)
    assert set(with_test.val.tolist()) == set(official.tolist()) - set(with_test.test.tolist())
    assert len(plan_split(dataset, Recipe(folds=10)).val) == 30


def test_what_cannot_be_split_is_told(digits: Dataset) -> None:
    with pytest.raises(DatasetError, match=r'does not say which images belong together; .*column "group"'):
        plan_split(digits, Recipe(split="grouped"))
    with pytest.raises(DatasetError, match="nothing is held out to validate on; set val_fraction or folds"):
        plan_split(digits, Recipe(val_fraction=0))
    alone = replace(digits, train=digits.train.take(np.arange(10)))  # one image a class: none to spare
    with pytest.raises(DatasetError, match="nothing is held out to validate on; give a class two images"):
        plan_split(alone, Recipe())


def test_a_plan_comes_back(digits: Dataset, tmp_path: Path) -> None:
    plan = plan_split(digits, Recipe(test_fraction=0.2))
    write_split(tmp_path, plan)
    again = read_split(tmp_path)
    for name in ("train", "val", "test"):
        np.testing.assert_array_equal(getattr(plan, name), getattr(again, name))
        assert getattr(again, name).dtype == np.int64
    write_split(tmp_path, replace(plan, test=plan.test[:0]))
    assert read_split(tmp_path).test.shape == (0,)
