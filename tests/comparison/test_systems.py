from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from kalamos.comparison.systems import assemble
from kalamos.errors import RecipeError, UsageError
from kalamos.training import Recipe

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
