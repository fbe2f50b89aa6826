"""Printable sheets of a form: boxes, names, markers in the corners and a code that tells the sheets apart."""

from __future__ import annotations

import os
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kalamos.errors import FormError, OutputError, UsageError, require_extra
from kalamos.forms.drawing import MM_A_POINT, Align, Writer, draw_code, draw_marker, grey_png
from kalamos.forms.layout import (
    CODE_SIDE,
    Placement,
    code_place,
    overlap,
    placement_of,
    sheet_code,
    with_markers,
)
from kalamos.forms.template import Box, Field, FormPage, FormTemplate
from kalamos.utils.atomic_write import write_bytes

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = ["print_sheet"]

LINE_MM: Final = 0.25
"""How wide the boxes' lines are. They are black: printers make grey ones of dots, photocopies lose them."""

NAME_PT, OPTION_PT, TITLE_PT, FOOT_PT = 9.0, 9.0, 15.0, 7.0
"""Sizes of letters; what does not fit is made smaller."""

TEXT_GAP: Final = 1.2
"""Between a box and its text, in mm."""

MAX_COPIES: Final = 10_000

MADE_ON: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Written in every PDF, so that the same form gives the same bytes."""


def print_sheet(
    template: FormTemplate,
    path: str | os.PathLike[str],
    *,
    copies: int = 1,
    first: int = 1,
    markers: bool = True,
    code: bool = True,
    font: str | os.PathLike[str] | None = None,
) -> FormTemplate:
    """Write a form as a PDF to print, and return the template that fits it: markers are in it.

    A page is printed on A4 or letter, whichever its proportions are nearer to. Each field has its name above
    its boxes, or beside them where there is no room, and each box to tick its option. A page with an image of
    the empty form is printed as that image, with the markers and the code over its corners. The same
    template gives the same bytes on any day, and with the same fonts on any machine.

    Args:
        template: its pages without markers get four, one in each corner.
        path: of the PDF.
        copies: of the form, each with a sheet number of its own in its code.
        first: the number of the first copy.
        markers: whether pages without markers get them; a form without is registered less surely.
        code: whether to print a code with the form's name, page and sheet number: `kalamos:exam:1:12`.
        font: a TrueType or OpenType file for all texts. Without, texts in Latin-1 are in Helvetica, and for
            other characters the system's fonts are searched.

    Raises:
        FormError: markers or code would cover boxes, an image or font cannot be read, or no font has the
            characters of a name.
        MissingExtraError: the extra `forms` is not installed.
        OutputError: the file cannot be written.
        UsageError: its name does not end with .pdf.

    >>> import tempfile
    >>> from kalamos.forms.field_list import parse_fields
    >>> from kalamos.forms.layout import layout_fields
    >>> form = layout_fields(parse_fields("student: 8 digits"), name="exam")
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     printed = print_sheet(form, f"{folder}/sheet.pdf", copies=2)
    ...     Path(folder, "sheet.pdf").read_bytes()[:8]
    b'%PDF-1.3'
    >>> printed == form
    True
    """
    if Path(path).suffix.lower() != ".pdf":
        # `-o form.png`, or a forgotten name after -o, would put the print in another file's place.
        raise UsageError(f"{os.fspath(path)}: a sheet is a .pdf file", remedy="name it sheet.pdf")
    require_extra("forms", ["fpdf", "fontTools", "uharfbuzz", "segno"], what="printing a form")
    if not 1 <= copies <= MAX_COPIES or first < 0:
        raise OutputError(
            f"{copies:,} copies from number {first}", remedy=f"ask for 1 to {MAX_COPIES:,}, from 0 on"
        )
    if markers:
        template = with_markers(template)
    from fpdf import FPDF

    pdf = FPDF(unit="mm")
    pdf.set_creation_date(MADE_ON)
    pdf.set_auto_page_break(False)
    pdf.set_title(template.name)
    writer = Writer(pdf, None if font is None else Path(font))
    pages = [_Page(template, number) for number in range(1, len(template.pages) + 1)]
    for sheet in range(first, first + copies):
        for page in pages:
            page.draw(pdf, writer, sheet if code else None)
    write_bytes(path, pdf.output())
    return template


class _Page:
    """One page of a form, drawn once for each sheet."""

    def __init__(self, template: FormTemplate, number: int) -> None:
        self.template, self.number = template, number
        self.page: FormPage = template.pages[number - 1]
        self.place: Placement = placement_of(self.page)
        self.fields = [each for each in template.fields if each.page == number]
        self.image = (
            grey_png(Path(template.folder, self.page.image), "the empty form's image")
            if self.page.image
            else None
        )

    def draw(self, pdf: FPDF, writer: Writer, sheet: int | None) -> None:
        width, height = self.place.paper
        pdf.add_page(format=(min(width, height), max(width, height)), orientation="PL"[width > height])
        if self.image is not None:
            whole = self._on_paper(Box(0, 0, self.page.width, self.page.height))
            pdf.image(self.image, *whole)
        else:
            self._draw_title(writer, sheet)
            boxes = [self._on_paper(box) for each in self.fields for box in each.boxes]
            pdf.set_draw_color(0)
            pdf.set_line_width(LINE_MM)
            for box in boxes:
                pdf.rect(*box)
            for each in self.fields:
                self._draw_texts(writer, each, boxes)
        for marker in self.page.markers:
            place = self._on_paper(Box(marker.x, marker.y, marker.size, marker.size))
            draw_marker(pdf, marker.id, place)
        if sheet is not None:
            self._draw_code(pdf, sheet)

    def _draw_title(self, writer: Writer, sheet: int | None) -> None:
        width, height = self.place.paper
        boxes = [self._on_paper(box) for each in self.fields for box in each.boxes]
        # Between the markers, and beside the code.
        title = Box(25, 9, width - 75, 8)
        if not any(overlap(title, box) for box in boxes):
            writer.write(self.template.name, title, TITLE_PT, bold=True)
        count = len(self.template.pages)
        words = [f"{self.number} / {count}" if count > 1 else "", "" if sheet is None else f"no. {sheet}"]
        foot = Box(25, height - 14, width - 50, 4)
        if any(words) and not any(overlap(foot, box) for box in boxes):
            writer.write(" \u00b7 ".join(filter(None, words)), foot, FOOT_PT, align="C")

    def _draw_texts(self, writer: Writer, field: Field, boxes: list[Box]) -> None:
        own = [self._on_paper(box) for box in field.boxes]
        name_place, align = self._name_place(field, own, boxes)
        writer.write(field.name, name_place, NAME_PT, align=align)
        for box, option in zip(own, field.options, strict=False):
            start = box.x + box.width + TEXT_GAP
            end = _free_until(Box(start, box.y, 1e3, box.height), boxes, self.place.paper[0] - TEXT_GAP)
            writer.write(option, Box(start, box.y, end - start - TEXT_GAP, box.height), OPTION_PT, align="L")

    def _name_place(self, field: Field, own: list[Box], boxes: list[Box]) -> tuple[Box, Align]:
        """Find room for a name: above the first line of its boxes, or else beside them."""
        top = min(box.y for box in own)
        line = [box for box in own if box.y < top + box.height / 2]
        left, right = min(box.x for box in line), max(box.x + box.width for box in line)
        width = self.place.paper[0]
        height = NAME_PT * MM_A_POINT * 1.25
        above = Box(left, top - TEXT_GAP / 2 - height, right - left, height)
        if above.y > 0 and not any(overlap(above, box) for box in boxes):
            if field.direction == "rtl":
                return above, "R"
            end = _free_until(above._replace(width=1e3), boxes, width - 5)
            # The next field's name begins where its boxes do.
            below = [box.x for box in boxes if box.x >= right and abs(box.y - top) < height]
            return above._replace(width=min([end, *below]) - left - TEXT_GAP), "L"
        beside = [box.x + box.width for box in boxes if box.x + box.width <= left and abs(box.y - top) < 2]
        start = max([5.0, *beside])
        return Box(start, top, max(left - start - TEXT_GAP, 1.0), line[0].height), "R"

    def _draw_code(self, pdf: FPDF, sheet: int) -> None:
        place = code_place(self.template, self.number)
        if place is None:
            raise FormError(
                f"page {self.number} of form {self.template.name!r} has no corner free for the code",
                remedy=f"leave {CODE_SIDE:g} mm free beside a marker, or print without the code",
            )
        draw_code(pdf, sheet_code(self.template.name, self.number, sheet), self._on_paper(place))

    def _on_paper(self, box: Box) -> Box:
        scale = self.place.scale
        return Box(
            self.place.x + scale * box.x,
            self.place.y + scale * box.y,
            scale * box.width,
            scale * box.height,
        )


def _free_until(strip: Box, boxes: Iterable[Box], edge: float) -> float:
    """Return how far to the right nothing lies in a strip, in mm."""
    return min([edge, *(box.x for box in boxes if overlap(strip, box))])
