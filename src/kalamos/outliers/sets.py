"""Named sets of images that a reader of characters must reject.

Each set comes in two splits that share no generator, photograph or dataset split: `train`, for outlier
exposure (Hendrycks, Mazeika and Dietterich 2019), and `eval`, for measuring only. A figure on a set is
therefore never about images, nor about the very kinds of drawing, that a network was trained to reject; it is
about the same idea (a scribble, a photograph), and for scripts about the same alphabets.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from kalamos.alphabets import Alphabet
from kalamos.errors import UsageError
from kalamos.preprocessing.steps import GreyImage
from kalamos.registry import Registry

__all__ = ["SETS", "Draw", "OODContext", "OODSplit", "OutlierSet", "one_of", "procedural"]

OODSplit: TypeAlias = Literal["train", "eval"]
Draw: TypeAlias = Callable[[np.random.Generator], GreyImage]


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
    """

    name: str
    draw: Callable[[int], GreyImage]
    size: int | None = None
    note: str = ""


_SEEDED_AS: Final[dict[OODSplit, str]] = {"train": "exposed", "eval": "judged"}
"""The splits' first names, which the random draws go on from: another word would draw other images."""

SETS: Final = Registry[OutlierSet]("outlier set", UsageError)


def procedural(name: str, context: OODContext, draw: Draw) -> OutlierSet:
    """Make an endless set, in which image i depends on the seed, the set's name, the split and i alone."""
    key = zlib.crc32(f"{name}/{_SEEDED_AS[context.split]}".encode())
    return OutlierSet(name, lambda index: draw(np.random.default_rng((context.seed, key, index))))


def one_of(*families: Draw) -> Draw:
    """Draw each image by one of several functions, all equally often."""
    return lambda generator: families[generator.integers(len(families))](generator)
