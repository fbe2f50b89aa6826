"""Output formats: text, ASCII codes, CSV, JSON, JSON Lines, Parquet and xlsx, by name or by the file's name.

Rows are written as they come, so memory does not grow with their number.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

from kalamos.errors import UsageError, suggest
from kalamos.writers.base import OPTIONAL_COLUMNS, Summary, Writer, columns_of, one_line
from kalamos.writers.spreadsheet import XlsxWriter
from kalamos.writers.tables import CsvStyle, CsvWriter, JsonLinesWriter, JsonWriter, ParquetWriter
from kalamos.writers.text import AsciiWriter, TextWriter

__all__ = [
    "BINARY_FORMATS",
    "FORMATS",
    "OPTIONAL_COLUMNS",
    "CsvStyle",
    "Summary",
    "Writer",
    "check_ending",
    "columns_of",
    "format_for",
    "open_writer",
]


class Format(NamedTuple):
    """An output format: its writer, and the file extensions that imply it."""

    writer: type[Writer]
    suffixes: tuple[str, ...] = ()


_FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {
        "text": Format(TextWriter, (".txt",)),
        "ascii": Format(AsciiWriter),
        "csv": Format(CsvWriter, (".csv",)),
        "json": Format(JsonWriter, (".json",)),
        "jsonl": Format(JsonLinesWriter, (".jsonl", ".ndjson")),
        "parquet": Format(ParquetWriter, (".parquet",)),
        "xlsx": Format(XlsxWriter, (".xlsx",)),
    }
)
"""Every output format. A new one is a `Writer` and a line here."""

_FORMAT_BY_SUFFIX: Final = {suffix: name for name, each in _FORMATS.items() for suffix in each.suffixes}

_WORKBOOK_SUFFIXES: Final = frozenset({
    ".xlsm", ".xlsb", ".xltx", ".xltm", ".xls", ".xlt", ".xlw", ".ods", ".ots", ".fods", ".sxc",
    ".numbers", ".gsheet", ".et", ".wk1", ".wks", ".123",
})  # fmt: skip
_OTHER_SUFFIXES: Final = frozenset({
    ".tsv", ".tab", ".html", ".htm", ".xml", ".yaml", ".yml", ".toml", ".md", ".rst", ".tex", ".svg",
    ".pdf", ".ps", ".doc", ".docx", ".odt", ".rtf", ".pages", ".ppt", ".pptx", ".odp", ".key", ".epub",
    ".zip", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".zst", ".7z", ".rar", ".feather", ".arrow", ".orc",
    ".avro", ".db", ".sqlite", ".sqlite3", ".mdb", ".accdb", ".dbf", ".h5", ".hdf5", ".npy", ".npz",
    ".mat", ".pkl", ".pickle", ".onnx", ".pt", ".pt2", ".pth", ".safetensors", ".py", ".ipynb", ".sh",
    ".bat", ".exe", ".mp4", ".mov", ".mp3", ".wav", ".heic", ".heif", ".avif", ".jxl",
})  # fmt: skip
"""Files that other programs open: rows under such a name would be taken for something else."""

FORMATS: Final[tuple[str, ...]] = tuple(_FORMATS)
"""The names that `open_writer` takes."""

BINARY_FORMATS: Final = frozenset({"parquet", "xlsx"})
"""Those that are no text, and need a file."""


def format_for(path: str) -> str | None:
    """Tell the format that the extension of `path` implies, in upper or lower case; None if it implies none.

    >>> format_for("out/labels.CSV"), format_for("labels")
    ('csv', None)
    """
    return _FORMAT_BY_SUFFIX.get(PurePath(path).suffix.lower())


def check_ending(path: str, format: str | None) -> None:  # noqa: A002
    """Refuse a file name whose ending contradicts the format written under it.

    `.txt` may hold any text; an ending that no program claims may hold anything.

    Args:
        path: the output file.
        format: one of `FORMATS`; None for the one that the ending implies, else text.

    Raises:
        UsageError: the ending is that of a workbook, of another kind of document, or of another format.

    >>> check_ending("labels.ods", None)
    Traceback (most recent call last):
    kalamos.errors.UsageError: labels.ods: kalamos writes no workbooks but .xlsx; name a .xlsx or a .csv file
    """
    ending = PurePath(path.strip()).suffix.lower().rstrip()
    where = one_line(path)
    if ending in _WORKBOOK_SUFFIXES:
        raise UsageError(
            f"{where}: kalamos writes no workbooks but .xlsx", remedy="name a .xlsx or a .csv file"
        )
    if ending in _OTHER_SUFFIXES:
        raise UsageError(
            f"{where}: kalamos writes no {ending} files of predictions",
            remedy=f"choose from: {', '.join(_FORMAT_BY_SUFFIX)}",
        )
    implied = _FORMAT_BY_SUFFIX.get(ending)
    if format is not None and implied not in {None, "text", format}:
        raise UsageError(
            f"{where}: the name of a {implied} file, for the format {format}",
            remedy=f"use -f {implied}, or another name",
        )
    if format in BINARY_FORMATS and implied == "text":
        raise UsageError(f"{where}: the name of a text file, for {format}", remedy=f"name a .{format} file")


def open_writer(
    format: str,  # noqa: A002
    sink: BinaryIO,
    *,
    labels: Sequence[str],
    top_k: int,
    columns: Sequence[str] = (),
    csv_style: CsvStyle = CsvStyle(),  # noqa: B008  (frozen)
) -> Writer:
    r"""Open a writer of `format` to `sink`, which stays open when the writer is closed.

    Args:
        format: one of `FORMATS`.
        sink: a binary file.
        labels: all labels that the model can give.
        top_k: candidates to write of each prediction, 0 or more.
        columns: which of `OPTIONAL_COLUMNS` rows of csv, json, jsonl, parquet and xlsx have too.
        csv_style: how CSV is written.

    Raises:
        UsageError: an unknown format, a negative `top_k`, or labels that the format cannot hold.
        MissingExtraError: the format needs an extra.

    >>> import io
    >>> from kalamos.predictions import Prediction
    >>> sink = io.BytesIO()
    >>> with open_writer("ascii", sink, labels="0123456789", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, path="img/7.png"))
    >>> sink.getvalue()
    b'55, img/7.png\n'
    """
    if format not in _FORMATS:
        raise UsageError(f"no output format is called {format!r}", remedy=suggest(format, FORMATS))
    if top_k < 0:
        raise UsageError(f"top_k is {top_k}", remedy="give the number of candidates to write, 0 or more")
    if format == "csv":
        return CsvWriter(sink, labels=labels, top_k=top_k, columns=columns, style=csv_style)
    return _FORMATS[format].writer(sink, labels=labels, top_k=top_k, columns=columns)
