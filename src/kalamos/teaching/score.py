"""What a model knows of held-back examples."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Score"]


@dataclass(frozen=True)
class Score:
    """Right answers on held-back examples; `known` are those of the labels that the old model has.

    >>> Score(1, 2, 3, 4).accuracy
    0.6666666666666666
    """

    known_right: int
    known_n: int
    new_right: int
    new_n: int

    @property
    def n(self) -> int:
        return self.known_n + self.new_n

    @property
    def accuracy(self) -> float | None:
        """In [0, 1]; None where nothing was held back."""
        return (self.known_right + self.new_right) / self.n if self.n else None

    @property
    def known_accuracy(self) -> float | None:
        return self.known_right / self.known_n if self.known_n else None

    @property
    def new_accuracy(self) -> float | None:
        return self.new_right / self.new_n if self.new_n else None
