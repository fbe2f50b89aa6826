"""The training loop, on one page."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from kalamos.architectures import StagedNetwork, build
from kalamos.errors import TrainingError
from kalamos.training.augmentation import augment
from kalamos.training.recipe import Augmentation, Recipe

__all__ = ["EpochReport", "infer", "train"]


@dataclass(frozen=True)
class EpochReport:
    """One line of the log. Losses in nats, rates in images a second."""

    epoch: int
    loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    images_per_second: float


def train(
    recipe: Recipe,
    num_classes: int,
    data: tuple[NDArray[np.float32], NDArray[np.int64]],
    validation: tuple[NDArray[np.float32], NDArray[np.int64]],
    *,
    device: str = "cpu",
    on_epoch: Callable[[EpochReport], None] = lambda report: None,
) -> StagedNetwork:
    """Train a network; the same recipe and data on the same CPU give the same weights.

    Args:
        recipe: what to do.
        num_classes: size of the output.
        data: images float32 [N, 1, S, S], normalised, and labels int64 [N].
        validation: the same, M images; only watched, never learnt from nor chosen on.
        device: `"cpu"` or `"cuda"`.
        on_epoch: called after every epoch.

    Returns:
        The network in evaluation mode on the CPU, with averaged weights where the recipe averages.

    Raises:
        TrainingError: the loss is not finite any more.
    """
    torch.manual_seed(recipe.seed)
    generator = torch.Generator(device).manual_seed(recipe.seed)
    images, labels = (torch.from_numpy(part).to(device) for part in data)
    ground = float(images.min())  # black, as the normalisation renders it
    network = build(recipe.arch, num_classes).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    average = _average(network, recipe)
    optimizer = _optimizer(network, recipe)
    steps = len(_batches(len(images), recipe.batch_size))
    schedule = _schedule(optimizer, recipe, steps * recipe.epochs)

    for epoch in range(recipe.epochs):
        started, total = time.perf_counter(), torch.zeros((), device=device)
        clean = epoch >= recipe.epochs - recipe.clean_epochs
        how = Augmentation() if clean else recipe.augmentation
        network.train()
        order = torch.randperm(len(images), generator=generator, device=device)
        for rows in _batches(len(images), recipe.batch_size):
            batch = order[rows]  # [B]
            x = augment(images[batch], how, generator, ground)  # [B, 1, S, S]
            logits = network(x.contiguous(memory_format=torch.channels_last))  # [B, C]
            loss = F.cross_entropy(logits, labels[batch], label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            if average is not None:
                average.update_parameters(network)
            total += loss.detach()
        mean_loss = float(total) / steps
        rate = len(images) / (time.perf_counter() - started)
        kept = network if average is None else average.module
        val_loss, val_accuracy = _validate(kept, *validation)
        if not np.isfinite(mean_loss + val_loss):
            raise TrainingError(
                f"the loss became {mean_loss} (validation: {val_loss}) in epoch {epoch + 1}",
                remedy="try a lower learning rate (--lr)",
            )
        lr = float(schedule.get_last_lr()[0])
        on_epoch(EpochReport(epoch + 1, mean_loss, val_loss, val_accuracy, lr, rate))

    kept = network if average is None else average.module
    assert isinstance(kept, StagedNetwork)  # noqa: S101  (AveragedModel types its module as Module)
    return kept.cpu().eval()


def infer(network: nn.Module, images: NDArray[np.float32], *, batch_size: int = 500) -> NDArray[np.float32]:
    """Images float32 [N, 1, S, S] -> logits float32 [N, C], in evaluation mode, without gradients."""
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [
            network(torch.from_numpy(images[i : i + batch_size]).to(device)).cpu().numpy()
            for i in range(0, len(images), batch_size)
        ]
    return np.concatenate(parts)


def _validate(
    network: nn.Module, images: NDArray[np.float32], labels: NDArray[np.int64]
) -> tuple[float, float]:
    logits = torch.from_numpy(infer(network, images))
    target = torch.from_numpy(labels)
    accuracy = float((logits.argmax(1) == target).double().mean())
    return float(F.cross_entropy(logits, target)), accuracy


def _batches(count: int, size: int) -> list[slice]:
    # A last batch of one would break batch norm; it is dropped, and another image's turn next epoch.
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    return slices[:-1] if len(slices) > 1 and count % size == 1 else slices


def _average(network: nn.Module, recipe: Recipe) -> AveragedModel | None:
    if not recipe.ema_decay:
        return None
    rule = get_ema_multi_avg_fn(recipe.ema_decay)  # type: ignore[no-untyped-call]
    return AveragedModel(network, multi_avg_fn=rule, use_buffers=True)


def _optimizer(network: nn.Module, recipe: Recipe) -> Optimizer:
    parameters: Iterator[Tensor] = network.parameters()
    match recipe.optimizer:
        case "sgd":
            return torch.optim.SGD(
                parameters,
                recipe.lr,
                momentum=recipe.momentum,
                nesterov=recipe.momentum > 0,
                weight_decay=recipe.weight_decay,
            )
        case "adam":
            return torch.optim.Adam(parameters, recipe.lr, weight_decay=recipe.weight_decay)
        case _:
            return torch.optim.AdamW(parameters, recipe.lr, weight_decay=recipe.weight_decay)


def _schedule(optimizer: Optimizer, recipe: Recipe, steps: int) -> LRScheduler:
    if recipe.schedule == "constant":
        return LambdaLR(optimizer, lambda _: 1.0)
    total = steps + 1  # one-cycle's own last step lies one beyond
    # A climb of one step would divide by its length, zero. The momentum stays the recipe's.
    warmup = float(recipe.warmup) if recipe.warmup * total > 1 else 0.0
    return OneCycleLR(optimizer, recipe.lr, total_steps=total, pct_start=warmup, cycle_momentum=False)
