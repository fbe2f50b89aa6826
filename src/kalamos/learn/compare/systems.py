"""The systems to compare, each trained once per seed, and all checks that come before the first training."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, Split
from kalamos.errors import OutputError, TrainingError, UsageError
from kalamos.learn.models import find_architecture
from kalamos.learn.recipe import Recipe
from kalamos.learn.run import METADATA_FILE, SPLIT_FILE, Run, load_config, load_run, plan_split
from kalamos.writers.base import one_line

__all__ = [
    "EvalSplits",
    "SeededRun",
    "System",
    "assemble",
    "check_runs",
    "clear_leftovers",
    "is_begun",
    "prepare_eval_splits",
]


@dataclass(frozen=True)
class SeededRun:
    """One system under one seed.

    Attributes:
        recipe: what it is trained with, or was.
        folder: of its run.
        model: the `.onnx` file that it is exported to.
        run: a finished run, of which nothing is trained; None if it is to be trained in `folder`.
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


_LEFTOVER_FILE = re.compile(rf"{re.escape(SPLIT_FILE)}|\..*\.[0-9a-f]{{8}}\.tmp")
"""What a run leaves that was killed before it had begun."""


@dataclass(frozen=True)
class EvalSplits:
    """The images that all systems are measured on.

    Attributes:
        part: "test" for the dataset's official test split, else "held-out test" or "held-out val":
            what the compared runs themselves held out.
        splits: for the first member of each system, for the second, and so on. The same images
            throughout for an official test split; what is held out depends on the seed.
    """

    part: str
    splits: tuple[Split, ...]


def is_begun(member: SeededRun) -> bool:
    """Whether the member's folder holds a run, finished or not."""
    return (member.folder / METADATA_FILE).exists()


def clear_leftovers(folder: Path) -> None:
    """Remove what keeps a run from beginning in `folder` though nothing was trained there."""
    for path in _entries(folder):
        if _LEFTOVER_FILE.fullmatch(path.name):
            path.unlink(missing_ok=True)


def check_runs(dataset: Dataset, systems: Sequence[System]) -> None:
    """See that what exists already was trained on this dataset, in the way that is asked for.

    Raises:
        UsageError: it was not, or is not a run.
    """
    for member in (member for system in systems for member in system.members):
        if member.run is not None:
            _check_data(member.folder, member.run.data_sha256, member.run.alphabet, dataset)
        elif is_begun(member):
            try:
                plan = load_config(member.folder)
            except TrainingError as error:
                raise UsageError(error.problem, remedy="remove it, or choose another folder (-o)") from error
            _check_data(member.folder, plan.data_sha256, plan.alphabet, dataset)
            _check_recipe(member.folder, plan.recipe, member.recipe)
        elif strangers := [p.name for p in _entries(member.folder) if not _LEFTOVER_FILE.fullmatch(p.name)]:
            raise UsageError(
                f"{member.folder}: is not a run: it holds {min(strangers)}",
                remedy="choose another folder (-o), or move that away",
            )


def prepare_eval_splits(dataset: Dataset, systems: Sequence[System]) -> EvalSplits:
    """Choose the official test split if there is one, else what the runs held out.

    Raises:
        DatasetError: a recipe asks for a split that the dataset cannot have.
        UsageError: the systems do not hold out the same images.
    """
    if dataset.test is not None:
        longest = max(len(system.members) for system in systems)
        return EvalSplits("test", (dataset.test,) * longest)
    first = systems[0]
    held = [_held_out(dataset, member) for member in first.members]
    for system in systems[1:]:
        if len(system.members) != len(held):
            raise UsageError(
                f"{first.name} has {len(held)} seeds and {system.name} {len(system.members)}, but "
                f"{dataset.name} has no test split of its own, and what is held out depends on the seed",
                remedy="give each system the same seeds",
            )
        for member, ours, (_, rows) in zip(first.members, system.members, held, strict=True):
            _, other = _held_out(dataset, ours)
            if not np.array_equal(rows, other):
                common = len(np.intersect1d(rows, other))
                raise UsageError(
                    f"{member.folder} and {ours.folder} hold out different images of {dataset.name}: "
                    f"{len(rows):,} and {len(other):,}, {common:,} of them in common",
                    remedy="give them the same seed, split and fractions",
                )
    return EvalSplits(f"held-out {held[0][0]}", tuple(dataset.train.take(rows) for _, rows in held))


def _held_out(dataset: Dataset, member: SeededRun) -> tuple[str, NDArray[np.int64]]:
    """Which part, and its rows of the dataset: the part that the run never looks at, where it has one."""
    if member.run is None and not is_begun(member):
        plan = plan_split(dataset, member.recipe)
    else:
        try:
            plan = load_config(member.folder).split
        except TrainingError as error:
            raise UsageError(error.problem, remedy=error.remedy) from error
    part, rows = ("test", plan.test) if len(plan.test) else ("val", plan.val)
    if not len(rows) or rows.min() < 0 or rows.max() >= len(dataset.train):
        raise UsageError(f"{member.folder / SPLIT_FILE}: does not index the {len(dataset.train):,} images")
    return part, rows


def _check_data(folder: Path, sha256: str, alphabet: Alphabet, dataset: Dataset) -> None:
    if sha256 != dataset.train.sha256:
        raise UsageError(
            f"{folder}: was trained on other images than those of {dataset.name}",
            remedy="compare runs of one dataset",
        )
    if alphabet.labels != dataset.alphabet.labels:
        raise UsageError(
            f"{folder}: has other classes than {dataset.name}, or in another order",
            remedy="compare runs of one dataset",
        )


def _check_recipe(folder: Path, found: Recipe, wanted: Recipe) -> None:
    was, asked = found.to_mapping(), wanted.to_mapping()
    free = {"dataset"}  # the images' fingerprint decides: one folder can be named in many ways
    # A run fills in the default steps, and what outliers are drawn from.
    free |= {key for key in ("preprocessing", "outlier_sets") if not getattr(wanted, key)}
    for key, value in asked.items():
        if key not in free and was[key] != value:
            raise UsageError(
                f"{folder}: was begun with {key} = {was[key]!r}, not {value!r}",
                remedy="choose another folder (-o), or ask for the same",
            )


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise OutputError(
            f"{folder}: cannot be used ({reason})", remedy="choose another folder (-o)"
        ) from error
