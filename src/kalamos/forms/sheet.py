"""Printable sheets of a form: boxes, names, markers in the corners and a code that tells the sheets apart."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import FormError, ImageError, OutputError, UsageError, first_line, require_extra
from kalamos.forms.layout import (
    CODE_SIDE,
    QUIET_ZONE,
    Placement,
    code_place,
    overlap,
    placement_of,
    sheet_code,
    with_markers,
)
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker
from kalamos.images import load_grey
from kalamos.utils.atomic_write import write_bytes

if TYPE_CHECKING:
    from fpdf import FPDF

__all__ = ["print_sheet"]

LINE_MM: Final = 0.25
"""How wide the boxes' lines are. They are black: printers make grey ones of dots, photocopies lose them."""

NAME_PT, OPTION_PT, TITLE_PT, FOOT_PT = 9.0, 9.0, 15.0, 7.0
"""Sizes of letters; what does not fit is made smaller, down to `MIN_PT`."""

MIN_PT: Final = 5.0

MM_A_POINT: Final = 25.4 / 72

TEXT_GAP: Final = 1.2
"""Between a box and its text, in mm."""

ELLIPSIS: Final = "..."
"""Of dots, which every font has."""

MAX_COPIES: Final = 10_000

MADE_ON: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""Written in every PDF, so that the same form gives the same bytes."""

FONT_FILES: Final = (
    "DejaVuSans.ttf",
    "NotoSans-Regular.ttf",
    "NotoNaskhArabic-Regular.ttf",
    "NotoSansArabic-Regular.ttf",
    "arial.ttf",
    "Arial.ttf",
    "Arial Unicode.ttf",
    "tahoma.ttf",
    "NotoSansDevanagari-Regular.ttf",
    "NotoSansCJK-Regular.ttc",
    "msyh.ttc",
    "PingFang.ttc",
)
"""Looked for where systems keep their fonts, the ones with most scripts first."""

_Align = Literal["L", "C", "R"]


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
    writer = _Writer(pdf, None if font is None else Path(font))
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
        self.image = _image_of(template, self.page) if self.page.image else None

    def draw(self, pdf: FPDF, writer: _Writer, sheet: int | None) -> None:
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
            self._draw_marker(pdf, marker)
        if sheet is not None:
            self._draw_code(pdf, sheet)

    def _draw_title(self, writer: _Writer, sheet: int | None) -> None:
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

    def _draw_texts(self, writer: _Writer, field: Field, boxes: list[Box]) -> None:
        own = [self._on_paper(box) for box in field.boxes]
        name_place, align = self._name_place(field, own, boxes)
        writer.write(field.name, name_place, NAME_PT, align=align)
        for box, option in zip(own, field.options, strict=False):
            start = box.x + box.width + TEXT_GAP
            end = _free_until(Box(start, box.y, 1e3, box.height), boxes, self.place.paper[0] - TEXT_GAP)
            writer.write(option, Box(start, box.y, end - start - TEXT_GAP, box.height), OPTION_PT, align="L")

    def _name_place(self, field: Field, own: list[Box], boxes: list[Box]) -> tuple[Box, _Align]:
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

    def _draw_marker(self, pdf: FPDF, marker: Marker) -> None:
        dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
        modules = cv2.aruco.generateImageMarker(dictionary, marker.id, 6) == 0
        place = self._on_paper(Box(marker.x, marker.y, marker.size, marker.size))
        _draw_modules(pdf, modules, place, QUIET_ZONE)

    def _draw_code(self, pdf: FPDF, sheet: int) -> None:
        place = code_place(self.template, self.number)
        if place is None:
            raise FormError(
                f"page {self.number} of form {self.template.name!r} has no corner free for the code",
                remedy=f"leave {CODE_SIDE:g} mm free beside a marker, or print without the code",
            )
        import segno

        text = sheet_code(self.template.name, self.number, sheet)
        qr = segno.make_qr(text, error="m", boost_error=False)
        modules = np.array([[bool(value) for value in row] for row in qr.matrix])
        _draw_modules(pdf, modules, self._on_paper(place), 4 * CODE_SIDE / len(modules))

    def _on_paper(self, box: Box) -> Box:
        scale = self.place.scale
        return Box(
            self.place.x + scale * box.x,
            self.place.y + scale * box.y,
            scale * box.width,
            scale * box.height,
        )


def _draw_modules(pdf: FPDF, modules: NDArray[np.bool_], place: Box, quiet: float) -> None:
    """Draw a square of modules, [N, N], where they are black, and white around it."""
    step = place.width / len(modules)
    pdf.set_fill_color(255)
    pdf.rect(place.x - quiet, place.y - quiet, place.width + 2 * quiet, place.height + 2 * quiet, "F")
    pdf.set_fill_color(0)
    for number, row in enumerate(modules):
        for start, stop in _runs(row):
            # A hair over the edge, or viewers leave a bright line between two modules.
            pdf.rect(
                place.x + start * step,
                place.y + number * step,
                (stop - start) * step,
                step + (0.02 if number + 1 < len(modules) else 0),
                "F",
            )


def _runs(row: NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    edges = np.flatnonzero(np.diff(np.concatenate(([0], row.astype(np.int8), [0]))))
    return ((int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2], strict=True))


def _free_until(strip: Box, boxes: Iterable[Box], edge: float) -> float:
    """Return how far to the right nothing lies in a strip, in mm."""
    return min([edge, *(box.x for box in boxes if overlap(strip, box))])


def _image_of(template: FormTemplate, page: FormPage) -> bytes:
    """Return an empty form's image as a grey PNG: what kalamos does not read does not go into a PDF."""
    path = Path(template.folder, page.image)
    try:
        grey = load_grey(path)
    except ImageError as error:
        raise FormError(f"the empty form's image: {error.problem}", remedy=error.remedy) from error
    done, content = cv2.imencode(".png", grey)
    if not done:
        raise FormError(f"the empty form's image {page.image!r} cannot be kept as PNG")
    return content.tobytes()


@dataclass
class _Writer:
    """Writes texts of any script into a PDF, each in a font that has its characters."""

    pdf: FPDF
    font: Path | None

    def write(
        self, text: str, place: Box, size: float, *, align: _Align | None = None, bold: bool = False
    ) -> None:
        """Write one line, smaller where it does not fit, and cut where it cannot."""
        text = " ".join(text.split())
        if not text or place.width <= 0:
            return
        self._choose_font(text, bold=bold)
        size = min(size, place.height / MM_A_POINT)
        self.pdf.set_font_size(size)
        width = self.pdf.get_string_width(text)
        if width > place.width:
            self.pdf.set_font_size(max(MIN_PT, size * place.width / width))
            width = self.pdf.get_string_width(text)
        if width > place.width + 0.1:
            kept = int(len(text) * place.width / width) - len(ELLIPSIS)
            text = f"{text[: max(kept, 1)]}{ELLIPSIS}"
        self.pdf.c_margin = 0
        self.pdf.set_xy(place.x, place.y)
        self.pdf.cell(place.width, place.height, text, align=align or ("R" if is_rtl(text) else "L"))

    def _choose_font(self, text: str, *, bold: bool) -> None:
        if self.font is None and _needed(text) <= _LATIN_1:
            self.pdf.set_text_shaping(False)
            self.pdf.set_font("helvetica", "B" if bold else "")
            return
        needed = _needed(text)
        path = self.font or _font_for(needed)
        if path is None:
            raise FormError(
                f"no font is found with the characters of {text!r}",
                remedy="name a font file that has them, or install one such as DejaVu Sans or Noto",
            )
        missing = needed - _characters_of(path)
        if missing:
            raise FormError(
                f"the font {path.name} has no {' '.join(map(chr, sorted(missing)[:8]))}",
                remedy=f"name one that has all characters of {text!r}",
            )
        family = str(path).lower()
        if family not in self.pdf.fonts:
            self.pdf.add_font(family, fname=path)
        self.pdf.set_text_shaping(True)
        self.pdf.set_font(family)


_LATIN_1: Final = frozenset([*range(32, 127), *range(160, 256)])


def _needed(text: str) -> frozenset[int]:
    """Return the code points that a font must have, which joiners and direction marks are not of."""
    return frozenset(ord(each) for each in text if unicodedata.category(each) != "Cf")


def is_rtl(text: str) -> bool:
    """Whether a text's first letter is of a script that is written from the right.

    >>> is_rtl("12 \u0631\u0642\u0645"), is_rtl("mark")
    (True, False)
    """
    strong = (unicodedata.bidirectional(each) for each in text)
    return next((each for each in strong if each in ("L", "R", "AL")), "L") != "L"


@cache
def _characters_of(path: Path) -> frozenset[int]:
    from fontTools.ttLib import TTFont, TTLibError  # type: ignore[import-untyped]

    try:
        # Opened here: a file that is no font stays open in there.
        with path.open("rb") as file, TTFont(file, fontNumber=0, lazy=True) as font:
            return frozenset(font.getBestCmap() or ())
    except (OSError, TTLibError, AssertionError, ValueError, KeyError) as error:
        raise FormError(
            f"{path}: cannot be read as a font ({first_line(error)})", remedy="name a .ttf or .otf file"
        ) from error


@cache
def _font_for(needed: frozenset[int]) -> Path | None:
    for path in _installed_fonts():
        try:
            if needed <= _characters_of(path):
                return path
        except FormError:  # a damaged file among the system's fonts is no reason to stop
            continue
    return None


@cache
def _installed_fonts() -> tuple[Path, ...]:
    """Find the fonts of `FONT_FILES` where systems keep theirs."""
    home = Path.home()
    folders = {
        "win32": [Path(os.environ.get("WINDIR", "C:/Windows"), "Fonts")],
        "darwin": [home / "Library/Fonts", Path("/Library/Fonts"), Path("/System/Library/Fonts")],
    }.get(
        sys.platform,
        [
            home / ".fonts",
            home / ".local/share/fonts",
            Path("/usr/local/share/fonts"),
            Path("/usr/share/fonts"),
        ],
    )
    found: dict[str, Path] = {}
    for folder in folders:
        for where, _, names in os.walk(folder):
            for name in names:
                if name in FONT_FILES:
                    found.setdefault(name, Path(where, name))
    return tuple(found[name] for name in FONT_FILES if name in found)
