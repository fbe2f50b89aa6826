"""Archives of image files whose names tell everything: the label, and which of them belong together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets.assembly import decode_members
from kalamos.datasets.dataset import SkippedFile
from kalamos.datasets.ragged import RaggedImages
from kalamos.datasets.sources import open_source
from kalamos.errors import DatasetError

__all__ = ["Members", "read_members"]


@dataclass(frozen=True)
class Members:
    """The images of an archive or a folder, with what their names say.

    Attributes:
        images: uint8 [N, H, W], or N images of different sizes.
        labels: int64 [N].
        names: the member that each image came from.
        problems: the members that are none of the dataset's images, or cannot be read.
    """

    images: NDArray[np.uint8] | RaggedImages
    labels: NDArray[np.int64]
    names: tuple[str, ...]
    problems: tuple[SkippedFile, ...]


def read_members(path: Path, label_of: Callable[[str], int | None], *, of: str, such_as: str) -> Members:
    """Decode the images of a zip archive, or of a folder, in natural order.

    Args:
        label_of: from a member's name to its label; None where it is none of the dataset's images.
        of: the dataset, as messages call it.
        such_as: a folder that it holds, for the remedy.

    Raises:
        DatasetError: `path` cannot be opened, or not one of its files is an image of the dataset.
    """
    with open_source(path) as source:
        problems = list(source.problems)
        members, labels = [], []
        for member in source.members:
            label = label_of(member)
            if label is None:
                problems.append(SkippedFile(member, f"not named like an image of {of}"))
            else:
                members.append(member)
                labels.append(label)
        images, kept, unreadable = decode_members(source.read, members)
    if not len(kept):
        raise DatasetError(f"{path}: no image of {of} in it", remedy=f"it holds folders such as {such_as!r}")
    names = tuple(members[position] for position in kept.tolist())
    return Members(images, np.array(labels, np.int64)[kept], names, (*problems, *unreadable))
