"""Which column of a table has the images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kalamos.errors import UsageError, suggest
from kalamos.images.files import display_name

__all__ = ["IMAGE_COLUMNS", "choose_column"]

IMAGE_COLUMNS: Final = frozenset(
    {"image", "images", "img", "path", "image_path", "file", "file_name", "filename", "file_path", "filepath"}
    | {"bytes", "image_bytes", "content"}
)
"""What columns of images are called, in lower case."""

_MAX_LISTED_COLUMNS = 20


def choose_column(columns: Sequence[str], asked: str | None, where: str, *, sure: Sequence[str] = ()) -> int:
    """The place of the column with the images: the one asked for; else the only one there is, the only one
    with a name such as `image`, `path`, `file`, `filename` or `bytes`, or the only one of `sure`.

    Args:
        columns: the table's columns.
        asked: a name; in another case it counts too, if that names one column.
        where: the table, in errors.
        sure: columns whose type shows that images are in them.

    Raises:
        UsageError: there is no such column, or it cannot be told; the message lists the columns.

    >>> choose_column(["id", "File", "label"], None, "a.csv")
    1
    >>> choose_column(["id", "label"], None, "a.csv")
    Traceback (most recent call last):
    kalamos.errors.UsageError: a.csv: which column has the images is unclear; name it with --column: id, label
    """
    table = display_name(where)
    if asked is not None:
        places = [place for place, name in enumerate(columns) if name == asked]
        places = places or _places(columns, {asked.strip().casefold()})
        if len(places) == 1:
            return places[0]
        if places:
            raise UsageError(
                f"{table}: {len(places)} columns are called {asked!r}", remedy="rename the others"
            )
        raise UsageError(f"{table}: no column is called {asked!r}", remedy=suggest(asked, _shown(columns)))
    if len(columns) == 1:
        return 0
    for candidates in (_places(columns, IMAGE_COLUMNS), [columns.index(name) for name in sure]):
        if len(candidates) == 1:
            return candidates[0]
    raise UsageError(
        f"{table}: which column has the images is unclear",
        remedy=f"name it with --column: {', '.join(_shown(columns))}",
    )


def _places(columns: Sequence[str], names: frozenset[str] | set[str]) -> list[int]:
    return [place for place, name in enumerate(columns) if name.strip().casefold() in names]


def _shown(columns: Sequence[str]) -> list[str]:
    more = len(columns) - _MAX_LISTED_COLUMNS
    names = [display_name(name) for name in columns[:_MAX_LISTED_COLUMNS]]
    return [*names, f"and {more:,} more"] if more > 0 else names
