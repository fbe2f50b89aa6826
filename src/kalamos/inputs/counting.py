"""How many images there are to read, where that can be known without reading them."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence

from kalamos.errors import UsageError
from kalamos.folders import ImageSearch, is_image_name
from kalamos.inputs.kinds import kind_of
from kalamos.inputs.search import STDIN
from kalamos.inputs.zips import list_zip
from kalamos.zip_entries import ZIP_DAMAGE

__all__ = ["count_images"]


def count_images(paths: Sequence[str]) -> int | None:
    """Count the rows that `InputSearch(paths)` will give; None where only reading tells.

    Names are listed and nothing is decoded: of a folder the names, of a zip its directory. A tar archive, a
    table and standard input tell only when they are read.

    >>> count_images(["samples"]) == len(list(ImageSearch(["samples"])))
    True
    >>> count_images(["-"]) is None
    True
    """
    total = 0
    try:
        for path, was_named in ImageSearch(paths, refuse_absent=True).entries():
            kind = kind_of(path) if was_named and path != STDIN else None
            if path == STDIN or kind not in {None, "zip"}:
                return None
            total += 1 if kind is None else _count_zip(path)
    except (OSError, UsageError, *ZIP_DAMAGE):
        return None
    return total


def _count_zip(path: str) -> int:
    """Count the images in a zip; an archive without any is itself one row."""
    with zipfile.ZipFile(path) as archive:
        return max(1, sum(is_image_name(name) for name, _ in list_zip(archive)))
