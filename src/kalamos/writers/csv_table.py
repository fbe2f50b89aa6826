"""CSV (RFC 4180, but with Unix line ends) that is safe to open in a spreadsheet."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import BinaryIO, Final

from kalamos.predictions import Prediction
from kalamos.writers.base import Writer
from kalamos.writers.escape import encodable, one_line, without_controls

__all__ = ["CsvStyle", "CsvWriter"]

_FORMULA: Final = re.compile(
    # Where a spreadsheet may begin a cell: at the start, and where it may split what RFC 4180 keeps together.
    "(^|[;|\\t\\n\\v\\f\\r\\x85\u2028\u2029])"
    # What it may skip before it looks for a formula; then how one begins, full width (Japanese) included.
    '(?=[\\s"\ufeff\u200b]*[=+\\-@\uff1d\uff0b\uff0d\uff20]|[\\t\\r])'
)
_MAY_BEGIN_ONE: Final = frozenset('=+-@\uff1d\uff0b\uff0d\uff20 "')
_SPECIAL: Final = re.compile('[",;|]')
_NEEDS_QUOTES = re.compile('[",\r\n]')
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class CsvStyle:
    r"""How CSV is written.

    Attributes:
        formula_guard: whether cells that a spreadsheet would run are made text, see `CsvWriter`.
        bom: whether the file begins with a byte order mark, without which Excel takes UTF-8 for the system's
            old code page and garbles Arabic and accents.
        controls: what becomes of control characters, and of those that turn the order of the text: `"keep"`
            is for files; `"pipe"` shows all but tabs and line ends as `\x1b`, `"terminal"` these too.
    """

    formula_guard: bool = True
    bom: bool = False
    controls: str = "keep"


class CsvWriter(Writer):
    r"""One row an image; `top_k` pairs of columns hold the most probable labels.

    Confidences have six decimals; a cell with nothing to say is empty. NUL, at which many readers stop, is
    shown as `\x00`.

    A text cell that a spreadsheet could run as a formula is made text by an apostrophe (OWASP, "CSV
    Injection"): where it begins with `=`, `+`, `-`, `@`, their full-width forms, a tab or a carriage return;
    and where one of these follows a `;`, a tab, a `|` or a line end within it, because a spreadsheet that is
    set to other separators than the comma begins a new cell there. Labels are no exception: the class `-`
    is written as `'-`, and `'` in front of a label is never part of it.
    `CsvStyle(formula_guard=False)` writes all as it is.

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
        removed: bool = False,
        style: CsvStyle = CsvStyle(),
    ) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, removed=removed)
        self._cell, self._label_cell = _cells(style)
        ranks = [f",top{rank},top{rank}_confidence" for rank in range(1, top_k + 1)]
        share = ",removed" if removed else ""
        if style.bom:
            sink.write(_BYTE_ORDER_MARK)
        sink.write(f"path,label,confidence{share},abstained,error{''.join(ranks)}\n".encode())

    def write(self, prediction: Prediction) -> None:
        path, error, confidence = prediction.path, prediction.error, prediction.confidence
        top = prediction.top[: self._top_k]
        cells = [
            "" if path is None else self._cell(path),
            "" if prediction.label is None else self._label_cell(prediction.label),
            "" if confidence is None else f"{confidence:.6f}",
            *(["" if prediction.removed is None else f"{prediction.removed:.6f}"] if self._removed else []),
            "true" if prediction.abstained else "false",
            "" if error is None else self._cell(str(error)),
            *[f"{self._label_cell(label)},{share:.6f}" for label, share in top],
            *[","] * (self._top_k - len(top)),
        ]
        self._sink.write(f"{','.join(cells)}\n".encode())


@lru_cache
def _cells(style: CsvStyle) -> tuple[Callable[[str], str], Callable[[str], str]]:
    """What makes a cell of a text, and of a label."""
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
