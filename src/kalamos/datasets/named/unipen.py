"""UNIPEN: isolated characters as strokes of a pen, by 212 writers or groups of writers."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from kalamos.alphabets import LATIN_62
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.catalogue import Layout, NamedDataset, Parts, register
from kalamos.datasets.ragged import ImagesBuilder
from kalamos.datasets.strokes import read_strokes
from kalamos.errors import DatasetError

__all__ = ["UNIPEN"]

SIDE_PX: Final = 36
"""The longer side of a character as the dataset draws it."""

PEN_PX: Final = 1.8, 4.4
"""The width of the pen, drawn anew for each character."""

PEN_SEED: Final = 0


def _read_unipen(paths: tuple[Path, ...]) -> Parts:
    strokes = read_strokes(paths[0])
    widths = np.random.default_rng(PEN_SEED).uniform(*PEN_PX, len(strokes))
    builder = ImagesBuilder()
    for row, width in enumerate(widths.tolist()):
        builder.append(strokes.draw(row, side=SIDE_PX, width=width))
    unknown = set(strokes.labels) - set(LATIN_62.labels)
    if unknown:
        raise DatasetError(f"{paths[0]}: the label {min(unknown)!r} is not of UNIPEN's digits and letters")
    labels = np.array([LATIN_62.index(label) for label in strokes.labels], np.int64)
    return Parts(Split(builder.finish(), labels, strokes.writers))


UNIPEN: Final = register(
    NamedDataset(
        name="unipen",
        alphabet=LATIN_62,
        train=96_918,
        test=0,
        source="Guyon et al. 1994 (train_r01_v07, 14 of its 21 sources, CC BY 4.0)",
        layouts=(Layout(("unipen-train.npz",), ("", "unipen")),),
        read=_read_unipen,
        grouped_by="writer",
        home="the makers of this selection of UNIPEN (all of it: doi.org/10.5281/zenodo.1195803)",
    )
)
"""Digits and letters as their writers' pens moved, drawn bright on black with round pens of 1.8 to 4.4 px at
a longer side of 36 px. No official split: split by writer. `kalamos.datasets.strokes` draws the same strokes
with any pen, at any size."""
