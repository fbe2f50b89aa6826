"""Optimisers and learning-rate schedules by their recipe names: PyTorch's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
    StepLR,
)

from kalamos.errors import TrainingError
from kalamos.learn.recipe import Recipe
from kalamos.privacy import import_torch_compiler

__all__ = ["Schedule", "make_optimizer", "make_schedule"]


@dataclass(frozen=True)
class Schedule:
    """A PyTorch schedule, and when it wants to be told: after each step, or after each epoch."""

    scheduler: LRScheduler
    each_step: bool

    def after_step(self) -> None:
        if self.each_step:
            self.scheduler.step()

    def after_epoch(self, val_loss: float) -> None:
        if isinstance(self.scheduler, ReduceLROnPlateau):
            self.scheduler.step(val_loss)
        elif not self.each_step:
            self.scheduler.step()


def make_optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    """Over the parameters that are not frozen.

    Raises:
        TrainingError: all of them are.
    """
    import_torch_compiler()  # as the optimiser's constructor does
    parameters = [p for p in network.parameters() if p.requires_grad]
    if not parameters:
        raise TrainingError(f"{recipe.arch} has no parameter to train: all are frozen")
    common: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    match recipe.optimizer:
        case "sgd":
            return SGD(parameters, momentum=recipe.momentum, nesterov=recipe.momentum > 0, **common)
        case "adam":
            return Adam(parameters, **common)
        case _:
            return AdamW(parameters, **common)


def make_schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> Schedule:
    """The schedule over `steps` optimiser steps in all."""
    match recipe.schedule:
        case "constant":
            return Schedule(ConstantLR(optimizer, factor=1.0), each_step=True)
        case "step":
            return Schedule(StepLR(optimizer, recipe.step_epochs, recipe.gamma), each_step=False)
        case "plateau":
            plateau = ReduceLROnPlateau(
                optimizer, factor=recipe.gamma, patience=recipe.plateau_patience, min_lr=0.0
            )
            return Schedule(plateau, each_step=False)
        case "cosine":
            climb = round(recipe.warmup * steps)
            cosine = CosineAnnealingLR(optimizer, max(1, steps - climb))
            if not climb:
                return Schedule(cosine, each_step=True)
            linear = LinearLR(optimizer, start_factor=1 / (climb + 1), total_iters=climb)
            return Schedule(SequentialLR(optimizer, [linear, cosine], [climb]), each_step=True)
        case _:
            total = steps + 1  # one-cycle's own last step lies one beyond
            # A climb of one step would divide by its length, zero. The momentum stays the recipe's.
            warmup = float(recipe.warmup) if recipe.warmup * total > 1 else 0.0
            cycle = OneCycleLR(
                optimizer, recipe.lr, total_steps=total, pct_start=warmup, cycle_momentum=False
            )
            return Schedule(cycle, each_step=True)
