"""The formats by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import BinaryIO, Final

from kalamos.errors import UsageError, suggest
from kalamos.writers.ascii_codes import AsciiWriter
from kalamos.writers.base import Writer
from kalamos.writers.csv_table import CsvWriter
from kalamos.writers.json_objects import JsonLinesWriter, JsonWriter
from kalamos.writers.parquet_table import ParquetWriter
from kalamos.writers.text import TextWriter

__all__ = ["FORMATS", "format_for", "open_writer"]

_WRITERS: Final[Mapping[str, type[Writer]]] = MappingProxyType(
    {
        "text": TextWriter,
        "ascii": AsciiWriter,
        "csv": CsvWriter,
        "json": JsonWriter,
        "jsonl": JsonLinesWriter,
        "parquet": ParquetWriter,
    }
)
_SUFFIXES: Final[Mapping[str, str]] = MappingProxyType(
    {
        ".txt": "text",
        ".csv": "csv",
        ".json": "json",
        ".jsonl": "jsonl",
        ".ndjson": "jsonl",
        ".parquet": "parquet",
    }
)

FORMATS: Final[tuple[str, ...]] = tuple(_WRITERS)
"""The names that `open_writer` takes."""


def format_for(path: str) -> str | None:
    """The format that the suffix of `path` implies, in whatever case; None if it implies none.

    >>> format_for("out/labels.CSV"), format_for("labels")
    ('csv', None)
    """
    return _SUFFIXES.get(PurePath(path).suffix.lower())


def open_writer(
    format: str,  # noqa: A002
    sink: BinaryIO,
    *,
    labels: Sequence[str],
    top_k: int,
    removed: bool = False,
) -> Writer:
    r"""A writer of `format` (one of `FORMATS`) to `sink`, which stays open when the writer is closed.

    `labels` are all that the model can answer, `top_k` (0 or more) is how many candidates of each
    prediction are written; with `removed`, each row of csv, json, jsonl and parquet also tells what the
    charset took away. Raises `UsageError` for an unknown format, a negative `top_k` or labels
    that the format cannot hold, and `MissingExtraError` where the format needs an extra.

    >>> import io
    >>> from kalamos.predictions import Prediction
    >>> sink = io.BytesIO()
    >>> with open_writer("ascii", sink, labels="0123456789", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, path="img/7.png"))
    >>> sink.getvalue()
    b'55, img/7.png\n'
    """
    if format not in _WRITERS:
        raise UsageError(f"no output format is called {format!r}", remedy=suggest(format, FORMATS))
    if top_k < 0:
        raise UsageError(f"top_k is {top_k}", remedy="give the number of candidates to write, 0 or more")
    return _WRITERS[format](sink, labels=labels, top_k=top_k, removed=removed)
