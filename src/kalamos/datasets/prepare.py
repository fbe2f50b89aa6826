"""Run a split through the preprocessing of a recipe or a model, once, for training."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.dataset import SkippedFile, Split
from kalamos.errors import DatasetError, NoInkError
from kalamos.images.files import display_name
from kalamos.preprocessing import Preprocessor
from kalamos.preprocessing.steps import GreyImage
from kalamos.streaming import GilGate, default_jobs, ordered_map

__all__ = ["blank_images", "prepare_each", "prepare_split"]

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
    turns = GilGate()

    def prepare(rows: list[int]) -> list[GreyImage | NoInkError]:
        with turns.take() as done:
            prepared = preprocessor.images([image_at(row) for row in rows])
            for _ in rows:
                done()
            return prepared

    return ordered_map(prepare, range(count), chunk=chunk, jobs=jobs or default_jobs())


def blank_images(split: Split, rows: NDArray[np.int64]) -> tuple[SkippedFile, ...]:
    """List the images at rows int64 [K], on which `prepare_split` found no ink, as problems."""
    return tuple(
        SkippedFile(
            f"image {row}" if split.names is None else display_name(split.names[row]), NoInkError.summary
        )
        for row in rows.tolist()
    )
