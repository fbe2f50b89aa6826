"""A dataset as arrays: every image decoded once, grey, with its label and where it came from.

`prepare_split` runs the images through the preprocessing of a recipe or a model, once, for training.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import PurePath
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets.ragged import RaggedImages
from kalamos.errors import DatasetError, NoInkError
from kalamos.images import EXTENSIONS
from kalamos.images.files import display_name
from kalamos.inputs.files import file_kind, foreign_files
from kalamos.parallel import default_jobs, ordered_map
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage

__all__ = ["Dataset", "SkippedFile", "Split", "blank_images", "prepare_each", "prepare_split"]

_MANIFEST_LINE: Final = re.compile(r":\d+$")


@dataclass(frozen=True)
class SkippedFile:
    """A file or a folder that was skipped while the rest was loaded.

    >>> print(SkippedFile("7/scan.pdf", "not an image"))
    7/scan.pdf: not an image
    """

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"

    @property
    def lost(self) -> bool:
        """Whether it is an image, or a line that names one, by its name: then the data lack something.

        >>> SkippedFile("7/scan.png", "damaged").lost, SkippedFile("README.md", "no image").lost
        (True, False)
        """
        name = self.where.strip("'")  # an escaped name stands in quotes
        if PurePath(name).suffix.lower() in EXTENSIONS or _MANIFEST_LINE.search(name):
            return True
        kind = file_kind(name)
        return kind is not None and kind.is_convertible


def problems_hint(problems: Sequence[SkippedFile]) -> str:
    """Describe problems for an error message, in brackets after a space; empty if there are none.

    >>> problems_hint([SkippedFile("a/1.jxl", "not named like an image")])
    ' (1 JPEG XL image: convert it to JPEG or PNG (a/1.jxl))'
    >>> problems_hint([SkippedFile("a/1.png", "truncated")])
    ' (1 problem, the first: a/1.png: truncated)'
    """
    if not problems:
        return ""
    foreign = foreign_files(problem.where for problem in problems)
    if foreign.total:
        return f" ({foreign})"
    count = "1 problem" if len(problems) == 1 else f"{len(problems):,} problems"
    return f" ({count}, the first: {problems[0]})"


@dataclass(frozen=True, eq=False)
class Split:
    """Images and labels that belong together.

    Attributes:
        images: uint8 [N, H, W], or N images of different sizes.
        labels: int64 [N], indices into the dataset's alphabet.
        groups: int64 [N], the writer, font or block of each image, so that a split can keep a group on
            one side; None if unknown.
        names: the file or archive member that each image came from; None if it came from neither.

    Raises:
        DatasetError: a wrong dtype, or parts of different lengths.
    """

    images: NDArray[np.uint8] | RaggedImages
    labels: NDArray[np.int64]
    groups: NDArray[np.int64] | None = None
    names: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if isinstance(self.images, np.ndarray) and (self.images.ndim != 3 or self.images.dtype != np.uint8):
            raise DatasetError(
                f"images are {self.images.dtype} {self.images.shape}, where uint8 [N, H, W] is needed"
            )
        for kind, values in (("labels", self.labels), ("groups", self.groups)):
            if values is None:
                continue
            if values.shape != (len(self.images),):
                raise DatasetError(f"{len(self.images)} images came with {values.size} {kind}")
            if values.dtype.kind not in "iu":
                raise DatasetError(f"{kind} are {values.dtype}, where int64 is needed")
        if self.names is not None and len(self.names) != len(self.images):
            raise DatasetError(f"{len(self.images)} images came with {len(self.names)} names")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, indices: NDArray[Any]) -> Split:
        """Return the rows at `indices` int64 [M], in that order."""
        chosen = np.arange(len(self))[indices]
        return Split(
            self.images[chosen],
            self.labels[chosen],
            None if self.groups is None else self.groups[chosen],
            None if self.names is None else tuple(self.names[row] for row in chosen.tolist()),
        )

    def stack(self) -> NDArray[np.uint8]:
        """Return the images as one array uint8 [N, H, W]; without a copy if they are one already.

        Raises:
            DatasetError: their sizes differ.
        """
        return self.images.stack() if isinstance(self.images, RaggedImages) else self.images

    @cached_property
    def sha256(self) -> str:
        """Fingerprint of sizes, pixels and labels, hexadecimal: identifies the data of a measurement.

        Neither groups nor names change it, nor whether images of one size lie in an array.
        """
        images = self.images
        if isinstance(images, RaggedImages):
            height_and_width = images.shapes[0].tolist() if images.uniform else images.shapes.tolist()
            digest = hashlib.sha256(repr((len(images), *height_and_width)).encode())
            for image in images:
                digest.update(image.data)
        else:
            digest = hashlib.sha256(repr(images.shape).encode())
            digest.update(np.ascontiguousarray(images).data)
        digest.update(self.labels.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Dataset:
    """Labelled images with a name, and their official splits.

    Attributes:
        name: its name in reports.
        alphabet: what the labels mean.
        train: for training and validation; all images if there is no official test split.
        test: the official test split, for the final measurement only; None if there is none.
        source: whom to cite.
        grouped_by: what `Split.groups` stands for, such as "writer".
        problems: the files that were skipped while loading.
        val_rows: the rows of `train` that are the official validation part, int64; None if there is none,
            so that a training may choose its own.
        local: whether it was read from the user's own files, in which nobody has looked for copies.

    Raises:
        DatasetError: a label outside the alphabet.
    """

    name: str
    alphabet: Alphabet
    train: Split
    test: Split | None
    source: str
    grouped_by: str | None = None
    problems: tuple[SkippedFile, ...] = ()
    val_rows: NDArray[np.int64] | None = None
    local: bool = False

    def __post_init__(self) -> None:
        for where, split in (("train", self.train), ("test", self.test)):
            if split is None or not len(split):
                continue
            low, high = split.labels.min(), split.labels.max()
            if not 0 <= low <= high < len(self.alphabet):
                raise DatasetError(
                    f"{self.name} ({where}): labels run from {low} to {high}, "
                    f"but the alphabet {self.alphabet.name!r} has {len(self.alphabet)} classes"
                )


PREPARE_CHUNK_IMAGES: Final = 128
"""Images that a thread prepares at a time."""


def prepare_split(
    split: Split, preprocessor: Preprocessor, *, jobs: int | None = None
) -> tuple[Split, NDArray[np.int64]]:
    """Apply the preprocessing to every image; blank images drop out, with their labels, groups and names.

    Args:
        jobs: threads, which change nothing but the time; by default one per processor.

    Returns:
        The prepared split (images uint8 [M, S, S]), and the indices int64 [N - M] of the blank images.

    Raises:
        DatasetError: every image is blank.
        PreprocessingError: the steps do not make squares of one size.
    """
    size = preprocessor.output_size()
    images = np.empty((len(split), size, size), np.uint8)
    kept = np.zeros(len(split), bool)
    count = 0
    prepared_images = prepare_each(split.images.__getitem__, len(split), preprocessor, jobs=jobs)
    for row, image in enumerate(prepared_images):
        if not isinstance(image, NoInkError):
            images[count] = image
            kept[row] = True
            count += 1
    if not count:
        raise DatasetError("no image of the dataset has any ink on it")
    rows = np.flatnonzero(kept)
    prepared = Split(
        images[:count],
        split.labels[rows],
        None if split.groups is None else split.groups[rows],
        None if split.names is None else tuple(split.names[row] for row in rows.tolist()),
    )
    return prepared, np.flatnonzero(~kept)


def prepare_each(
    image_at: Callable[[int], GreyImage],
    count: int,
    preprocessor: Preprocessor,
    *,
    jobs: int | None = None,
    chunk: int = PREPARE_CHUNK_IMAGES,
) -> Iterator[GreyImage | NoInkError]:
    """Prepare `image_at(0)`, `image_at(1)`, ... on several threads, in order; a blank one gives its error."""

    def prepare(rows: list[int]) -> list[GreyImage | NoInkError]:
        return preprocessor.images([image_at(row) for row in rows])

    return ordered_map(prepare, range(count), chunk=chunk, jobs=jobs or default_jobs())


def blank_images(split: Split, rows: NDArray[np.int64]) -> tuple[SkippedFile, ...]:
    """List the images at rows int64 [K], on which `prepare_split` found no ink, as problems."""
    return tuple(
        SkippedFile(
            f"image {row}" if split.names is None else display_name(split.names[row]), NoInkError.summary
        )
        for row in rows.tolist()
    )
