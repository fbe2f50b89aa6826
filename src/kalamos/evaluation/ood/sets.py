"""Sets of images that are not characters: the registry, sets of other scripts, and outliers for training.

Each set comes in two splits that share no generator, photograph or dataset split: `train`, to learn from
(outlier exposure, Hendrycks, Mazeika and Dietterich 2019), and `eval`, for measuring only. A figure on a set
is therefore never about images, nor about the very kinds of drawing, that a network was trained to reject; it
is about the same idea (a scribble, a photograph), and for scripts about the same alphabets.

Classes of another alphabet that look like a known one (`lookalikes`) are no outliers: a set keeps them apart.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.dataset import prepare_each
from kalamos.datasets.named import DATASETS, describe
from kalamos.datasets.named import data_dir as data_root
from kalamos.errors import DatasetError, NoInkError, UsageError
from kalamos.evaluation.ood.lookalikes import foreign_labels, lookalike_labels
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.utils import Registry

__all__ = [
    "SETS",
    "Draw",
    "OODContext",
    "OODSplit",
    "OutlierSet",
    "SkippedSet",
    "default_sets",
    "exposure",
    "one_of",
    "open_set",
    "open_sets",
    "procedural",
    "sets_at_hand",
]

OODSplit: TypeAlias = Literal["train", "eval"]
Draw: TypeAlias = Callable[[np.random.Generator], GreyImage]

DEFAULT_SCRIPTS = ("ahcd", "emnist-47", "mnist", "unipen")
"""Datasets of other scripts in the default sets, if they have classes that the reader's alphabet lacks."""

EVAL_FOLDS = 5
"""In a dataset without a test split, one in this many images or groups is for `eval`."""

LOOKALIKES_SUFFIX = "look-alikes"
"""After a set's name, what its classes that look like a known one are called."""

CHUNK = 32
"""Images prepared at a time."""

MAX_DRAWS_PER_IMAGE = 20
"""Images drawn for each one kept, at most: a preprocessing that finds ink on fewer is useless."""

_SEEDED_AS: Final[dict[OODSplit, str]] = {"train": "exposed", "eval": "judged"}
"""The splits' first names, which the random draws go on from: another word would draw other images."""


@dataclass(frozen=True)
class OODContext:
    """What a set of outliers is drawn for.

    Attributes:
        alphabet: the reader's: its characters, and what looks like one of them, are not outliers.
        split: "train" for training, "eval" for measuring.
        seed: at least 0; the same seed gives the same images.
        data_dir: where the named datasets are; see `kalamos.datasets.load_dataset`.

    Raises:
        UsageError: a negative seed.
    """

    alphabet: Alphabet
    split: OODSplit
    seed: int = 0
    data_dir: str | os.PathLike[str] | None = None

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise UsageError(f"seed = {self.seed} is negative", remedy="use 0 or more")


@dataclass(frozen=True)
class OutlierSet:
    """Images by their number.

    Attributes:
        name: what it is called.
        draw: from a number, counted from 0, to a grey image uint8 [H, W]; called from several threads.
        size: how many different images there are; None for no end.
        note: what is in it, where the name does not say all.
        lookalikes: the images of its classes that look like a known one, if any; no outliers.
    """

    name: str
    draw: Callable[[int], GreyImage]
    size: int | None = None
    note: str = ""
    lookalikes: OutlierSet | None = None


SETS: Final = Registry[OutlierSet]("outlier set", UsageError)


def procedural(name: str, context: OODContext, draw: Draw) -> OutlierSet:
    """Make an endless set, in which image i depends on the seed, the set's name, the split and i alone."""
    key = zlib.crc32(f"{name}/{_SEEDED_AS[context.split]}".encode())
    return OutlierSet(name, lambda index: draw(np.random.default_rng((context.seed, key, index))))


def one_of(*families: Draw) -> Draw:
    """Draw each image by one of several functions, all equally often."""
    return lambda generator: families[generator.integers(len(families))](generator)


def default_sets(alphabet: Alphabet) -> tuple[str, ...]:
    """Return the names of all drawn and photographed sets, and of the scripts that `alphabet` lacks.

    >>> from kalamos.alphabets import ARABIC_28
    >>> default_sets(ARABIC_28)[-3:]
    ('script:emnist-47', 'script:mnist', 'script:unipen')
    """
    foreign = (name for name in DEFAULT_SCRIPTS if foreign_labels(describe(name).alphabet, alphabet))
    return (*SETS.names(), *(f"script:{name}" for name in foreign))


def sets_at_hand(alphabet: Alphabet, data_dir: str | os.PathLike[str] | None = None) -> tuple[str, ...]:
    """Return those of `default_sets` whose files are there, without reading any dataset.

    >>> sets_at_hand(Alphabet("shapes", ("x", "o")), "nowhere")[-2:]
    ('shapes', 'textures')
    """
    return tuple(name for name in default_sets(alphabet) if _at_hand(name, alphabet, data_dir))


def _at_hand(name: str, alphabet: Alphabet, data_dir: str | os.PathLike[str] | None) -> bool:
    kind, _, dataset = name.partition(":")
    try:
        if kind == "script":
            describe(dataset).find(data_root(data_dir))
        else:
            open_set(name, OODContext(alphabet, "train"))
    except DatasetError:
        return False
    return True


def open_set(name: str, context: OODContext) -> OutlierSet:
    """Open a set by its name: one of `SETS`, or `script:DATASET` for the characters of another alphabet.

    Raises:
        UsageError: no such set.
        DatasetError: the set's files are absent, or every class looks like a known one.

    >>> from kalamos.alphabets import DIGITS
    >>> import numpy as np
    >>> scribbles = open_set("scribbles", OODContext(DIGITS, "eval"))
    >>> scribbles.draw(7).dtype, np.array_equal(scribbles.draw(7), scribbles.draw(7))
    (dtype('uint8'), True)
    >>> open_set("scribles", OODContext(DIGITS, "eval"))
    Traceback (most recent call last):
    kalamos.errors.UsageError: unknown outlier set 'scribles'; did you mean 'scribbles'?
    """
    kind, _, dataset = name.partition(":")
    if kind != "script":
        return SETS.get(name)(context)
    if not dataset:
        raise UsageError(f"outlier set {name!r} names no dataset", remedy="write script:NAME, as script:ahcd")
    return _script(name, dataset, context)


@dataclass(frozen=True)
class SkippedSet:
    """A set that could not be drawn, and why."""

    name: str
    reason: str


def open_sets(names: Iterable[str], context: OODContext) -> tuple[list[OutlierSet], tuple[SkippedSet, ...]]:
    """Open each set once, and say which could not be opened because its files are absent."""
    opened, skipped = [], []
    for name in dict.fromkeys(names):
        try:
            opened.append(open_set(name, context))
        except DatasetError as error:
            skipped.append(SkippedSet(name, error.problem))
    return opened, tuple(skipped)


def exposure(
    alphabet: Alphabet,
    preprocessor: Preprocessor,
    n: int,
    seed: int,
    data_dir: str | os.PathLike[str] | None = None,
    *,
    sets: Sequence[str] | None = None,
    jobs: int | None = None,
) -> NDArray[np.uint8]:
    """Draw images that are none of an alphabet's characters, as a network would see them.

    They come from the `train` split of each set in turn. Images on which the preprocessing finds no ink are
    rejected already, and dropped. A set with fewer images than needed starts again.

    Args:
        n: how many images to return.
        seed: at least 0; with the same sets the same images, whatever `jobs`.
        data_dir: where the named datasets are.
        sets: names for `open_set`; by default `default_sets`, without those whose files are absent.
            Name them if the training has to be the same elsewhere.
        jobs: threads; by default one per processor.

    Returns:
        uint8 [n, S, S], in a random order.

    Raises:
        UsageError: no such set, or none at all; a negative `n` or `seed`.
        DatasetError: a set in `sets` is absent, or hardly any image has ink on it.

    >>> from kalamos.alphabets import DIGITS
    >>> from kalamos.preprocessing import DEFAULT_STEPS
    >>> exposure(DIGITS, Preprocessor(DEFAULT_STEPS), 5, seed=1, sets=["scribbles", "shapes"]).shape
    (5, 28, 28)
    """
    if n < 0:
        raise UsageError(f"n = {n} is negative", remedy="use 0 or more")
    context = OODContext(alphabet, "train", seed, data_dir)
    if sets is None:
        opened, _ = open_sets(default_sets(alphabet), context)
    else:
        opened = [open_set(name, context) for name in sets]
    if not opened:
        raise UsageError("no set to draw outliers from", remedy=f"name some of {', '.join(SETS.names())}")

    size, most = preprocessor.output_size(), MAX_DRAWS_PER_IMAGE * n
    images = np.empty((n, size, size), np.uint8)
    kept = 0
    for image in prepare_each(partial(_draw_in_turn, opened), most, preprocessor, jobs=jobs, chunk=CHUNK):
        if not isinstance(image, NoInkError):
            images[kept] = image
            kept += 1
        if kept == n:
            break
    if kept < n:
        raise DatasetError(f"only {kept:,} of {most:,} outliers have ink on them", remedy="name other sets")
    return np.random.default_rng(seed).permutation(images)


def _script(name: str, dataset: str, context: OODContext) -> OutlierSet:
    """Open a dataset's training images (`train`) or test images (`eval`), those that look known kept apart.

    Without a test split, one in five groups (or images) is for `eval`, the others for `train`.

    Args:
        name: what the set is to be called.
        dataset: a name or a path, as `load_dataset` takes it.

    Raises:
        DatasetError: it cannot be loaded, or each class is or looks like one of the alphabet's.
    """
    if dataset in DATASETS.names():  # refused before it is read
        _foreign(dataset, describe(dataset).alphabet, context)
    data = load_dataset(dataset, context.data_dir)
    kept = _foreign(dataset, data.alphabet, context)
    split, rows = data.train, _rows(data, context.split)
    if context.split == "eval" and data.test is not None:
        split, rows = data.test, np.arange(len(data.test))

    def of(name: str, labels: tuple[str, ...], lookalikes: OutlierSet | None = None) -> OutlierSet | None:
        wanted = [data.alphabet.index(label) for label in labels]
        chosen = rows[np.isin(split.labels[rows], wanted)]
        order = np.random.default_rng(context.seed).permutation(chosen).tolist()
        images, classes = split.images, "class" if len(labels) == 1 else "classes"
        note = f"{len(labels)} {classes}: {' '.join(labels)}"
        outliers = OutlierSet(name, lambda index: images[order[index]], len(order), note, lookalikes)
        return outliers if order else None

    alike = of(f"{name} {LOOKALIKES_SUFFIX}", lookalike_labels(data.alphabet, context.alphabet))
    opened = of(name, kept, alike)
    if opened is None:
        raise DatasetError(f"{name}: there is no {context.split} image of {', '.join(kept)} in {dataset}")
    return opened


def _foreign(dataset: str, alphabet: Alphabet, context: OODContext) -> tuple[str, ...]:
    kept = foreign_labels(alphabet, context.alphabet)
    if not kept:
        raise DatasetError(
            f"script:{dataset}: every class is, or looks like, one of the alphabet {context.alphabet.name!r}",
            remedy="take a dataset of another script",
        )
    return kept


def _rows(data: Dataset, split: OODSplit) -> NDArray[np.int64]:
    """Rows of the training images for an OOD split if the dataset has no test split, else all."""
    rows = np.arange(len(data.train))
    if data.test is not None:
        return rows
    fold = rows if data.train.groups is None else data.train.groups
    return np.flatnonzero((fold % EVAL_FOLDS == 0) == (split == "eval"))


def _draw_in_turn(opened: Sequence[OutlierSet], number: int) -> GreyImage:
    index, which = divmod(number, len(opened))
    chosen = opened[which]
    return chosen.draw(index if chosen.size is None else index % chosen.size)
