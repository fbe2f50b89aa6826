"""Pages written down: text, CSV, JSON Lines, hOCR, and pictures with what was read drawn over them."""

from __future__ import annotations

import html
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final, Self

from kalamos.errors import ImageError, UsageError, suggest
from kalamos.images.files import display_name
from kalamos.pages.page import Box, Character, Page, around
from kalamos.utils.atomic_write import write_bytes
from kalamos.writers.base import without_controls
from kalamos.writers.tables import CsvStyle, text_cell

__all__ = ["COLUMNS", "PAGE_FORMATS", "PageWriter", "csv_line", "open_page_writer", "rows_of", "save"]

COLUMNS: Final = (
    "path", "page", "row", "column", "line", "word", "position", "label", "confidence", "known",
    "x", "y", "width", "height", "reason", "error",
)  # fmt: skip
"""Of a row: a cell has a row and a column, a character a line, a word and a position in it, all from 1."""

Row = Mapping[str, str | int | float | None]


def rows_of(page: Page) -> Iterator[Row]:
    """Yield a row for each character or cell of a page; one without either for a page that has none."""
    start: dict[str, str | int | float | None] = {
        **dict.fromkeys(COLUMNS), "path": page.path, "page": page.number
    }  # fmt: skip
    if page.layout == "grid" and page.cells:
        for cell in page.cells:
            yield start | {"row": cell.row, "column": cell.column} | _of(cell.character, cell.box)
        return
    if not page.lines:
        yield start | {"error": None if page.error is None else str(page.error)}
        return
    for line_number, line in enumerate(page.lines, 1):
        for word_number, word in enumerate(line.words, 1):
            for position, character in enumerate(word.characters, 1):
                place = {"line": line_number, "word": word_number, "position": position}
                yield start | place | _of(character, character.box)


def _of(character: Character | None, box: Box) -> dict[str, str | int | float | None]:
    values: dict[str, str | int | float | None] = dict(box._asdict())
    if character is not None:
        known = None if character.known is None else round(character.known, 6)
        values |= {"label": character.label, "confidence": round(character.confidence, 6), "known": known}
        values["reason"] = character.reason
    return values


class PageWriter(ABC):
    """Writes pages to a binary stream, one after the other."""

    def __init__(self, sink: BinaryIO) -> None:
        self._sink = sink

    @abstractmethod
    def write(self, page: Page) -> None:
        """Write one page."""

    def close(self) -> None:  # noqa: B027  (most formats have nothing to finish)
        """Write what comes last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if error[0] is None:
            self.close()


class _TextWriter(PageWriter):
    r"""Writes the lines, and an empty line between pages; a page that cannot be read is its error."""

    _begun = False

    def write(self, page: Page) -> None:
        said = page.text if page.error is None else _problem(page.path or "page", page.error)
        lines = [without_controls(line) if page.layout != "grid" else line for line in said.split("\n")]
        gap = "\n" if self._begun else ""
        self._sink.write(f"{gap}{chr(10).join(lines)}\n".encode("utf-8", "backslashreplace"))
        self._begun = True


def _problem(name: str, error: ImageError) -> str:
    """Say of which page an error is, once: most errors begin with it."""
    start = f"{display_name(name)}: "
    return start + error.problem.removeprefix(start)


class _CsvWriter(PageWriter):
    """Writes a row for each character or cell.

    Args:
        formula_guard: see `csv_line`.
    """

    def __init__(self, sink: BinaryIO, *, formula_guard: bool = True) -> None:
        super().__init__(sink)
        self._guard = formula_guard
        sink.write(csv_line(COLUMNS))

    def write(self, page: Page) -> None:
        for row in rows_of(page):
            self._sink.write(csv_line(row.values(), formula_guard=self._guard))


def csv_line(values: Iterable[str | float | None], *, formula_guard: bool = True) -> bytes:
    r"""Return one line of CSV.

    Args:
        formula_guard: whether an apostrophe goes before texts that a spreadsheet could run.

    >>> csv_line(["a,b", 1, 0.5, None, "=1"])
    b'"a,b",1,0.500000,,\'=1\n'
    """
    style = CsvStyle(formula_guard=formula_guard)
    return f"{','.join(_cell(value, style) for value in values)}\n".encode()


def _cell(value: str | float | None, style: CsvStyle) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return text_cell(value, style)
    return f"{value:.6f}" if isinstance(value, float) else str(value)


class _JsonLinesWriter(PageWriter):
    """Writes one line of JSON a page."""

    def write(self, page: Page) -> None:
        self._sink.write(f"{json.dumps(page.to_dict(), ensure_ascii=True)}\n".encode())


HOCR_HEAD: Final = """\
<!DOCTYPE html>
<html>
<head>
<meta charset="utf-8">
<title>kalamos</title>
<meta name="ocr-system" content="kalamos">
<meta name="ocr-capabilities" content="ocr_page ocr_line ocrx_word ocrx_cinfo">
</head>
<body>
"""


class _HocrWriter(PageWriter):
    """Writes hOCR 1.2: a page's lines, words and characters with their boxes and confidences."""

    def __init__(self, sink: BinaryIO) -> None:
        super().__init__(sink)
        sink.write(HOCR_HEAD.encode())
        self._pages = 0

    def write(self, page: Page) -> None:
        self._pages += 1
        name = html.escape(without_controls(page.path or ""), quote=True).replace('"', "")
        title = f"image &quot;{name}&quot;; bbox 0 0 {page.width} {page.height}; ppageno {self._pages - 1}"
        parts = [f'<div class="ocr_page" id="page_{self._pages}" title="{title}">']
        if page.error is not None:
            parts.append(f"<!-- {html.escape(page.error.problem).replace('--', '- -')} -->")
        for line in page.lines:
            parts.append(f'<span class="ocr_line" title="{_bbox(line.box)}">')
            for word in line.words:
                share = round(100 * min(character.confidence for character in word.characters))
                parts.append(f'<span class="ocrx_word" title="{_bbox(word.box)}; x_wconf {share}">')
                parts += [_hocr_character(character) for character in word.characters]
                parts.append("</span>")
            parts.append("</span>")
        if page.cells:
            for number in sorted({cell.row for cell in page.cells}):
                row = [cell for cell in page.cells if cell.row == number]
                parts.append(f'<span class="ocr_line" title="{_bbox(around([cell.box for cell in row]))}">')
                for cell in row:
                    if cell.character is not None:
                        share = round(100 * cell.character.confidence)
                        parts.append(f'<span class="ocrx_word" title="{_bbox(cell.box)}; x_wconf {share}">')
                        parts += [_hocr_character(cell.character), "</span>"]
                parts.append("</span>")
        parts.append("</div>\n")
        self._sink.write("\n".join(parts).encode("utf-8", "backslashreplace"))

    def close(self) -> None:
        self._sink.write(b"</body>\n</html>\n")


def _bbox(box: Box) -> str:
    return f"bbox {box.x} {box.y} {box.x + box.width} {box.y + box.height}"


def _hocr_character(character: Character) -> str:
    title = f"x_bboxes {_bbox(character.box)[5:]}; x_conf {100 * character.confidence:.2f}"
    return f'<span class="ocrx_cinfo" title="{title}">{html.escape(character.label or "")}</span>'


PAGE_FORMATS: Final[Mapping[str, type[PageWriter]]] = {
    "text": _TextWriter, "csv": _CsvWriter, "jsonl": _JsonLinesWriter, "hocr": _HocrWriter,
}  # fmt: skip
"""Name -> what writes it."""

_ENDINGS: Final = {
    ".txt": "text",
    ".csv": "csv",
    ".jsonl": "jsonl",
    ".json": "jsonl",
    ".hocr": "hocr",
    ".html": "hocr",
}


def format_for(path: str) -> str | None:
    """Return the format that a file's name asks for.

    >>> format_for("pages.hocr"), format_for("pages.doc")
    ('hocr', None)
    """
    return _ENDINGS.get(Path(path).suffix.lower())


def open_page_writer(
    format: str,  # noqa: A002
    sink: BinaryIO,
    *,
    formula_guard: bool = True,
) -> PageWriter:
    """Open a writer.

    Args:
        formula_guard: in CSV, whether an apostrophe goes before texts that a spreadsheet could run.

    Raises:
        UsageError: there is no such format.
    """
    if format not in PAGE_FORMATS:
        raise UsageError(f"pages are not written as {format!r}", remedy=suggest(format, PAGE_FORMATS))
    if format == "csv":
        return _CsvWriter(sink, formula_guard=formula_guard)
    return PAGE_FORMATS[format](sink)


def save(pages: Iterable[Page], path: Path, format: str) -> None:  # noqa: A002
    """Write pages to a file, whole or not at all.

    Raises:
        OutputError: it cannot be written.
        UsageError: there is no such format.
    """
    sink = io.BytesIO()
    with open_page_writer(format, sink) as writer:
        for page in pages:
            writer.write(page)
    write_bytes(path, sink.getvalue())
