from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalamos.comparison.preflight import check_runs, clear_leftovers, is_begun, prepare_eval_splits
from kalamos.comparison.systems import SeededRun, System, assemble
from kalamos.datasets import Dataset
from kalamos.errors import UsageError
from kalamos.preprocessing import default_steps
from kalamos.training import Recipe
from kalamos.training.run import RunConfig, save_config
from kalamos.training.splitting import plan_split

Begin = Callable[..., Path]


@pytest.fixture
def untested(digits: Dataset) -> Dataset:
    """Digits without an official test split."""
    return replace(digits, test=None)


@pytest.fixture
def begin(digits: Dataset, tmp_path: Path) -> Begin:
    """A folder as a run leaves it that was killed in its first epoch."""

    def make(name: str, recipe: Recipe, dataset: Dataset = digits) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        filled = replace(recipe, preprocessing=default_steps(28))
        save_config(
            RunConfig.now(filled, dataset.alphabet, dataset.train.sha256, plan_split(dataset, recipe)), folder
        )
        return folder

    return make


def one(folder: Path, recipe: Recipe) -> list[System]:
    return [System("a", (SeededRun(recipe, folder, folder.with_suffix(".onnx")),))]


def test_an_interrupted_run_of_the_same_recipe_goes_on(digits: Dataset, begin: Begin) -> None:
    recipe = Recipe(epochs=3)
    systems = one(begin("a", recipe), replace(recipe, dataset="./mnist"))
    check_runs(digits, systems)
    assert is_begun(systems[0].members[0])


def test_a_run_of_other_settings_is_refused(digits: Dataset, begin: Begin) -> None:
    systems = one(begin("a", Recipe(epochs=3)), Recipe(epochs=2))
    with pytest.raises(UsageError, match=r"was begun with epochs = 3, not 2; choose another folder \(-o\)"):
        check_runs(digits, systems)


def test_a_run_on_other_data_is_refused(digits: Dataset, begin: Begin) -> None:
    other = replace(digits, train=digits.train.take(np.arange(200)))
    systems = one(begin("a", Recipe(), other), Recipe())
    with pytest.raises(UsageError, match="trained on other images than those of mnist"):
        check_runs(digits, systems)


def test_a_given_run_on_other_data_is_refused(digits: Dataset, tiny_run_folder: Path) -> None:
    systems = assemble(Path("here"), recipes=[("a", Recipe())], runs=[tiny_run_folder])
    check_runs(digits, systems)
    with pytest.raises(UsageError, match="trained on other images than those of mnist"):
        check_runs(replace(digits, train=digits.train.take(np.arange(200))), systems)


def test_a_damaged_run_is_refused(digits: Dataset, begin: Begin) -> None:
    folder = begin("a", Recipe())
    (folder / "run.json").write_text("{")
    with pytest.raises(UsageError, match=r"a: .*; remove it, or choose another folder"):
        check_runs(digits, one(folder, Recipe()))


def test_what_is_no_run_is_left_alone(digits: Dataset, tmp_path: Path) -> None:
    folder = tmp_path / "a"
    folder.mkdir()
    (folder / "thesis.txt").write_text("mine")
    with pytest.raises(UsageError, match=r"is no run, but holds thesis\.txt"):
        check_runs(digits, one(folder, Recipe()))
    clear_leftovers(folder)
    assert (folder / "thesis.txt").exists()


def test_what_a_run_left_before_it_began_is_cleared(digits: Dataset, begin: Begin) -> None:
    folder = begin("a", Recipe())
    (folder / "run.json").rename(folder / ".run.json.0a1b2c3d.tmp")
    systems = one(folder, Recipe())
    check_runs(digits, systems)
    assert not is_begun(systems[0].members[0])
    clear_leftovers(folder)
    assert not any(folder.iterdir())


def test_the_official_test_split_goes_first(digits: Dataset) -> None:
    bench = prepare_eval_splits(digits, assemble(Path("here"), recipes=PAIR, seeds=[1, 2]))
    assert bench.part == "test"
    assert bench.splits == (digits.test, digits.test)


PAIR = [("a", Recipe(arch="cnn2")), ("b", Recipe())]


def test_without_one_it_is_what_the_runs_hold_out(untested: Dataset) -> None:
    bench = prepare_eval_splits(untested, assemble(Path("here"), recipes=PAIR, seeds=[1, 2]))
    assert bench.part == "held-out val"
    wanted = [untested.train.take(plan_split(untested, Recipe(seed=seed)).val) for seed in (1, 2)]
    assert [split.sha256 for split in bench.splits] == [split.sha256 for split in wanted]
    assert bench.splits[0].sha256 != bench.splits[1].sha256


def test_what_is_never_looked_at_goes_before_what_is_watched(untested: Dataset) -> None:
    recipes = [(name, replace(recipe, test_fraction=0.2)) for name, recipe in PAIR]
    bench = prepare_eval_splits(untested, assemble(Path("here"), recipes=recipes))
    assert (bench.part, len(bench.splits[0])) == ("held-out test", 60)


def test_a_begun_run_is_measured_on_the_split_that_it_saved(untested: Dataset, begin: Begin) -> None:
    folder = begin("a", Recipe(seed=5), untested)
    member = SeededRun(Recipe(seed=5), folder, folder.with_suffix(".onnx"))
    bench = prepare_eval_splits(untested, [System("a", (member,)), System("b", (member,))])
    assert bench.splits[0].sha256 == untested.train.take(plan_split(untested, Recipe(seed=5)).val).sha256


def test_systems_that_hold_out_other_images_are_refused_with_figures(untested: Dataset) -> None:
    systems = assemble(Path("here"), recipes=[PAIR[0], ("b", Recipe(seed=7))])
    rows = [plan_split(untested, Recipe(seed=seed)).val for seed in (42, 7)]
    common = len(np.intersect1d(*rows))
    assert 0 < common < 30
    with pytest.raises(UsageError, match=f"hold out different images of mnist: 30 and 30, {common} of them"):
        prepare_eval_splits(untested, systems)


def test_systems_of_different_numbers_of_seeds_are_refused(untested: Dataset) -> None:
    a, b = assemble(Path("here"), recipes=PAIR, seeds=[1, 2])
    with pytest.raises(UsageError, match="a has 2 seeds and b 1"):
        prepare_eval_splits(untested, [a, System("b", b.members[:1])])
