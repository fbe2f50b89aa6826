"""The formats by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePath
from types import MappingProxyType
from typing import BinaryIO, Final

from kalamos.errors import UsageError, suggest
from kalamos.writers.ascii_codes import AsciiWriter
from kalamos.writers.base import Writer
from kalamos.writers.csv_table import CsvStyle, CsvWriter
from kalamos.writers.escape import one_line
from kalamos.writers.json_objects import JsonLinesWriter, JsonWriter
from kalamos.writers.parquet_table import ParquetWriter
from kalamos.writers.text import TextWriter

__all__ = ["FORMATS", "check_ending", "format_for", "open_writer"]

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

_WORKBOOKS: Final = frozenset(
    [
        ".xlsx",
        ".xlsm",
        ".xlsb",
        ".xltx",
        ".xltm",
        ".xls",
        ".xlt",
        ".xlw",
        ".ods",
        ".ots",
        ".fods",
        ".sxc",
        ".numbers",
        ".gsheet",
        ".et",
        ".wk1",
        ".wks",
        ".123",
    ]
)
_OTHERS: Final = frozenset(
    [
        ".tsv",
        ".tab",
        ".html",
        ".htm",
        ".xml",
        ".yaml",
        ".yml",
        ".toml",
        ".md",
        ".rst",
        ".tex",
        ".svg",
        ".pdf",
        ".ps",
        ".doc",
        ".docx",
        ".odt",
        ".rtf",
        ".pages",
        ".ppt",
        ".pptx",
        ".odp",
        ".key",
        ".epub",
        ".zip",
        ".tar",
        ".gz",
        ".tgz",
        ".bz2",
        ".xz",
        ".zst",
        ".7z",
        ".rar",
        ".feather",
        ".arrow",
        ".orc",
        ".avro",
        ".db",
        ".sqlite",
        ".sqlite3",
        ".mdb",
        ".accdb",
        ".dbf",
        ".h5",
        ".hdf5",
        ".npy",
        ".npz",
        ".mat",
        ".pkl",
        ".pickle",
        ".onnx",
        ".pt",
        ".pt2",
        ".pth",
        ".safetensors",
        ".py",
        ".ipynb",
        ".sh",
        ".bat",
        ".exe",
        ".mp4",
        ".mov",
        ".mp3",
        ".wav",
        ".heic",
        ".heif",
        ".avif",
        ".jxl",
    ]
)
"""Endings of files that other programs open: rows under such a name would be taken for something else."""

FORMATS: Final[tuple[str, ...]] = tuple(_WRITERS)
"""The names that `open_writer` takes."""


def format_for(path: str) -> str | None:
    """The format that the suffix of `path` implies, in whatever case; None if it implies none.

    >>> format_for("out/labels.CSV"), format_for("labels")
    ('csv', None)
    """
    return _SUFFIXES.get(PurePath(path).suffix.lower())


def check_ending(path: str, format: str | None) -> None:  # noqa: A002
    """Refuse a file name whose ending promises something else than would be in the file.

    `.txt` may hold any text; an ending that no program opens as its own may hold anything.

    Args:
        path: the output's.
        format: one of `FORMATS`; None for the one that the ending implies, else text.

    Raises:
        UsageError: the name of a workbook, of another kind of document, or of another format.

    >>> check_ending("labels.xlsx", "csv")
    Traceback (most recent call last):
    kalamos.errors.UsageError: labels.xlsx: kalamos writes no workbooks; name a .csv file and open that ...
    """
    ending = PurePath(path.strip()).suffix.lower().rstrip()
    where = one_line(path)
    if ending in _WORKBOOKS:
        raise UsageError(
            f"{where}: kalamos writes no workbooks",
            remedy="name a .csv file and open that (--bom for Excel)",
        )
    if ending in _OTHERS:
        raise UsageError(
            f"{where}: kalamos writes no {ending} files of predictions",
            remedy=f"choose from: {', '.join(_SUFFIXES)}",
        )
    implied = _SUFFIXES.get(ending)
    if format is not None and implied not in {None, "text", format}:
        raise UsageError(
            f"{where}: the name of a {implied} file, for the format {format}",
            remedy=f"use -f {implied}, or another name",
        )
    if format == "parquet" and implied == "text":
        raise UsageError(f"{where}: the name of a text file, for Parquet", remedy="name a .parquet file")


def open_writer(
    format: str,  # noqa: A002
    sink: BinaryIO,
    *,
    labels: Sequence[str],
    top_k: int,
    removed: bool = False,
    csv_style: CsvStyle = CsvStyle(),  # noqa: B008  (frozen)
) -> Writer:
    r"""A writer of `format` (one of `FORMATS`) to `sink`, which stays open when the writer is closed.

    `labels` are all that the model can answer, `top_k` (0 or more) is how many candidates of each
    prediction are written; with `removed`, each row of csv, json, jsonl and parquet also tells what the
    charset took away; `csv_style` is how CSV is written. Raises `UsageError` for an unknown format, a
    negative `top_k` or labels that the format cannot hold, and `MissingExtraError` where the format needs
    an extra.

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
    if format == "csv":
        return CsvWriter(sink, labels=labels, top_k=top_k, removed=removed, style=csv_style)
    return _WRITERS[format](sink, labels=labels, top_k=top_k, removed=removed)
