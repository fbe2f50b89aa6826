"""Looking through a sheet, the least sure first."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kalamos.app.page.sheet import Row, Sheet
from kalamos.errors import UsageError
from kalamos.teaching.examples import check_label

__all__ = ["Review", "checked_label"]

T = TypeVar("T")


@dataclass
class Review(Generic[T]):
    """A queue of rows, and the way back.

    >>> from kalamos.predictions import Candidate, Prediction
    >>> sheet = Sheet("digits", ("1", "7"), [
    ...     Row(at, Prediction(label, sure, (Candidate(label, sure),)), "", None)
    ...     for at, (label, sure) in enumerate([("7", 0.9), ("1", 0.5)])
    ... ])
    >>> review = Review(sheet)
    >>> review.current.index, review.settle("7", "kept 1"), review.current.index
    (1, None, 0)
    >>> review.undo(), review.current.index, sheet.checked
    ('kept 1', 1, {})
    """

    sheet: Sheet
    queue: list[Row] = field(default_factory=list)
    position: int = 0
    _settled: list[tuple[int, T]] = field(default_factory=list)
    """Positions that were given a label, in the order in which they were, and what was kept of each."""

    def __post_init__(self) -> None:
        self.queue = self.sheet.doubtful()

    @property
    def current(self) -> Row | None:
        """What is to be looked at; None at the end."""
        return self.queue[self.position] if self.position < len(self.queue) else None

    @property
    def settled(self) -> int:
        """How many have been given a label."""
        return len(self._settled)

    def settle(self, label: str | None, kept: T) -> None:
        """Give the current row a label, None for "not a character", and go on; `undo` gives `kept` back.

        Raises:
            UsageError: at the end.
        """
        if self.current is None:
            raise UsageError("there is nothing left to check")
        self.sheet.checked[self.current.index] = label
        self._settled.append((self.position, kept))
        self.position += 1

    def skip(self) -> None:
        """Go on without a label."""
        self.position = min(self.position + 1, len(self.queue))

    def undo(self) -> T | None:
        """Take the last label back and return to its row; returns what was kept of it, None for none."""
        if not self._settled:
            return None
        self.position, kept = self._settled.pop()
        del self.sheet.checked[self.queue[self.position].index]
        return kept


def checked_label(text: str | None) -> str:
    """A label as a person typed it, composed (NFC) and without the spaces around it; "" for none.

    Raises:
        AlphabetError: too long, of spaces alone, or with control characters.

    >>> checked_label(" ب ")
    'ب'
    """
    return check_label(text) if text else ""
