r"""A list of fields as a text that people write, without saying where the boxes lie.

One field a line, a name and what is written in its boxes:

```
# exam: a comment
student: 8 digits, luhn
family name: 20 capitals, may be blank
born: 8 digits, date
room: 1 capital
seat: 3 characters, model latin-large, charset A B C 1 2 3
answer 1: tick one of A | B | C | D
subjects: tick several of maths | physics | art, may be blank
---
رقم: 6 digits, right to left
code: 4 characters, pattern [A-F]\d{3}
```

`8 digits` is a field of eight boxes. Instead of `digits` there may be `capitals`, `small letters`,
`letters`, `characters` (digits and letters), `arabic letters` (written from the right), or nothing: what
the form's model reads. Behind commas come `may be blank`, `right to left`, `upper case` or `lower case` (how
the text is kept), `charset` and the characters that can occur, `model` and a name, the name of a check such
as `luhn`, or `pattern` and a regular expression, which takes the rest of the line. A line of `---` begins a
new page.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any, Final

from kalamos.errors import FormError, suggest
from kalamos.forms.checks import OWN_CHECKS
from kalamos.forms.template import MAX_BOXES, Box, Field

__all__ = ["parse_fields"]

UNPLACED: Final = Box(0, 0, 1, 1)
"""Of every box of a field that has no place yet."""

_KINDS: Final[dict[str, dict[str, Any]]] = {
    "": {},
    "digit": {"model": "digits"},
    "capital": {"model": "latin", "charset": "upper", "case": "upper"},
    "small letter": {"model": "latin", "charset": "lower", "case": "lower"},
    "letter": {"model": "latin", "charset": "letters"},
    "character": {"model": "latin"},
    "arabic letter": {"model": "arabic", "direction": "rtl"},
}
_PROPERTIES: Final[dict[str, dict[str, Any]]] = {
    "may be blank": {"may_be_blank": True},
    "right to left": {"direction": "rtl"},
    "left to right": {"direction": "ltr"},
    "upper case": {"case": "upper"},
    "lower case": {"case": "lower"},
}
_CHECK = re.compile(r"[a-z][a-z0-9_.]*")


def parse_fields(text: str) -> tuple[Field, ...]:
    r"""Parse a list of fields, one a line, as this module's docstring has them.

    Returns:
        Fields whose boxes are not placed yet: only their number counts, and `page`, before which a field must
        not be placed.

    Raises:
        FormError: a line does not say a field, or a name comes twice; it says which line.

    >>> student, answer = parse_fields("student: 8 digits, luhn\nanswer: tick one of yes | no")
    >>> len(student.boxes), student.model, student.check, answer.options
    (8, 'digits', 'luhn', ('yes', 'no'))
    """
    found: dict[str, Field] = {}
    page, filled = 1, False
    for number, line in enumerate(text.removeprefix("\ufeff").splitlines(), 1):
        content = line.strip()
        if not content or content.startswith("#"):
            continue
        if set(content) == {"-"}:
            page, filled = page + filled, False
            continue
        try:
            parsed = replace(_parse_line(content), page=page)
        except FormError as error:
            raise FormError(f"line {number}: {error.problem}", remedy=error.remedy) from error
        if parsed.name in found:
            raise FormError(f"line {number}: two fields are called {parsed.name!r}")
        found[parsed.name] = parsed
        filled = True
    if not found:
        raise FormError("the list names no field", remedy="write one a line, such as `student: 8 digits`")
    return tuple(found.values())


def _parse_line(line: str) -> Field:
    # A name may have colons: it ends at the first one that a count or `tick` follows.
    found = re.fullmatch(r"(.*?)\s*[:：]\s*((?:[0-9]|tick\b).*)", line)
    if found is None:
        raise FormError(
            f"{line!r} says no field", remedy="write a name, a colon and a count, such as `student: 8 digits`"
        )
    name, content = found.groups()
    if content.startswith("tick"):
        return _parse_tick(name, content)
    head, *properties = content.split(",")
    digits = re.match(r"[0-9]{1,6}", head)
    count = int(digits[0]) if digits else 0
    if not 1 <= count <= MAX_BOXES:
        raise FormError(f"field {name!r} has {count} boxes, which is not between 1 and {MAX_BOXES:,}")
    kind = head.lstrip("0123456789").strip().lower()
    known = next((key for key in (kind, kind.removesuffix("s")) if key in _KINDS), None)
    if known is None:
        raise FormError(
            f"field {name!r}: {count} of {kind!r} is unknown",
            remedy=suggest(kind, [f"{key}s" for key in _KINDS if key]),
        )
    values = dict(_KINDS[known])
    for index, each in enumerate(properties):
        word, _, rest = each.strip().partition(" ")
        if word == "pattern":
            values["pattern"] = ",".join([rest, *properties[index + 1 :]]).strip()
            break
        values |= _parse_property(name, each.strip())
    return Field(name, (UNPLACED,) * count, **values)


def _parse_property(name: str, text: str) -> dict[str, Any]:
    word, _, rest = text.partition(" ")
    if text in _PROPERTIES:
        return _PROPERTIES[text]
    if word in ("charset", "model") and rest.strip():
        return {word: rest.strip()}
    if _CHECK.fullmatch(text):
        return {"check": text}
    known = [*_PROPERTIES, "charset ABC", "model NAME", "pattern REGEX", *OWN_CHECKS]
    raise FormError(f"field {name!r}: {text!r} is unknown", remedy=suggest(text, known))


def _parse_tick(name: str, content: str) -> Field:
    found = re.fullmatch(r"tick\s+(one|several)\s+of\s+(.*?)(,\s*may be blank)?", content)
    if found is None:
        raise FormError(
            f"field {name!r}: {content!r} names no options",
            remedy="write `tick one of yes | no` or `tick several of maths | art`",
        )
    options = tuple(option.strip() for option in found[2].split("|"))
    if not all(options):
        raise FormError(f"field {name!r} has an option without text")
    return Field(
        name,
        (UNPLACED,) * len(options),
        kind="tick",
        options=options,
        several=found[1] == "several",
        may_be_blank=found[3] is not None,
    )
