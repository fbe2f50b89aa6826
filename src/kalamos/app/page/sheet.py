"""A folder that was read: its rows, in the order and the choice that a person looks at them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kalamos.errors import UsageError, suggest
from kalamos.predictions import Prediction

__all__ = ["ROW_FILTERS", "SORT_ORDERS", "Row", "Sheet"]

SORT_ORDERS: Final = ("Least sure first", "Most sure first", "By name")
ROW_FILTERS: Final = ("All", "Errors", "Not sure enough", "Checked", "Corrected")

CONFIDENCE_BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One image."""

    index: int
    """Its place in the sheet, from 0."""
    prediction: Prediction
    thumbnail: str
    """A data URI; "" where the image cannot be read."""
    stored: Path | None
    """Where its bytes lie as long as the session lasts."""


@dataclass
class Sheet:
    """The rows in name order, and what people said about them since.

    >>> sheet = Sheet("digits", ("1", "7"), [Row(0, Prediction("7", 0.6, path="a.png"), "", None)])
    >>> sheet.checked[0] = "1"
    >>> sheet.label(sheet.rows[0]), sheet.is_corrected(sheet.rows[0]), sheet.counts()
    ('1', True, {'1': 1})
    """

    model: str
    labels: tuple[str, ...]
    """All that the model can answer."""
    rows: list[Row]
    skipped: int = 0
    """Files of an archive that are no images by name."""
    checked: dict[int, str | None] = field(default_factory=dict)
    """Row -> the label that a person gave or agreed to; None where it is not a character."""

    def label(self, row: Row) -> str | None:
        """The label that counts: a person's, else the model's."""
        return self.checked.get(row.index, row.prediction.label)

    def is_corrected(self, row: Row) -> bool:
        """Whether a person said something else than the model's best guess."""
        top = row.prediction.top
        guess = top[0].label if top else row.prediction.label
        return row.index in self.checked and self.checked[row.index] != guess

    @property
    def corrected(self) -> int:
        """How many rows a person corrected."""
        return sum(map(self.is_corrected, self.rows))

    def view(self, order: str = "Least sure first", shown: str = "All", label: str = "") -> list[Row]:
        """The rows to show.

        Args:
            order: one of `SORT_ORDERS`. Errors count as less sure than any answer.
            shown: one of `ROW_FILTERS`.
            label: only rows with this label; "" for any.

        Raises:
            UsageError: an order or a choice that there is not.
        """
        for asked, known in ((order, SORT_ORDERS), (shown, ROW_FILTERS)):
            if asked not in known:
                raise UsageError(f"there is no {asked!r} here", remedy=suggest(asked, known))
        rows = [
            row
            for row in self.rows
            if (shown != "Errors" or row.prediction.error is not None)
            and (shown != "Not sure enough" or row.prediction.abstained)
            and (shown != "Checked" or row.index in self.checked)
            and (shown != "Corrected" or self.is_corrected(row))
            and (not label or self.label(row) == label)
        ]
        if order == "By name":
            return rows
        return sorted(rows, key=_certainty, reverse=order == "Most sure first")

    def doubtful(self) -> list[Row]:
        """What a person should look at, the least sure first: all that could be read and has ink."""
        rows = [row for row in self.rows if row.prediction.error is None]
        return sorted(rows, key=_certainty)

    def counts(self) -> Mapping[str, int]:
        """Label -> rows, the most frequent first."""
        labels = (self.label(row) for row in self.rows)
        return dict(Counter(label for label in labels if label is not None).most_common())

    def histogram(self) -> list[int]:
        """Rows in each tenth of the confidence."""
        bins = [0] * CONFIDENCE_BINS
        for row in self.rows:
            if row.prediction.confidence is not None:
                bins[min(CONFIDENCE_BINS - 1, int(row.prediction.confidence * CONFIDENCE_BINS))] += 1
        return bins


def _certainty(row: Row) -> float:
    return -1.0 if row.prediction.confidence is None else row.prediction.confidence
