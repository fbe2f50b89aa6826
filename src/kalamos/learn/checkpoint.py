"""What a training must remember between two epochs, and its way to a file and back.

That is the network, its moving average, optimiser, schedule, gradient scaler and the reports so far.
Randomness is not part of it: every draw is seeded anew by (seed, epoch, step), see `data`.

Checkpoints are safetensors files, without pickle, written whole or not at all. `last.safetensors` holds the
state after the last epoch, with its plain values as JSON in the file's own metadata; `best.safetensors`
holds the weights of the best epoch.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load, save
from torch import Tensor, nn
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
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kalamos.errors import TrainingError, first_line
from kalamos.learn.callbacks import EpochReport
from kalamos.learn.models import StagedNetwork
from kalamos.learn.recipe import Recipe
from kalamos.privacy import import_torch_compiler
from kalamos.utils.atomic_write import write_bytes

__all__ = [
    "BEST_FILE",
    "LAST_FILE",
    "Checkpoints",
    "Schedule",
    "TrainingState",
    "averaging",
    "make_optimizer",
    "make_schedule",
    "read_weights",
    "warm_cosine",
    "write_weights",
]

Tensors = dict[str, Tensor]

_OPTIMIZER_STATES = ({"step", "exp_avg", "exp_avg_sq"}, {"momentum_buffer"})
"""What Adam and AdamW keep of each parameter, and SGD."""

LAST_FILE, BEST_FILE = "last.safetensors", "best.safetensors"

RESTART_REMEDY = f"remove {LAST_FILE} to begin this run again from its first epoch"


@dataclass
class TrainingState:
    """Network, average, optimiser, schedule, scaler, and what has been reported so far."""

    network: StagedNetwork
    average: AveragedModel | None
    optimizer: Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    reports: list[EpochReport] = field(default_factory=list)
    best: Tensors = field(default_factory=dict)
    """The weights of the best epoch so far."""

    @classmethod
    def begin(
        cls, recipe: Recipe, network: StagedNetwork, steps: int, scaler: torch.amp.GradScaler
    ) -> TrainingState:
        average = None
        if recipe.ema_decay:
            average = AveragedModel(network, multi_avg_fn=averaging(recipe.ema_decay), use_buffers=True)
        optimizer = make_optimizer(network, recipe)
        return cls(network, average, optimizer, make_schedule(optimizer, recipe, steps), scaler)

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.reports)

    @property
    def kept(self) -> StagedNetwork:
        """The network whose weights count: the averaged one, if there is one."""
        if self.average is None:
            return self.network
        assert isinstance(self.average.module, StagedNetwork)  # noqa: S101  (it is typed as any Module)
        return self.average.module

    @property
    def best_epoch(self) -> int:
        """From 1; of several equally good ones the first. 0 before any."""
        return max(self.reports, key=lambda r: r.val_accuracy).epoch if self.reports else 0

    def record(self, report: EpochReport) -> bool:
        """Add an epoch; returns whether it is the best so far, whose weights are then kept."""
        self.reports.append(report)
        improved = self.best_epoch == report.epoch
        if improved:
            self.best = {name: value.detach().clone() for name, value in self.kept.state_dict().items()}
        return improved

    def out_of_patience(self, patience: int) -> bool:
        return bool(patience) and self.epoch - self.best_epoch >= patience

    def to_tensors(self) -> Tensors:
        tensors = {f"network.{name}": value for name, value in self.network.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        for index, entries in self.optimizer.state_dict()["state"].items():
            for key, value in entries.items():
                if value is not None:
                    tensors[f"optimizer.{index}.{key}"] = torch.as_tensor(value)
        return tensors

    def to_plain(self) -> dict[str, Any]:
        """JSON types."""
        return {
            "reports": [asdict(report) for report in self.reports],
            "groups": self.optimizer.state_dict()["param_groups"],
            "schedule": self.schedule.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def restore(self, tensors: Tensors, plain: dict[str, Any], best: Tensors) -> None:
        """Become what another state was when it gave `tensors` and `plain`.

        Raises:
            TrainingError: they come from another network or recipe.
        """
        try:
            self.network.load_state_dict(_below(tensors, "network."))
            if self.average is not None:
                self.average.load_state_dict(_below(tensors, "average."))
            _check_like(self.optimizer.state_dict()["param_groups"], plain["groups"], "groups")
            _check_like(self.schedule.scheduler.state_dict(), plain["schedule"], "schedule")
            _check_like(self.scaler.state_dict(), plain["scaler"], "scaler")
            self.optimizer.load_state_dict(
                {
                    "state": self._optimizer_state(_below(tensors, "optimizer.")),
                    "param_groups": plain["groups"],
                }
            )
            self.schedule.scheduler.load_state_dict(plain["schedule"])
            self.scaler.load_state_dict(plain["scaler"])
            self.reports = _reports(plain["reports"])
        except Exception as error:  # PyTorch's loaders raise what comes
            raise TrainingError(f"the checkpoint does not fit its recipe ({first_line(error)})") from error
        self.best = best

    def _optimizer_state(self, tensors: Tensors) -> dict[int, Tensors]:
        parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        state: dict[int, Tensors] = {}
        for name, value in tensors.items():
            index, _, key = name.partition(".")
            like = parameters[int(index)]
            if value.shape not in (like.shape, torch.Size()) or not value.dtype.is_floating_point:
                raise ValueError(f"{name} does not belong to its parameter")
            # In the parameter's own memory layout, or the steps to come would be slower.
            laid_out = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
            state.setdefault(int(index), {})[key] = laid_out
        kinds = {frozenset(entries) for entries in state.values()}
        if len(kinds) > 1 or not kinds <= {frozenset(entry) for entry in _OPTIMIZER_STATES}:
            raise ValueError("its optimiser's state is incomplete")
        return state


@dataclass(frozen=True)
class Schedule:
    """A PyTorch schedule, and when to advance it: after each step, or after each epoch."""

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
            return Schedule(warm_cosine(optimizer, steps, round(recipe.warmup * steps)), each_step=True)
        case _:
            total = steps + 1  # one-cycle's own last step lies one beyond
            # A climb of one step would divide by its length, zero. The momentum stays the recipe's.
            warmup = float(recipe.warmup) if recipe.warmup * total > 1 else 0.0
            cycle = OneCycleLR(
                optimizer, recipe.lr, total_steps=total, pct_start=warmup, cycle_momentum=False
            )
            return Schedule(cycle, each_step=True)


def warm_cosine(optimizer: Optimizer, steps: int, climb: int) -> LRScheduler:
    """Rise linearly over `climb` steps, then fall along a cosine to 0 at the last of `steps`."""
    cosine = CosineAnnealingLR(optimizer, max(1, steps - climb))
    if not climb:
        return cosine
    linear = LinearLR(optimizer, start_factor=1 / (climb + 1), total_iters=climb)
    return SequentialLR(optimizer, [linear, cosine], [climb])


def averaging(decay: float) -> Callable[..., None]:
    """An exponential moving average that soon forgets where it began (TensorFlow's `num_updates` rule).

    Batch norm's variances begin at 1. Where a layer's own are a thousandth of that, as a depthwise
    convolution's over a single pixel, an average that still remembers the 1 would silence the layer.
    """

    def update(averages: list[Tensor], values: list[Tensor], count: Tensor) -> None:
        steps = int(count)
        rule = get_ema_multi_avg_fn(min(decay, (1 + steps) / (10 + steps)))  # type: ignore[no-untyped-call]
        rule(averages, values, count)

    return update


def _below(tensors: Tensors, prefix: str) -> Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _check_like(fresh: Any, kept: Any, where: str) -> None:
    """Hold plain values against those of a state that has just begun: the same keys, the same types.

    PyTorch would take others in silence, another optimiser's say, and fail at its first step.
    """
    numbers = {int, float}
    if isinstance(fresh, Mapping):
        if not isinstance(kept, dict) or kept.keys() != fresh.keys():
            raise ValueError(f"it is another optimiser's or schedule's: {where}")
        for key in fresh:
            _check_like(fresh[key], kept[key], f"{where}.{key}")
    elif isinstance(fresh, list | tuple):
        if not isinstance(kept, list | tuple) or len(kept) != len(fresh):
            raise ValueError(f"its {where} has other parts")
        for one, other in zip(fresh, kept, strict=True):
            _check_like(one, other, where)
    elif not (type(kept) is type(fresh) or {type(kept), type(fresh)} <= numbers):
        raise ValueError(f"its {where} is of type {type(kept).__name__}")
    elif type(kept) is int and abs(kept) >= 2**63:
        raise ValueError(f"its {where} is too large")


def _reports(kept: list[dict[str, Any]]) -> list[EpochReport]:
    reports = []
    for number, values in enumerate(kept, start=1):
        report = EpochReport(**values)
        wrong = [
            name for name, value in values.items() if name != "epoch" and type(value) not in {int, float}
        ]
        if type(report.epoch) is not int or report.epoch != number or wrong:
            raise ValueError(f"its report of epoch {number} is none")
        reports.append(report)
    return reports


def write_weights(path: Path, tensors: dict[str, Tensor], metadata: dict[str, str] | None = None) -> None:
    content = save({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, metadata)
    write_bytes(path, content)


def read_weights(path: Path) -> dict[str, Tensor]:
    return load(path.read_bytes())


class Checkpoints:
    """The two checkpoints of a run folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, state: TrainingState, *, improved: bool) -> None:
        """Write the state, and first the best weights, so that the state never refers to older ones."""
        if improved:
            write_weights(self._folder / BEST_FILE, state.best)
        plain = json.dumps(state.to_plain())
        write_weights(self._folder / LAST_FILE, state.to_tensors(), {"state": plain})

    def restore(self, state: TrainingState) -> None:
        """Restore `state` from the last checkpoint, if there is one yet.

        Raises:
            TrainingError: a checkpoint is damaged, or belongs to another recipe.
        """
        last, best = self._folder / LAST_FILE, self._folder / BEST_FILE
        if not last.exists():
            return
        try:
            with safe_open(last, "pt") as file:
                plain = json.loads((file.metadata() or {})["state"])
            weights = read_weights(best)
            _check_best(weights, state.kept.state_dict())
            state.restore(read_weights(last), plain, weights)
        except TrainingError as error:
            raise TrainingError(f"{last}: {error.problem}", remedy=RESTART_REMEDY) from error
        except Exception as error:  # safetensors and JSON raise several kinds for files of unknown origin
            raise TrainingError(
                f"{self._folder}: its checkpoint cannot be read ({first_line(error)})", remedy=RESTART_REMEDY
            ) from error


def _check_best(weights: dict[str, Tensor], network: dict[str, Tensor]) -> None:
    if {name: value.shape for name, value in weights.items()} != {k: v.shape for k, v in network.items()}:
        raise TrainingError(f"{BEST_FILE} has the weights of another network")
