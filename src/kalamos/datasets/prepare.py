"""Run a split through the preprocessing of a recipe or a model, once, for training."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.dataset import Split
from kalamos.errors import DatasetError, NoInkError
from kalamos.preprocessing import Preprocessor

__all__ = ["prepare_split"]


def prepare_split(split: Split, preprocessor: Preprocessor) -> tuple[Split, NDArray[np.int64]]:
    """Apply the preprocessing to every image; the blank ones drop out.

    Returns:
        The prepared split (images uint8 [M, S, S]), and the indices int64 [N - M] of the blank images.

    Raises:
        DatasetError: every image is blank.
    """
    prepared, kept, blank = [], [], []
    for index, image in enumerate(split.images):
        try:
            prepared.append(preprocessor.image(image))
            kept.append(index)
        except NoInkError:
            blank.append(index)
    if not prepared:
        raise DatasetError("no image of the dataset has any ink on it")
    return Split(np.stack(prepared), split.labels[kept]), np.asarray(blank, np.int64)
