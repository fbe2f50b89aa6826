"""A form's template: its pages, and where each field's boxes lie. Kept as a TOML file that people edit.

```toml
format = 1
name = "exam"

[[page]]
width = 1654                       # any unit; all boxes of the page are in the same
height = 2339
image = "exam.png"                 # the empty form, beside this file; optional
markers = [{ id = 0, x = 60, y = 60, size = 80 }]

[[field]]
name = "student"
boxes = { x = 200, y = 300, width = 60, height = 70, count = 8, step = 66 }
model = "digits"
check = "luhn"

[[field]]
name = "answer 1"
kind = "tick"
boxes = [[200, 500, 40, 40], [300, 500, 40, 40]]
options = ["yes", "no"]
```
"""

from __future__ import annotations

import json
import math
import os
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self, TypeVar, get_args

from kalamos.errors import FormError, suggest
from kalamos.utils.atomic_write import write_bytes

__all__ = ["Box", "Field", "FormPage", "FormTemplate", "Marker", "row_of_boxes"]

FORMAT_VERSION: Final = 1

MAX_TEMPLATE_BYTES: Final = 4 << 20
"""Of a template file."""

MAX_BOXES: Final = 20_000
"""Of a form."""

MAX_UNITS: Final = 1e6
"""A page's width and height."""

Kind = Literal["text", "tick"]
Case = Literal["", "upper", "lower"]
Direction = Literal["ltr", "rtl"]

T = TypeVar("T")


class Box(NamedTuple):
    """An upright rectangle in a page's units, x to the right and y downwards; the lines are its outline."""

    x: float
    y: float
    width: float
    height: float


class Marker(NamedTuple):
    """An ArUco marker of OpenCV's dictionary 4x4_50: number, top left corner and side in a page's units."""

    id: int
    x: float
    y: float
    size: float


@dataclass(frozen=True)
class FormPage:
    """One side of a sheet.

    Attributes:
        width, height: in the page's own units.
        image: file name of the empty form, relative to the template; "" without.
        markers: printed ones that a scan is registered by.

    >>> FormPage(210, 297).width
    210
    """

    width: float
    height: float
    image: str = ""
    markers: tuple[Marker, ...] = ()

    def __post_init__(self) -> None:
        if not (0 < self.width <= MAX_UNITS and 0 < self.height <= MAX_UNITS):
            raise FormError(f"a page of {self.width:g} x {self.height:g} is no page")
        ids = [marker.id for marker in self.markers]
        if len(set(ids)) < len(ids):
            raise FormError("two markers of a page have the same number")
        if not all(0 <= number < 50 for number in ids):
            raise FormError("a marker's number is not one of 0 to 49")


@dataclass(frozen=True)
class Field:
    """One column of the table: a row of boxes with a character each, or boxes to tick.

    Attributes:
        name: the column's.
        boxes: in a row, from left to right.
        page: from 1.
        kind: "text" or "tick".
        model: a shipped model or a model file; "" reads with the form's.
        charset: which characters may be in it: as `--charset` has it, or one for each box; "" allows all.
        pattern: a regular expression that the whole text matches; "" for none.
        check: a check digit or another rule, such as "luhn", "isbn", "date"; "" for none.
        may_be_blank: whether nobody need fill it.
        case: "upper" or "lower" turns letters so; "" leaves them.
        direction: "rtl" where writing begins in the last box.
        options: of a tick field, what each box stands for.
        several: of a tick field, whether more than one may be ticked.

    Raises:
        FormError: values that contradict each other.
    """

    name: str
    boxes: tuple[Box, ...]
    page: int = 1
    kind: Kind = "text"
    model: str = ""
    charset: str | tuple[str, ...] = ""
    pattern: str = ""
    check: str = ""
    may_be_blank: bool = False
    case: Case = ""
    direction: Direction = "ltr"
    options: tuple[str, ...] = ()
    several: bool = False

    def __post_init__(self) -> None:
        where = f"field {self.name!r}"
        if not self.name.strip():
            raise FormError("a field has no name")
        if not self.boxes:
            raise FormError(f"{where} has no boxes")
        if any(box.width <= 0 or box.height <= 0 for box in self.boxes):
            raise FormError(f"{where} has a box without area")
        for key, allowed in (("kind", Kind), ("case", Case), ("direction", Direction)):
            value = getattr(self, key)
            if value not in get_args(allowed):
                raise FormError(
                    f"{where}: {key} = {value!r} is unknown", remedy=suggest(str(value), get_args(allowed))
                )
        if self.kind == "tick":
            if len(self.options) != len(self.boxes):
                raise FormError(
                    f"{where} has {len(self.boxes)} boxes to tick and {len(self.options)} options"
                )
            if len(set(self.options)) < len(self.options):
                raise FormError(f"{where} has the same option twice")
        elif self.options or self.several:
            raise FormError(f"{where} has options but no boxes to tick", remedy='set kind = "tick"')
        if isinstance(self.charset, tuple) and len(self.charset) != len(self.boxes):
            raise FormError(
                f"{where} has {len(self.boxes)} boxes and {len(self.charset)} charsets",
                remedy="give one for each box, or one for all",
            )


@dataclass(frozen=True)
class FormTemplate:
    r"""Pages and fields, in the order of the table's columns.

    Attributes:
        name: of the form; printed sheets carry it in their code.
        pages: its sides, in order.
        fields: at least one.
        model: what reads fields that name no model.
        folder: where the template lies, which its images are relative to; "" if it is in no file.

    Raises:
        FormError: no page or field, two fields of one name, a box outside its page.

    >>> student = Field("student", row_of_boxes(20, 40, 8, 10, count=8, step=9), check="luhn")
    >>> form = FormTemplate("exam", (FormPage(210, 297),), (student,))
    >>> print(*form.to_toml().splitlines()[-3:], sep="\n")
    name = "student"
    boxes = { x = 20, y = 40, width = 8, height = 10, count = 8, step = 9 }
    check = "luhn"
    >>> FormTemplate.from_toml(form.to_toml()) == form
    True
    """

    name: str
    pages: tuple[FormPage, ...]
    fields: tuple[Field, ...]
    model: str = "digits"
    folder: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.name.strip():
            raise FormError("a form has no name")
        if not self.pages or not self.fields:
            raise FormError(f"form {self.name!r} has no {'fields' if self.pages else 'page'}")
        if sum(len(each.boxes) for each in self.fields) > MAX_BOXES:
            raise FormError(f"form {self.name!r} has more than {MAX_BOXES:,} boxes")
        names = [each.name for each in self.fields]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise FormError(f"two fields are called {twice!r}")
        for each in self.fields:
            self._check_place(each)

    def _check_place(self, of: Field) -> None:
        if not 1 <= of.page <= len(self.pages):
            raise FormError(f"field {of.name!r} is on page {of.page} of {len(self.pages)}")
        page = self.pages[of.page - 1]
        for number, box in enumerate(of.boxes, 1):
            if box.x < 0 or box.y < 0 or box.x + box.width > page.width or box.y + box.height > page.height:
                raise FormError(f"box {number} of field {of.name!r} lies outside its page")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a template from a TOML file.

        Raises:
            FormError: the file is absent, is not TOML, or does not say a form.
        """
        where = os.fspath(path)
        try:
            with open(path, "rb") as file:  # noqa: PTH123  (any path-like)
                content = file.read(MAX_TEMPLATE_BYTES + 1)
        except OSError as error:
            raise FormError(f"{where}: cannot be read ({error.strerror or error})") from error
        if len(content) > MAX_TEMPLATE_BYTES:
            raise FormError(f"{where}: larger than {MAX_TEMPLATE_BYTES >> 20} MiB, so no form template")
        try:
            return cls.from_toml(content.decode("utf-8-sig"), folder=str(Path(path).parent))
        except UnicodeDecodeError as error:
            raise FormError(f"{where}: is no text in UTF-8") from error
        except FormError as error:
            raise FormError(f"{where}: {error.problem}", remedy=error.remedy) from error

    @classmethod
    def from_toml(cls, text: str, *, folder: str = "") -> Self:
        """Build from a template's text.

        Raises:
            FormError: it is not TOML, or does not say a form.
        """
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError) as error:
            raise FormError(f"is not TOML ({error})") from error
        version = table.pop("format", None)
        if version != FORMAT_VERSION:
            raise FormError(
                f"format = {version!r} where this kalamos reads {FORMAT_VERSION}",
                remedy="is it a form template? `kalamos forms new` drafts one",
            )
        pages, rows = table.pop("page", []), table.pop("field", [])
        _refuse_unknown("a form", table, ("name", "model"))
        return cls(
            name=_typed("a form", "name", table.get("name"), str),
            pages=tuple(_page(row) for row in _tables("page", pages)),
            fields=tuple(_field(row) for row in _tables("field", rows)),
            model=_typed("a form", "model", table.get("model", "digits"), str),
            folder=folder,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a TOML file, whole or not at all.

        Raises:
            OutputError: it cannot be written.
        """
        write_bytes(Path(path), self.to_toml().encode())

    def to_toml(self) -> str:
        """Return the template as TOML; what has its default is left out."""
        lines = [f"format = {FORMAT_VERSION}", f"name = {_toml(self.name)}", f"model = {_toml(self.model)}"]
        for page in self.pages:
            lines += ["", "[[page]]", f"width = {_toml(page.width)}", f"height = {_toml(page.height)}"]
            if page.image:
                lines.append(f"image = {_toml(page.image)}")
            if page.markers:
                lines.append(f"markers = [{', '.join(_inline(marker._asdict()) for marker in page.markers)}]")
        for each in self.fields:
            lines += ["", "[[field]]", f"name = {_toml(each.name)}", f"boxes = {_boxes_text(each.boxes)}"]
            for item in fields(each):
                value = getattr(each, item.name)
                if item.default is not MISSING and value != item.default:
                    lines.append(f"{item.name} = {_toml(value)}")
        return "\n".join(lines) + "\n"


def row_of_boxes(
    x: float, y: float, width: float, height: float, *, count: int, step: float
) -> tuple[Box, ...]:
    """Return equal boxes in a row, each `step` to the right of the one before.

    >>> row_of_boxes(10, 5, 4, 6, count=2, step=5)
    (Box(x=10, y=5, width=4, height=6), Box(x=15, y=5, width=4, height=6))
    """
    return tuple(Box(_whole(x + place * step), y, width, height) for place in range(count))


def _whole(number: float) -> float:
    """Return a number rounded to a millionth, as an int where it is whole: sums of steps are not exact."""
    rounded = round(number, 6)
    return int(rounded) if rounded == int(rounded) else rounded


def _page(row: Mapping[str, Any]) -> FormPage:
    _refuse_unknown("a page", row, [item.name for item in fields(FormPage)])
    markers = [
        Marker(
            _typed("a marker", "id", each.get("id"), int),
            *(_number("a marker", key, each.get(key)) for key in ("x", "y", "size")),
        )
        for each in _tables("markers", row.get("markers", []))
    ]
    return FormPage(
        _number("a page", "width", row.get("width")),
        _number("a page", "height", row.get("height")),
        _typed("a page", "image", row.get("image", ""), str),
        tuple(markers),
    )


def _field(row: Mapping[str, Any]) -> Field:
    name = _typed("a field", "name", row.get("name"), str)
    where = f"field {name!r}"
    _refuse_unknown(where, row, [item.name for item in fields(Field)])
    values: dict[str, Any] = {"name": name, "boxes": _read_boxes(where, row.get("boxes"))}
    texts = ("kind", "model", "pattern", "check", "case", "direction")
    values |= {key: _typed(where, key, row[key], str) for key in texts if key in row}
    values |= {key: _typed(where, key, row[key], bool) for key in ("may_be_blank", "several") if key in row}
    if "page" in row:
        values["page"] = _typed(where, "page", row["page"], int)
    if "options" in row:
        values["options"] = _texts(where, "options", row["options"])
    if "charset" in row:
        charset = row["charset"]
        values["charset"] = charset if isinstance(charset, str) else _texts(where, "charset", charset)
    return Field(**values)


def _read_boxes(where: str, value: object) -> tuple[Box, ...]:
    if isinstance(value, dict):
        _refuse_unknown(f"{where}: boxes", value, ("x", "y", "width", "height", "count", "step"))
        x, y, width, height = (_number(where, key, value.get(key)) for key in ("x", "y", "width", "height"))
        count = _typed(where, "count", value.get("count", 1), int)
        if not 1 <= count <= MAX_BOXES:
            raise FormError(f"{where}: count = {count} is not between 1 and {MAX_BOXES:,}")
        return row_of_boxes(
            x, y, width, height, count=count, step=_number(where, "step", value.get("step", width))
        )
    if isinstance(value, list) and value and all(isinstance(each, list) and len(each) == 4 for each in value):
        return tuple(Box(*(_number(where, "boxes", part) for part in each)) for each in value)
    raise FormError(
        f"{where}: boxes are neither a row nor a list",
        remedy="write { x = 1, y = 2, width = 3, height = 4, count = 5, step = 6 } "
        "or [[x, y, width, height], ...]",
    )


def _boxes_text(boxes: Sequence[Box]) -> str:
    first, *others = boxes
    step = _whole(others[0].x - first.x) if others else first.width
    if row_of_boxes(*first, count=len(boxes), step=step) == tuple(boxes):
        row = {**first._asdict(), "count": len(boxes), "step": step}
        return _inline(row if others else first._asdict())
    return f"[{', '.join(_toml(list(box)) for box in boxes)}]"


def _inline(table: Mapping[str, object]) -> str:
    return f"{{ {', '.join(f'{key} = {_toml(value)}' for key, value in table.items())} }}"


def _toml(value: object) -> str:
    """Write a value as TOML. JSON's strings, numbers and lists are TOML's, but for DEL."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")


def _tables(key: str, value: object) -> Sequence[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        raise FormError(f"{key} is not a list of tables", remedy=f"begin each one with [[{key}]]")
    return value


def _texts(where: str, key: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise FormError(f"{where}: {key} = {value!r} is not a list of texts")
    return tuple(value)


def _typed(where: str, key: str, value: object, kind: type[T]) -> T:
    if isinstance(value, kind) and (kind is bool or not isinstance(value, bool)):
        return value
    if value is None:
        raise FormError(f"{where} has no {key}")
    kinds = {str: "a text", int: "a whole number", bool: "true or false"}
    raise FormError(f"{where}: {key} = {value!r} is not {kinds[kind]}")


def _number(where: str, key: str, value: object) -> float:
    if value is None:
        raise FormError(f"{where} has no {key}")
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        raise FormError(f"{where}: {key} = {value!r} is not a number")
    if abs(value) > MAX_UNITS:
        raise FormError(f"{where}: {key} = {value:g} is out of range")
    return value


def _refuse_unknown(where: str, table: Mapping[str, object], known: Iterable[str]) -> None:
    for key in table:
        if key not in known:
            raise FormError(f"{where} has no {key!r}", remedy=suggest(key, list(known)))
