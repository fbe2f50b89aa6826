"""Forms that never were: their templates, and how they are printed.

A template is laid out in millimetres and then kept in some other unit, as templates are. Fonts are Pillow's
and OpenCV's own: nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from kalamos.forms.template import Box, Field, FormPage, FormTemplate, Marker, row_of_boxes

__all__ = ["CONTENTS", "DPI", "MM", "Printing", "draw_empty", "page_size", "random_template"]

CONTENTS: Final = ("digits", "capitals", "checked", "arabic", "mixed")
"""Forms of 40 boxes for digits, capitals or Arabic letters; of numbers with a check digit; of everything."""

BOXES: Final = 40
"""Of a form of digits, capitals or Arabic letters."""

CHECKED_FIELDS, CHECKED_DIGITS = 12, 8

DPI: Final = 200
"""At which pages are drawn."""

MM: Final = DPI / 25.4
"""In px."""

A4, LETTER = (210.0, 297.0), (215.9, 279.4)
"""Width and height in mm."""

FIELD_NAMES: Final = (
    "student number", "exam code", "reference", "account", "amount", "telephone", "post code", "year",
    "meter", "order", "invoice", "member", "room", "seat", "licence", "contract", "batch", "parcel",
    "tax number", "case", "site", "sample", "customer", "visit", "ticket",
)  # fmt: skip

TITLES: Final = (
    "Enrolment", "Order sheet", "Meter reading", "Answer sheet", "Registration", "Delivery note", "Survey 14",
)  # fmt: skip

INSTRUCTIONS: Final = (
    "Write one character in each box with a dark pen.",
    "Do not write outside the boxes. Leave boxes that you do not need empty.",
    "Please use block letters.",
    "Return this sheet before the end of the month.",
    "If you make a mistake, ask for a new sheet.",
    "Fold here. Do not staple.",
)

UNITS: Final = (1.0, 72 / 25.4, 150 / 25.4, 300 / 25.4)
"""Of templates, in a mm: mm, points, px of two resolutions."""


@dataclass(frozen=True)
class Printing:
    """How an empty form is printed.

    Attributes:
        title: at the top.
        lines: of instructions, below it.
        line: of the boxes, in px at 200 dpi.
        level: grey of the boxes' lines, 0 to 255.
        tint: grey of a panel behind the fields; 255 for none.
        font: "pillow", or "opencv" for Hershey's.
        above: whether names stand above their fields, rather than before them.
        office: whether there is a table at the bottom that is no field.
    """

    title: str
    lines: tuple[str, ...] = ()
    line: int = 2
    level: int = 0
    tint: int = 255
    font: str = "pillow"
    above: bool = False
    office: bool = False


class _Word(NamedTuple):
    """Some print: its left, its top and the font's size, in mm."""

    x: float
    y: float
    size: float
    text: str


@dataclass(frozen=True)
class _Plan:
    """A field that has no place yet."""

    name: str
    count: int
    model: str = ""
    charset: str = ""
    check: str = ""
    rtl: bool = False
    options: tuple[str, ...] = ()
    several: bool = False


def random_template(content: str, generator: np.random.Generator) -> tuple[FormTemplate, Printing]:
    """Lay out a form.

    Args:
        content: one of `CONTENTS`.
    """
    printing = Printing(
        title=str(generator.choice(TITLES)),
        lines=tuple(generator.permutation(INSTRUCTIONS)[:3].tolist()),
        line=int(generator.choice([1, 2, 3], p=[0.35, 0.45, 0.2])),
        level=int(generator.choice([0, 60, 110, 165], p=[0.45, 0.2, 0.2, 0.15])),
        tint=int(generator.choice([255, 238, 222], p=[0.75, 0.15, 0.1])),
        font=str(generator.choice(["pillow", "opencv"], p=[0.75, 0.25])),
        above=bool(generator.random() < 0.4),
        office=bool(generator.random() < 0.6),
    )
    size = A4 if generator.random() < 0.8 else LETTER
    fields = _laid_out(_plans(content, generator), size, printing, generator)
    markers = _markers(size, generator) if generator.random() < 0.5 else ()
    image = "form.png" if generator.random() < 0.7 else ""
    if not markers and not image:  # the frames alone say where the page is: a copier must not lose them
        printing = replace(printing, level=min(printing.level, 60))
    units = float(generator.choice(UNITS))

    def scaled(length: float) -> float:
        return round(length * units, 2)

    page = FormPage(
        scaled(size[0]),
        scaled(size[1]),
        image,
        tuple(Marker(each.id, *map(scaled, each[1:])) for each in markers),
    )
    placed = tuple(
        replace(each, boxes=tuple(Box(*map(scaled, box)) for box in each.boxes)) for each in fields
    )
    return FormTemplate(content, (page,), placed, model=placed[0].model), printing


def _plans(content: str, generator: np.random.Generator) -> list[_Plan]:
    names = generator.permutation(FIELD_NAMES).tolist()
    if content == "mixed":
        return [
            _Plan("name", 14, "latin-large", "upper"),
            _Plan("first name", 10, "latin-large", "upper"),
            _Plan("student number", 8, "digits", "digits", check="luhn"),
            _Plan("date", 8, "digits", "digits"),
            _Plan("points", 3, "digits", "digits"),
            *(_Plan(f"answer {number}", 1, "latin-large", "ABCD") for number in range(1, 7)),
            _Plan("present", 2, options=("yes", "no")),
            _Plan("group", 4, options=("1", "2", "3", "4"), several=True),
        ]
    if content == "checked":
        return [
            _Plan(name, CHECKED_DIGITS, "digits", "digits", check="luhn") for name in names[:CHECKED_FIELDS]
        ]
    model, charset = {
        "digits": ("digits", "digits"),
        "capitals": ("latin-large", "upper"),
        "arabic": ("arabic-large", ""),
    }[content]
    return [
        _Plan(name, count, model, charset, rtl=content == "arabic")
        for name, count in zip(names, _shares(generator), strict=False)
    ]


def _shares(generator: np.random.Generator) -> list[int]:
    """Share `BOXES` boxes out to fields of 3 to 12."""
    counts: list[int] = []
    while (left := BOXES - sum(counts)) > 14:
        counts.append(int(generator.integers(3, 13)))
    return [*counts, left] if left <= 12 else [*counts, left // 2, left - left // 2]


def _laid_out(
    plans: Sequence[_Plan], size: tuple[float, float], printing: Printing, generator: np.random.Generator
) -> list[Field]:
    """Give each field its place, in mm, from top to bottom, short ones side by side."""
    side = generator.uniform(5.4, 7.6)
    tall = side * generator.uniform(1.0, 1.35)
    gap = 0.0 if generator.random() < 0.5 else generator.uniform(0.6, 2.2)
    left = generator.uniform(16, 24)

    def label(plan: _Plan) -> float:
        """Return the room for a name before its boxes."""
        if plan.count <= 4 and plan.model != "digits":
            return 26.0
        return 0.0 if printing.above else 35.0

    rows: list[list[_Plan]] = []
    reach = 0.0
    for plan in plans:
        wide = label(plan) + plan.count * (side + (6 if plan.options else gap)) + 8
        if rows and reach + wide < size[0] - left - 10 and generator.random() < 0.9:
            rows[-1].append(plan)
            reach += wide
        else:
            rows.append([plan])
            reach = wide
    top = generator.uniform(60, 68)
    pitch = min((size[1] - top - 58) / len(rows), tall + generator.uniform(8, 24))
    fields = []
    for row, members in enumerate(rows):
        x, y = left, top + row * pitch
        for plan in members:
            x += label(plan)
            box = (0.75 * side, 0.75 * side) if plan.options else (side, tall)
            step = box[0] + 9 if plan.options else side + gap
            fields.append(
                Field(
                    plan.name,
                    row_of_boxes(x, y, *box, count=plan.count, step=step),
                    kind="tick" if plan.options else "text",
                    model=plan.model,
                    charset=plan.charset,
                    check=plan.check,
                    may_be_blank=True,
                    direction="rtl" if plan.rtl else "ltr",
                    options=plan.options,
                    several=plan.several,
                )
            )
            x += plan.count * step + 8
    return fields


def _markers(size: tuple[float, float], generator: np.random.Generator) -> tuple[Marker, ...]:
    length, edge = round(generator.uniform(8, 12), 1), round(generator.uniform(7, 11), 1)
    first = int(generator.integers(0, 46))
    right, bottom = (round(side - edge - length, 1) for side in size)
    places = ((edge, edge), (right, edge), (edge, bottom), (right, bottom))
    return tuple(Marker(first + corner, x, y, length) for corner, (x, y) in enumerate(places))


def page_size(template: FormTemplate) -> tuple[float, float]:
    """Return a form's width and height in mm, which its units do not tell: A4's or a letter's."""
    page = template.pages[0]
    return min((A4, LETTER), key=lambda size: abs(size[1] / size[0] - page.height / page.width))


def draw_empty(
    template: FormTemplate, printing: Printing, *, page: int = 1, dpi: float = DPI
) -> NDArray[np.uint8]:
    """Print a page: title, instructions, names of fields, boxes, markers.

    Args:
        page: from 1.

    Returns:
        uint8 [H, W], black on white.
    """
    side, size, mm = template.pages[page - 1], page_size(template), dpi / 25.4
    image = np.full((round(size[1] * mm), round(size[0] * mm)), 255, np.uint8)
    units = side.width / size[0]
    fields = [each for each in template.fields if each.page == page]
    boxes = [Box(*(length / units for length in box)) for each in fields for box in each.boxes]

    def frame(left: float, top: float, right: float, bottom: float, level: int, line: int) -> None:
        ends = [round(length * mm) for length in (left, top, right, bottom)]
        cv2.rectangle(image, ends[:2], ends[2:], level, line)

    bottom = max(box.y + box.height for box in boxes)
    if printing.tint < 255:
        frame(10, min(box.y for box in boxes) - 9, size[0] - 10, bottom + 5, printing.tint, cv2.FILLED)
    line = max(1, round(printing.line * dpi / DPI))
    for box in boxes:
        ends = box.x, box.y, box.x + box.width, box.y + box.height
        frame(*ends, 255, cv2.FILLED)
        frame(*ends, printing.level, line)
    if printing.office:
        for column in range(3):
            frame(20 + 56 * column, size[1] - 40, 20 + 56 * (column + 1), size[1] - 24, 0, 1)
    dictionary = cv2.aruco.getPredefinedDictionary(cv2.aruco.DICT_4X4_50)
    for marker in side.markers:
        left, top = (round(length / units * mm) for length in (marker.x, marker.y))
        length = round(marker.size / units * mm)
        drawn = cv2.aruco.generateImageMarker(dictionary, marker.id, length)
        image[top : top + length, left : left + length] = drawn
    start = 28 if side.markers else 18
    frame(start, 31, size[0] - start, 31.2, 0, cv2.FILLED)
    _print(image, _words(template, fields, printing, units, start, size), printing.font, mm)
    return image


def _words(
    template: FormTemplate,
    fields: Sequence[Field],
    printing: Printing,
    units: float,
    start: float,
    size: tuple[float, float],
) -> list[_Word]:
    """Return all that a page says."""
    words = [_Word(start, 17, 8.0, printing.title.upper())]
    words += [_Word(start, 35 + 5 * row, 3.2, text) for row, text in enumerate(printing.lines)]
    for each in fields:
        first = Box(*(length / units for length in each.boxes[0]))
        if printing.above and len(each.boxes) > 2 and each.kind == "text":
            words.append(_Word(first.x, first.y - 5, 3.4, each.name))
        else:
            room = 22 if len(each.boxes) <= 4 and (each.kind == "tick" or len(each.boxes) <= 2) else 32
            words.append(_Word(max(first.x - room, 3), first.y + 0.25 * first.height, 3.4, each.name))
        for box, option in zip(each.boxes, each.options, strict=False):
            right = (box.x + box.width) / units
            words.append(_Word(right + 1.0, box.y / units + 0.1 * first.height, 3.2, option))
    if printing.office:
        for column, text in enumerate(("Office use only", "Received", "Signature")):
            words.append(_Word(21 + 56 * column, size[1] - 39, 2.6, text))
    words.append(_Word(start, size[1] - 14, 2.6, f"{template.name} / {len(template.fields)} fields / page 1"))
    return words


def _print(image: NDArray[np.uint8], words: Iterable[_Word], font: str, mm: float) -> None:
    """Print words in place."""
    if font == "opencv":
        for word in words:
            height = 0.7 * word.size * mm
            place = round(word.x * mm), round(word.y * mm + height)
            thick = max(1, round(height / 10))
            cv2.putText(image, word.text, place, cv2.FONT_HERSHEY_SIMPLEX, height / 22, 0, thick, cv2.LINE_AA)
        return
    canvas = Image.fromarray(image)
    draw = ImageDraw.Draw(canvas)
    for word in words:
        draw.text((word.x * mm, word.y * mm), word.text, fill=0, font=ImageFont.load_default(word.size * mm))
    image[:] = np.asarray(canvas)
