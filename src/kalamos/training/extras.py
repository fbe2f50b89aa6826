"""What a recipe learns from besides its images: teachers, photographs of the images, images of nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from torch import Tensor

from kalamos.alphabets import Alphabet
from kalamos.errors import RecipeError, TrainingError
from kalamos.preprocessing import Preprocessor
from kalamos.training.batches import NONE, Examples, seed_of
from kalamos.training.checkpoint import read_weights, write_weights
from kalamos.training.objective import Teacher
from kalamos.training.recipe import Recipe
from kalamos.training.run import load_run

__all__ = ["EXTRAS", "forget_extras", "load_teacher", "with_extras"]

EXTRAS = "extras.safetensors"
"""What took minutes to draw is kept while a run goes on: taken up again, even by a later kalamos, it learns
from the same images."""


def load_teacher(recipe: Recipe, alphabet: Alphabet) -> Teacher | None:
    """The recipe's teachers as one; None where it has none.

    Raises:
        TrainingError: a teacher is not a finished run.
        RecipeError: a teacher tells other classes apart, or sees images otherwise prepared.
    """
    if not recipe.teachers:
        return None
    networks = []
    for folder in recipe.teachers:
        run = load_run(Path(folder))
        if run.alphabet.labels != alphabet.labels:
            raise RecipeError(f"teacher {folder} tells other classes apart than {alphabet.name}'s")
        if run.recipe.preprocessing != recipe.preprocessing:
            raise RecipeError(
                f"teacher {folder} sees images that are prepared otherwise",
                remedy="copy its preprocessing into this recipe",
            )
        networks.append(run.network.to(memory_format=torch.channels_last))
    return Teacher(networks, recipe.distillation_temperature)


def with_extras(
    data: Examples,
    alphabet: Alphabet,
    recipe: Recipe,
    data_dir: str | os.PathLike[str] | None = None,
    run_dir: Path | None = None,
    *,
    main: bool = True,
) -> Examples:
    """With the photographs and the outliers that the recipe asks for; both depend on its seed alone.

    Args:
        data: the prepared training images.
        alphabet: whose characters no outlier may look like.
        data_dir: where the other scripts' datasets are.
        run_dir: where they are kept, or found again; None keeps nothing.
        main: whether this is the process that writes.

    Raises:
        TrainingError: what was kept is damaged, or made for another run.
    """
    if not (recipe.photographs or recipe.outliers):
        return data
    kept = None if run_dir is None else run_dir / EXTRAS
    if kept is not None and kept.exists():
        tensors = _read(kept, data)
    else:
        tensors = _draw(data, alphabet, recipe, data_dir)
        if kept is not None and main:
            write_weights(kept, tensors)
    photographs, outliers = (
        tensors.get(name, NONE).to(data.images.device) for name in ("photographs", "outliers")
    )
    return replace(data, photographs=photographs, outliers=outliers)


def forget_extras(run_dir: Path) -> None:
    """Remove what a finished run does not need any more."""
    (run_dir / EXTRAS).unlink(missing_ok=True)


def _read(path: Path, data: Examples) -> dict[str, Tensor]:
    try:
        tensors = read_weights(path)
    except (OSError, SafetensorError) as error:
        raise TrainingError(
            f"{path}: cannot be read ({error})", remedy="remove it: it is drawn anew"
        ) from error
    shapes = [images.shape[-2:] for images in tensors.values()]
    photographs = tensors.get("photographs")
    if any(shape != data.images.shape[1:] for shape in shapes) or (
        photographs is not None and photographs.shape[1] != len(data)
    ):
        raise TrainingError(f"{path}: is of another run", remedy="remove it: it is drawn anew")
    return tensors


def _draw(
    data: Examples, alphabet: Alphabet, recipe: Recipe, data_dir: str | os.PathLike[str] | None
) -> dict[str, Tensor]:
    preprocessor = Preprocessor(recipe.preprocessing)
    tensors: dict[str, Tensor] = {}
    if recipe.photographs:
        from kalamos.training.camera import Camera, photographed

        glyphs = data.images.cpu().numpy()
        copies = [
            photographed(glyphs, Camera(), preprocessor, seed_of(recipe.seed, copy))
            for copy in range(recipe.photograph_copies)
        ]
        tensors["photographs"] = torch.from_numpy(np.stack(copies))
    if recipe.outliers:
        from kalamos.outliers import exposure

        strangers = exposure(alphabet, preprocessor, recipe.outliers, recipe.seed, data_dir)
        tensors["outliers"] = torch.from_numpy(strangers)
    return tensors
