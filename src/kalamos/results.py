"""Predictions kept together."""

from __future__ import annotations

import os

from kalamos.predictions import Prediction
from kalamos.utils.atomic_write import atomic_write
from kalamos.writers import CsvStyle, Summary, check_ending, open_writer

__all__ = ["Results"]


class Results(list[Prediction]):
    """A list of predictions that can be saved and summed up.

    The files hold the same bytes as those that the command line writes, and appear whole or not
    at all (`kalamos.utils.atomic_write.atomic_write`). Each `to_…` raises `OutputError` where the file cannot
    be written, and `UsageError` where its name promises another format, such as a workbook.

    >>> results = Results([Prediction("7", 0.998), Prediction(None, 0.41, abstained=True)])
    >>> results.summary().read
    1
    """

    @property
    def failed(self) -> Results:
        """Those whose image could not be used."""
        return Results(prediction for prediction in self if prediction.error is not None)

    def summary(self) -> Summary:
        summary = Summary()
        for prediction in self:
            summary.add(prediction)
        return summary

    def to_csv(
        self, path: str | os.PathLike[str], *, top_k: int = 5, formula_guard: bool = True, bom: bool = False
    ) -> None:
        """Write CSV.

        Args:
            formula_guard: whether cells that a spreadsheet would run as formulas are made text; see
                `kalamos.writers.tables.CsvWriter`.
            bom: whether the file begins with a byte order mark, which Excel needs to read Arabic and accents.
        """
        self._write("csv", path, top_k, CsvStyle(formula_guard=formula_guard, bom=bom))

    def to_json(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        self._write("json", path, top_k)

    def to_jsonl(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        self._write("jsonl", path, top_k)

    def to_parquet(self, path: str | os.PathLike[str], *, top_k: int = 5) -> None:
        """Raises `MissingExtraError` where pyarrow is not installed."""
        self._write("parquet", path, top_k)

    def _write(
        self,
        format: str,  # noqa: A002
        path: str | os.PathLike[str],
        top_k: int,
        csv_style: CsvStyle = CsvStyle(),  # noqa: B008  (frozen)
    ) -> None:
        check_ending(os.fspath(path), format)
        restricted = any(prediction.removed is not None for prediction in self)
        # No labels: only the ascii format asks for them.
        with (
            atomic_write(path) as sink,
            open_writer(
                format, sink, labels=(), top_k=top_k, removed=restricted, csv_style=csv_style
            ) as writer,
        ):
            for prediction in self:
                writer.write(prediction)
