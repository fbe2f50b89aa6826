"""Training loss: cross-entropy, distillation, outlier exposure.

What a step minimises: the labels' cross-entropy, a teacher's answers, doubt about what is no character.

Whom a recipe learns from: finished runs, or model files, shipped ones among them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.alphabets import Alphabet
from kalamos.errors import ModelNotFoundError, RecipeError
from kalamos.learn.data import Batch
from kalamos.learn.models.base import fold_batch_norms
from kalamos.learn.recipe import Recipe
from kalamos.learn.run import load_run
from kalamos.model_file import LoadedModel, open_model
from kalamos.zoo import find_model, names

__all__ = ["Objective", "Teacher", "load_teacher"]


class Teacher(nn.Module):
    """Several networks as one: the mean of their probabilities (Hinton et al. 2015, sections 2 and 3).

    Args:
        networks: C classes each; they are put into evaluation mode, folded, and never change.
        temperature: softens their answers.
    """

    def __init__(self, networks: Sequence[nn.Module], temperature: float) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks).eval().requires_grad_(requires_grad=False)
        fold_batch_norms(self.networks)
        self.temperature = temperature

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """float32 [B, 1, S, S] -> probabilities float32 [B, C]."""
        each = [F.softmax(network(images).float() / self.temperature, dim=1) for network in self.networks]
        return torch.stack(each).mean(dim=0)


class Objective:
    """The loss of a batch.

    Args:
        recipe: label smoothing, and the parts' weights.
        log_priors: float32 [C], see `Examples.log_priors`.
        teacher: where the recipe distils.
    """

    def __init__(self, recipe: Recipe, log_priors: Tensor, teacher: Teacher | None = None) -> None:
        self._recipe = recipe
        self._adjustment = recipe.logit_adjustment * log_priors  # [C]
        self._teacher = teacher

    def __call__(self, logits: Tensor, batch: Batch) -> Tensor:
        """The batch's mean loss, or this process's part of it.

        Args:
            logits: float32 [B + M, C], the last M of the outliers.
            batch: the images that they answer to.
        """
        known = len(batch.targets)
        loss = self._labels(logits[:known], batch) / batch.whole
        if self._teacher is not None:
            taught = self._teachers(logits[:known], batch.images[:known]) / batch.whole
            loss = torch.lerp(loss, taught, self._recipe.distillation)
        if batch.whole_outliers:
            # Cross-entropy with the uniform distribution.
            doubt = -F.log_softmax(logits[known:], dim=1).mean(dim=1).sum() / batch.whole_outliers
            loss = loss + self._recipe.outlier_weight * doubt
        return loss

    def _labels(self, logits: Tensor, batch: Batch) -> Tensor:
        smoothing = self._recipe.label_smoothing
        return F.cross_entropy(
            logits + self._adjustment, batch.targets, label_smoothing=smoothing, reduction="sum"
        )

    def _teachers(self, logits: Tensor, images: Tensor) -> Tensor:
        assert self._teacher is not None  # noqa: S101  (only called where there is one)
        temperature = self._teacher.temperature
        wanted = self._teacher(images.contiguous(memory_format=torch.channels_last))
        divergence = F.kl_div(F.log_softmax(logits / temperature, dim=1), wanted, reduction="sum")
        # Soft targets' gradients shrink with the square of the temperature.
        return divergence * temperature**2


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
