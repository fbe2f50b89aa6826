"""The registry of out-of-distribution sets.

Named sets of images that a reader of characters must reject.

Each set comes in two splits that share no generator, photograph or dataset split: `train`, for outlier
exposure (Hendrycks, Mazeika and Dietterich 2019), and `eval`, for measuring only. A figure on a set is
therefore never about images, nor about the very kinds of drawing, that a network was trained to reject; it is
about the same idea (a scribble, a photograph), and for scripts about the same alphabets.

Which characters of another alphabet nobody could reject, because they look like a known one.
"""

from __future__ import annotations

import os
import unicodedata
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

import numpy as np

from kalamos.alphabets import CONFUSABLES, Alphabet
from kalamos.errors import UsageError
from kalamos.preprocessing.steps import GreyImage
from kalamos.utils import Registry

__all__ = [
    "LOOKALIKES",
    "SETS",
    "Draw",
    "OODContext",
    "OODSplit",
    "OutlierSet",
    "characters_of",
    "foreign_labels",
    "looks_known",
    "one_of",
    "procedural",
]

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


LOOKALIKES: Final = (
    # Digits and Latin letters, as people write them: beyond case and serif, which CONFUSABLES has.
    "0ODQ", "1IilL", "4Yy", "6G", "7T", "9y",
    # Arabic letters and digits: a stroke, a ring, a head with a tail, ح without its bow, a bar with a loop.
    "1Iil|اأإآر١()!", "0Ooهة٥۵.", "9gqوؤ٩،,", "2Zzح", "6bط", "5Ssىء؟",
    # Arabic letters and Latin ones.
    "JjLlل", "Ppم", "Eeع", "Wwس", "Kkك", "Vv٧", ")ر", "Cc(<",
)  # fmt: skip
"""Groups whose members look alike within or across scripts, by eye; they overlap, and are not transitive.

Dots tell ج and خ from 2, ن from U: such letters are not in the groups of their undotted shapes."""


def characters_of(alphabet: Alphabet, label: str) -> tuple[str, ...]:
    """What a label stands for: itself, and the small letter of a capital that stands for both cases.

    >>> from kalamos.alphabets import LATIN_47
    >>> characters_of(LATIN_47, "C"), characters_of(LATIN_47, "A")
    (('C', 'c'), ('A',))
    """
    composed = unicodedata.normalize("NFC", label)
    return (composed, composed.lower()) if label in alphabet.merged else (composed,)


def looks_known(character: str, alphabet: Alphabet) -> bool:
    """Whether a character is one of the alphabet's, or looks like one.

    >>> from kalamos.alphabets import ARABIC_28, DIGITS
    >>> [looks_known(letter, DIGITS) for letter in "OKاب"], looks_known("1", ARABIC_28)
    ([True, False, True, False], True)
    """
    if alphabet.class_of(character) is not None:
        return True
    known = {each for label in alphabet.labels for each in characters_of(alphabet, label)}
    return any(character in group and not known.isdisjoint(group) for group in (*CONFUSABLES, *LOOKALIKES))


def foreign_labels(other: Alphabet, known: Alphabet) -> tuple[str, ...]:
    """The labels of `other` that neither are nor look like any of `known`, in their order.

    >>> from kalamos.alphabets import ARABIC_28, DIGITS
    >>> "".join(foreign_labels(DIGITS, known=ARABIC_28)), foreign_labels(DIGITS, known=DIGITS)
    ('34578', ())
    """
    return tuple(
        label
        for label in other.labels
        if not any(looks_known(character, known) for character in characters_of(other, label))
    )
