"""Images of different sizes in one buffer, in memory or, if they are too many, in a mapped file."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, Final, overload

import numpy as np
from numpy.typing import NDArray

from kalamos.errors import DatasetError

__all__ = ["MAX_BYTES_IN_MEMORY", "ImagesBuilder", "RaggedImages"]

MAX_BYTES_IN_MEMORY: Final = 1024**3
"""Pixels beyond 1 GiB, a million images of 32x32, go to a temporary file."""


class RaggedImages:
    """N grey images, of different sizes, as read-only views of one flat buffer.

    Args:
        pixels: uint8 [P], the rows of all images; not copied.
        starts: int64 [N], where each image begins in `pixels`.
        shapes: int64 [N, 2], its height and width in px.

    Raises:
        DatasetError: the arrays do not fit each other.

    >>> images = RaggedImages.of([np.zeros((2, 3), np.uint8), np.ones((1, 1), np.uint8)])
    >>> len(images), images[-1], images.shapes.tolist()
    (2, array([[1]], dtype=uint8), [[2, 3], [1, 1]])
    """

    def __init__(
        self, pixels: NDArray[np.uint8], starts: NDArray[np.int64], shapes: NDArray[np.int64]
    ) -> None:
        if pixels.dtype != np.uint8 or pixels.ndim != 1 or shapes.shape != (len(starts), 2):
            raise DatasetError(
                f"pixels {pixels.dtype} {pixels.shape}, starts {starts.shape} and shapes {shapes.shape} "
                "are not those of ragged images"
            )
        if len(starts) and (
            starts.min() < 0 or shapes.min() < 1 or (starts + shapes.prod(axis=1)).max() > len(pixels)
        ):
            raise DatasetError("ragged images reach outside their buffer, or have no pixels")
        self._pixels = pixels.view()
        self._pixels.flags.writeable = False  # images that were taken share it
        self._starts = starts
        self.shapes = shapes

    @classmethod
    def of(cls, images: Sequence[NDArray[np.uint8]]) -> RaggedImages:
        """Copy images uint8 [H, W] into one buffer."""
        shapes = np.array([image.shape for image in images], np.int64).reshape(-1, 2)
        ends = shapes.prod(axis=1).cumsum()
        pixels = [np.ravel(image) for image in images]
        return cls(np.concatenate(pixels) if pixels else np.zeros(0, np.uint8), _starts(ends), shapes)

    def __len__(self) -> int:
        return len(self._starts)

    def __repr__(self) -> str:
        if not len(self):
            return "<RaggedImages: none>"
        (low, left), (high, right) = self.shapes.min(axis=0).tolist(), self.shapes.max(axis=0).tolist()
        return f"<RaggedImages: {len(self)} of {low} to {high} x {left} to {right} px>"

    def __iter__(self) -> Iterator[NDArray[np.uint8]]:
        for position in range(len(self)):
            yield self[position]

    @overload
    def __getitem__(self, which: int | np.integer) -> NDArray[np.uint8]: ...

    @overload
    def __getitem__(self, which: slice | NDArray[np.integer] | NDArray[np.bool_]) -> RaggedImages: ...

    def __getitem__(
        self, which: int | np.integer | slice | NDArray[np.integer] | NDArray[np.bool_]
    ) -> NDArray[np.uint8] | RaggedImages:
        """One image uint8 [H, W], or the images that a slice, indices or a mask choose, without a copy."""
        starts = self._starts[which]
        if starts.ndim:
            return RaggedImages(self._pixels, starts, self.shapes[which])
        height, width = self.shapes[which].tolist()
        return self._pixels[starts : starts + height * width].reshape(height, width)

    @property
    def uniform(self) -> bool:
        """Whether there is one size: then `stack` works."""
        return len(self) > 0 and bool((self.shapes == self.shapes[0]).all())

    def stack(self) -> NDArray[np.uint8]:
        """All images in one array uint8 [N, H, W].

        Raises:
            DatasetError: their sizes differ, or there are none.
        """
        if not self.uniform:
            raise DatasetError(
                f"{len(self)} images of different sizes do not form an array",
                remedy="prepare them to one size first",
            )
        return np.stack(list(self))


class ImagesBuilder:
    """Collects images one by one into an array or `RaggedImages`.

    Args:
        max_in_memory: bytes above which the pixels go to a temporary file. It has no name where the
            system allows that, and its space is free again when the last array that uses it is gone.

    >>> builder = ImagesBuilder()
    >>> for side in (2, 3):
    ...     builder.append(np.full((side, side), side, np.uint8))
    >>> builder.finish()
    <RaggedImages: 2 of 2 to 3 x 2 to 3 px>
    """

    def __init__(self, max_in_memory: int = MAX_BYTES_IN_MEMORY) -> None:
        self._limit = max_in_memory
        self._memory = bytearray()
        self._file: IO[bytes] | None = None
        self._shapes: list[tuple[int, ...]] = []

    def __len__(self) -> int:
        return len(self._shapes)

    def append(self, image: NDArray[np.uint8]) -> None:
        """Add one image uint8 [H, W].

        Raises:
            DatasetError: the temporary file cannot be written.
        """
        self._shapes.append(image.shape)
        self._memory += image.tobytes()
        if len(self._memory) > (self._limit if self._file is None else _FLUSH_BYTES):
            self._flush()

    def finish(self) -> NDArray[np.uint8] | RaggedImages:
        """Return uint8 [N, H, W] if all images have one size, else `RaggedImages`.

        Raises:
            DatasetError: the temporary file cannot be written.
        """
        shapes = np.array(self._shapes, np.int64).reshape(-1, 2)
        if self._file is None:
            pixels = np.frombuffer(self._memory, np.uint8)
        else:
            self._flush()
            pixels = np.asarray(np.memmap(self._file, np.uint8, mode="r"))
            self._file.close()  # the map holds it
        if len(shapes) and (shapes == shapes[0]).all():
            return pixels.reshape(len(shapes), *shapes[0].tolist())
        return RaggedImages(pixels, _starts(shapes.prod(axis=1).cumsum()), shapes)

    def _flush(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="kalamos-")  # noqa: SIM115 (lives until `finish`)
            self._file.write(self._memory)
            self._file.flush()
        except OSError as error:
            raise DatasetError(
                f"more than {self._limit:,} bytes of pixels do not fit into a temporary file "
                f"({error.strerror or error})",
                remedy="set TMPDIR to a folder on a disk with room",
            ) from error
        self._memory.clear()


_FLUSH_BYTES: Final = 16 * 1024 * 1024


def _starts(ends: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.concatenate([np.zeros(1, np.int64), ends[:-1]])[: len(ends)]
