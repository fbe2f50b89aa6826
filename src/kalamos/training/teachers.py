"""Whom a recipe learns from: finished runs, or model files, shipped ones among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from kalamos.alphabets import Alphabet
from kalamos.errors import ModelNotFoundError, RecipeError
from kalamos.model_file import LoadedModel, open_model
from kalamos.training.objective import Teacher
from kalamos.training.recipe import Recipe
from kalamos.training.run import load_run
from kalamos.zoo import find_model, names

__all__ = ["load_teacher"]


def load_teacher(recipe: Recipe, alphabet: Alphabet) -> Teacher | None:
    """The recipe's teachers as one; None where it has none.

    A shipped model's name goes before a run folder of that name. A model file answers through the runtime
    that reads it, on the CPU: int8 weights stay int8.

    Raises:
        TrainingError: a teacher's folder is not a finished run.
        ModelError: a teacher's file is not a model.
        RecipeError: a teacher is neither, tells other classes apart, or sees images otherwise prepared.
    """
    networks = [_network(teacher, recipe, alphabet) for teacher in recipe.teachers]
    return Teacher(networks, recipe.distillation_temperature) if networks else None


def _network(teacher: str, recipe: Recipe, alphabet: Alphabet) -> nn.Module:
    if teacher not in names() and Path(teacher).is_dir():
        run = load_run(Path(teacher))
        _check(teacher, run.alphabet, run.recipe.preprocessing, recipe, alphabet)
        return run.network.to(memory_format=torch.channels_last)
    try:
        path = find_model(teacher)
    except ModelNotFoundError as error:
        raise RecipeError(
            f"teacher {teacher} is neither a run folder nor a model", remedy=error.remedy
        ) from error
    model = open_model(path, threads=torch.get_num_threads())
    _check(teacher, model.spec.alphabet, model.spec.preprocessing, recipe, alphabet)
    return _Reading(model)


def _check(
    teacher: str,
    theirs: Alphabet,
    preprocessing: Sequence[Mapping[str, object]],
    recipe: Recipe,
    alphabet: Alphabet,
) -> None:
    if theirs.labels != alphabet.labels:
        raise RecipeError(f"teacher {teacher} tells other classes apart than {alphabet.name}'s")
    if tuple(preprocessing) != recipe.preprocessing:
        raise RecipeError(
            f"teacher {teacher} sees images that are prepared otherwise",
            remedy="copy its preprocessing into this recipe",
        )


class _Reading(nn.Module):
    """A model file as a network without gradients."""

    def __init__(self, model: LoadedModel) -> None:
        super().__init__()
        self._model = model

    def forward(self, images: Tensor) -> Tensor:
        """float32 [B, 1, S, S], any device -> logits float32 [B, C], on that device."""
        given = images.detach().float().contiguous().cpu().numpy()
        return torch.from_numpy(self._model.logits(given)).to(images.device)
