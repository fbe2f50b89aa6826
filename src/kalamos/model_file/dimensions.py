"""Sizes of tensors whose first dimension depends on the number of images in a run.

A dimension is a whole number, or a multiple of that number of images: exporters write nothing else. So
every size grows with the images, and a bound that holds for 64 of them holds for fewer.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["Batch", "Count", "Dimension", "Shape", "count_of", "shown_shape", "single"]

MAX_NUMBER: Final = 2**53
"""Beyond this no size is told; onnxruntime's own arithmetic wraps at 2**63."""


@dataclass(frozen=True, slots=True)
class Batch:
    """`times` as many as there are images in a run."""

    times: int

    def __str__(self) -> str:
        return "N" if self.times == 1 else f"{self.times}N"


Dimension: TypeAlias = int | Batch
Shape: TypeAlias = tuple[Dimension, ...]


@dataclass(frozen=True, slots=True)
class Count:
    """`times` x N to the `power`, N being the number of images in a run.

    >>> (Count(3, 1) * Count(2, 1)).at(10)
    600
    """

    times: int
    power: int = 0

    def __mul__(self, other: Count) -> Count:
        return Count(self.times * other.times, self.power + other.power)

    def at(self, images: int) -> int:
        """The number for a run of so many images."""
        grown: int = images**self.power
        return self.times * grown

    def over(self, other: Count) -> Count | None:
        """The quotient; None where it leaves a rest or does not grow with N."""
        if other.times < 1 or self.times % other.times or self.power < other.power:
            return None
        return Count(self.times // other.times, self.power - other.power)


def count_of(shape: Iterable[Dimension]) -> Count:
    """The elements of a tensor.

    >>> count_of((Batch(2), 3, 4))
    Count(times=24, power=1)
    """
    shape = tuple(shape)
    times = math.prod(side.times if isinstance(side, Batch) else side for side in shape)
    return Count(times, sum(isinstance(side, Batch) for side in shape))


def single(count: Count) -> Dimension | None:
    """One dimension of so many; None where N is in it more than once, or it is too large to tell."""
    if count.power > 1 or count.times > MAX_NUMBER:
        return None
    return Batch(count.times) if count.power and count.times else count.times


def shown_shape(shape: Sequence[Dimension]) -> str:
    """The shape for a message.

    >>> shown_shape((Batch(1), 3))
    '[N, 3]'
    """
    return f"[{', '.join(map(str, shape))}]"
