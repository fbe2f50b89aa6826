"""CSV (RFC 4180, but with Unix line ends), JSON and JSON Lines (RFC 8259), and Parquet."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Final

from kalamos.errors import MissingExtraError
from kalamos.predictions import Prediction
from kalamos.writers.base import Writer, encodable, one_line, without_controls

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = [
    "CsvStyle",
    "CsvWriter",
    "JsonLinesWriter",
    "JsonWriter",
    "ParquetWriter",
    "json_object",
    "text_cell",
]

_FORMULA: Final = re.compile(
    # Where a spreadsheet may begin a cell: at the start, and where it may split what RFC 4180 keeps together.
    "(^|[;|\\t\\n\\v\\f\\r\\x85\u2028\u2029])"
    # What it may skip before it looks for a formula; then how one begins, full width (Japanese) included.
    '(?=[\\s"\ufeff\u200b]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|"*[\\t\\r])'
)
_MAY_BEGIN_ONE: Final = frozenset('=+-@\uff1d\uff0b\uff0d\uff20 "')
_SPECIAL: Final = re.compile('[",;|]')
_NEEDS_QUOTES = re.compile('[",\r\n]')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

# JSON may hold these as they are, but `str.splitlines` and JavaScript before 2019 end a line at some, a
# terminal obeys some, and some turn the order of what is shown. Escaped, they are the same text to a reader.
_ESCAPED = re.compile("[\x7f-\x9f\u2028-\u202e\u2066-\u2069]")
_encode = json.JSONEncoder(ensure_ascii=False).encode

_ROWS_PER_GROUP = 10_000
"""Rows of Parquet in memory before they are written: a million rows need no more than these."""


@dataclass(frozen=True)
class CsvStyle:
    r"""How CSV is written.

    Attributes:
        formula_guard: whether cells that a spreadsheet would run are made text, see `CsvWriter`.
        bom: whether the file begins with a byte order mark, without which Excel takes UTF-8 for the system's
            old
            code page and garbles Arabic and accents.
        controls: how control characters, and those that reverse the order of text, are written: `"keep"` is
            for
            files; `"pipe"` shows all but tabs and line ends as `\x1b`, `"terminal"` these too.
    """

    formula_guard: bool = True
    bom: bool = False
    controls: str = "keep"


class CsvWriter(Writer):
    r"""Writes one CSV row per image; `top_k` pairs of columns hold the most probable labels.

    Confidences have six decimals; a cell without a value is empty. NUL, at which many readers stop, is shown
    as `\x00`.

    A text cell that a spreadsheet could run as a formula is made text by an apostrophe (OWASP, "CSV
    Injection"): if it begins with `=`, `+`, `-`, `@`, their full-width forms, a tab or a carriage return, or
    if one of these follows a `;`, a tab, a `|` or a line end within it, where a spreadsheet that is set to
    other separators than the comma begins a new cell. Labels are no exception: the class `-` is written as
    `'-`, and `'` in front of a label is never part of it. `CsvStyle(formula_guard=False)` writes all as it
    is.

    CSV has no types, so a spreadsheet takes the label `007` for the number 7, and `1E5` for 100000. JSON and
    Parquet keep labels as text.

    >>> import io
    >>> from kalamos.predictions import Candidate
    >>> sink = io.BytesIO()
    >>> with CsvWriter(sink, labels="17", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, (Candidate("7", 0.998),), path="img/7.png"))
    ...     writer.write(Prediction("1", 0.912, (Candidate("1", 0.912),), path="img/;=1+1.png"))
    >>> print(sink.getvalue().decode(), end="")
    path,label,confidence,abstained,error,top1,top1_confidence
    img/7.png,7,0.998000,false,,7,0.998000
    img/;'=1+1.png,1,0.912000,false,,1,0.912000
    """

    def __init__(
        self,
        sink: BinaryIO,
        *,
        labels: Sequence[str],
        top_k: int,
        columns: Sequence[str] = (),
        style: CsvStyle = CsvStyle(),
    ) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, columns=columns)
        self._cell, self._label_cell = _cells(style)
        ranks = [f",top{rank},top{rank}_confidence" for rank in range(1, top_k + 1)]
        optional = "".join(f",{name}" for name in self._columns)
        if style.bom:
            sink.write(_BYTE_ORDER_MARK)
        sink.write(f"path,label,confidence{optional},abstained,error{''.join(ranks)}\n".encode())

    def write(self, prediction: Prediction) -> None:
        path, error, confidence = prediction.path, prediction.error, prediction.confidence
        top = prediction.top[: self._top_k]
        cells = [
            "" if path is None else self._cell(path),
            "" if prediction.label is None else self._label_cell(prediction.label),
            "" if confidence is None else f"{confidence:.6f}",
            *[_cell_of(getattr(prediction, name)) for name in self._columns],
            "true" if prediction.abstained else "false",
            "" if error is None else self._cell(str(error)),
            *[f"{self._label_cell(label)},{share:.6f}" for label, share in top],
            *[","] * (self._top_k - len(top)),
        ]
        self._sink.write(f"{','.join(cells)}\n".encode())


def _cell_of(value: float | str | None) -> str:
    """An optional column's cell: a share, or words of our own."""
    return "" if value is None else value if isinstance(value, str) else f"{value:.6f}"


def text_cell(text: str, style: CsvStyle) -> str:
    """Write any text as a cell of CSV, guarded as `CsvWriter` does.

    >>> text_cell("=1+1", CsvStyle()), text_cell('a "b", c', CsvStyle())
    ("'=1+1", '"a ""b"", c"')
    """
    return _cells(style)[0](text)


@lru_cache
def _cells(style: CsvStyle) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """Make the functions that turn a text, and a label, into a cell."""
    shown = {"keep": encodable, "pipe": without_controls, "terminal": one_line}[style.controls]

    def cell(text: str) -> str:
        # Nearly all cells need nothing done; what is printable holds neither line ends nor surrogates.
        if text.isprintable() and text[:1] not in _MAY_BEGIN_ONE and not _SPECIAL.search(text):
            return text
        # Not `csv.writer`: it takes twice the time, and before Python 3.13 leaves a lone "\r" bare.
        text = shown(text).replace("\0", r"\x00")
        if style.formula_guard:
            text = _FORMULA.sub(r"\1'", text)
        if _NEEDS_QUOTES.search(text):
            text = '"' + text.replace('"', '""') + '"'
        return text

    # Labels are few and come in every row several times, paths never come twice.
    return cell, lru_cache(maxsize=1024)(cell)


class JsonLinesWriter(Writer):
    """Writes one JSON object per line. Confidences have six decimals.

    >>> import io
    >>> from kalamos.predictions import Candidate
    >>> sink = io.BytesIO()
    >>> with JsonLinesWriter(sink, labels="17", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, (Candidate("7", 0.998),), path="7.png"))
    >>> for key, value in json.loads(sink.getvalue()).items():
    ...     print(key, value)
    path 7.png
    label 7
    confidence 0.998
    abstained False
    error None
    top [{'label': '7', 'confidence': 0.998}]
    """

    def write(self, prediction: Prediction) -> None:
        self._sink.write(f"{json_object(prediction, self._top_k, self._columns)}\n".encode())


class JsonWriter(Writer):
    """Writes one array of the objects that `JsonLinesWriter` writes, each on its own line.

    >>> import io
    >>> sink = io.BytesIO()
    >>> with JsonWriter(sink, labels="17", top_k=1) as writer:
    ...     pass
    >>> json.loads(sink.getvalue())
    []
    """

    def __init__(
        self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, columns: Sequence[str] = ()
    ) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, columns=columns)
        # With the first row, so that what fails before it, such as the model, leaves nothing behind.
        self._separator = "[\n"

    def write(self, prediction: Prediction) -> None:
        self._sink.write(f"{self._separator}{json_object(prediction, self._top_k, self._columns)}".encode())
        self._separator = ",\n"

    def close(self) -> None:
        self._sink.write(b"[\n]\n" if self._separator.startswith("[") else b"\n]\n")


def json_object(prediction: Prediction, top_k: int, columns: Sequence[str] = ()) -> str:
    """Write a prediction as the object of which every JSON output consists."""
    # By hand, around the encoder for strings: three times as fast as a dict through the encoder.
    label, confidence = prediction.label, prediction.confidence
    top = ", ".join(
        [
            f'{{"label": {_label_string(label)}, "confidence": {_number(confidence)}}}'
            for label, confidence in prediction.top[:top_k]
        ]
    )
    optional = "".join([f'"{name}": {_value(getattr(prediction, name))}, ' for name in columns])
    return (
        f'{{"path": {"null" if prediction.path is None else _string(prediction.path)}, '
        f'"label": {"null" if label is None else _label_string(label)}, '
        f'"confidence": {_number(confidence)}, '
        f'{optional}"abstained": {"true" if prediction.abstained else "false"}, '
        f'"error": {"null" if prediction.error is None else _string(str(prediction.error))}, '
        f'"top": [{top}]}}'
    )


def _value(value: float | str | None) -> str:
    return _string(value) if isinstance(value, str) else _number(value)


def _number(value: float | None) -> str:
    """Write a number as JSON, which has neither NaN nor infinity.

    >>> _number(0.5), _number(float("nan")), _number(None)
    ('0.500000', 'null', 'null')
    """
    return "null" if value is None or not math.isfinite(value) else f"{value:.6f}"


def _string(text: str) -> str:
    encoded = _encode(encodable(text))
    if encoded.isprintable():
        return encoded
    return _ESCAPED.sub(lambda match: f"\\u{ord(match.group()):04x}", encoded)


# Labels are few and come in every row several times, paths never come twice.
_label_string = lru_cache(maxsize=1024)(_string)


class ParquetWriter(Writer):
    """Writes Parquet whose columns are the keys of the JSON object; `top` is a list of structs.

    Confidences are float64, rounded to six decimals as in the other formats. Raises `MissingExtraError` if
    pyarrow is not installed.

    >>> import io, pyarrow.parquet
    >>> sink = io.BytesIO()
    >>> with ParquetWriter(sink, labels="17", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, path="img/7.png"))
    >>> pyarrow.parquet.read_table(sink).column("label").to_pylist()
    ['7']
    """

    def __init__(
        self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, columns: Sequence[str] = ()
    ) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, columns=columns)
        try:
            import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
            import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]
        except ImportError as error:
            raise MissingExtraError("the parquet format needs pyarrow", extra="cluster") from error
        candidate = pa.struct([("label", pa.string()), ("confidence", pa.float64())])
        self._schema = pa.schema(
            [
                ("path", pa.string()),
                ("label", pa.string()),
                ("confidence", pa.float64()),
                *((name, pa.string() if name == "reason" else pa.float64()) for name in self._columns),
                ("abstained", pa.bool_()),
                ("error", pa.string()),
                ("top", pa.list_(candidate)),
            ]
        )
        self._arrow = pa
        self._gate = _ParquetSink(sink)
        self._parquet = pq.ParquetWriter(self._gate, self._schema)
        self._rows: list[tuple[object, ...]] = []

    def write(self, prediction: Prediction) -> None:
        # Not the prediction itself: its error may hold on to a traceback, and so to an image.
        error = prediction.error
        self._rows.append(
            (
                _text(prediction.path),
                _text(prediction.label),
                _rounded(prediction.confidence),
                *[_optional(getattr(prediction, name)) for name in self._columns],
                prediction.abstained,
                None if error is None else _text(str(error)),
                [(_text(label), _rounded(share)) for label, share in prediction.top[: self._top_k]],
            )
        )
        if len(self._rows) == _ROWS_PER_GROUP:
            self._write_group()

    def close(self) -> None:
        if self._rows:
            self._write_group()
        self._parquet.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._gate.shut = True
        super().__exit__(kind, error, trace)

    def _write_group(self) -> None:
        pa = self._arrow
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._parquet.write_table(pa.table(arrays, schema=self._schema))
        self._rows.clear()


class _ParquetSink(io.RawIOBase):
    """A file for pyarrow that keeps two things from the sink.

    pyarrow closes the file that it is given, and writes a footer when an unfinished writer is collected,
    perhaps long after the sink was closed.
    """

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink
        self.shut = False

    def writable(self) -> bool:
        return True

    def write(self, data: ReadableBuffer, /) -> int:
        return memoryview(data).nbytes if self.shut else self._sink.write(data)


def _text(text: str | None) -> str | None:
    return None if text is None else encodable(text)


def _optional(value: float | str | None) -> float | str | None:
    return value if isinstance(value, str) else _rounded(value)


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(float(share), 6)
