"""AHCD: Arabic handwritten characters, 32x32 (El-Sawy, Loey and El-Bakry 2017)."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_28
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import Layout, archive
from kalamos.datasets.sources import Source, open_source
from kalamos.errors import DatasetError

__all__ = ["AHCD"]

AHCD_SIDE_PX: Final = 32


def _read_ahcd(paths: tuple[Path, ...]) -> Parts:
    with open_source(paths[0]) as source:
        return Parts(_ahcd_split(source, "Train"), _ahcd_split(source, "Test"))


def _ahcd_split(source: Source, part: str) -> Split:
    rows = _ahcd_table(source, f"csv{part}Images")
    labels = _ahcd_table(source, f"csv{part}Label").reshape(-1)
    if rows.shape[1] != AHCD_SIDE_PX**2:
        raise DatasetError(
            f"{source.path}: rows of {rows.shape[1]} pixels, where {AHCD_SIDE_PX**2} are an AHCD image"
        )
    if labels.size and not 1 <= labels.min() <= labels.max() <= len(ARABIC_28):
        raise DatasetError(
            f"{source.path}: labels run from {labels.min()} to {labels.max()}, where AHCD has 1 to 28"
        )
    # The files hold every image transposed.
    images = np.ascontiguousarray(rows.reshape(-1, AHCD_SIDE_PX, AHCD_SIDE_PX).transpose(0, 2, 1))
    # One writer after the other writes alef to yaa, so a label that falls begins a new one.
    new_writer = labels[1:] < labels[:-1]
    writers = np.concatenate([np.zeros(min(len(labels), 1), np.int64), np.cumsum(new_writer)])
    return Split(images, labels.astype(np.int64) - 1, writers)


def _ahcd_table(source: Source, start: str) -> NDArray[np.uint8]:
    """The numbers uint8 [N, columns] of the CSV file whose name begins so ("csvTestLabel 3360x1.csv")."""
    found = [member for member in source.members if member.rpartition("/")[2].startswith(start)]
    if len(found) != 1:
        raise DatasetError(
            f"{source.path}: {len(found)} files are called {start}*.csv in it, where AHCD has one"
        )
    try:
        return np.loadtxt(io.BytesIO(source.read(found[0])), np.uint8, delimiter=",", ndmin=2)
    except (ValueError, UserWarning) as error:
        raise DatasetError(
            f"{source.path}: {found[0]} is damaged ({error})", remedy="copy the file again"
        ) from error


AHCD: Final = register(
    NamedDataset(
        name="ahcd",
        alphabet=ARABIC_28,
        train=13_440,
        test=3_360,
        source="El-Sawy, Loey, El-Bakry 2017",
        layouts=(
            *archive("ahcd", "ahcd-csv"),
            Layout(("Arabic Handwritten Characters Dataset CSV.zip",), ("", "ahcd")),
        ),
        read=_read_ahcd,
        grouped_by="writer",
        home="its author's project: github.com/mloey/Arabic-Handwritten-Characters-Dataset, the CSV archive",
    )
)
"""28 letters by 60 writers, bright on black; official split.

Its paper says that no writer is on both sides. In these files all are: both parts hold 60 blocks of alef to
yaa, eight of each letter for training and two for the test, and the nearest training image of the same
letter is of the same-numbered block for 39 % of the test images, as it is among the training images
themselves (1.7 % by chance). So its test measures new images by known writers; for new writers, split the
training images by group, or test on `hijja-28`."""
