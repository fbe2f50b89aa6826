"""Images that lie on their side, or in a mirror: a shipped model reads them better once they are turned.

EMNIST's files are transposed, for one, and read as they are, hardly any of them is right.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.recognizer import Recognizer, load

if TYPE_CHECKING:
    from kalamos.inspection.checks import ImageIndex

__all__ = ["TURNS", "find_turn"]

Grey = NDArray[np.uint8]

MODELS: Final = ("digits", "latin", "arabic")
"""Shipped models that may know the labels."""

SAMPLE_IMAGES, MIN_IMAGES, MIN_CLASSES = 300, 30, 3
"""Images that are read, and what there has to be for an answer."""

MIN_KNOWN_FRACTION: Final = 0.8
"""Of the images: so many have labels that the model knows."""

MIN_GAIN, MIN_ACCURACY = 0.3, 0.5
"""Of the images read: turned ones are right more often by the first, and this often."""

TURNS: Final[Mapping[str, tuple[str, Callable[[Grey], Grey]]]] = {
    "transposed": ("image.T", lambda image: image.T),
    "mirrored": ("image[:, ::-1]", lambda image: image[:, ::-1]),
    "upside down in a mirror": ("image[::-1]", lambda image: image[::-1]),
    "turned upside down": ("image[::-1, ::-1]", lambda image: image[::-1, ::-1]),
    "turned to the left": ("numpy.rot90(image, -1)", lambda image: np.rot90(image, -1)),
    "turned to the right": ("numpy.rot90(image)", np.rot90),
    "transposed and turned upside down": ("image[::-1, ::-1].T", lambda image: image[::-1, ::-1].T),
}
"""What the images are, how NumPy turns them back, and the function that does."""


def find_turn(index: ImageIndex, labels: tuple[str, ...], seed: int = 0) -> str | None:
    """Say how the images are turned, how that shows, and how to turn them back; None if they are not.

    Args:
        index: the images.
        labels: of the dataset, in its order.
        seed: of the sample that is read.
    """
    chosen = _model_for(index, labels)
    if chosen is None:
        return None
    name, classes = chosen
    rows = np.flatnonzero(classes[index.labels] >= 0)
    rows = np.sort(np.random.default_rng(seed).permutation(rows)[:SAMPLE_IMAGES])
    reader = load(name)
    images, truth = [index[row] for row in rows.tolist()], classes[index.labels[rows]]
    upright = _accuracy(reader, images, truth)
    if upright >= 1 - MIN_GAIN:
        return None
    turned = {
        what: _accuracy(reader, [np.ascontiguousarray(back(image)) for image in images], truth)
        for what, (_, back) in TURNS.items()
    }
    what, best = max(turned.items(), key=lambda each: each[1])
    if best < max(MIN_ACCURACY, upright + MIN_GAIN):
        return None
    as_they_are = f"{name} reads {upright:.0%} of {len(rows):,} as they are"
    return f"{what}: {as_they_are}, and {best:.0%} after {TURNS[what][0]}"


def _model_for(index: ImageIndex, labels: tuple[str, ...]) -> tuple[str, NDArray[np.int64]] | None:
    """The model that knows most of the images' labels, and its class for each label, int64 [C]; -1: none."""
    from kalamos.model_file import read_spec
    from kalamos.zoo import model_path

    best: tuple[float, str, NDArray[np.int64]] | None = None
    for name in MODELS:
        classes = _classes(read_spec(model_path(name)).alphabet, labels)
        known = classes[index.labels] >= 0 if len(index) else np.zeros(0, bool)
        share = float(known.mean()) if len(known) else 0.0
        enough = int(known.sum()) >= MIN_IMAGES and len(np.unique(classes[classes >= 0])) >= MIN_CLASSES
        if enough and share >= MIN_KNOWN_FRACTION and (best is None or share > best[0]):
            best = share, name, classes
    return None if best is None else best[1:]


def _classes(alphabet: Alphabet, labels: tuple[str, ...]) -> NDArray[np.int64]:
    found = (alphabet.class_of(label) for label in labels)
    return np.array([-1 if known is None else known for known in found], np.int64)


def _accuracy(reader: Recognizer, images: list[Grey], truth: NDArray[np.int64]) -> float:
    right = 0
    for start in range(0, len(images), 64):
        found = reader.infer(images[start : start + 64])
        right += int((found.probabilities.argmax(axis=1) == truth[start + found.rows]).sum())
    return right / len(images)
