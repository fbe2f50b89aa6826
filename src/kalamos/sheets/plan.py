"""What is on a sheet: its labels, its boxes, and the code that says both to whoever has nothing but a scan.

A label has `count` boxes, in lines of at most `MAX_BOXES_A_LINE`, each with the label before them; lines
fill the pages in the labels' order. So a page follows from the paper, the count and its own labels, and all
of them are in its code, if they fit. Where they do not, the sheet's file says them.
"""

from __future__ import annotations

import os
import tomllib
import zlib
from base64 import b32decode, b32encode
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, Self

from kalamos.alphabets import CONTROL_CHARACTERS
from kalamos.errors import FormError, suggest
from kalamos.forms.layout import MARKER_INSET, MARKER_SIDE, PAPERS, PaperName
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker, row_of_boxes
from kalamos.utils.atomic_write import write_text

__all__ = ["CODE_PLACE_SIDE", "Line", "PageCode", "SheetPage", "SheetPlan", "code_place"]

FORMAT_VERSION: Final = 1

BOX_MM, BOX_GAP_MM = 14.0, 2.5
"""The side of a box, and the gap to the next: hands that leave their boxes do not meet."""

LABEL_MM, LABEL_GAP_MM = 12.0, 2.0
"""The place of a line's label, and the gap to its first box."""

LINE_GAP_MM, BLOCK_GAP_MM = 3.0, 6.0
"""Between lines, and between labels that share a line."""

LEFT_MM, TOP_MM, BOTTOM_MM = 13.0, 38.0, 21.0
"""The margins; markers, code, name and the line for the writer are in the upper one."""

CODE_PLACE_SIDE, CODE_GAP_MM = 26.0, 5.0
"""The side of the code, and its gap to the marker beside it."""

MAX_BOXES_A_LINE: Final = 10

MAX_COUNT: Final = 1_000
"""Boxes of one label."""

MAX_LABELS: Final = 20_000

MAX_LABEL_CHARACTERS: Final = 60

MARKER_SETS: Final = 12
"""Pages have markers of their own, four each, and after so many the first ones again."""

MAX_CODE_CHARACTERS: Final = 300
"""Of a page's code: a QR code of 57 modules holds 311, and on paper each is then 0.46 mm wide."""

MAX_FILE_BYTES: Final = 4 << 20

_PREFIX: Final = "KALAMOS-SHEET"


class Line(NamedTuple):
    """Boxes in a row with one label before them."""

    label: str
    place: Box
    """Of the label, in mm."""
    boxes: tuple[Box, ...]
    """In mm."""


class PageCode(NamedTuple):
    """What the code of a page says, or can say.

    Attributes:
        sheet: eight hexadecimal digits that tell sheets apart.
        page: from 1.
        pages: how many the sheet has.
        copy: the copy's number.
        content: the page, where the code has room for its labels.
    """

    sheet: str
    page: int
    pages: int
    copy: int
    content: SheetPage | None

    def to_text(self) -> str:
        """Return the text of the code, of characters that QR codes keep most densely.

        >>> page = SheetPlan("greek", ("α", "β")).pages[0]
        >>> text = PageCode("0a1b2c3d", 1, 1, 7, page).to_text()
        >>> text[:36], PageCode.from_text(text).content == page
        ('KALAMOS-SHEET/1/0A1B2C3D/1/1/7/A4/10', True)
        """
        head = [_PREFIX, FORMAT_VERSION, self.sheet.upper(), self.page, self.pages, self.copy]
        if self.content is None:
            return "/".join(map(str, head))
        page = self.content
        content = "\n".join([page.name, *page.labels]).encode()
        packed = min(b"0" + content, b"1" + zlib.compress(content, 9), key=len)
        letters = b32encode(packed).decode().rstrip("=")
        text = "/".join(map(str, [*head, page.paper.upper(), page.count, letters]))
        return text if len(text) <= MAX_CODE_CHARACTERS else self._replace(content=None).to_text()

    @classmethod
    def from_text(cls, text: str) -> PageCode | None:
        """Understand a code's text; None for any other."""
        head, *parts = text.split("/")
        if head != _PREFIX or len(parts) not in (5, 8) or parts[0] != str(FORMAT_VERSION):
            return None
        try:
            page, pages, copy = map(int, parts[2:5])
            content = _unpacked(page, *parts[5:]) if len(parts) == 8 else None
        except (ValueError, KeyError, zlib.error, FormError):
            return None
        return cls(parts[1].lower(), page, pages, copy, content)


_PAPER_OF_CODE: Final[dict[str, PaperName]] = {name.upper(): name for name in PAPERS}


def _unpacked(number: int, paper: str, count: str, letters: str) -> SheetPage:
    packed = b32decode(letters + "=" * (-len(letters) % 8))
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed[1:], 1 << 16) if packed[:1] == b"1" else packed[1:]
    name, *labels = content.decode().split("\n")
    return SheetPage(name, number, tuple(labels), int(count), _PAPER_OF_CODE[paper])


@dataclass(frozen=True)
class SheetPage:
    """One page of a sheet.

    Attributes:
        name: of the sheet.
        number: from 1.
        labels: those on this page; one whose lines do not fit goes on at the next page.
        count: boxes a label, on all pages together.
        paper: "A4" or "letter".
    """

    name: str
    number: int
    labels: tuple[str, ...]
    count: int
    paper: PaperName

    def __post_init__(self) -> None:
        _check(self.name, self.labels, self.count, self.paper)

    @property
    def lines(self) -> tuple[Line, ...]:
        """The labels with their boxes, in the order in which they are printed."""
        chunks = _chunks(self.count)
        places = _line_places(self.paper, self.count)
        first = (self.number - 1) * len(places) % len(chunks)
        found = []
        for place, (x, y) in enumerate(places, first):
            label, chunk = divmod(place, len(chunks))
            if label >= len(self.labels):
                break
            boxes = row_of_boxes(
                x + LABEL_MM + LABEL_GAP_MM, y, BOX_MM, BOX_MM, count=chunks[chunk], step=BOX_MM + BOX_GAP_MM
            )
            found.append(Line(self.labels[label], Box(x, y, LABEL_MM, BOX_MM), boxes))
        return tuple(found)

    @property
    def template(self) -> FormTemplate:
        """The page as a form with a field a line, by which scans are registered; its unit is the mm."""
        width, height = PAPERS[self.paper]
        fields = tuple(Field(str(number), line.boxes) for number, line in enumerate(self.lines, 1))
        page = FormPage(width, height, markers=markers_of(self.number, self.paper))
        return FormTemplate(self.name, (page,), fields)


def markers_of(number: int, paper: PaperName) -> tuple[Marker, ...]:
    """Return the markers of a page (from 1), clockwise from the top left."""
    width, height = PAPERS[paper]
    first = 4 * ((number - 1) % MARKER_SETS)
    right, bottom = width - MARKER_INSET - MARKER_SIDE, height - MARKER_INSET - MARKER_SIDE
    places = ((MARKER_INSET, MARKER_INSET), (right, MARKER_INSET), (right, bottom), (MARKER_INSET, bottom))
    return tuple(Marker(first + corner, x, y, MARKER_SIDE) for corner, (x, y) in enumerate(places))


def code_place(paper: PaperName) -> Box:
    """Return where the code of every page is, in mm: beside the marker at the top right."""
    right = PAPERS[paper][0] - MARKER_INSET - MARKER_SIDE - CODE_GAP_MM
    return Box(right - CODE_PLACE_SIDE, MARKER_INSET, CODE_PLACE_SIDE, CODE_PLACE_SIDE)


@dataclass(frozen=True)
class SheetPlan:
    """A sheet to be filled: which characters, how often, on which paper.

    Attributes:
        name: of the sheet.
        labels: one for each character, all different.
        count: boxes each.
        paper: "A4" or "letter".

    Raises:
        FormError: no label, one that comes twice, is blank, too long or has control characters; a count out
            of range, or another paper.

    >>> plan = SheetPlan("greek", ("α", "β", "γ"), count=5)
    >>> len(plan.pages), [line.label for line in plan.pages[0].lines], len(plan.pages[0].lines[0].boxes)
    (1, ['α', 'β', 'γ'], 5)
    """

    name: str
    labels: tuple[str, ...]
    count: int = 10
    paper: PaperName = "A4"

    def __post_init__(self) -> None:
        _check(self.name, self.labels, self.count, self.paper)
        if len(self.labels) > MAX_LABELS:
            raise FormError(f"a sheet of {len(self.labels):,} labels; at most {MAX_LABELS:,} go on one")
        seen: set[str] = set()
        for label in self.labels:
            if label in seen:
                raise FormError(f"the label {label!r} comes twice", remedy="name each character once")
            seen.add(label)

    @property
    def id(self) -> str:
        """Eight hexadecimal digits that tell sheets apart."""
        content = "\n".join([self.name, self.paper, str(self.count), *self.labels])
        return f"{zlib.crc32(content.encode()):08x}"

    @property
    def pages(self) -> tuple[SheetPage, ...]:
        """As many as the labels fill."""
        chunks, a_page = len(_chunks(self.count)), len(_line_places(self.paper, self.count))
        lines = len(self.labels) * chunks
        return tuple(
            SheetPage(
                self.name,
                number,
                self.labels[start // chunks : -(-min(start + a_page, lines) // chunks)],
                self.count,
                self.paper,
            )
            for number, start in enumerate(range(0, lines, a_page), 1)
        )

    def code(self, page: SheetPage, copy: int) -> PageCode:
        """Return what the code of a page of one copy says."""
        return PageCode(self.id, page.number, len(self.pages), copy, page)

    @property
    def describes_itself(self) -> bool:
        """Whether the codes of all pages have room for their labels, so that scans need no file beside."""
        read = (PageCode.from_text(self.code(page, 10_000).to_text()) for page in self.pages)
        return all(code is not None and code.content is not None for code in read)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the sheet's file, a TOML file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        rows = [
            f"format = {FORMAT_VERSION}",
            f"name = {_quoted(self.name)}",
            f"paper = {_quoted(self.paper)}",
        ]
        rows += [f"count = {self.count}", "labels = ["]
        rows += [f"  {_quoted(label)}," for label in self.labels]
        write_text(path, "\n".join([*rows, "]", ""]))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a sheet's file.

        Raises:
            FormError: it is absent, is not TOML, or does not say a sheet.
        """
        where = os.fspath(path)
        try:
            with open(path, "rb") as file:  # noqa: PTH123  (any path-like)
                content = file.read(MAX_FILE_BYTES + 1)
            if len(content) > MAX_FILE_BYTES:
                raise FormError(f"{where}: larger than {MAX_FILE_BYTES >> 20} MiB, so no sheet's file")
            table = tomllib.loads(content.decode("utf-8-sig"))
        except OSError as error:
            raise FormError(f"{where}: cannot be read ({error.strerror or error})") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, RecursionError) as error:
            raise FormError(f"{where}: is not TOML ({error})") from error
        labels = table.get("labels")
        if table.get("format") != FORMAT_VERSION or not isinstance(labels, list):
            raise FormError(
                f"{where}: is no sheet of format {FORMAT_VERSION}",
                remedy="name the file that `kalamos sheets print` wrote beside the PDF",
            )
        try:
            return cls(table.get("name", ""), tuple(labels), table.get("count", 10), table.get("paper", "A4"))
        except FormError as error:
            raise FormError(f"{where}: {error.problem}", remedy=error.remedy) from error


def _check(name: object, labels: Sequence[object], count: object, paper: object) -> None:
    if not isinstance(name, str) or not name.strip() or CONTROL_CHARACTERS.search(name):
        raise FormError(f"a sheet cannot be called {name!r}")
    if not labels:
        raise FormError("a sheet without labels", remedy="say which characters: --chars 'ա բ գ'")
    for label in labels:
        if not isinstance(label, str) or not label.strip() or label != label.strip():
            raise FormError(f"{label!r} is no label: it is blank, or blank at an end")
        if len(label) > MAX_LABEL_CHARACTERS or CONTROL_CHARACTERS.search(label):
            raise FormError(
                f"{label[:80]!r} is no label: it has control characters, or more than "
                f"{MAX_LABEL_CHARACTERS} characters"
            )
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MAX_COUNT:
        raise FormError(f"{count!r} boxes a label; 1 to {MAX_COUNT:,} can be printed")
    if paper not in PAPERS:
        raise FormError(f"there is no paper {paper!r}", remedy=suggest(str(paper), PAPERS))


def _chunks(count: int) -> list[int]:
    """Return how many boxes each line of a label has."""
    full, rest = divmod(count, MAX_BOXES_A_LINE)
    return [MAX_BOXES_A_LINE] * full + [rest] * (rest > 0)


def _line_places(paper: PaperName, count: int) -> list[tuple[float, float]]:
    """Return the top left corners of a page's lines in mm, in their order."""
    width, height = PAPERS[paper]
    boxes = min(count, MAX_BOXES_A_LINE)
    block = LABEL_MM + LABEL_GAP_MM + boxes * (BOX_MM + BOX_GAP_MM) - BOX_GAP_MM
    across = int((width - 2 * LEFT_MM + BLOCK_GAP_MM) // (block + BLOCK_GAP_MM)) if count == boxes else 1
    down = int((height - TOP_MM - BOTTOM_MM + LINE_GAP_MM) // (BOX_MM + LINE_GAP_MM))
    return [
        (round(LEFT_MM + column * (block + BLOCK_GAP_MM), 3), round(TOP_MM + row * (BOX_MM + LINE_GAP_MM), 3))
        for row in range(down)
        for column in range(across)
    ]


def _quoted(text: str) -> str:
    """Write a text as TOML; it has no control characters."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
