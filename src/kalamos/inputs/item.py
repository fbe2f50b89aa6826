"""What a stream of inputs is made of, and what a reader has to know of each."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError
from kalamos.images import decode_grey, load_grey
from kalamos.images.files import display_name, read_file

if TYPE_CHECKING:
    from kalamos.images import ImageSource

__all__ = [
    "STDIN_NAME",
    "Item",
    "Member",
    "PassedOverName",
    "bytes_held",
    "fetched",
    "is_heavy",
    "load_item",
    "name_of",
]

STDIN_NAME = "stdin"
"""Of what standard input brings; not `-`, which a spreadsheet takes for a formula."""

HEAVY_BYTES, HEAVY_PIXELS = 100_000, 1_000_000
"""A file or an array above this is shared out by itself."""


class Member(NamedTuple):
    """One image of a container. Can be pickled, hashed and sent to another process.

    >>> Member("forms.zip/7.png", b"GIF89a").name
    'forms.zip/7.png'
    """

    name: str
    """What its row says in `path`; never a path to open."""
    content: bytes | ImageError
    """The encoded image, or why there is none."""


class PassedOverName(NamedTuple):
    """A member of an archive whose name is no image's."""

    name: str


Item: TypeAlias = str | Member
"""A path, or what a container held."""


def load_item(source: ImageSource | Member, *, enough_pixels: int | None = None) -> NDArray[np.uint8]:
    """`kalamos.images.load_grey`, for members too.

    Raises:
        ImageError: see there; or the one that a member has in place of its bytes.
    """
    if not isinstance(source, Member):
        return load_grey(source, enough_pixels=enough_pixels)
    if isinstance(source.content, ImageError):
        raise source.content
    return decode_grey(source.content, where=display_name(source.name), enough_pixels=enough_pixels)


def fetched(source: ImageSource | Member) -> ImageSource | Member:
    """A path's file, read, or the error that reading it raised; anything else as it is.

    Reading some small files and decoding them afterwards is faster by a fifth than doing both one by one.

    >>> fetched("missing.png")
    Member(name='missing.png', content=ImageNotFoundError('missing.png: no such file'))
    """
    if not isinstance(source, str):
        return source
    try:
        return Member(source, read_file(source))
    except ImageError as error:
        return Member(source, error)


def name_of(source: ImageSource | Member) -> str | None:
    """What a source's row says in `path`; None for what has no name."""
    if isinstance(source, str):
        return source
    if isinstance(source, Member):
        return source.name
    return Path(source).as_posix() if isinstance(source, os.PathLike) else None


def bytes_held(source: ImageSource | Member) -> int:
    """The memory that a source brings with it; a path brings none."""
    content = source.content if isinstance(source, Member) else source
    if isinstance(content, np.ndarray):
        return content.nbytes
    return len(content) if isinstance(content, bytes | bytearray) else 0


def is_heavy(source: ImageSource | Member) -> bool:
    """Whether an image takes long enough to be worth a thread: a photograph, not a character's crop."""
    if isinstance(source, str | os.PathLike):
        try:
            return os.stat(source).st_size > HEAVY_BYTES  # noqa: PTH116  (this runs once an image)
        except (OSError, ValueError):
            return False
    if isinstance(source, np.ndarray):
        return source.size > HEAVY_PIXELS
    return bytes_held(source) > HEAVY_BYTES
