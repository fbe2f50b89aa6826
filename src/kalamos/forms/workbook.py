"""The table of all forms as an Excel workbook: doubtful cells coloured, with a picture of each.

The first sheet, "forms", is the table. The second, "check", has a row for each field that a person is to look
at: a link to its cell, what was read, what else it could be, and the piece of the scan.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import cv2

from kalamos.errors import UsageError
from kalamos.forms.filled import FilledForm
from kalamos.writers.base import without_controls

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from openpyxl.worksheet.worksheet import Worksheet

__all__ = ["read_workbook", "write_workbook"]

FORMS, CHECK = "forms", "check"
"""The names of the sheets."""

COLOURS: Final = {"check": "FFE0A3", "missing": "F6B8B8", "unregistered": "F6B8B8", "error": "F6B8B8"}
"""Of cells by their status, RGB in hex; others have none."""

MAX_CELL_CHARACTERS: Final = 32_767
"""Of a cell, Excel's own limit."""

MAX_THUMBNAILS: Final = 5_000
"""Pictures in a workbook: each is a file within it."""

MAX_COLUMN_WIDTH: Final = 40
"""In characters."""

MAX_UNPACKED_BYTES: Final = 512 << 20
"""Of a workbook that is read again."""

_ILLEGAL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff\ud800-\udfff]")
"""Characters that XML cannot hold."""


def write_workbook(
    columns: Sequence[str],
    kept: Sequence[dict[str, str]],
    forms: Sequence[tuple[FilledForm, Mapping[str, str], Mapping[str, NDArray[np.uint8]]]],
    old: Path,
) -> bytes:
    """Return a workbook of old rows, as they were, and of new forms.

    Args:
        columns: of the table.
        kept: old rows.
        forms: new ones, each with its row and with the pictures, uint8 [H, W], of its doubtful fields.
        old: the workbook that the old rows are from, whose "check" sheet goes on; absent for a first one.
    """
    from openpyxl import Workbook, load_workbook

    book = load_workbook(old) if kept and old.exists() else Workbook()
    if FORMS in book.sheetnames:
        table = book[FORMS]
    else:
        table = book.active
        table.title = FORMS
        _head(table, columns)
    check = book[CHECK] if CHECK in book.sheetnames else book.create_sheet(CHECK)
    if check.max_row <= 1 and check.cell(1, 1).value is None:
        _head(check, ("form", "field", "read", "probability", "or", "picture"))
        check.column_dimensions["F"].width = 60
    header = [cell.value for cell in table[1]]
    places = {name: header.index(name) + 1 for name in columns if name in header}
    drawn = len(getattr(check, "_images", ()))
    for form, values, pieces in forms:
        row = table.max_row + 1
        for name, column in places.items():
            cell = table.cell(row, column)
            _set_text(cell, values.get(name, ""))
        _colour(table.cell(row, places["status"]), form.status)
        for name, reading in form.fields.items():
            if reading.status not in {"check", "missing"}:
                continue
            cell = table.cell(row, places[name])
            _colour(cell, reading.status)
            piece = pieces.get(name) if drawn < MAX_THUMBNAILS else None
            _add_check(check, form, name, f"#'{FORMS}'!{cell.coordinate}", piece)
            drawn += piece is not None
    _fit(table)
    sink = io.BytesIO()
    book.save(sink)
    return sink.getvalue()


def _head(sheet: Worksheet, names: Sequence[str]) -> None:
    from openpyxl.styles import Font

    for column, name in enumerate(names, 1):
        cell = sheet.cell(1, column)
        _set_text(cell, name)
        cell.font = Font(bold=True)
    sheet.freeze_panes = "B2"


def _set_text(cell: Any, text: str) -> None:
    """Put a text into a cell as text, whatever it looks like."""
    cell.value = _ILLEGAL.sub(lambda found: f"\\x{ord(found[0]):02x}", text)[:MAX_CELL_CHARACTERS] or None
    if cell.value is not None:
        cell.data_type = "s"  # never a formula
        cell.number_format = "@"  # nor a number, once a person edits it


def _colour(cell: Any, status: str) -> None:
    from openpyxl.styles import PatternFill

    if status in COLOURS:
        cell.fill = PatternFill("solid", fgColor=COLOURS[status])


def _add_check(
    sheet: Worksheet, form: FilledForm, name: str, link: str, piece: NDArray[np.uint8] | None
) -> None:
    """Add a row for a doubtful field, with its picture."""
    from openpyxl.drawing.image import Image

    reading = form.fields[name]
    row = sheet.max_row + 1
    others = ", ".join(f"{text} ({share:.2f})" for text, share in reading.runners_up)
    values = (form.path, name, reading.text or "", f"{reading.probability:.3f}", others)
    for column, text in enumerate(values, 1):
        _set_text(sheet.cell(row, column), text)
    sheet.cell(row, 1).hyperlink = link
    if piece is None:
        return
    _, encoded = cv2.imencode(".png", piece)
    sheet.row_dimensions[row].height = 0.8 * len(piece)
    sheet.add_image(Image(io.BytesIO(encoded.tobytes())), f"F{row}")


def _fit(sheet: Worksheet) -> None:
    """Make columns as wide as what is in them."""
    for column in sheet.columns:
        longest = max(len(str(cell.value)) if cell.value is not None else 0 for cell in column)
        sheet.column_dimensions[column[0].column_letter].width = min(longest + 2, MAX_COLUMN_WIDTH)


def read_workbook(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Read the rows of the sheet "forms": its header, and a mapping for each row.

    Raises:
        UsageError: it is no workbook, or has no such sheet.
    """
    from openpyxl import load_workbook

    refusal = UsageError(f"{path}: is there, and is no workbook of forms", remedy="name another file")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > MAX_UNPACKED_BYTES:
                raise refusal
        book = load_workbook(path, read_only=True)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise refusal from error
    try:
        if FORMS not in book.sheetnames:
            raise refusal
        lines = [[_shown(value) for value in line] for line in book[FORMS].iter_rows(values_only=True)]
    finally:
        book.close()
    header, rows = (lines[0], lines[1:]) if lines else ([], [])
    return header, [dict(zip(header, row, strict=False)) for row in rows if any(row)]


def _shown(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, float) and value == int(value):
        value = int(value)  # a number that a person typed
    return without_controls(str(value)) if not isinstance(value, str) else value
