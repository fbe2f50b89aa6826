"""Everything that can be refused is refused here, before the first training begins."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.comparison.systems import SeededRun, System
from kalamos.datasets import Dataset, Split
from kalamos.errors import OutputError, TrainingError, UsageError
from kalamos.training import Recipe
from kalamos.training.run import load_config
from kalamos.training.splitting import SPLIT, plan_split
from kalamos.training.story import METADATA_FILE

__all__ = ["EvalSplits", "check_runs", "clear_leftovers", "is_begun", "prepare_eval_splits"]

_LEFTOVER = re.compile(rf"{re.escape(SPLIT)}|\..*\.[0-9a-f]{{8}}\.tmp")
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
        if _LEFTOVER.fullmatch(path.name):
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
        elif strangers := [p.name for p in _entries(member.folder) if not _LEFTOVER.fullmatch(p.name)]:
            raise UsageError(
                f"{member.folder}: is no run, but holds {min(strangers)}",
                remedy="choose another folder (-o), or move that away",
            )


def prepare_eval_splits(dataset: Dataset, systems: Sequence[System]) -> EvalSplits:
    """The official test split where there is one, else what the runs held out.

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
        raise UsageError(f"{member.folder / SPLIT}: does not index the {len(dataset.train):,} images")
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
    free = {"dataset"}  # told by the images' fingerprint: one folder can be named in many ways
    if not wanted.preprocessing:  # a run fills in the default steps
        free.add("preprocessing")
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
