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
from kalamos.training.augmentation import augment
from kalamos.training.policy import Augmentation
from kalamos.training.recipe import Recipe

__all__ = ["NONE", "Batch", "Examples", "Shard", "count_steps", "epoch_batches", "seed_of"]

NONE = torch.empty(0, dtype=torch.uint8)
"""No images."""

OUTLIERS, PHOTOGRAPHS = 1, 2
"""What else is drawn in a step, each from a seed of its own: a recipe without it draws as it always did."""


@dataclass(frozen=True)
class Examples:
    """Prepared images and their labels on one device; normalised a batch at a time, for memory's sake.

    Attributes:
        images: uint8 [N, S, S].
        labels: int64 [N].
        num_classes: C.
        scale, shift: normalised = grey * scale - shift, see `Preprocessor.scale`.
        photographs: uint8 [K, N, S, S]: K photographed copies of every image; K may be 0.
        outliers: uint8 [M, S, S], images of no character; M may be 0.
    """

    images: Tensor
    labels: Tensor
    num_classes: int
    scale: float = 1 / 255
    shift: float = 0.0
    photographs: Tensor = NONE
    outliers: Tensor = NONE

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
        return self.normalise(self.images[rows])

    def normalise(self, images: Tensor) -> Tensor:
        """uint8 [B, S, S] -> float32 [B, 1, S, S]."""
        return images.unsqueeze(1).float().mul_(self.scale).sub_(self.shift)


@dataclass(frozen=True)
class Shard:
    """The part of every batch that is one process's: the images `rank`, `rank + world`, ..."""

    rank: int = 0
    world: int = 1


@dataclass(frozen=True)
class Batch:
    """A step's images and what they are; where there are outliers, they come last and have no target.

    `images` is float32 [B + M, 1, S, S], `targets` the labels, int64 [B].
    """

    images: Tensor
    targets: Tensor
    whole: int
    """Characters in the batch over all processes."""
    whole_outliers: int = 0
    """Outliers in the batch over all processes."""


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
    data: Examples, recipe: Recipe, epoch: int, *, shard: Shard = Shard(), workers: int = 0
) -> Generator[Batch]:
    """One epoch, shuffled and augmented as the recipe says. Close it, and its threads are gone.

    Args:
        epoch: from 0.
        shard: which part of each batch is this process's.
        workers: threads that prepare batches ahead; 0 prepares each when it is asked for.
    """
    device = data.images.device
    clean = epoch >= recipe.epochs - recipe.no_aug_epochs
    how = Augmentation() if clean else recipe.augmentation
    shuffle = torch.Generator().manual_seed(seed_of(recipe.seed, epoch))
    order = torch.randperm(len(data), generator=shuffle).to(device)

    def make(numbered: tuple[int, slice]) -> Batch:
        step, rows = numbered
        seed = seed_of(recipe.seed, epoch, step)
        whole = order[rows]
        mine = slice(shard.rank, None, shard.world)
        chosen = _choose(data, recipe, whole, clean=clean, seed=seed)
        images = _augmented(data, chosen[mine], how, len(whole), mine, seed)
        targets = data.labels[whole[mine]]
        n_outliers = round(recipe.outlier_share * len(whole)) if len(data.outliers) else 0
        if n_outliers:
            draw = torch.Generator(device).manual_seed(seed_of(seed, OUTLIERS))
            at = torch.randint(len(data.outliers), (n_outliers,), generator=draw, device=device)[mine]
            others = _augmented(data, data.outliers[at], how, n_outliers, mine, seed_of(seed, OUTLIERS, 1))
            images = torch.cat([images, others])
        return Batch(images, targets, len(whole), n_outliers)

    numbered = enumerate(_slices(len(data), recipe.batch_size, shard.world))
    if workers:
        yield from ordered_map(lambda part: [make(one) for one in part], numbered, chunk=1, jobs=workers)
    else:
        yield from map(make, numbered)


def _choose(data: Examples, recipe: Recipe, rows: Tensor, *, clean: bool, seed: int) -> Tensor:
    """uint8 [B, S, S]: each image as it is, or one of its photographs."""
    images = data.images[rows]
    copies = len(data.photographs)
    if clean or not copies:
        return images
    draw = torch.Generator(rows.device).manual_seed(seed_of(seed, PHOTOGRAPHS))
    photographed = torch.rand(len(rows), generator=draw, device=rows.device) < recipe.synthetic_photo_prob
    which = torch.randint(copies, (len(rows),), generator=draw, device=rows.device)
    return torch.where(photographed.view(-1, 1, 1), data.photographs[which, rows], images)


def _augmented(
    data: Examples, images: Tensor, how: Augmentation, count: int, mine: slice, seed: int
) -> Tensor:
    return augment(
        data.normalise(images),
        how,
        torch.Generator(images.device).manual_seed(seed),
        count=count,
        mine=mine,
        ground=-data.shift,
        full=255 * data.scale,
    )


def _slices(count: int, size: int, world: int) -> list[slice]:
    # Batch norm needs two images in each process; fewer are left for another epoch's shuffle.
    slices = [slice(start, min(start + size, count)) for start in range(0, count, size)]
    last = slices[-1].stop - slices[-1].start
    return slices[:-1] if len(slices) > 1 and size > world and last < 2 * world else slices
