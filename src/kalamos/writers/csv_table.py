"""CSV (RFC 4180, but with Unix line ends) that is safe to open in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import lru_cache
from typing import BinaryIO

from kalamos.predictions import Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import encodable

__all__ = ["CsvWriter"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class CsvWriter(Writer):
    r"""One row an image; `top_k` pairs of columns hold the most probable labels.

    Confidences have six decimals; a cell with nothing to say is empty. A text cell that a
    spreadsheet would run as a formula begins with an apostrophe (OWASP, "CSV Injection"), and
    NUL, at which many readers stop, is shown as `\x00`.

    >>> import io
    >>> from kalamos.predictions import Candidate
    >>> sink = io.BytesIO()
    >>> with CsvWriter(sink, labels="17", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, (Candidate("7", 0.998),), path="img/7.png"))
    >>> print(sink.getvalue().decode(), end="")
    path,label,confidence,abstained,error,top1,top1_confidence
    img/7.png,7,0.998000,false,,7,0.998000
    """

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int) -> None:
        super().__init__(sink, labels=labels, top_k=top_k)
        # The module quotes a lone "\r" or "\n" in every Python version only if both are in the
        # terminator; `_Lines` then takes the "\r" off the end of each row.
        self._write_row = csv.writer(_Lines(sink), lineterminator="\r\n").writerow
        header = ["path", "label", "confidence", "abstained", "error"]
        for rank in range(1, top_k + 1):
            header += [f"top{rank}", f"top{rank}_confidence"]
        self._write_row(header)

    def write(self, prediction: Prediction) -> None:
        top = prediction.top[: self._top_k]
        row = [
            "" if prediction.path is None else _cell(prediction.path),
            "" if prediction.label is None else _label_cell(prediction.label),
            "" if prediction.confidence is None else f"{prediction.confidence:.6f}",
            "true" if prediction.abstained else "false",
            "" if prediction.error is None else _cell(str(prediction.error)),
        ]
        for label, confidence in top:
            row += (_label_cell(label), f"{confidence:.6f}")
        row += [""] * (2 * (self._top_k - len(top)))
        self._write_row(row)


class _Lines:
    """The file that `csv.writer` sees."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    def write(self, row: str) -> None:
        self._sink.write(f"{row[:-2]}\n".encode())


def _cell(text: str) -> str:
    text = encodable(text).replace("\0", r"\x00")
    return f"'{text}" if text.startswith(_FORMULA) else text


# Labels are few and come in every row several times, paths never come twice.
_label_cell = lru_cache(maxsize=1024)(_cell)
