"""Training data: prepared images, extra sources, seeded batches.

Which images come when, and how they are deformed, is a function of (seed, epoch, step) alone. So a run that
is resumed meets the same batches, worker threads change nothing, and several processes share one batch
without talking.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kalamos.alphabets import Alphabet
from kalamos.datasets import load_dataset
from kalamos.datasets.dataset import blank_images, prepare_split
from kalamos.errors import NoInkError, RecipeError, TrainingError
from kalamos.learn.augment import augment
from kalamos.learn.callbacks import Callback
from kalamos.learn.checkpoint import read_weights, write_weights
from kalamos.learn.recipe import Augmentation, Recipe
from kalamos.parallel import ordered_map
from kalamos.preprocessing import Preprocessor

__all__ = [
    "EXTRAS_FILE",
    "KNOWN_STREAM",
    "Batch",
    "Examples",
    "Shard",
    "choose_outliers",
    "count_steps",
    "epoch_batches",
    "forget_extras",
    "join_characters",
    "seed_of",
    "with_extras",
]

NO_IMAGES = torch.empty(0, dtype=torch.uint8)
"""No images."""

OUTLIER_STREAM, PHOTO_STREAM, KNOWN_STREAM, SEVERAL_STREAM = 1, 2, 3, 4
"""What else is drawn, each from a seed of its own: a recipe without it draws as it always did."""

OUTLIERS_PER_IMAGE, MIN_OUTLIERS, MAX_OUTLIERS = 2, 500, 4000
"""How many `outliers = "auto"` is: twice the training images, within these. Each takes some 4 ms to draw."""

DRAWN_SETS = ("scribbles", "shapes", "textures")
"""The sets of `outliers = "auto"`: they need no files, so that a recipe draws the same everywhere."""

SEVERAL_SHARE = 0.15
"""Of the outliers: several characters side by side."""

TOUCHING_SHARE = 0.5
"""Of these: so many touch or overlap."""

EXTRAS_FILE = "extras.safetensors"

_DTYPES = {
    "also": torch.uint8,
    "also_labels": torch.int64,
    "photographs": torch.uint8,
    "outliers": torch.uint8,
}
"""What took minutes to draw is kept until a run is finished: resumed, even by a later kalamos, it trains
on the same images."""


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
    photographs: Tensor = NO_IMAGES
    outliers: Tensor = NO_IMAGES

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
    """A step's images and what they are; outliers, if any, come last and have no target.

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
            draw = torch.Generator(device).manual_seed(seed_of(seed, OUTLIER_STREAM))
            at = torch.randint(len(data.outliers), (n_outliers,), generator=draw, device=device)[mine]
            others = _augmented(
                data, data.outliers[at], how, n_outliers, mine, seed_of(seed, OUTLIER_STREAM, 1)
            )
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
    draw = torch.Generator(rows.device).manual_seed(seed_of(seed, PHOTO_STREAM))
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


def with_extras(
    data: Examples,
    alphabet: Alphabet,
    recipe: Recipe,
    data_dir: str | os.PathLike[str] | None = None,
    run_dir: Path | None = None,
    *,
    main: bool = True,
    callback: Callback = Callback(),  # noqa: B008  (has no state)
) -> Examples:
    """With the other datasets, the photographs and the outliers that the recipe asks for.

    What is drawn depends on the recipe's seed alone.

    Args:
        data: the prepared training images.
        alphabet: whose characters no outlier may look like.
        data_dir: where the named datasets are.
        run_dir: where they are kept, or found again; None keeps nothing.
        main: whether this is the process that writes.
        callback: gets the skipped files of the other datasets.

    Raises:
        TrainingError: what was kept is damaged, or made for another run.
        DatasetError: another dataset cannot be read.
        RecipeError: another dataset has labels that the alphabet lacks.
    """
    if not (recipe.extra_datasets or recipe.synthetic_photo_prob or recipe.outliers):
        return data
    kept = None if run_dir is None else run_dir / EXTRAS_FILE
    if kept is not None and kept.exists():
        tensors = _read(kept, data, recipe)
    else:
        tensors = _draw(data, alphabet, recipe, data_dir, callback)
        if kept is not None and main:
            write_weights(kept, tensors)
    device = data.images.device
    if recipe.extra_datasets:
        data = _joined(data, tensors["also"].to(device), tensors["also_labels"].to(device))
    photographs, outliers = (tensors.get(name, NO_IMAGES).to(device) for name in ("photographs", "outliers"))
    return replace(data, photographs=photographs, outliers=outliers)


def choose_outliers(
    recipe: Recipe, count: int, alphabet: Alphabet, data_dir: str | os.PathLike[str] | None = None
) -> Recipe:
    """Settle how many outliers `auto` is for so many training images, and what they are drawn from.

    >>> from kalamos.alphabets import DIGITS
    >>> choose_outliers(Recipe(outliers="auto"), 1000, DIGITS).outliers
    2000
    """
    if not recipe.outliers:
        return recipe
    from kalamos.evaluation.ood import sets_at_hand

    sets, outliers = recipe.outlier_sets, recipe.outliers
    if outliers == "auto":
        sets = sets or DRAWN_SETS
        outliers = min(max(OUTLIERS_PER_IMAGE * count, MIN_OUTLIERS), MAX_OUTLIERS)
    elif not sets:
        sets = sets_at_hand(alphabet, data_dir)
    return replace(recipe, outliers=outliers, outlier_sets=sets)


def forget_extras(run_dir: Path) -> None:
    """Remove what a finished run does not need any more."""
    (run_dir / EXTRAS_FILE).unlink(missing_ok=True)


def _joined(data: Examples, images: Tensor, labels: Tensor) -> Examples:
    return replace(data, images=torch.cat([data.images, images]), labels=torch.cat([data.labels, labels]))


def _further(
    alphabet: Alphabet,
    recipe: Recipe,
    preprocessor: Preprocessor,
    data_dir: str | os.PathLike[str] | None,
    callback: Callback,
) -> tuple[Tensor, Tensor]:
    """The other datasets' training images, uint8 [A, S, S], and their labels in this alphabet, int64 [A]."""
    images, labels = [], []
    for source in recipe.extra_datasets:
        dataset = load_dataset(source, data_dir)
        classes = [alphabet.class_of(label) for label in dataset.alphabet.labels]
        unknown = [label for label, at in zip(dataset.alphabet.labels, classes, strict=True) if at is None]
        if unknown:
            raise RecipeError(
                f"extra_datasets = {source!r} has labels that {alphabet.name} lacks: {', '.join(unknown[:5])}"
            )
        prepared, blank = prepare_split(dataset.train, preprocessor)
        callback.on_skipped_files(dataset.name, (*dataset.problems, *blank_images(dataset.train, blank)))
        images.append(prepared.stack())
        labels.append(np.array(classes, np.int64)[prepared.labels])
    return torch.from_numpy(np.concatenate(images)), torch.from_numpy(np.concatenate(labels))


def join_characters(
    images: NDArray[np.uint8], preprocessor: Preprocessor, n: int, seed: int
) -> NDArray[np.uint8]:
    """Put two to four characters side by side, and prepare each picture as if it held one.

    Args:
        images: prepared characters, uint8 [N, S, S], N >= 1.
        n: how many pictures to make.

    Returns:
        uint8 [M, S, S], M at most n: pictures without ink are left out.
    """
    generator = np.random.default_rng((seed, SEVERAL_STREAM))
    made = []
    for _ in range(n):
        rows = generator.integers(len(images), size=generator.integers(2, 5))
        size = images.shape[1]
        # Half of them touch or overlap: a 1 beside an 8 is no wide 8.
        closest, farthest = (-size // 8, 1) if generator.random() < TOUCHING_SHARE else (1, size // 4)
        line = np.zeros((size, 5 * size), np.uint8)
        right = size // 8
        for image in images[rows]:
            x, _, width, _ = cv2.boundingRect(image)
            left = max(0, right + int(generator.integers(closest, farthest + 1)))
            place = line[:, left : left + width]
            np.maximum(place, image[:, x : x + width], out=place)
            right = left + width
        picture = np.pad(line[:, :right], int(generator.integers(1, 1 + size // 4)))
        with suppress(NoInkError):
            made.append(preprocessor.image(picture))
    return np.stack(made) if made else np.zeros((0, *images.shape[1:]), np.uint8)


def _read(path: Path, data: Examples, recipe: Recipe) -> dict[str, Tensor]:
    try:
        tensors = read_weights(path)
    except Exception as error:  # safetensors raises several kinds for files of unknown origin
        raise TrainingError(
            f"{path}: cannot be read ({error})", remedy="remove it: it is drawn anew"
        ) from error
    wrong = [name for name, tensor in tensors.items() if tensor.dtype != _DTYPES.get(name)]
    shapes = [images.shape[-2:] for name, images in tensors.items() if name != "also_labels"]
    photographs = tensors.get("photographs")
    count = len(data) + len(tensors.get("also", NO_IMAGES))
    if (
        wrong
        or any(shape != data.images.shape[1:] for shape in shapes)
        or (photographs is not None and photographs.shape[1] != count)
        or ("also" in tensors) != bool(recipe.extra_datasets)
    ):
        raise TrainingError(f"{path}: is of another run", remedy="remove it: it is drawn anew")
    return tensors


def _draw(
    data: Examples,
    alphabet: Alphabet,
    recipe: Recipe,
    data_dir: str | os.PathLike[str] | None,
    callback: Callback,
) -> dict[str, Tensor]:
    from kalamos.learn.synthetic_photos import Camera, photographed

    preprocessor = Preprocessor(recipe.preprocessing)
    tensors: dict[str, Tensor] = {}
    if recipe.extra_datasets:
        images, labels = _further(alphabet, recipe, preprocessor, data_dir, callback)
        tensors |= {"also": images, "also_labels": labels}
        data = _joined(data, images.to(data.images.device), labels.to(data.labels.device))
    if recipe.synthetic_photo_prob:
        glyphs = data.images.cpu().numpy()
        copies = [
            photographed(glyphs, Camera(), preprocessor, seed_of(recipe.seed, copy))
            for copy in range(recipe.photograph_copies)
        ]
        tensors["photographs"] = torch.from_numpy(np.stack(copies))
    if recipe.outliers:
        from kalamos.evaluation.ood import exposure

        assert isinstance(recipe.outliers, int)  # noqa: S101  (`choose_outliers` has settled it)
        several = join_characters(
            data.images.cpu().numpy(), preprocessor, round(SEVERAL_SHARE * recipe.outliers), recipe.seed
        )
        drawn = exposure(
            alphabet,
            preprocessor,
            recipe.outliers - len(several),
            recipe.seed,
            data_dir,
            sets=recipe.outlier_sets or None,
        )
        shuffle = np.random.default_rng(recipe.seed)
        mixed = shuffle.permutation(np.concatenate([several, drawn]))
        if recipe.synthetic_photo_prob:  # or photographs alone would tell the characters
            count = round(recipe.synthetic_photo_prob * len(mixed))
            seed = seed_of(recipe.seed, OUTLIER_STREAM, PHOTO_STREAM)
            mixed[:count] = photographed(mixed[:count], Camera(), preprocessor, seed)
        # Once more: the first ones are held out, and are to be of all kinds.
        tensors["outliers"] = torch.from_numpy(shuffle.permutation(mixed))
    return tensors
