"""Which images when, and how deformed: a function of (seed, epoch, step) and of nothing else.

So a run that is taken up again meets the very batches that it would have met, worker threads change
nothing, and several processes share one batch without a word.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kalamos.preprocessing import Preprocessor
from kalamos.streaming import ordered_map
from kalamos.training.augmentation import draw_maps, warp
from kalamos.training.mixing import mix
from kalamos.training.policy import Augmentation
from kalamos.training.recipe import Recipe

__all__ = ["Batch", "Examples", "Share", "count_steps", "epoch_batches", "seed_of"]


@dataclass(frozen=True)
class Examples:
    """Prepared images and their labels on one device; normalised a batch at a time, for memory's sake.

    Attributes:
        images: uint8 [N, S, S].
        labels: int64 [N].
        num_classes: C.
        scale, shift: normalised = grey * scale - shift, see `Preprocessor.scale`.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    scale: float = 1 / 255
    shift: float = 0.0

    @classmethod
    def of(
        cls,
        images: NDArray[np.uint8],
        labels: NDArray[np.int64],
        num_classes: int,
        preprocessor: Preprocessor,
        device: str = "cpu",
    ) -> Examples:
        return cls(
            torch.from_numpy(images).to(device),
            torch.from_numpy(labels).to(device),
            num_classes,
            float(preprocessor.scale),
            float(preprocessor.shift),
        )

    def __len__(self) -> int:
        return len(self.images)

    def log_priors(self) -> Tensor:
        """Log of each class's share of the images, float32 [C]; a class without any counts as one image."""
        counts = torch.bincount(self.labels, minlength=self.num_classes).clamp_min(1)
        return (counts / len(self)).log()

    def normalised(self, rows: Tensor | slice) -> Tensor:
        """float32 [B, 1, S, S], equal to what `Preprocessor.batch` gives."""
        return self.images[rows].unsqueeze(1).float().mul_(self.scale).sub_(self.shift)


@dataclass(frozen=True)
class Share:
    """The part of every batch that is one process's: the images `rank`, `rank + world`, ..."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Batch:
    """float32 [B, 1, S, S] and int64 labels [B], or float32 target probabilities [B, C]."""

    images: Tensor
    targets: Tensor
    whole: int
    """Size of the batch over all processes."""


def seed_of(*parts: int) -> int:
    """One seed in [0, 2**63) from several numbers, each of which changes it.

    >>> seed_of(42, 1) != seed_of(42, 2) != seed_of(43, 1)
    True
    """
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> np.uint64(1))


def count_steps(count: int, batch_size: int, world: int = 1) -> int:
    """Batches an epoch.

    >>> count_steps(12, 5), count_steps(11, 5)
    (3, 2)
    """
    return len(_slices(count, batch_size, world))


def epoch_batches(
    data: Examples, recipe: Recipe, epoch: int, *, share: Share = Share(), workers: int = 0
) -> Generator[Batch]:
    """One epoch, shuffled, augmented and mixed as the recipe says. Close it, and its threads are gone.

    Args:
        epoch: from 0.
        share: which part of each batch is this process's.
        workers: threads that prepare batches ahead; 0 prepares each when it is asked for.
    """
    device = data.images.device
    clean = epoch >= recipe.epochs - recipe.clean_epochs
    how = Augmentation() if clean else recipe.augmentation
    shuffle = torch.Generator().manual_seed(seed_of(recipe.seed, epoch))
    order = torch.randperm(len(data), generator=shuffle).to(device)

    def make(numbered: tuple[int, slice]) -> Batch:
        step, rows = numbered
        seed = seed_of(recipe.seed, epoch, step)
        whole = order[rows]
        # Drawn for the whole batch, so that each image's deformation does not depend on who shares it.
        maps = draw_maps(how, len(whole), torch.Generator(device).manual_seed(seed))
        mine = slice(share.rank, None, share.world)
        images = warp(data.normalised(whole[mine]), None if maps is None else maps[mine], -data.shift)
        targets = data.labels[whole[mine]]
        if not clean and (recipe.mixup or recipe.cutmix):
            images, targets = mix(
                images, targets, data.num_classes, mixup=recipe.mixup, cutmix=recipe.cutmix, seed=seed
            )
        return Batch(images, targets, len(whole))

    numbered = enumerate(_slices(len(data), recipe.batch_size, share.world))
    if workers:
        yield from ordered_map(lambda part: [make(one) for one in part], numbered, chunk=1, jobs=workers)
    else:
        yield from map(make, numbered)


def _slices(count: int, size: int, world: int) -> list[slice]:
    # Batch norm needs two images in each process; fewer are left for another epoch's shuffle.
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    last = slices[-1].stop - slices[-1].start
    return slices[:-1] if len(slices) > 1 and size > world and last < 2 * world else slices
