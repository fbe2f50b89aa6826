"""What every writer has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from types import TracebackType
from typing import BinaryIO, Self

from kalamos.predictions import Prediction

__all__ = ["Writer"]


class Writer(ABC):
    """Writes predictions to a binary file as they come, one row an image.

    A context manager: a block that ends well closes the document. One that ends in an exception
    leaves it unfinished, so that half an answer is not taken for a whole one. The file beneath is
    never flushed or closed here; it belongs to whoever opened it.

    Args:
        labels: all that can be answered.
        top_k: candidates written of each prediction.
        removed: whether the rows tell what the charset took away (`Prediction.removed`).
    """

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, removed: bool = False) -> None:
        self._sink = sink
        self._labels = labels
        self._top_k = top_k
        self._removed = removed

    @abstractmethod
    def write(self, prediction: Prediction) -> None:
        """Append one row."""

    def close(self) -> None:  # noqa: B027 - most formats have nothing to finish
        """Finish the document. To be called once, after the last row."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
