"""CSV (RFC 4180, but with Unix line ends) that is safe to open in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import BinaryIO

from kalamos.predictions import Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import encodable

__all__ = ["CsvWriter"]

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_NEEDS_QUOTES = re.compile('[",\r\n]')


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

    def __init__(self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, removed: bool = False) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, removed=removed)
        ranks = [f",top{rank},top{rank}_confidence" for rank in range(1, top_k + 1)]
        share = ",removed" if removed else ""
        sink.write(f"path,label,confidence{share},abstained,error{''.join(ranks)}\n".encode())

    def write(self, prediction: Prediction) -> None:
        path, error, confidence = prediction.path, prediction.error, prediction.confidence
        top = prediction.top[: self._top_k]
        cells = [
            "" if path is None else _cell(path),
            "" if prediction.label is None else _label_cell(prediction.label),
            "" if confidence is None else f"{confidence:.6f}",
            *(["" if prediction.removed is None else f"{prediction.removed:.6f}"] if self._removed else []),
            "true" if prediction.abstained else "false",
            "" if error is None else _cell(str(error)),
            *[f"{_label_cell(label)},{share:.6f}" for label, share in top],
            *[","] * (self._top_k - len(top)),
        ]
        self._sink.write(f"{','.join(cells)}\n".encode())


def _cell(text: str) -> str:
    # Not `csv.writer`: it takes twice the time, and before Python 3.13 leaves a lone "\r" bare.
    text = encodable(text).replace("\0", r"\x00")
    if text.startswith(_FORMULA):
        text = f"'{text}"
    if _NEEDS_QUOTES.search(text):
        text = '"' + text.replace('"', '""') + '"'
    return text


# Labels are few and come in every row several times, paths never come twice.
_label_cell = lru_cache(maxsize=1024)(_cell)
