"""Where the files of a recipe lie, for a run that is resumed from another folder than it was begun in."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Final

from kalamos.datasets.named import DATASETS
from kalamos.learn.recipe import Recipe
from kalamos.zoo import names

__all__ = ["find_again", "moved_remedy"]

NEAREST_PARENTS: Final = (1, 0, 2)
"""Which folders above a run's own are tried: a run mostly lies in `runs/NAME` of where it was begun."""


def find_again(recipe: Recipe, run_dir: Path) -> Recipe:
    """Return the recipe with its relative paths as they are found from here.

    A path counts from here, else from a folder above the run's own; what is in none of these stays as it is.
    A run keeps no path of the machine that it was begun on; its fingerprint of the images tells others that
    have the name.
    """
    above = run_dir.resolve().parents
    tried = [Path(), *(above[level] for level in NEAREST_PARENTS if level < len(above))]

    shipped = {*DATASETS.names(), *names()}

    def found(given: str) -> str:
        if not given or given in shipped or Path(given).is_absolute():
            return given
        there = (base / given for base in tried if os.path.lexists(base / given))
        return os.fspath(next(there, given))

    return replace(
        recipe,
        dataset=found(recipe.dataset),
        weights=found(recipe.weights),
        teachers=tuple(map(found, recipe.teachers)),
        extra_datasets=tuple(map(found, recipe.extra_datasets)),
    )


def moved_remedy(recipe: Recipe) -> str:
    """Say which data a run wants, and how to name their new place."""
    return f"this run was begun with {recipe.dataset}; say where that is now: --data NEW (data=)"
