"""What a recipe learns from besides its images: teachers, photographs of the images, images of nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from kalamos.alphabets import Alphabet
from kalamos.errors import RecipeError
from kalamos.preprocessing import Preprocessor
from kalamos.training.batches import Examples, seed_of
from kalamos.training.objective import Teacher
from kalamos.training.recipe import Recipe
from kalamos.training.run import load_run

__all__ = ["load_teacher", "with_extras"]


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
    data: Examples, alphabet: Alphabet, recipe: Recipe, data_dir: str | os.PathLike[str] | None
) -> Examples:
    """With the photographs and the outliers that the recipe asks for; both depend on its seed alone."""
    preprocessor = Preprocessor(recipe.preprocessing)
    device = data.images.device
    if recipe.photographs:
        from kalamos.training.camera import Camera, photographed

        glyphs = data.images.cpu().numpy()
        copies = [
            photographed(glyphs, Camera(), preprocessor, seed_of(recipe.seed, copy))
            for copy in range(recipe.photograph_copies)
        ]
        data = replace(data, photographs=torch.from_numpy(np.stack(copies)).to(device))
    if recipe.outliers:
        from kalamos.outliers import exposure

        strangers = exposure(alphabet, preprocessor, recipe.outliers, recipe.seed, data_dir)
        data = replace(data, outliers=torch.from_numpy(strangers).to(device))
    return data
