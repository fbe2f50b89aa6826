"""What a step minimises: the labels' cross-entropy, a teacher's answers, doubt about what is no character."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kalamos.architectures.folding import fold_batch_norms
from kalamos.training.batches import Batch
from kalamos.training.recipe import Recipe

__all__ = ["Objective", "Teacher"]


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
