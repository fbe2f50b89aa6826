"""Write drawn characters as a dataset that recipes can name."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets.local import folder_of
from kalamos.utils.atomic_write import temporary_folder

__all__ = ["write_dataset"]


def write_dataset(
    images: Iterable[tuple[str, str, NDArray[np.uint8]]], output: Path, alphabet: Alphabet = DIGITS
) -> None:
    """Write the alphabet's manifest, such as OUTPUT/digits.csv, and a folder for each class, or nothing.

    Args:
        images: group, label and picture, uint8 [H, W].
        output: a folder that does not exist.
        alphabet: what the labels are of; a dataset has the name of its manifest, which tells merged cases.
    """
    rows = [("path", "label", "group")]
    with temporary_folder(output) as writing:
        for label in alphabet.labels:
            (writing / folder_of(label)).mkdir()
        for number, (group, label, image) in enumerate(images):
            name = f"{folder_of(label)}/{number}.png"
            (writing / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
            rows.append((name, label, group))
        with (writing / f"{alphabet.name}.csv").open("w", newline="") as table:
            csv.writer(table, lineterminator="\n").writerows(rows)
        writing.rename(output)
    print(f"{len(rows) - 1:,} images: {output}")
