"""Archives of image files whose names hold the label."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kalamos.datasets.assembly import decode_members
from kalamos.datasets.dataset import SkippedFile, Split
from kalamos.datasets.sources import open_source
from kalamos.errors import DatasetError

__all__ = ["read_members"]


def read_members(
    path: Path, label_of: Callable[[str], int | None], *, dataset: str, example_folder: str
) -> tuple[Split, tuple[SkippedFile, ...]]:
    """Decode the images of a zip archive, or of a folder, in natural order.

    Args:
        path: the archive or folder.
        label_of: maps a member's name to its label; to None if it is not an image of the dataset.
        dataset: its name in messages.
        example_folder: a folder that it holds, for the remedy.

    Returns:
        The images with their labels and member names, without groups; and the members that are not images
        of the dataset or cannot be read.

    Raises:
        DatasetError: `path` cannot be opened, or none of its files is an image of the dataset.
    """
    with open_source(path) as source:
        labels = {member: label_of(member) for member in source.members}
        members = [member for member, label in labels.items() if label is not None]
        problems = [
            SkippedFile(member, f"not named like an image of {dataset}")
            for member, label in labels.items()
            if label is None
        ]
        images, kept, unreadable = decode_members(source.read, members)
    if not len(kept):
        raise DatasetError(
            f"{path}: no image of {dataset} in it", remedy=f"it holds folders such as {example_folder!r}"
        )
    names = tuple(members[position] for position in kept.tolist())
    split = Split(images, np.array([labels[name] for name in names], np.int64), names=names)
    return split, (*source.problems, *problems, *unreadable)
