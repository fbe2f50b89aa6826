"""Handwritten Arabic letters from two sources: isolated ones by adults, and all forms by children."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from kalamos.alphabets import ARABIC_28
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.ahcd import AHCD
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.hijja import HIJJA_28

__all__ = ["ARABIC_LETTERS"]


def _read_arabic_letters(paths: tuple[Path, ...]) -> Parts:
    ahcd_path, hijja_path = paths
    ahcd, hijja = AHCD.read((ahcd_path,)), HIJJA_28.read((hijja_path,))
    assert ahcd.test is not None  # noqa: S101  (both have one)
    assert hijja.test is not None  # noqa: S101
    return Parts(_join(ahcd.train, hijja.train), _join(ahcd.test, hijja.test), hijja.problems)


def _join(ahcd: Split, hijja: Split) -> Split:
    assert ahcd.groups is not None  # noqa: S101  (both are grouped)
    assert hijja.groups is not None  # noqa: S101
    return Split(
        np.concatenate([ahcd.stack(), 255 - hijja.stack()]),
        np.concatenate([ahcd.labels, hijja.labels]),
        # One number for a writer in both parts: AHCD's writers count from 0, Hijja's blocks below it.
        np.concatenate([ahcd.groups, -1 - hijja.groups]),
    )


ARABIC_LETTERS: Final = register(
    NamedDataset(
        name="arabic-letters",
        alphabet=ARABIC_28,
        train=AHCD.train + HIJJA_28.train,
        test=AHCD.test + HIJJA_28.test,
        source=f"{AHCD.source}; {HIJJA_28.source}",
        layouts=(),
        read=_read_arabic_letters,
        grouped_by="writer or writer block",
        home=f"{AHCD.home}, and {HIJJA_28.home}",
        made_of=(AHCD, HIJJA_28),
    )
)
"""28 letters, 32x32, bright on black: AHCD with its official split, then `hijja-28` with its own.

Hijja's hamza, which AHCD lacks, is left out; its letters are in all their forms (alone, and at the beginning,
in the middle and at the end of a word). Evaluate on `ahcd` and on `hijja-28` for a figure of each. Groups are
AHCD's writers (0 and up; each has images in both parts, as there) and Hijja's blocks (-1 and down; each in
one part)."""
