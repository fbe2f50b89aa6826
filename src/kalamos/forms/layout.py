"""Where things lie on a sheet: the boxes of fields that are only listed, the markers, and the code."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple

from kalamos.errors import FormError, suggest
from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker

__all__ = [
    "PAPERS",
    "PaperName",
    "Placement",
    "code_place",
    "layout_fields",
    "overlap",
    "placement_of",
    "sheet_code",
    "with_markers",
]

PaperName = Literal["A4", "letter"]

PAPERS: Final[dict[PaperName, tuple[float, float]]] = {"A4": (210.0, 297.0), "letter": (215.9, 279.4)}
"""Width and height in mm, upright."""

MARKER_SIDE: Final = 10.0
"""In mm. At 100 dpi a module of it is still 6 px."""

MARKER_INSET: Final = 8.0
"""In mm, from the paper's edges: printers leave up to 6 mm white."""

QUIET_ZONE: Final = 1.5
"""In mm, of white around a marker, without which OpenCV does not find it."""

CODE_SIDE: Final = 16.0
"""In mm, without its quiet zone. Its modules are of 0.5 mm or more: 4 px at 200 dpi."""

CODE_GAP: Final = 5.0
"""In mm, between a marker and the code: more than four modules, the code's own quiet zone."""

MARKERS_A_PAGE: Final = 4
MAX_MARKED_PAGES: Final = 12
"""The dictionary 4x4_50 has 50 markers: four for each of so many pages."""

MAX_CODE_BYTES: Final = 32
"""Of a form's name in UTF-8; a longer one is cut in the code, and its checksum added."""

LEFT, TOP, BOTTOM = 15.0, 32.0, 22.0
"""The white margins of a laid out page in mm; markers, title and code lie in the upper one."""

BOX, GAP = (8.0, 9.5), 1.5
"""A box for one character in mm, and the gap to the next one: hands that leave their boxes do not meet."""

TICK, TICK_GAP = 5.0, 2.0
"""The side of a box to tick, and the gap to its option's text, in mm."""

NAME_HEIGHT: Final = 5.0
"""In mm, above the boxes."""

NAME_SIZE: Final = 3.2
"""The letters' size in mm: 9 points."""

LINE_GAP, FIELD_GAP = 4.0, 8.0
"""Between lines of boxes, and between fields in one line, in mm."""


class Placement(NamedTuple):
    """How a page's units become mm on paper: `mm = offset + scale * units`."""

    paper: tuple[float, float]
    scale: float
    x: float
    y: float


def layout_fields(
    fields: Sequence[Field], *, name: str = "form", paper: PaperName = "A4", model: str = "digits"
) -> FormTemplate:
    r"""Place fields on as many pages as they need, in their order, and markers in the corners.

    Names go above the boxes. Short fields share a line; a field longer than a line goes on in the next one
    (of a field written from the right, the first line has the last boxes). No field is torn over two pages.

    Args:
        fields: as `parse_fields` returns them: the number of their boxes counts, and on which page a field
            lies at the earliest; where and how large the boxes are does not.
        name: the form's.
        paper: the pages' size; their unit is the mm.
        model: what reads fields that name none.

    Raises:
        FormError: a field fills more than a page, or there are more pages than markers for them.

    >>> from kalamos.forms.field_list import parse_fields
    >>> form = layout_fields(parse_fields("student: 8 digits\nmark: 2 digits"), name="exam")
    >>> form.pages[0].width, len(form.pages[0].markers), form.fields[0].boxes[0]
    (210.0, 4, Box(x=15, y=37, width=8.0, height=9.5))
    """
    if paper not in PAPERS:
        raise FormError(f"there is no paper {paper!r}", remedy=suggest(paper, PAPERS))
    width, height = PAPERS[paper]
    placed: list[Field] = []
    page, x, y, line = 1, LEFT, TOP, 0.0
    for each in fields:
        block = _block(each, width - 2 * LEFT)
        if TOP + block.height > height - BOTTOM:
            raise FormError(
                f"field {each.name!r} of {len(each.boxes)} boxes is larger than a page",
                remedy="make several fields of it",
            )
        if each.page > page:
            page, x, y, line = each.page, LEFT, TOP, 0.0
        elif x > LEFT and (x + block.width > width - LEFT or block.lines > 1):
            x, y, line = LEFT, y + line + LINE_GAP, 0.0
        if y + block.height > height - BOTTOM:
            page, x, y, line = page + 1, LEFT, TOP, 0.0
        boxes = tuple(Box(_tidy(x + box.x), _tidy(y + box.y), *box[2:]) for box in block.boxes)
        placed.append(replace(each, boxes=boxes, page=page))
        x, line = x + block.width + FIELD_GAP, max(line, block.height)
        if block.lines > 1:
            x = width
    pages = tuple(FormPage(width, height) for _ in range(page))
    return with_markers(FormTemplate(name, pages, tuple(placed), model))


@dataclass(frozen=True)
class _Block:
    """A field's boxes and its name, from (0, 0) on."""

    width: float
    height: float
    lines: int
    boxes: tuple[Box, ...]


def _block(field: Field, room: float) -> _Block:
    """Lay out one field in lines of at most `room` mm."""
    if field.kind == "tick":
        advances = [TICK + TICK_GAP + _text_width(option) + FIELD_GAP / 2 for option in field.options]
        size, pitch = (TICK, TICK), TICK + LINE_GAP
    else:
        advances = [BOX[0] + GAP] * len(field.boxes)
        size, pitch = BOX, BOX[1] + LINE_GAP
    lines: list[list[float]] = [[]]
    x = 0.0
    for advance in advances:
        # The gap behind the last box is no part of the line.
        if lines[-1] and x + advance - GAP > room:
            lines.append([])
            x = 0.0
        lines[-1].append(x)
        x += advance
    placed = [
        [Box(x, NAME_HEIGHT + number * pitch, *size) for x in line] for number, line in enumerate(lines)
    ]
    if field.direction == "rtl":
        # Writing begins in the last box, which is at the right end of the first line.
        widest = max(line[-1].x for line in placed)
        moved = [[box._replace(x=box.x + widest - line[-1].x) for box in line] for line in placed]
        placed = moved[::-1]
    width = room if len(lines) > 1 else max(x - GAP, min(_text_width(field.name), room))
    height = NAME_HEIGHT + (len(lines) - 1) * pitch + size[1]
    return _Block(width, height, len(lines), tuple(box for line in placed for box in line))


def _text_width(text: str) -> float:
    """Estimate how wide a printed text is in mm, rather too wide: the font is not known before printing."""
    ems = (
        1.0 if unicodedata.east_asian_width(character) in "WF" else 0.75 if character.isupper() else 0.56
        for character in text
    )
    return NAME_SIZE * sum(ems)


def _tidy(number: float) -> float:
    rounded = round(number, 3)
    return int(rounded) if rounded == int(rounded) else rounded


def placement_of(page: FormPage) -> Placement:
    """Find the paper that a page is printed on, the nearest in its proportions, and its place there.

    >>> placement_of(FormPage(1654, 2339)).paper, round(placement_of(FormPage(1654, 2339)).scale, 3)
    ((210.0, 297.0), 0.127)
    """

    def misfit(paper: tuple[float, float]) -> float:
        return abs(math.log(page.width / page.height * paper[1] / paper[0]))

    upright = list(PAPERS.values())
    paper = min([*upright, *((height, width) for width, height in upright)], key=misfit)
    scale = min(paper[0] / page.width, paper[1] / page.height)
    return Placement(paper, scale, (paper[0] - scale * page.width) / 2, (paper[1] - scale * page.height) / 2)


def with_markers(template: FormTemplate) -> FormTemplate:
    """Add a marker in each corner to pages that have none.

    Page p has the markers 4 (p - 1) to 4 (p - 1) + 3, clockwise from the top left, so that a page that is
    turned or comes in another order is told.

    Raises:
        FormError: a box lies in a corner, or there are more than 12 pages.

    >>> from kalamos.forms.field_list import parse_fields
    >>> [marker.id for marker in layout_fields(parse_fields("mark: 2 digits")).pages[0].markers]
    [0, 1, 2, 3]
    """
    if all(page.markers for page in template.pages):
        return template
    if len(template.pages) > MAX_MARKED_PAGES:
        raise FormError(
            f"form {template.name!r} has {len(template.pages)} pages, and markers are for {MAX_MARKED_PAGES}",
            remedy="make several forms of it",
        )
    pages = tuple(
        page if page.markers else replace(page, markers=_corner_markers(template, number))
        for number, page in enumerate(template.pages, 1)
    )
    ids = [marker.id for page in pages for marker in page.markers]
    if len(set(ids)) < len(ids):
        raise FormError(
            f"pages of form {template.name!r} have markers of the same number",
            remedy="take the markers out of the template, and each page gets its own",
        )
    return replace(template, pages=pages)


def _corner_markers(template: FormTemplate, number: int) -> tuple[Marker, ...]:
    page = template.pages[number - 1]
    scale = placement_of(page).scale
    inset, side = MARKER_INSET / scale, MARKER_SIDE / scale
    far_x, far_y = page.width - inset - side, page.height - inset - side
    places = ((inset, inset), (far_x, inset), (far_x, far_y), (inset, far_y))
    markers = tuple(
        Marker(MARKERS_A_PAGE * (number - 1) + corner, _tidy(x), _tidy(y), _tidy(side))
        for corner, (x, y) in enumerate(places)
    )
    for marker in markers:
        around = _grown(Box(marker.x, marker.y, marker.size, marker.size), QUIET_ZONE / scale)
        for name, box in _boxes_of(template, number):
            if overlap(around, box):
                raise FormError(
                    f"field {name!r} lies where a marker is printed",
                    remedy=f"move it away from the corner, {MARKER_INSET + MARKER_SIDE + QUIET_ZONE:g} mm "
                    "from the edges, or print without markers",
                )
    return markers


def code_place(template: FormTemplate, number: int) -> Box | None:
    """Find where the code of a page (from 1) is printed, in its units; None where all corners are taken.

    It is beside the marker at the top right if no box lies there, else at another corner.

    >>> from kalamos.forms.field_list import parse_fields
    >>> code_place(layout_fields(parse_fields("mark: 2 digits")), 1)
    Box(x=171.0, y=8.0, width=16.0, height=16.0)
    """
    page = template.pages[number - 1]
    scale = placement_of(page).scale
    side, gap = CODE_SIDE / scale, CODE_GAP / scale
    near = MARKER_INSET / scale
    left = near + MARKER_SIDE / scale + gap
    xs, ys = (page.width - left - side, left), (near, page.height - near - side)
    taken = [box for _, box in _boxes_of(template, number)]
    taken += [Box(marker.x, marker.y, marker.size, marker.size) for marker in page.markers]
    for y in ys:
        for x in xs:
            place = Box(x, y, side, side)
            around = _grown(place, gap / 2)
            if x >= 0 and y >= 0 and not any(overlap(around, box) for box in taken):
                return place
    return None


def sheet_code(name: str, page: int, sheet: int) -> str:
    """Return what the code on a sheet says.

    >>> sheet_code("exam", 1, 12)
    'kalamos:exam:1:12'
    """
    return f"kalamos:{_code_name(name)}:{page}:{sheet}"


def _code_name(name: str) -> str:
    content = name.encode()
    if len(content) <= MAX_CODE_BYTES:
        return name
    import zlib

    kept = content[: MAX_CODE_BYTES - 9].decode(errors="ignore")
    return f"{kept}~{zlib.crc32(content):08x}"


def _boxes_of(template: FormTemplate, number: int) -> Iterator[tuple[str, Box]]:
    return ((each.name, box) for each in template.fields if each.page == number for box in each.boxes)


def _grown(box: Box, by: float) -> Box:
    return Box(box.x - by, box.y - by, box.width + 2 * by, box.height + 2 * by)


def overlap(one: Box, other: Box) -> bool:
    """Whether two boxes have some area in common."""
    return (
        one.x < other.x + other.width
        and other.x < one.x + one.width
        and one.y < other.y + other.height
        and other.y < one.y + one.height
    )
