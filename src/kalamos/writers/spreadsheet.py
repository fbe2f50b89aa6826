"""Workbooks for spreadsheet programs (Office Open XML, `.xlsx`), with openpyxl, of `kalamos[forms]`."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType, TracebackType
from typing import Any, BinaryIO, Final, Literal, TypeAlias

from kalamos.errors import MissingExtraError
from kalamos.predictions import Prediction
from kalamos.writers.base import Writer, without_controls

__all__ = ["COLOURS", "DOUBTFUL_CONFIDENCE", "XlsxWriter", "sheet_text"]

DOUBTFUL_CONFIDENCE: Final = 0.8
"""An answer of a lower confidence is coloured: one in five or more of such answers is wrong."""

MAX_SHEET_ROWS: Final = 1_048_576
"""Rows of a sheet, with the one of the names; more rows go on another sheet."""

MAX_CELL_CHARACTERS: Final = 32_767
"""Characters of a cell, of which those beyond the Unicode BMP count twice."""

Doubt: TypeAlias = Literal["failed", "abstained", "unsure", "none"]

COLOURS: Final[Mapping[str, str]] = MappingProxyType(
    {"failed": "FFC7CE", "abstained": "FFD9A8", "unsure": "FFF2B3"}
)
"""The colour of a row (RGB) whose image failed, of which the model said nothing, or said it with little
confidence: those of the styles "bad" and "neutral" of spreadsheet programs."""

_WIDTHS: Final = {"path": 44.0, "label": 9.0, "reason": 20.0, "error": 60.0}
_WIDTH: Final = 13.0
"""Of a column, in digits of the usual font."""

_SHARES: Final = frozenset({"confidence", "known", "removed"})
_SHARE, _AS_TEXT = "0.0%", "@"
"""Number formats: a probability; text, also after someone has edited the cell."""

_NO_CHARACTERS: Final = re.compile("[\ufffe\uffff]")
_ESCAPE: Final = re.compile("_(?=x[0-9A-Fa-f]{4}_)")
"""What a spreadsheet program takes for a character's code (ECMA-376, part 1, 22.9.2.19)."""


def sheet_text(text: str) -> str:
    r"""Make a text that a cell can hold and every spreadsheet program shows as it is.

    Control characters, which XML cannot hold, those that reverse text, and carriage returns are shown as in
    CSV on a terminal; what is too long for a cell is cut.

    >>> print(sheet_text("scan\x1b[31m_x0041_.png"))
    scan\x1b[31m_x005F_x0041_.png
    """
    if not text.isprintable():
        text = _NO_CHARACTERS.sub("\ufffd", without_controls(text.replace("\r", r"\r")))
    if "_x" in text:
        text = _ESCAPE.sub("_x005F_", text)
    if len(text) > MAX_CELL_CHARACTERS // 2:
        text = _cut(text)
    return text


def _cut(text: str) -> str:
    units = text.encode("utf-16-le")
    if len(units) <= 2 * MAX_CELL_CHARACTERS:
        return text
    return units[: 2 * (MAX_CELL_CHARACTERS - 1)].decode("utf-16-le", "ignore") + "…"


class XlsxWriter(Writer):
    """Writes a workbook whose columns are those of the CSV; the row of names stays in sight.

    Confidences are numbers, rounded to six decimals and shown as percentages; `abstained` is TRUE or FALSE;
    labels, paths and errors are text, never formulas, and stay text when they are edited (`007`, `=1+1`). A
    row whose image failed, on which the model abstained, or whose confidence is below `DOUBTFUL_CONFIDENCE`
    is coloured. Rows wait in a temporary file until the workbook is closed.

    Raises `MissingExtraError` if openpyxl is not installed.

    >>> import io, openpyxl
    >>> from kalamos.predictions import Candidate
    >>> sink = io.BytesIO()
    >>> with XlsxWriter(sink, labels="7", top_k=1) as writer:
    ...     writer.write(Prediction("7", 0.998, (Candidate("7", 0.998),), path="=1+1.png"))
    >>> for row in openpyxl.load_workbook(sink).active.values:
    ...     print(*row)
    path label confidence abstained error top1 top1_confidence
    =1+1.png 7 0.998 False None 7 0.998
    """

    def __init__(
        self, sink: BinaryIO, *, labels: Sequence[str], top_k: int, columns: Sequence[str] = ()
    ) -> None:
        super().__init__(sink, labels=labels, top_k=top_k, columns=columns)
        try:
            import openpyxl
        except ImportError as error:
            raise MissingExtraError("the xlsx format needs openpyxl", extra="forms") from error
        ranks = [name for rank in range(1, top_k + 1) for name in (f"top{rank}", f"top{rank}_confidence")]
        self._names = ["path", "label", "confidence", *self._columns, "abstained", "error", *ranks]
        self._book = openpyxl.Workbook(write_only=True)
        self._book.properties.creator = "kalamos"
        self._sheets: list[Any] = []
        self._rows = 0
        """Of the last sheet."""
        self._cells: dict[Doubt, list[Any]] = {}
        """A row of cells for each kind, with their styles; each row puts its values in, and is written."""
        self._begin_sheet()

    def _begin_sheet(self) -> None:
        from openpyxl.cell import WriteOnlyCell
        from openpyxl.styles import Font, PatternFill
        from openpyxl.utils import get_column_letter

        number = len(self._sheets) + 1
        sheet = self._book.create_sheet("predictions" if number == 1 else f"predictions {number}")
        sheet.freeze_panes = "A2"
        for place, name in enumerate(self._names, 1):
            sheet.column_dimensions[get_column_letter(place)].width = _WIDTHS.get(name, _WIDTH)
        names = [WriteOnlyCell(sheet, name) for name in self._names]
        for cell in names:
            cell.font = Font(bold=True)
        sheet.append(names)
        for doubt in ("failed", "abstained", "unsure", "none"):
            row = [WriteOnlyCell(sheet) for _ in self._names]
            for name, cell in zip(self._names, row, strict=True):
                if name in _SHARES or name.endswith("_confidence"):
                    cell.number_format = _SHARE
                elif name != "abstained":
                    cell.number_format = _AS_TEXT
                if doubt in COLOURS:
                    cell.fill = PatternFill("solid", start_color=COLOURS[doubt])
            self._cells[doubt] = row
        self._sheets.append(sheet)
        self._rows = 1

    def write(self, prediction: Prediction) -> None:
        if self._rows == MAX_SHEET_ROWS:
            self._begin_sheet()
        error = prediction.error
        values: list[str | float | bool | None] = [
            prediction.path,
            prediction.label,
            prediction.confidence,
            *[getattr(prediction, name) for name in self._columns],
            prediction.abstained,
            None if error is None else str(error),
        ]
        for label, share in prediction.top[: self._top_k]:
            values += (label, share)
        values += [None] * (len(self._names) - len(values))
        row = self._cells[_doubt(prediction)]
        for cell, value in zip(row, values, strict=True):
            if isinstance(value, str):
                cell.value = sheet_text(value)
                cell.data_type = "s"  # openpyxl takes some texts for formulas or for errors
            else:
                cell.value = value if value is None or isinstance(value, bool) else _share(value)
        self._sheets[-1].append(row)
        self._rows += 1

    def close(self) -> None:
        from openpyxl.utils import get_column_letter

        last = get_column_letter(len(self._names))
        for sheet in self._sheets:
            rows = self._rows if sheet is self._sheets[-1] else MAX_SHEET_ROWS
            sheet.auto_filter.ref = f"A1:{last}{rows}"
        self._book.save(self._sink)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            for sheet in self._sheets:
                sheet.close()
                sheet._writer.cleanup()  # noqa: SLF001  (else it stays until this process ends)
        super().__exit__(kind, error, trace)


def _doubt(prediction: Prediction) -> Doubt:
    if prediction.error is not None:
        return "failed"
    if prediction.label is None:
        return "abstained"
    confidence = prediction.confidence
    return "unsure" if confidence is not None and confidence < DOUBTFUL_CONFIDENCE else "none"


def _share(value: float) -> float | None:
    """Round a probability as the other formats do; a cell holds neither NaN nor infinity."""
    return round(float(value), 6) if math.isfinite(value) else None
