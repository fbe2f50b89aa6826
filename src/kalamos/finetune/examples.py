"""Labelled examples for fine-tuning, and bent copies of them.

What is to be learnt: images with labels, from a dataset, a folder or a program.

Few examples made many: the same characters as other hands might have written them.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import CONTROL_CHARACTERS
from kalamos.datasets import ClassFolders, Dataset, SkippedFile, list_local, load_dataset, resolve_dataset
from kalamos.datasets.dataset import problems_hint
from kalamos.datasets.local import decode_members, label_of
from kalamos.errors import AlphabetError, DatasetError, ImageError
from kalamos.images import ImageSource, load_grey
from kalamos.preprocessing.steps import GreyImage

__all__ = ["Examples", "check_label", "hands_of_names", "load_examples", "variations"]

MAX_LABEL_CHARACTERS = 50
"""Characters: room for a ligature, a word or a name, not for a page."""


@dataclass(frozen=True)
class Examples:
    """Grey images with labels; one label is enough.

    Attributes:
        name: of the dataset, for the new model's record.
        images: uint8 [H, W] each.
        labels: composed (NFC), one an image.
        problems: what was passed over.
        names: the file that each image came from; None where there is none.
        groups: whose hand each is; None where it is not known.
        grouped_by: what says so.

    >>> import numpy as np
    >>> Examples.of([np.zeros((9, 9)), b"%PDF"], ["a", "b"]).problems[0].where
    'examples[1]'
    """

    name: str
    images: Sequence[GreyImage]
    labels: tuple[str, ...]
    problems: tuple[SkippedFile, ...] = ()
    names: tuple[str, ...] | None = None
    groups: tuple[str, ...] | None = None
    grouped_by: str = ""

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def of(cls, images: Iterable[ImageSource], labels: Iterable[str], name: str = "examples") -> Examples:
        """From images as `Recognizer.predict` takes them; those that cannot be read become problems.

        Raises:
            DatasetError: not as many labels as images.
            AlphabetError: see `check_label`.
        """
        sources, texts = list(images), [check_label(label) for label in labels]
        if len(sources) != len(texts):
            raise DatasetError(f"{len(sources)} images came with {len(texts)} labels")
        read: list[tuple[GreyImage, str]] = []
        problems = []
        for place, (source, text) in enumerate(zip(sources, texts, strict=True)):
            try:
                read.append((load_grey(source), text))
            except ImageError as error:
                problems.append(SkippedFile(f"{name}[{place}]", str(error)))
        return cls(name, [image for image, _ in read], tuple(text for _, text in read), tuple(problems))

    @classmethod
    def of_dataset(cls, dataset: Dataset) -> Examples:
        """Its training images; the official test split is left alone."""
        labels = tuple(check_label(dataset.alphabet.labels[row]) for row in dataset.train.labels.tolist())
        groups = None if dataset.train.groups is None else tuple(map(str, dataset.train.groups.tolist()))
        return cls(
            dataset.name,
            list(dataset.train.images),
            labels,
            dataset.problems,
            dataset.train.names,
            groups,
            "" if groups is None else f"the dataset's {dataset.grouped_by}s",
        )


def load_examples(
    name_or_path: str | os.PathLike[str],
    data_dir: str | os.PathLike[str] | None = None,
    *,
    classes: ClassFolders | None = None,
) -> Examples:
    """Read whatever `kalamos.datasets.load_dataset` reads, but a single class too.

    Args:
        name_or_path: as there.
        data_dir: as there.
        classes: as there.

    Raises:
        DatasetError: no such dataset, a damaged one, or one without an image that can be read.
        AlphabetError: see `check_label`.
    """
    found = resolve_dataset(name_or_path)
    if isinstance(found, str):
        return Examples.of_dataset(load_dataset(found, data_dir))
    with list_local(found, classes) as listing:
        rows = [row for row in listing.rows if row.part != "test"]
        texts = [check_label(row.label) for row in rows]
        images, kept, failed = decode_members(listing.read, [row.name for row in rows])
    problems = (*listing.problems, *failed)
    if not len(kept):
        hint = problems_hint(problems)
        raise DatasetError(
            f"{listing.name}: no example that can be read{hint}",
            remedy="have one sub-folder a class with images in it, or a CSV file with path,label",
        )
    chosen = kept.tolist()
    labels, names = tuple(texts[row] for row in chosen), tuple(rows[row].name for row in chosen)
    given = [rows[row].group for row in chosen]
    if any(group is not None for group in given):
        hands: tuple[str, ...] | None = tuple(group or "" for group in given)
        grouped_by = "the manifest's groups" if classes != "inner" else "the outer folders"
    else:
        hands, grouped_by = hands_of_names(names, labels)
    return Examples(listing.name, list(images), labels, problems, names, hands, grouped_by)


_LAST_NUMBER = re.compile(r"(\d+)\D*$")

MAX_UNNUMBERED_FRACTION: Final = 0.05
"""Of files without a number among numbered ones, which were put there by hand."""


def hands_of_names(names: Sequence[str], labels: Sequence[str]) -> tuple[tuple[str, ...] | None, str]:
    """Tell hands apart by folders below the classes' own, else by the last number of the files' names.

    Numbers say whose hand it is only where they recur from class to class, and none twice in one. The few
    files without a number are a hand of their own each.

    Returns:
        The groups, or None; and what told them.

    >>> hands_of_names(["a/w1-003.png", "a/w1-007.png", "b/w2-003.png", "b/w2-007.png"], "aabb")
    (('3', '7', '3', '7'), 'the last number of the file names')
    >>> hands_of_names(["a/anna/1.png", "b/anna/1.png", "a/ben/1.png"], "aba")[0]
    ('anna', 'anna', 'ben')
    """
    paths = [PurePosixPath(name.replace("\\", "/")) for name in names]
    folders = [
        path.parent.name if label_of(path.parent.name) != label else ""
        for path, label in zip(paths, labels, strict=True)
    ]
    if all(folders) and 1 < len(set(folders)) < len(names):
        return tuple(folders), "the folders below the classes"
    found = [_LAST_NUMBER.search(path.stem) for path in paths]
    numbers = tuple(str(int(match[1])) if match else name for match, name in zip(found, names, strict=True))
    unnumbered = sum(match is None for match in found)
    pairs = list(zip(labels, numbers, strict=True))
    classes, hands = len(set(labels)), len(set(numbers))
    # Each number stands in half of the classes on average, at least.
    recurring = classes > 1 and 2 * len(pairs) >= classes * (hands - unnumbered)
    if unnumbered <= MAX_UNNUMBERED_FRACTION * len(names) and len(set(pairs)) == len(pairs) and recurring:
        return numbers, "the last number of the file names"
    return None, ""


def check_label(label: str) -> str:
    """The label composed (NFC), without white space around it.

    Raises:
        AlphabetError: it is blank, holds control characters, or is longer than `MAX_LABEL_CHARACTERS`.

    >>> check_label(" ß ")
    'ß'
    """
    if not isinstance(label, str):
        raise AlphabetError(f"a label is text, not {type(label).__name__}", remedy="pass a str")
    composed = unicodedata.normalize("NFC", label).strip()
    if not composed:
        raise AlphabetError(f"the label {label[:20]!r} is blank", remedy="call the class by what can be seen")
    if CONTROL_CHARACTERS.search(composed):
        raise AlphabetError(f"the label {composed[:20]!r} has a control character", remedy="take it out")
    if len(composed) > MAX_LABEL_CHARACTERS:
        raise AlphabetError(
            f"the label {composed[:20]!r}... has {len(composed)} characters",
            remedy=f"have at most {MAX_LABEL_CHARACTERS}",
        )
    return composed


MAX_ROTATION_DEGREES, MAX_SHEAR, MAX_STRETCH, MAX_SHIFT_FRACTION = 10.0, 0.15, 0.12, 0.04
"""At most: degrees, radians' tangent, share of the size, share of the side."""

BEND_FRACTION, BEND_KNOTS = 0.03, 5
"""How far points are moved, as a share of the side, and how many control points a side has."""


def variations(image: GreyImage, count: int, generator: np.random.Generator) -> NDArray[np.uint8]:
    """A prepared image turned, slanted, stretched, moved and bent a little, and its pen changed.

    Args:
        image: uint8 [S, S], ink bright on black.
        count: how many, K.

    Returns:
        uint8 [K, S, S].

    >>> image = np.zeros((28, 28), np.uint8); image[4:24, 13:15] = 255
    >>> variations(image, 3, np.random.default_rng(0)).shape
    (3, 28, 28)
    """
    side = image.shape[0]
    middle = (side - 1) / 2
    grid = np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1) - middle  # [S, S, x and y]
    results = np.empty((count, side, side), np.uint8)
    for result in results:
        angle = np.deg2rad(generator.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES))
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        slant = np.array([[1, generator.uniform(-MAX_SHEAR, MAX_SHEAR)], [0, 1]])
        stretch = np.diag(1 + generator.uniform(-MAX_STRETCH, MAX_STRETCH, 2))
        bend = cv2.resize(
            generator.normal(0, BEND_FRACTION * side / 2, (BEND_KNOTS, BEND_KNOTS, 2)),
            (side, side),
            interpolation=cv2.INTER_CUBIC,
        )
        where = (
            grid @ (turn @ slant @ stretch).T
            + bend
            + generator.uniform(-MAX_SHIFT_FRACTION, MAX_SHIFT_FRACTION, 2) * side
            + middle
        )
        x, y = where.astype(np.float32).transpose(2, 0, 1)
        warped = cv2.remap(image, x, y, cv2.INTER_LINEAR)
        result[:] = _repenned(warped, generator.uniform(-0.5, 0.7))
    return results


def _repenned(image: NDArray[Any], amount: float) -> GreyImage:
    """Written with a thicker (above 0) or a thinner pen: part of the way to a dilation or an erosion."""
    kernel = np.ones((3, 3), np.uint8)
    changed = cv2.dilate(image, kernel) if amount > 0 else cv2.erode(image, kernel)
    mixed = cv2.addWeighted(changed, abs(amount), image, 1 - abs(amount), 0)
    return np.asarray(mixed, np.uint8)
