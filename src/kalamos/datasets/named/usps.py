"""USPS: digits from envelopes, 16x16 (Hull 1994), as arrays or in LIBSVM's format."""

from __future__ import annotations

import bz2
from pathlib import Path
from typing import Final

import numpy as np

from kalamos.alphabets import DIGITS
from kalamos.datasets.dataset import Split
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import Layout
from kalamos.datasets.named.npz import read_splits
from kalamos.errors import DatasetError

__all__ = ["USPS"]

USPS_SIDE_PX: Final = 16


def _read_usps(paths: tuple[Path, ...]) -> Parts:
    if paths[0].suffix == ".npz":
        return Parts(*read_splits(paths[0]))
    train, test = paths
    return Parts(_read_libsvm(train), _read_libsvm(test))


def _read_libsvm(path: Path) -> Split:
    """Read lines of a label in 1..10 (for the digits 0 to 9) and 256 times `index:value`, values in [-1, 1].

    Rounded to the nearest grey level, so that they are those of the .npz file.
    """
    try:
        lines = bz2.decompress(path.read_bytes()).split(b"\n")
        table = np.array([line.replace(b":", b" ").split() for line in lines if line.strip()], np.float64)
    except (OSError, EOFError, ValueError) as error:
        raise DatasetError(f"{path}: cannot be read ({error})", remedy="download the file again") from error
    pixels = table[:, 2::2] if table.ndim == 2 else table
    count = USPS_SIDE_PX**2
    if pixels.shape[1:] != (count,) or not (table[:, 1::2] == np.arange(1, count + 1)).all():
        raise DatasetError(f"{path}: not {USPS_SIDE_PX}x{USPS_SIDE_PX} pixels in LIBSVM's format, in order")
    if not (np.abs(pixels) <= 1).all():
        raise DatasetError(f"{path}: pixels outside of -1 to 1")
    images = np.rint((pixels + 1) / 2 * 255).astype(np.uint8).reshape(-1, USPS_SIDE_PX, USPS_SIDE_PX)
    return Split(images, table[:, 0].astype(np.int64) - 1)


USPS: Final = register(
    NamedDataset(
        name="usps",
        alphabet=DIGITS,
        train=7_291,
        test=2_007,
        source="Hull 1994",
        layouts=(
            Layout(("usps.npz",), ("", "usps")),
            Layout(("usps.bz2", "usps.t.bz2"), ("usps", "USPS", "")),
        ),
        read=_read_usps,
        torchvision=("USPS", "usps"),
    )
)
"""Digits of postal codes, bright on black, official split."""
