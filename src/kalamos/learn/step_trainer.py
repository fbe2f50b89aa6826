"""Train a network on batches drawn for each step: the frame of its recipe, and the loop.

The ink finder, the recogniser of lines and the base model are trained so. Recognisers are trained by `train`
and `loop`, by epochs over a dataset, in a run folder that can be resumed.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, is_dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Generic, Self, TypeVar, get_origin, get_type_hints

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from kalamos.errors import RecipeError, TrainingError
from kalamos.learn.checkpoint import averaging, warm_cosine
from kalamos.learn.recipe import (
    Count,
    Fraction,
    NonNegative,
    PositiveCount,
    build_table,
    check_fields,
    load_toml,
    refuse_unknown,
)

__all__ = ["StepRecipe", "StepTrainer"]

Network = TypeVar("Network", bound=nn.Module)
Batch = TypeVar("Batch")


@dataclass(frozen=True, kw_only=True)
class StepRecipe:
    """What every training by steps depends on; a network's own recipe adds fields, and defaults.

    A field whose type is a dataclass is a table in TOML.

    Raises:
        RecipeError: a value of the wrong type or out of range.

    >>> StepRecipe.from_mapping({"steps": 100, "lr": 1e-3, "weight_decay": 0, "warmup_steps": 100})
    Traceback (most recent call last):
    ...
    kalamos.errors.RecipeError: warmup_steps = 100 are all of steps = 100
    """

    seed: Count = 0
    steps: PositiveCount
    lr: NonNegative
    """The highest learning rate: AdamW's climbs to it over the warm-up, then falls along a cosine to 0."""
    weight_decay: NonNegative
    warmup_steps: Count = 300
    ema_decay: Fraction = 0.998
    """Of the moving average of the weights, which is what a training returns; per step."""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.warmup_steps >= self.steps:
            raise RecipeError(f"warmup_steps = {self.warmup_steps} are all of steps = {self.steps}")

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a recipe from a TOML file; what it does not name has the default.

        Raises:
            RecipeError: the file cannot be read, is not TOML, or has an unknown key or a value out of range.
        """
        return load_toml(path, cls.from_mapping)

    @classmethod
    def from_mapping(cls, mapping: Mapping[str, Any]) -> Self:
        """Build from plain data.

        Raises:
            RecipeError: an unknown key, or a value of the wrong type or out of range.
        """
        refuse_unknown("a recipe", mapping, cls)
        kinds, values = get_type_hints(cls), dict(mapping)
        for key, value in mapping.items():
            if is_dataclass(kinds[key]):
                values[key] = build_table(key, value, kinds[key])
            elif get_origin(kinds[key]) is tuple and isinstance(value, list):
                values[key] = tuple(value)
        return cls(**values)


@dataclass(frozen=True)
class StepTrainer(Generic[Network, Batch]):
    """A network with what it learns from, ready to be trained.

    Attributes:
        recipe: how.
        network: on the CPU, its weights drawn by the recipe's seed.
        batches: at least `recipe.steps`, one a step.
        batch_loss: a batch -> the network's mean loss on it, a scalar, and how many examples it holds.
        clip_norm: largest norm of the gradients; None does not clip.
        report_every: steps from one look at the loss to the next.
        keep_every: steps from one network that is kept to the next.

    >>> torch.manual_seed(0) and None
    >>> line, x = nn.Linear(1, 1), torch.linspace(-1, 1, 16)[:, None]
    >>> trainer = StepTrainer(
    ...     StepRecipe(steps=200, lr=0.1, weight_decay=0.0, warmup_steps=20),
    ...     line,
    ...     batches=[x] * 200,
    ...     batch_loss=lambda x: (nn.functional.mse_loss(line(x), 3 * x), len(x)),
    ... )
    >>> round(trainer.train().weight.item(), 1)
    3.0
    """

    recipe: StepRecipe
    network: Network
    batches: Iterable[Batch]
    batch_loss: Callable[[Batch], tuple[Tensor, int]]
    clip_norm: float | None = None
    report_every: int = 100
    keep_every: int = 1_000

    def train(
        self,
        *,
        begin_with: Mapping[str, Tensor] | None = None,
        report: Callable[[int, float, float], None] = lambda step, loss, rate: None,
        keep: Callable[[int, Network], None] = lambda step, network: None,
    ) -> Network:
        """Train `network` in place; return a copy with the moving average of its weights.

        Args:
            begin_with: weights by their names, in place of those that the network has.
            report: called every `report_every` steps and at the last with the step, the mean loss since the
                last call, and examples a second.
            keep: called every `keep_every` steps and at the last with the step and the averaged network, in
                evaluation mode.

        Raises:
            TrainingError: the weights are of another network, or the loss is not finite any more.
        """
        recipe, network = self.recipe, self.network
        if begin_with is not None:
            try:
                network.load_state_dict(begin_with)
            except RuntimeError as error:
                raise TrainingError(
                    "the weights to begin with are those of another network", remedy="leave out --weights"
                ) from error
        network.to(memory_format=torch.channels_last).train()
        average = AveragedModel(network, multi_avg_fn=averaging(recipe.ema_decay), use_buffers=True)
        optimizer = torch.optim.AdamW(network.parameters(), recipe.lr, weight_decay=recipe.weight_decay)
        schedule = warm_cosine(optimizer, recipe.steps, recipe.warmup_steps)
        total, seen, started = 0.0, 0, time.perf_counter()
        for step, batch in enumerate(islice(self.batches, recipe.steps), start=1):
            loss, count = self.batch_loss(batch)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            if self.clip_norm is not None:
                nn.utils.clip_grad_norm_(network.parameters(), self.clip_norm)
            optimizer.step()
            schedule.step()
            average.update_parameters(network)
            total, seen = total + float(loss.detach()), seen + count
            if step % self.report_every == 0 or step == recipe.steps:
                mean = total / (step % self.report_every or self.report_every)
                if not math.isfinite(mean):
                    raise TrainingError(f"the loss became {mean} by step {step}", remedy="lower lr")
                report(step, mean, seen / (time.perf_counter() - started))
                total, seen, started = 0.0, 0, time.perf_counter()
            if step % self.keep_every == 0 or step == recipe.steps:
                keep(step, self._averaged(average))
        return self._averaged(average)

    def _averaged(self, average: AveragedModel) -> Network:
        network = deepcopy(average.module).eval()
        assert isinstance(network, type(self.network))  # noqa: S101  (what was averaged)
        return network
