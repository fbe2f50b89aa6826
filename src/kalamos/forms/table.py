"""The table of all forms: a row a form, a column a field; rows that a person has corrected stay.

A table that exists is read first. Scans that it has rows of are not read again, and their rows are kept as
they are, whatever a person has put into them; so a table grows with a folder of scans.
"""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kalamos.errors import OutputError, UsageError
from kalamos.forms.filled import UNREAD, FilledForm
from kalamos.forms.template import FormTemplate
from kalamos.utils.atomic_write import check_writable, write_bytes
from kalamos.writers.tables import CsvStyle, text_cell

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["FormTable", "columns_of", "format_of", "row_of"]

Row = dict[str, str]

FIRST: Final = ("scan", "sheet", "status")
LAST: Final = ("error", "made_by")

CONFIDENCE, STATUS = " confidence", " status"
"""What the columns beside a field's are called: its name and this."""

FORMATS: Final = {".csv": "csv", ".xlsx": "xlsx", ".jsonl": "jsonl"}

MAX_TABLE_BYTES: Final = 256 << 20
"""Of a table that is read again."""


def format_of(path: str | os.PathLike[str]) -> str:
    """Return the format that a table's name asks for: csv, xlsx or jsonl.

    Raises:
        UsageError: another ending.

    >>> format_of("table.xlsx")
    'xlsx'
    """
    ending = Path(path).suffix.lower()
    if ending not in FORMATS:
        raise UsageError(
            f"{os.fspath(path)}: forms are not written as {ending or 'a file without an ending'}",
            remedy=f"name it with one of {', '.join(FORMATS)}",
        )
    return FORMATS[ending]


def columns_of(template: FormTemplate) -> tuple[str, ...]:
    """Return the table's columns: the fields, then how sure each is.

    >>> from kalamos.forms.template import Box, Field, FormPage
    >>> page, box = FormPage(100, 100), (Box(1, 1, 9, 9),)
    >>> columns_of(FormTemplate("f", (page,), (Field("mark", box),)))
    ('scan', 'sheet', 'status', 'mark', 'mark confidence', 'mark status', 'error', 'made_by')
    """
    names = [field.name for field in template.fields]
    beside = [name + what for name in names for what in (CONFIDENCE, STATUS)]
    return (*FIRST, *names, *beside, *LAST)


def row_of(form: FilledForm) -> Row:
    """Return a form's row: texts all of them."""
    row = {"scan": form.path, "sheet": form.sheet or "", "status": form.status}
    row |= {name: reading.text or "" for name, reading in form.fields.items()}
    for name, reading in form.fields.items():
        row[name + CONFIDENCE] = f"{reading.probability:.4f}"
        row[name + STATUS] = reading.status
    return row | {"error": form.problem, "made_by": form.made_by}


class FormTable:
    """The rows of all forms, kept in a file.

    Args:
        template: whose fields are the columns.
        path: ends with .csv, .xlsx or .jsonl.

    Raises:
        UsageError: another ending; the file is there, and is no table of this form.
        MissingExtraError: for .xlsx, without `kalamos[forms]`.
        OutputError: it cannot be written.
    """

    def __init__(self, template: FormTemplate, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._format = format_of(path)
        self._columns = columns_of(template)
        self.kept: list[Row] = []
        """Rows that were there before, as they were."""
        self._kept_lines: list[str] = []
        self.forms: list[FilledForm] = []
        """What was read since, without pictures."""
        self._pieces: list[dict[str, NDArray[np.uint8]]] = []
        if self._format == "xlsx":
            from kalamos.errors import require_extra

            require_extra("forms", ["openpyxl"], what="writing .xlsx")
        if self.path.exists():
            self._read_old()
        check_writable(self.path)  # now, and not after all scans were read

    @property
    def known_scans(self) -> frozenset[str]:
        """The scans that have a row."""
        return frozenset(scan for row in self.kept for scan in row["scan"].split("; "))

    @property
    def kept_unread(self) -> int:
        """How many of the kept rows say that nothing was read of their scans."""
        return sum(row["status"] in UNREAD for row in self.kept)

    def add(self, form: FilledForm) -> None:
        """Add a form; it is in the file once that is saved. Of its pictures no more is kept than is shown."""
        pieces = {}
        if self._format == "xlsx":
            from kalamos.forms.rendering import cut_field

            doubtful = [name for name, reading in form.fields.items() if reading.status == "check"]
            pieces = {name: piece for name in doubtful if (piece := cut_field(form, name)) is not None}
        self.forms.append(form.without_pictures())
        self._pieces.append(pieces)

    @property
    def rows(self) -> list[Row]:
        """All rows: old ones, then new ones."""
        return [*self.kept, *map(row_of, self.forms)]

    def save(self) -> None:
        """Write the file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write: Mapping[str, Callable[[], bytes]] = {
            "csv": self._csv, "jsonl": self._jsonl, "xlsx": self._xlsx
        }  # fmt: skip
        write_bytes(self.path, write[self._format]())

    def _csv(self) -> bytes:
        lines = [",".join(text_cell(name, CsvStyle()) for name in self._columns)]
        style = CsvStyle()
        lines += [
            ",".join(text_cell(row.get(name, ""), style) for name in self._columns) for row in self.rows
        ]
        # Spreadsheets take UTF-8 for something else without this mark.
        return b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode("utf-8", "backslashreplace")

    def _jsonl(self) -> bytes:
        lines = [*self._kept_lines, *(json.dumps(form.to_dict()) for form in self.forms)]
        return "".join(f"{line}\n" for line in lines).encode()

    def _xlsx(self) -> bytes:
        from kalamos.forms.workbook import write_workbook

        new = [(form, row_of(form), pieces) for form, pieces in zip(self.forms, self._pieces, strict=True)]
        return write_workbook(self._columns, self.kept, new, self.path)

    def _read_old(self) -> None:
        """Read the rows of the file that is there.

        Raises:
            UsageError: it is no table of this form.
        """
        if self.path.stat().st_size > MAX_TABLE_BYTES:
            raise UsageError(f"{self.path}: too large for a table of forms", remedy="name another file")
        if self._format == "jsonl":
            self._read_jsonl()
            return
        if self._format == "xlsx":
            from kalamos.forms.workbook import read_workbook

            header, rows = read_workbook(self.path)
        else:
            header, rows = _read_csv(self.path)
        missing = [name for name in self._columns if name not in header]
        if missing:
            raise UsageError(
                f"{self.path}: is there, and is no table of this form: it has no column {missing[0]!r}",
                remedy="name another file, or move this one away",
            )
        self.kept = [{name: row.get(name, "") for name in self._columns} for row in rows]

    def _read_jsonl(self) -> None:
        try:
            for line in self.path.read_text("utf-8").splitlines():
                said = json.loads(line)
                self.kept.append({"scan": str(said["path"]), "status": str(said["status"])})
                self._kept_lines.append(line)
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise UsageError(
                f"{self.path}: is there, and is no JSON Lines of forms", remedy="name another file"
            ) from error


def _read_csv(path: Path) -> tuple[list[str], list[Row]]:
    try:
        text = path.read_text("utf-8-sig")
    except UnicodeDecodeError:
        # Excel saves "CSV" in the system's code page.
        text = path.read_text("cp1252", errors="replace")
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror})") from error
    first = text.split("\n", 1)[0]
    separator = max(",;\t", key=first.count)  # some spreadsheets save with semicolons
    try:
        reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
        rows = [
            {_unguarded(key): _unguarded(value or "") for key, value in row.items() if key} for row in reader
        ]
        return [_unguarded(name) for name in reader.fieldnames or () if name], rows
    except csv.Error as error:
        raise UsageError(f"{path}: is no CSV ({error})", remedy="name another file") from error


def _unguarded(cell: str) -> str:
    """Take off the apostrophe that keeps a spreadsheet from running a cell; it is put there again.

    >>> _unguarded("'-3"), _unguarded("'quoted'"), _unguarded("-3")
    ('-3', "'quoted'", '-3')
    """
    bare = cell[1:]
    return (
        bare if cell[:1] == "'" and text_cell(bare, CsvStyle()) != bare and bare[:1] in "=+-@\t\r" else cell
    )
