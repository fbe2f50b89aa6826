from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.errors import RecipeError, UsageError
from kalamos.learn import Recipe
from kalamos.learn.compare.systems import (
    SeededRun,
    System,
    assemble,
    check_runs,
    clear_leftovers,
    is_begun,
    prepare_eval_splits,
)
from kalamos.learn.run import RunConfig, plan_split, save_config
from kalamos.preprocessing import default_steps

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
    with pytest.raises(UsageError, match=r"is not a run: it holds thesis\.txt"):
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


A, B = ("a", Recipe(arch="cnn2")), ("timm:b/x", Recipe(arch="kalamos_xs", seed=7))


@pytest.fixture
def rerun(tiny_run_folder: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the tiny run that says it had another recipe."""

    def make(name: str, **recipe: object) -> Path:
        folder = shutil.copytree(tiny_run_folder, tmp_path / name)
        story = json.loads((folder / "run.json").read_text())
        story["recipe"].update(recipe)
        (folder / "run.json").write_text(json.dumps(story))
        return folder

    return make


def test_each_recipe_is_trained_with_each_seed() -> None:
    a, b = assemble(Path("here"), recipes=[A, B], seeds=[3, 4])
    assert (a.name, b.name, a.architecture) == ("a", "timm:b/x", "cnn2")
    assert [member.recipe.seed for member in b.members] == [3, 4]
    assert [member.folder for member in b.members] == [Path("here/timm-b-x-3"), Path("here/timm-b-x-4")]
    assert b.members[0].model == Path("here/timm-b-x-3.onnx")
    assert b.members[0].recipe.arch == "kalamos_xs"


def test_without_seeds_the_recipes_keep_their_own() -> None:
    assert [s.members[0].recipe.seed for s in assemble(Path("here"), recipes=[A, B])] == [42, 7]


def test_no_two_members_share_a_folder() -> None:
    systems = assemble(Path("here"), recipes=[("x/1", A[1]), ("x-1", A[1]), ("X:1", A[1])])
    folders = {str(system.members[0].folder).casefold() for system in systems}
    assert len(folders) == 3


def test_runs_that_differ_only_in_the_seed_are_one_system(rerun: Callable[..., Path]) -> None:
    runs = [rerun("mine-9", seed=9), rerun("mine-8", seed=8), rerun("other", seed=8, lr=0.5)]
    mine, other = assemble(Path("here"), runs=runs)
    assert (mine.name, other.name) == ("mine", "other")
    assert [member.folder.name for member in mine.members] == ["mine-8", "mine-9"]
    assert mine.members[0].run is not None
    assert mine.members[0].model == Path("here/mine-8.onnx")


def test_runs_that_would_be_a_single_system_are_compared_with_one_another(rerun: Callable[..., Path]) -> None:
    runs = [rerun("mine-8", seed=8), rerun("mine-9", seed=9)]
    assert [system.name for system in assemble(Path("here"), runs=runs)] == ["mine-8", "mine-9"]
    a, mine = assemble(Path("here"), recipes=[A], runs=runs)
    assert (a.name, len(mine.members)) == ("a", 2)


def test_one_seed_twice_is_two_systems(rerun: Callable[..., Path]) -> None:
    runs = [rerun("x"), rerun("y"), rerun("z", lr=0.5)]
    assert [system.name for system in assemble(Path("here"), runs=runs)] == ["x", "y", "z"]


def test_a_name_that_is_no_line_becomes_one(rerun: Callable[..., Path]) -> None:
    _, system = assemble(Path("here"), recipes=[A], runs=[rerun("two\nlines")])
    assert system.name == r"two\nlines"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({}, "needs two systems"),
        ({"recipes": [A]}, "needs two systems"),
        ({"recipes": [A, A]}, "the system 'a' is given twice"),
        ({"recipes": [A, B], "seeds": [1, 2, 1]}, "the seed '1' is given twice"),
        ({"recipes": [A], "runs": [Path("none")]}, "none: has no run.json"),
    ],
)
def test_what_is_no_comparison_is_refused(given: dict[str, list[object]], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        assemble(Path("here"), **given)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(RecipeError, match="did you mean 'cnn2'"):
        assemble(Path("here"), recipes=[A, ("b", Recipe(arch="cnn22"))])


def test_a_run_is_not_compared_with_itself(rerun: Callable[..., Path]) -> None:
    folder = rerun("x")
    with pytest.raises(UsageError, match="given twice"):
        assemble(Path("here"), runs=[folder, folder / ".." / "x"])
