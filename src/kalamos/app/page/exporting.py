"""A folder that was read and checked, as a document to download."""

from __future__ import annotations

import io
from dataclasses import replace

from kalamos.app.page.sheet import Row, Sheet
from kalamos.errors import NotACharacterError
from kalamos.predictions import Prediction
from kalamos.writers import open_writer

__all__ = ["export"]


def export(sheet: Sheet, format_name: str, *, top_k: int = 5) -> bytes:
    """The document that `kalamos predict` writes, with the labels that people gave.

    Once something was checked, there is one more column, the last: `checked`, which is yes or no in CSV, true
    or false in JSON and Parquet. A checked row has the person's label; the confidence and the candidates stay
    the model's. What a person called "not a character" has no label, and that as its error.

    Raises:
        UsageError: there is no such format.
        MissingExtraError: the format needs an extra.

    >>> sheet = Sheet("digits", ("1", "7"), [Row(0, Prediction("7", 0.6, path="a.png"), "", None)])
    >>> sheet.checked[0] = "1"
    >>> print(export(sheet, "csv", top_k=1).decode(), end="")
    path,label,confidence,abstained,error,top1,top1_confidence,checked
    a.png,1,0.600000,false,,,,yes
    """
    sink, document = io.BytesIO(), io.BytesIO()
    restricted = any(row.prediction.removed is not None for row in sheet.rows)
    add = _ADD.get(format_name) if sheet.checked else None
    with open_writer(
        format_name, sink, labels=sheet.labels, top_k=min(top_k, len(sheet.labels)), removed=restricted
    ) as writer:
        document.write(_taken(sink) if add is None else add(_taken(sink), None))
        for row in sheet.rows:
            writer.write(_as_checked(sheet, row))
            part = _taken(sink)
            document.write(part if add is None else add(part, row.index in sheet.checked))
    document.write(_taken(sink))
    if sheet.checked and format_name == "parquet":
        return _with_column(document.getvalue(), [row.index in sheet.checked for row in sheet.rows])
    return document.getvalue()


def _as_checked(sheet: Sheet, row: Row) -> Prediction:
    if row.index not in sheet.checked:
        return row.prediction
    label = sheet.checked[row.index]
    if label is None:
        error = NotACharacterError("not a character: a person looked at it")
        return Prediction(None, None, (), row.prediction.path, error)
    return replace(row.prediction, label=label, abstained=False)


def _taken(sink: io.BytesIO) -> bytes:
    """What a writer has written since the last call."""
    part = sink.getvalue()
    sink.seek(0)
    sink.truncate()
    return part


def _csv_part(part: bytes, checked: bool | None) -> bytes:
    """The head (None) or a row of a CSV document, with one cell more."""
    cell = {None: b"checked", True: b"yes", False: b"no"}[checked]
    return part.removesuffix(b"\n") + b"," + cell + b"\n"


def _json_part(part: bytes, checked: bool | None) -> bytes:
    """The beginning (None) or an object of a JSON document, with one key more."""
    if checked is None:
        return part
    return part.removesuffix(b"}") + b', "checked": ' + (b"true}" if checked else b"false}")


_ADD = {"csv": _csv_part, "json": _json_part}


def _with_column(document: bytes, checked: list[bool]) -> bytes:
    import pyarrow as pa  # type: ignore[import-untyped, unused-ignore]
    import pyarrow.parquet as pq  # type: ignore[import-untyped, unused-ignore]

    sink = io.BytesIO()
    table = pq.read_table(io.BytesIO(document))
    pq.write_table(table.append_column("checked", pa.array(checked, pa.bool_())), sink)
    return sink.getvalue()
