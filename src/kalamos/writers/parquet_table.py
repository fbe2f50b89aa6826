"""Parquet, in row groups, so that a million rows need no more memory than ten thousand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO

from kalamos.errors import MissingExtraError
from kalamos.predictions import Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import encodable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["ParquetWriter"]

_GROUP = 10_000
"""Rows of a row group: what is held in memory before it is written."""


class ParquetWriter(Writer):
    """Columns as the keys of the JSON object; `top` is a list of structs, empty for a failed image.

    Confidences are float64, rounded to six decimals as in the other formats. Raises
    `MissingExtraError` where pyarrow is not installed.

    >>> import io, pyarrow.parquet
    >>> sink = io.BytesIO()
    >>> with ParquetWriter(sink, labels="17", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, path="img/7.png"))
    >>> pyarrow.parquet.read_table(sink).column("label").to_pylist()
    ['7']
    """

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int) -> None:
        super().__init__(sink, labels=labels, top_k=top_k)
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
                ("abstained", pa.bool_()),
                ("error", pa.string()),
                ("top", pa.list_(candidate)),
            ]
        )
        self._rows: list[dict[str, Any]] = []
        self._gate = _Gate(sink)
        self._table_from = pa.Table.from_pylist
        self._parquet = pq.ParquetWriter(self._gate, self._schema)

    def write(self, prediction: Prediction) -> None:
        error = prediction.error
        self._rows.append(
            {
                "path": _text(prediction.path),
                "label": _text(prediction.label),
                "confidence": None if prediction.confidence is None else _rounded(prediction.confidence),
                "abstained": prediction.abstained,
                "error": None if error is None else _text(str(error)),
                "top": [
                    {"label": _text(label), "confidence": _rounded(confidence)}
                    for label, confidence in prediction.top[: self._top_k]
                ],
            }
        )
        if len(self._rows) == _GROUP:
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
        self._parquet.write_table(self._table_from(self._rows, schema=self._schema))
        self._rows.clear()


class _Gate(io.RawIOBase):
    """Stands between pyarrow and the sink.

    pyarrow closes the file that it is given, and writes a footer when an unfinished writer is
    collected, perhaps long after the sink was closed. Neither passes the gate.
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


def _rounded(confidence: float) -> float:
    return round(float(confidence), 6)
