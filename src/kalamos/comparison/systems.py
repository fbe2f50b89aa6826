"""What is compared: systems, each trained once for every seed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from kalamos.architectures import find_architecture
from kalamos.errors import TrainingError, UsageError
from kalamos.training import Recipe, Run, load_run
from kalamos.writers.escape import one_line

__all__ = ["SeededRun", "System", "assemble"]


@dataclass(frozen=True)
class SeededRun:
    """One system under one seed.

    Attributes:
        recipe: what it is trained with, or was.
        folder: of its run.
        model: the `.onnx` file that it is exported to.
        run: given finished, and then nothing is trained; None where `folder` is ours to fill.
    """

    recipe: Recipe
    folder: Path
    model: Path
    run: Run | None = None


@dataclass(frozen=True)
class System:
    """One way to make a model; its members differ in nothing but the seed."""

    name: str
    members: tuple[SeededRun, ...]

    @property
    def architecture(self) -> str:
        return self.members[0].recipe.arch


def assemble(
    folder: Path,
    *,
    recipes: Sequence[tuple[str, Recipe]] = (),
    seeds: Sequence[int] = (),
    runs: Sequence[Path] = (),
) -> tuple[System, ...]:
    """The systems, those to be trained first.

    Args:
        folder: holds the run of each member that is trained, and every model file.
        recipes: names and recipes.
        seeds: that each recipe is trained with; empty for the recipe's own.
        runs: folders of finished runs. Those that differ in nothing but the seed are one system,
            unless nothing would be left to compare it with, or a seed occurs twice.

    Raises:
        RecipeError: there is no such architecture.
        UsageError: fewer than two systems, something named twice, or not a finished run.
    """
    _refuse_twice("the system", [name for name, _ in recipes])
    _refuse_twice("the seed", seeds)
    _refuse_twice("the run", [path.resolve() for path in runs])
    for _, recipe in recipes:
        find_architecture(recipe.arch)
    finished = [(path, _load(path)) for path in runs]
    groups = _by_recipe(finished)
    if len(recipes) + len(groups) < 2:
        groups = [[one] for one in finished]
    if len(recipes) + len(groups) < 2:
        raise UsageError(
            "a comparison needs two systems", remedy="give --arch, --recipe or --run, twice or more in all"
        )
    names, files = _Names(), _Names()
    systems = []
    for name, recipe in recipes:
        members = []
        for seed in seeds or (recipe.seed,):
            stem = files.new(f"{_slug(name)}-{seed}")
            members.append(SeededRun(replace(recipe, seed=seed), folder / stem, folder / f"{stem}.onnx"))
        systems.append(System(names.new(one_line(name)), tuple(members)))
    for group in groups:
        taken = tuple(
            SeededRun(run.recipe, path, folder / f"{files.new(_slug(_name(path)))}.onnx", run)
            for path, run in group
        )
        systems.append(System(names.new(one_line(_common_name([path for path, _ in group]))), taken))
    return tuple(systems)


Finished = tuple[Path, Run]


def _load(folder: Path) -> Run:
    try:
        return load_run(folder)
    except TrainingError as error:
        raise UsageError(error.problem, remedy=error.remedy) from error


def _by_recipe(finished: Iterable[Finished]) -> list[list[Finished]]:
    groups: dict[str, list[Finished]] = {}
    for path, run in finished:
        # What the data are called is no difference: one folder can be named in many ways.
        same = {k: v for k, v in run.recipe.to_mapping().items() if k not in {"seed", "dataset"}}
        groups.setdefault(repr(same), []).append((path, run))
    parts: list[list[Finished]] = []
    for group in groups.values():
        seeds = {run.recipe.seed for _, run in group}
        if len(seeds) < len(group):
            parts.extend([one] for one in group)
        else:
            parts.append(sorted(group, key=lambda one: one[1].recipe.seed))
    return parts


def _refuse_twice(what: str, values: Sequence[object]) -> None:
    for value in values:
        if values.count(value) > 1:
            raise UsageError(f"{what} {str(value)!r} is given twice", remedy="give it once")


def _name(path: Path) -> str:
    return path.name or path.resolve().name or "run"  # `.` has a name only by its place


def _common_name(paths: Sequence[Path]) -> str:
    """What the folders' names begin with: `cnn2-42`, `cnn2-43` -> `cnn2`."""
    names = [_name(path) for path in paths]
    if len(names) == 1:
        return names[0]
    same = 0
    for characters in zip(*names, strict=False):
        if len(set(characters)) > 1:
            break
        same += 1
    return names[0][:same].rstrip("0123456789").rstrip(" -_.") or names[0]


def _slug(name: str) -> str:
    """A name as part of a file's: `timm:resnet18` -> `timm-resnet18`.

    >>> _slug("timm:resnet18.a1_in1k"), _slug("../β 2")
    ('timm-resnet18.a1_in1k', 'β-2')
    """
    return re.sub(r"[^\w.]+", "-", name).strip("-.")[:80] or "system"


class _Names:
    """Gives no name twice, not even to a file system that ignores case."""

    def __init__(self) -> None:
        self._given: set[str] = set()

    def new(self, wanted: str) -> str:
        name, count = wanted, 1
        while name.casefold() in self._given:
            count += 1
            name = f"{wanted}-{count}"
        self._given.add(name.casefold())
        return name
