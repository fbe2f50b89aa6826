"""The training loop, and the loss that it minimises: cross-entropy, distillation, known or not."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from kalamos.alphabets import Alphabet
from kalamos.errors import ModelNotFoundError, RecipeError, TrainingError
from kalamos.learn.callbacks import Callback, EpochReport, Start, StepReport
from kalamos.learn.checkpoint import Checkpoints, TrainingState
from kalamos.learn.data import Batch, Examples, Shard, count_steps, epoch_batches, seed_of
from kalamos.learn.distributed import Engine
from kalamos.learn.models import StagedNetwork, count_parameters
from kalamos.learn.models.base import fold_batch_norms
from kalamos.learn.recipe import Recipe
from kalamos.learn.run import load_run
from kalamos.model_file import LoadedModel, open_model
from kalamos.zoo import find_model, names

__all__ = [
    "Objective",
    "Teacher",
    "check_enough",
    "infer",
    "infer_examples",
    "infer_known",
    "load_teacher",
    "train_network",
]

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
        checkpoints: where the state is kept after each epoch, and resumed from; None keeps none.
        teacher: on the engine's device, where the recipe distils.
        workers: threads that prepare batches ahead; the result does not depend on them.
        callback: called at each step and epoch.

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
    model, shard = engine.wrap_ddp(_Answers(network)), Shard(engine.rank, engine.world)
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
            outliers=len(data.outliers),
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
        TrainingError: a process would get no image, or, if the network has batch norm, a single one.
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
        # [B + M, C], and [B + M] where outliers are learnt
        logits, known = model(batch.images.contiguous(memory_format=torch.channels_last))
    loss = objective(logits.float(), batch, None if known is None else known.float())
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


class _Answers(nn.Module):
    """A network answering what is learnt: its logits, and those of its known head if it has one."""

    def __init__(self, network: StagedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor | None]:
        if self.network.known is None:
            return self.network(images), None
        logits, known, *_ = self.network.forward_answers(images)
        return logits, known


def _validate(network: nn.Module, validation: Examples, engine: Engine) -> tuple[float, float]:
    """Mean loss and accuracy; each image counts once, however many processes there are."""
    shard = Shard(engine.rank, engine.world)
    logits = infer_examples(network, validation, shard=shard)
    labels = validation.labels[shard.rank :: shard.world]
    loss = F.cross_entropy(logits, labels, reduction="sum").double()
    right = (logits.argmax(1) == labels).sum().double()
    loss, right = engine.all_reduce_sum(torch.stack([loss, right]))
    return float(loss) / len(validation), float(right) / len(validation)


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


def infer(network: nn.Module, images: NDArray[np.float32], *, batch_size: int = 500) -> NDArray[np.float32]:
    """Images float32 [N, 1, S, S] -> logits float32 [N, C], in evaluation mode, without gradients."""
    return _in_batches(network, network, images, batch_size)


def infer_known(
    network: StagedNetwork, images: NDArray[np.float32], *, batch_size: int = 500
) -> NDArray[np.float32]:
    """Images float32 [N, 1, S, S] -> the known head's logits float32 [N], as `infer` does.

    Args:
        network: with a known head.
    """
    return _in_batches(network, lambda some: network.forward_answers(some)[1], images, batch_size)


def _in_batches(
    network: nn.Module, answer: Callable[[Tensor], Tensor], images: NDArray[np.float32], batch_size: int
) -> NDArray[np.float32]:
    network.eval()
    device = next(network.parameters()).device
    with torch.inference_mode():
        parts = [
            answer(torch.from_numpy(images[i : i + batch_size]).to(device)).cpu().numpy()
            for i in range(0, len(images), batch_size)
        ]
    return np.concatenate(parts)


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

    def __call__(self, logits: Tensor, batch: Batch, known: Tensor | None = None) -> Tensor:
        """The batch's mean loss, or this process's part of it.

        Args:
            logits: float32 [B + M, C], the last M of the outliers.
            batch: the images that they answer to.
            known: float32 [B + M], the logit that an image is a character; outliers teach it alone, and
                leave the answer to which character to the characters.
        """
        count = len(batch.targets)
        loss = self._labels(logits[:count], batch) / batch.whole
        if self._teacher is not None:
            taught = self._teachers(logits[:count], batch.images[:count]) / batch.whole
            loss = torch.lerp(loss, taught, self._recipe.distillation)
        if known is not None and batch.whole_outliers:
            # Binary cross-entropy, characters and outliers counting equally, however many there are.
            missed = F.softplus(-known[:count]).sum() / batch.whole
            taken = F.softplus(known[count:]).sum() / batch.whole_outliers
            loss = loss + self._recipe.outlier_weight * (missed + taken) / 2
        return loss

    def _labels(self, logits: Tensor, batch: Batch) -> Tensor:
        smoothing = self._recipe.label_smoothing
        return F.cross_entropy(
            logits + self._adjustment, batch.targets, label_smoothing=smoothing, reduction="sum"
        )

    def _teachers(self, logits: Tensor, images: Tensor) -> Tensor:
        assert self._teacher is not None  # noqa: S101  (only called if there is one)
        temperature = self._teacher.temperature
        wanted = self._teacher(images.contiguous(memory_format=torch.channels_last))
        divergence = F.kl_div(F.log_softmax(logits / temperature, dim=1), wanted, reduction="sum")
        # Soft targets' gradients shrink with the square of the temperature.
        return divergence * temperature**2


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


def load_teacher(recipe: Recipe, alphabet: Alphabet) -> Teacher | None:
    """The recipe's teachers as one; None where it has none.

    A shipped model's name goes before a run folder of that name. A model file answers through the runtime
    that reads it, on the CPU: int8 weights stay int8.

    Raises:
        TrainingError: a teacher's folder is not a finished run.
        ModelError: a teacher's file is not a model.
        RecipeError: a teacher is neither, has other classes, or another preprocessing.
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
        raise RecipeError(f"teacher {teacher} has other classes than {alphabet.name}")
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
