"""Parquet, in row groups, so that a million rows need no more memory than ten thousand."""

from __future__ import annotations

import io
from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

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

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, removed: bool = False) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, removed=removed)
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
                *([("removed", pa.float64())] if removed else []),
                ("abstained", pa.bool_()),
                ("error", pa.string()),
                ("top", pa.list_(candidate)),
            ]
        )
        self._arrow = pa
        self._gate = _Gate(sink)
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
                *([_rounded(prediction.removed)] if self._removed else []),
                prediction.abstained,
                None if error is None else _text(str(error)),
                [(_text(label), _rounded(share)) for label, share in prediction.top[: self._top_k]],
            )
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
        pa = self._arrow
        columns = zip(*self._rows, strict=True)
        arrays = [pa.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._parquet.write_table(pa.table(arrays, schema=self._schema))
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


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(float(share), 6)
