"""Print a sheet: lines of boxes behind their character in grey, markers, a code, a line for a name."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kalamos.errors import OutputError, require_extra
from kalamos.forms.drawing import MM_A_POINT, Writer, can_write, draw_code, draw_marker, grey_png
from kalamos.forms.layout import PAPERS
from kalamos.forms.sheet import MADE_ON, MAX_COPIES
from kalamos.forms.template import Box
from kalamos.images import load_grey
from kalamos.sheets.labels import Caption, name_of_label
from kalamos.sheets.plan import Line, SheetPage, SheetPlan, code_place, markers_of
from kalamos.utils.atomic_write import write_bytes

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = ["print_plan"]

LINE_MM: Final = 0.25
"""How wide the boxes' lines are. They are black, as on forms."""

LABEL_PT, NAME_PT, TITLE_PT, SMALL_PT = 26.0, 6.0, 15.0, 8.0

LABEL_GREY: Final = 130
"""Of labels: seen well, and not taken for what was written."""

NAME_LINES: Final = 5
"""In which a name is broken at most."""

DOTTED_CIRCLE: Final = "\u25cc"
"""What a mark that combines is shown on."""

WRITER_LINE: Final = "written by"


def print_plan(
    plan: SheetPlan,
    path: str | os.PathLike[str],
    *,
    captions: Mapping[str, Caption] | None = None,
    copies: int = 1,
    first: int = 1,
    font: str | os.PathLike[str] | None = None,
) -> tuple[str, ...]:
    """Write a sheet as a PDF to print.

    Args:
        plan: of the sheet.
        path: of the PDF.
        captions: names and pictures of labels; see `kalamos.sheets.labels.read_labels`.
        copies: each has a number of its own in its code, by which writers are told apart.
        first: the first copy's number.
        font: a TrueType or OpenType file that labels are shown in, as far as it has them.

    Returns:
        Labels that are shown by a name, since no font has them.

    Raises:
        FormError: a picture or the font cannot be read.
        MissingExtraError: the extra `forms` is not installed.
        OutputError: the file cannot be written.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print_plan(SheetPlan("latin", ("a", "b")), f"{folder}/sheet.pdf", copies=3)
    ...     Path(folder, "sheet.pdf").read_bytes()[:5]
    ()
    b'%PDF-'
    """
    require_extra("forms", ["fpdf", "fontTools", "uharfbuzz", "segno"], what="printing a sheet")
    if not 1 <= copies <= MAX_COPIES or first < 0:
        raise OutputError(
            f"{copies:,} copies from number {first}", remedy=f"ask for 1 to {MAX_COPIES:,}, from 0 on"
        )
    from fpdf import FPDF

    pdf = FPDF(unit="mm")
    pdf.set_creation_date(MADE_ON)
    pdf.set_auto_page_break(False)
    pdf.set_title(plan.name)
    drawing = _Drawing(pdf, plan, captions or {}, None if font is None else Path(font))
    for copy in range(first, first + copies):
        for page in plan.pages:
            drawing.draw(page, copy)
    write_bytes(path, pdf.output())
    return tuple(label for label in plan.labels if label in drawing.named)


class _Drawing:
    def __init__(
        self, pdf: FPDF, plan: SheetPlan, captions: Mapping[str, Caption], font: Path | None
    ) -> None:
        self.pdf, self.plan, self.captions, self.font = pdf, plan, captions, font
        self.texts = Writer(pdf, None)
        self.named: set[str] = set()

    def draw(self, page: SheetPage, copy: int) -> None:
        pdf = self.pdf
        width, height = PAPERS[page.paper]
        pdf.add_page(format=(width, height))
        for marker in markers_of(page.number, page.paper):
            draw_marker(pdf, marker.id, Box(marker.x, marker.y, marker.size, marker.size))
        code = code_place(page.paper)
        draw_code(pdf, self.plan.code(page, copy).to_text(), code)
        self._draw_head(page, copy, code.x, height)
        pdf.set_draw_color(0)
        pdf.set_line_width(LINE_MM)
        for line in page.lines:
            for box in line.boxes:
                pdf.rect(*box)
        pdf.set_text_color(LABEL_GREY)
        for line in page.lines:
            self._draw_label(line)
        pdf.set_text_color(0)

    def _draw_head(self, page: SheetPage, copy: int, right: float, height: float) -> None:
        left = 24.0
        if can_write(page.name):
            self.texts.write(page.name, Box(left, 8, right - left - 5, 8), TITLE_PT, bold=True)
        told = "Write the grey character into each box beside it. Rather than cross out, leave a box empty."
        self.texts.write(told, Box(left, 17, right - left - 5, 4), SMALL_PT)
        self.texts.write(WRITER_LINE, Box(left, 26, 16, 5), SMALL_PT + 1)
        self.pdf.set_draw_color(120)
        self.pdf.set_line_width(LINE_MM)
        self.pdf.line(left + 17, 31, right - 6, 31)
        foot = Box(25, height - 14, PAPERS[page.paper][0] - 50, 4)
        words = [f"{page.number} / {len(self.plan.pages)}", f"no. {copy}"]
        self.texts.write(" \u00b7 ".join(words), foot, SMALL_PT - 1, align="C")

    def _draw_label(self, line: Line) -> None:
        caption = self.captions.get(line.label, Caption())
        if caption.picture is not None:
            self._draw_picture(caption.picture, line.place)
            return
        for text in _as_shown(line.label):
            font = self.font if self.font is not None and can_write(text, self.font) else None
            if font is not None or can_write(text):
                Writer(self.pdf, font).write(text, line.place, LABEL_PT, align="C")
                return
        self.named.add(line.label)
        self._draw_name(caption.name or name_of_label(line.label), line.place)

    def _draw_name(self, name: str, place: Box) -> None:
        """Write a name in a few short lines."""
        rows: list[str] = []
        for word in name.split():
            self.texts.choose_font(word)
            self.pdf.set_font_size(NAME_PT)
            longer = f"{rows[-1]} {word}" if rows else word
            if rows and self.pdf.get_string_width(longer) <= place.width:
                rows[-1] = longer
            else:
                rows.append(word)
        height = NAME_PT * MM_A_POINT * 1.15
        rows = [*rows[: NAME_LINES - 1], " ".join(rows[NAME_LINES - 1 :])]
        rows = [row for row in rows if row]
        top = place.y + (place.height - height * len(rows)) / 2
        for number, row in enumerate(rows):
            line = Box(place.x, top + number * height, place.width, height)
            self.texts.write(row, line, NAME_PT, align="C")

    def _draw_picture(self, path: Path, place: Box) -> None:
        content = grey_png(path, "the picture of a label")
        height, width = load_grey(content).shape
        scale = min(place.width / width, place.height / height)
        left = place.x + (place.width - scale * width) / 2
        top = place.y + (place.height - scale * height) / 2
        self.pdf.image(content, left, top, scale * width, scale * height)


def _as_shown(label: str) -> list[str]:
    """Return what may be written for a label, the best first: a mark needs something to stand on."""
    if unicodedata.category(label[0]).startswith("M"):
        return [DOTTED_CIRCLE + label, label]
    return [label]
