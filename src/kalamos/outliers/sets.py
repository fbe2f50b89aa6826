"""Named sets of images that a reader of characters must reject.

Each set comes in two families that share no generator, photograph or dataset split: `exposed`, which a
training may see (outlier exposure: Hendrycks, Mazeika and Dietterich 2019), and `judged`, which only ever
measures. So a figure on a set is never about images, nor about the very kinds of drawing, that a network
was trained to reject; it is about the same idea (a scribble, a photograph), and a figure for scripts about
the same alphabets.
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

__all__ = ["SETS", "Draw", "OutlierSet", "Setting", "Side", "one_of", "open_set", "procedural"]

Side: TypeAlias = Literal["exposed", "judged"]
Draw: TypeAlias = Callable[[np.random.Generator], GreyImage]


@dataclass(frozen=True)
class Setting:
    """For whom a set is drawn.

    Attributes:
        alphabet: the reader's: what is one of its characters, or looks like one, is no outlier.
        side: the family.
        seed: at least 0; the same seed gives the same images.
        data_dir: where the named datasets are; see `kalamos.datasets.load_dataset`.

    Raises:
        UsageError: a negative seed.
    """

    alphabet: Alphabet
    side: Side
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


SETS: Final = Registry[OutlierSet]("outlier set", UsageError)


def open_set(name: str, setting: Setting) -> OutlierSet:
    """A set by its name: one of `SETS`, or `script:DATASET` for the characters of another alphabet.

    Raises:
        UsageError: no such set.
        DatasetError: the set's files are absent, or every class looks like a known one.

    >>> from kalamos.alphabets import DIGITS
    >>> scribbles = open_set("scribbles", Setting(DIGITS, "judged"))
    >>> scribbles.draw(7).dtype, np.array_equal(scribbles.draw(7), scribbles.draw(7))
    (dtype('uint8'), True)
    >>> open_set("scribles", Setting(DIGITS, "judged"))
    Traceback (most recent call last):
    kalamos.errors.UsageError: there is no outlier set 'scribles'; did you mean 'scribbles'?
    """
    from kalamos.outliers.script import script

    kind, _, dataset = name.partition(":")
    if kind != "script":
        return SETS.get(name)(setting)
    if not dataset:
        raise UsageError(f"outlier set {name!r} names no dataset", remedy="write script:NAME, as script:ahcd")
    return script(name, dataset, setting)


def procedural(name: str, setting: Setting, draw: Draw) -> OutlierSet:
    """A set without end: image i depends on the seed, the set's name, the family and i alone."""
    key = zlib.crc32(f"{name}/{setting.side}".encode())
    return OutlierSet(name, lambda index: draw(np.random.default_rng((setting.seed, key, index))))


def one_of(*families: Draw) -> Draw:
    """Each image by one of several ways to draw, all alike often."""
    return lambda generator: families[generator.integers(len(families))](generator)
