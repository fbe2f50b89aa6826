"""The training loop, on one page."""

from __future__ import annotations

import math
import time
from contextlib import closing

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kalamos.errors import TrainingError
from kalamos.learn.callbacks import Callback, EpochReport, Start, StepReport
from kalamos.learn.checkpoint import Checkpoints, TrainingState
from kalamos.learn.data import Batch, Examples, Shard, count_steps, epoch_batches, seed_of
from kalamos.learn.distributed import Engine
from kalamos.learn.loss import Objective, Teacher
from kalamos.learn.models import StagedNetwork, count_parameters
from kalamos.learn.recipe import Recipe

__all__ = ["check_enough", "infer", "infer_examples", "train_network"]

SYNCED_LOG_STEPS = 20
"""Steps between two looks at the loss where each look waits: for the GPU, or for other processes."""


def train_network(
    recipe: Recipe,
    network: StagedNetwork,
    data: Examples,
    validation: Examples,
    *,
    engine: Engine = Engine(),  # noqa: B008  (immutable)
    checkpoints: Checkpoints | None = None,
    teacher: Teacher | None = None,
    workers: int = 0,
    callback: Callback = Callback(),  # noqa: B008  (has no state)
) -> TrainingState:
    """Train `network` in place; the same recipe, data and weights on the same CPU give the same result.

    Args:
        recipe: what to do.
        network: on the engine's device.
        data: N prepared images, on the engine's device.
        validation: M prepared images; only watched, and chosen on where the recipe keeps the best.
        engine: device, precision, and this process's rank among others.
        checkpoints: where the state is kept after each epoch, and taken up from; None keeps none.
        teacher: on the engine's device, where the recipe distils.
        workers: threads that prepare batches ahead; the result does not depend on them.
        callback: is told of each step and epoch.

    Returns:
        The state after the last epoch, `network` and `best` in it.

    Raises:
        TrainingError: the loss is not finite any more, or there are too few images.
    """
    check_enough(recipe, network, len(data), engine.world)
    network.to(memory_format=torch.channels_last)
    steps = count_steps(len(data), recipe.batch_size, engine.world)
    state = TrainingState.begin(recipe, network, steps * recipe.epochs, engine.scaler)
    if checkpoints is not None:
        checkpoints.restore(state)
    model, shard = engine.wrap_ddp(network), Shard(engine.rank, engine.world)
    look_every = 1 if engine.device == "cpu" and engine.world == 1 else SYNCED_LOG_STEPS
    objective = Objective(recipe, data.log_priors(), teacher)
    callback.on_start(
        Start(
            arch=recipe.arch,
            parameters=count_parameters(network),
            train_count=len(data),
            val_count=len(validation),
            epochs=recipe.epochs,
            earlier=tuple(state.reports),
            steps=steps,
            device=engine.device,
            precision=str(engine.precision or torch.float32).removeprefix("torch."),
        )
    )

    while state.epoch < recipe.epochs and not state.out_of_patience(recipe.patience):
        epoch, started = state.epoch, time.perf_counter()
        torch.manual_seed(seed_of(recipe.seed, epoch, engine.rank))  # dropout's
        model.train()
        total, seen = torch.zeros((), device=data.images.device), 0
        with closing(epoch_batches(data, recipe, epoch, shard=shard, workers=workers)) as batches:
            for step, batch in enumerate(batches, start=1):
                total += _step(recipe, model, batch, objective, state, engine)
                seen += batch.whole
                if step % look_every == 0 or step == steps:
                    mean = float(engine.all_reduce_sum(total.clone())) / step
                    if not math.isfinite(mean):
                        raise _diverged(f"the loss became {mean} in epoch {epoch + 1}, by step {step}")
                    callback.on_step(
                        StepReport(epoch + 1, step, mean, seen / (time.perf_counter() - started))
                    )
        rate = seen / (time.perf_counter() - started)
        engine.broadcast_buffers(state.kept)
        val_loss, val_accuracy = _validate(state.kept, validation, engine)
        if not math.isfinite(val_loss):  # the epoch's last step was one too many
            raise _diverged(f"the validation loss became {val_loss} in epoch {epoch + 1}")
        state.schedule.after_epoch(val_loss)
        lr = float(state.optimizer.param_groups[0]["lr"])
        seconds = time.perf_counter() - started
        report = EpochReport(epoch + 1, mean, val_loss, val_accuracy, lr, rate, seconds)
        improved = state.record(report)
        if checkpoints is not None and engine.is_main:
            checkpoints.save(state, improved=improved)
        callback.on_epoch(report)
    return state


def check_enough(recipe: Recipe, network: nn.Module, count: int, world: int) -> None:
    """See whether the batches of `count` images suffice, before anything is written.

    Raises:
        TrainingError: a process would get none, or, where there is batch norm, a single one.
    """
    fewest = min(count, recipe.batch_size)
    norm = any(isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)) for module in network.modules())
    if fewest < (2 if norm else 1) * world:
        among = f" for {world} processes" if world > 1 else ""
        why = f": {recipe.arch} normalises over it" if norm else ""
        remedy = "choose a larger --batch-size" if count > fewest else "collect more images"
        raise TrainingError(f"a batch of {fewest} is too small{among}{why}", remedy=remedy)


def _diverged(problem: str) -> TrainingError:
    return TrainingError(
        problem, remedy="try a lower learning rate (--lr), or clip the gradients (--set clip_norm=1)"
    )


def _step(
    recipe: Recipe, model: nn.Module, batch: Batch, objective: Objective, state: TrainingState, engine: Engine
) -> Tensor:
    """One optimiser step; returns this process's part of the batch's mean loss."""
    with engine.autocast():
        logits = model(batch.images.contiguous(memory_format=torch.channels_last))  # [B + M, C]
    loss = objective(logits.float(), batch)
    state.optimizer.zero_grad(set_to_none=True)
    # Gradients are averaged over the processes; each one's loss is its part of the sum.
    engine.scaler.scale(loss * engine.world).backward()  # type: ignore[no-untyped-call]
    if recipe.clip_norm:
        engine.scaler.unscale_(state.optimizer)
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip_norm)
    engine.scaler.step(state.optimizer)
    engine.scaler.update()
    state.schedule.after_step()
    if state.average is not None:
        state.average.update_parameters(state.network)
    return loss.detach()


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


def infer_examples(
    network: nn.Module,
    data: Examples,
    *,
    shard: Shard = Shard(),  # noqa: B008  (immutable)
    batch_size: int = 500,
) -> Tensor:
    """Logits float32 [M, C] of this process's shard of the images, on their device."""
    network.eval()
    mine = torch.arange(len(data), device=data.images.device)[shard.rank :: shard.world]
    with torch.inference_mode():
        return torch.cat([network(data.normalised(rows)) for rows in torch.split(mine, batch_size)])


def _validate(network: nn.Module, validation: Examples, engine: Engine) -> tuple[float, float]:
    """Mean loss and accuracy; each image counts once, however many processes there are."""
    shard = Shard(engine.rank, engine.world)
    logits = infer_examples(network, validation, shard=shard)
    labels = validation.labels[shard.rank :: shard.world]
    loss = F.cross_entropy(logits, labels, reduction="sum").double()
    right = (logits.argmax(1) == labels).sum().double()
    loss, right = engine.all_reduce_sum(torch.stack([loss, right]))
    return float(loss) / len(validation), float(right) / len(validation)
