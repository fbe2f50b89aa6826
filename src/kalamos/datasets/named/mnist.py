"""MNIST, and KMNIST in its shape and format: four IDX files each."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from kalamos.alphabets import DIGITS, Alphabet
from kalamos.datasets.dataset import Split
from kalamos.datasets.idx import read_idx
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import Layout

__all__ = ["HIRAGANA_10", "KMNIST", "MNIST"]

HIRAGANA_10: Final = Alphabet("hiragana-10", tuple("おきすつなはまやれを"))
"""One character for each row of the syllabary, in its modern form; the images show old ones."""

MNIST_FILES: Final = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)


def _read_mnist(paths: tuple[Path, ...]) -> Parts:
    train_images, train_labels, test_images, test_labels = paths
    return Parts(_idx_split(train_images, train_labels), _idx_split(test_images, test_labels))


def _idx_split(images: Path, labels: Path) -> Split:
    return Split(read_idx(images), read_idx(labels).astype(np.int64))


MNIST: Final = register(
    NamedDataset(
        name="mnist",
        alphabet=DIGITS,
        train=60_000,
        test=10_000,
        source="LeCun et al. 1998",
        layouts=(Layout(MNIST_FILES, ("mnist", "MNIST/raw", "mnist/raw", "mnist/MNIST/raw")),),
        read=_read_mnist,
        torchvision=("MNIST", "mnist"),
    )
)
"""Handwritten digits, 28x28 (LeCun et al. 1998), official files and split."""

KMNIST: Final = register(
    NamedDataset(
        name="kmnist",
        alphabet=HIRAGANA_10,
        train=60_000,
        test=10_000,
        source="Clanuwat et al. 2018",
        layouts=(Layout(MNIST_FILES, ("kmnist", "KMNIST/raw", "kmnist/raw", "kmnist/KMNIST/raw")),),
        read=_read_mnist,
        torchvision=("KMNIST", "kmnist"),
    )
)
"""Kuzushiji-MNIST: cursive hiragana of old prints, 28x28 (Clanuwat et al. 2018), official files and split."""
