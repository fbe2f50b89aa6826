"""UNIPEN: isolated characters as strokes of a pen, by 212 writers or groups of writers."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from kalamos.alphabets import DIGITS, LATIN_62, Alphabet
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.catalogue import Layout, NamedDataset, Parts, register
from kalamos.datasets.ragged import ImagesBuilder
from kalamos.datasets.strokes import read_strokes
from kalamos.errors import DatasetError

__all__ = ["UNIPEN", "UNIPEN_DIGITS"]

SIDE_PX: Final = 36
"""The longer side of a character as the dataset draws it."""

PEN_PX: Final = 1.8, 4.4
"""The width of the pen, drawn anew for each character."""

PEN_SEED: Final = 0


def _read_unipen(alphabet: Alphabet, paths: tuple[Path, ...]) -> Parts:
    """Draw the characters of an alphabet."""
    strokes = read_strokes(paths[0])
    unknown = set(strokes.labels) - set(LATIN_62.labels)
    if unknown:
        raise DatasetError(f"{paths[0]}: the label {min(unknown)!r} is not of UNIPEN's digits and letters")
    widths = np.random.default_rng(PEN_SEED).uniform(*PEN_PX, len(strokes))
    rows = [row for row, label in enumerate(strokes.labels) if label in alphabet]
    builder = ImagesBuilder()
    for row in rows:
        builder.append(strokes.draw(row, side=SIDE_PX, width=float(widths[row])))
    labels = np.array([alphabet.index(strokes.labels[row]) for row in rows], np.int64)
    return Parts(Split(builder.finish(), labels, strokes.writers[rows]))


def _register(name: str, alphabet: Alphabet, count: int) -> NamedDataset:
    return register(
        NamedDataset(
            name=name,
            alphabet=alphabet,
            train=count,
            test=0,
            source="Guyon et al. 1994 (train_r01_v07, 14 of its 21 sources)",
            layouts=(Layout(("unipen-train.npz",), ("", "unipen")),),
            read=partial(_read_unipen, alphabet),
            grouped_by="writer",
            home="doi.org/10.5281/zenodo.1195803, converted by python -m kalamos.datasets.unipen_release",
            licence="CC BY 4.0",
        )
    )


UNIPEN: Final = _register("unipen", LATIN_62, 96_918)
"""Digits and letters as their writers' pens moved, drawn bright on black with round pens of 1.8 to 4.4 px at
a longer side of 36 px. No official split: split by writer. `kalamos.datasets.strokes` draws the same strokes
with any pen, at any size."""

UNIPEN_DIGITS: Final = _register("unipen-digits", DIGITS, 14_454)
"""The digits among them."""
