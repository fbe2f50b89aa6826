"""Checks of a field's text: check digits, dates, and the numbers that python-stdnum knows."""

from __future__ import annotations

import difflib
import importlib
import pkgutil
import re
import unicodedata
from collections.abc import Callable, Iterator
from datetime import date
from functools import lru_cache, partial
from importlib.util import find_spec
from types import ModuleType
from typing import Final

from kalamos.errors import MissingExtraError, UsageError

__all__ = ["OWN_CHECKS", "Check", "find_check"]

Check = Callable[[str], bool]
"""Tells whether a text passes."""

DATE_FORMATS: Final = (
    "DDMMYYYY", "DD.MM.YYYY", "DD/MM/YYYY", "DD-MM-YYYY", "DD MM YYYY",
    "DDMMYY", "DD.MM.YY", "DD/MM/YY", "DD-MM-YY", "DD MM YY",
    "YYYY-MM-DD",
)  # fmt: skip
"""What `date` accepts, where no format is named."""

FIRST_YEAR, LAST_YEAR = 1800, 2199
"""Years of four digits that a date may have."""

CENTURIES: Final = (1900, 2000)
"""What a year of two digits may mean: 29.02.00 is a day, in 2000."""

MAX_SUGGESTIONS: Final = 3

OWN_CHECKS: Final = ("luhn", "date", "iban", "isbn")
"""The most usual checks, by names that need no knowledge of python-stdnum."""

_NOT_NUMBERS: Final = frozenset({"exceptions", "iso9362", "numdb", "util"})
"""Modules of python-stdnum without numbers of their own."""
_MODULE_NAME: Final = re.compile(r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*")
_DATE_PART: Final = {"DD": r"(?P<day>\d\d)", "MM": r"(?P<month>\d\d)", "YYYY": r"(?P<year>\d{4})",
                     "YY": r"(?P<short>\d\d)"}  # fmt: skip
_DATE_TOKEN: Final = re.compile(r"YYYY|YY|MM|DD|.", re.DOTALL)


@lru_cache(maxsize=256)
def find_check(name: str) -> Check:
    """Find a check by its name.

    Digits of any writing count as digits.

    Args:
        name: `luhn` (the last digit makes the sum by Luhn's algorithm a multiple of 10: cards, IMEI, many
            customer numbers); `date`, which accepts the formats in `DATE_FORMATS`, or one format, such as
            `date:MM/DD/YYYY` (YYYY or YY, MM, DD, and anything else as itself); `iban`; `isbn` (10 or 13
            digits); or the name of any module of python-stdnum, such as `it.codicefiscale` or `es.dni`. All
            but `luhn` and `date` need python-stdnum.

    Returns:
        A function of a text that tells whether it passes. It never raises.

    Raises:
        UsageError: no check has this name, or a date's format lacks a part.
        MissingExtraError: python-stdnum is not installed.

    >>> find_check("luhn")("79927398713"), find_check("luhn")("79927398718")
    (True, False)
    >>> find_check("date")("29.02.2024"), find_check("date")("29.02.2023")
    (True, False)
    >>> find_check("date:YYYYMMDD")("20240229")
    True
    >>> find_check("lunh")
    Traceback (most recent call last):
    kalamos.errors.UsageError: no check is called 'lunh'; did you mean 'luhn'?
    """
    if name == "luhn":
        return _passes_luhn
    if name == "date" or name.startswith("date:"):
        return _date_check(DATE_FORMATS if name == "date" else (name.removeprefix("date:"),))
    return partial(_passes_module, _stdnum_module(name))


def _passes_luhn(text: str) -> bool:
    digits = _western_digits(text).replace(" ", "").replace("-", "")
    if not (digits.isascii() and digits.isdecimal()):
        return False
    total = 0
    for place, digit in enumerate(map(int, reversed(digits))):
        total += digit if place % 2 == 0 else digit * 2 - 9 * (digit > 4)
    return total % 10 == 0


def _date_check(formats: tuple[str, ...]) -> Check:
    return partial(_passes_date, tuple(map(_date_expression, formats)))


def _date_expression(date_format: str) -> re.Pattern[str]:
    tokens = _DATE_TOKEN.findall(date_format)
    parts = sorted(token for token in tokens if token in _DATE_PART)
    if parts not in (["DD", "MM", "YYYY"], ["DD", "MM", "YY"]):
        raise UsageError(
            f"a date's format {date_format!r} does not have DD, MM and YYYY or YY once each",
            remedy="write it as in date:DDMMYYYY or date:MM/DD/YY",
        )
    return re.compile("".join(_DATE_PART.get(token) or re.escape(token) for token in tokens), re.ASCII)


def _passes_date(expressions: tuple[re.Pattern[str], ...], text: str) -> bool:
    western = _western_digits(text)
    return any(_is_a_day(found) for each in expressions if (found := each.fullmatch(western)))


def _is_a_day(found: re.Match[str]) -> bool:
    parts = {name: int(digits) for name, digits in found.groupdict().items()}
    if "year" not in parts:
        years = [century + parts["short"] for century in CENTURIES]
    else:
        years = [parts["year"]] if FIRST_YEAR <= parts["year"] <= LAST_YEAR else []
    for year in years:
        try:
            date(year, parts["month"], parts["day"])
        except ValueError:
            continue
        return True
    return False


def _western_digits(text: str) -> str:
    if text.isascii():
        return text
    return "".join(str(unicodedata.decimal(each, each)) for each in text)


def _passes_module(module: ModuleType, text: str) -> bool:
    try:
        return bool(module.is_valid(_western_digits(text)))
    except Exception:  # noqa: BLE001  (some of the modules fail on texts that are no number at all)
        return False


def _stdnum_module(name: str) -> ModuleType:
    """The module of python-stdnum; its `is_valid` takes a text."""
    if find_spec("stdnum") is None:
        near = difflib.get_close_matches(name, ("luhn", "date"), 1, 0.6)
        if near:
            raise UsageError(f"no check is called {name!r}", remedy=f"did you mean {near[0]!r}?")
        raise MissingExtraError(f"check {name!r} needs python-stdnum, not installed here", extra="forms")
    if _MODULE_NAME.fullmatch(name):
        # A country whose code is a word of Python has an underscore there: in_, is_, do_.
        country, dot, rest = name.partition(".")
        for each in (name, f"{country}_{dot}{rest}"):
            try:
                module = importlib.import_module(f"stdnum.{each}")
            except ModuleNotFoundError:
                continue
            if callable(getattr(module, "is_valid", None)):
                return module
    raise UsageError(f"no check is called {name!r}", remedy=_remedy(name))


def _remedy(name: str) -> str:
    known = sorted({*OWN_CHECKS, *_stdnum_names()})
    # "dni" is meant as "es.dni" or "ar.dni"; "it.codicefiscal" is a slip.
    near = [each for each in known if each.rpartition(".")[2] == name.lower().rpartition(".")[2]]
    near = near or [each for each in known if each.startswith(f"{name.lower()}.")]
    near = near or difflib.get_close_matches(name.lower(), known, MAX_SUGGESTIONS, 0.7)
    if near:
        return f"did you mean {' or '.join(map(repr, near[:MAX_SUGGESTIONS]))}?"
    own = ", ".join(OWN_CHECKS)
    return f"choose one of {own}, or a module of python-stdnum by its name, such as it.codicefiscale"


def _stdnum_names() -> Iterator[str]:
    """The names of all modules of numbers, without importing any."""
    stdnum = importlib.import_module("stdnum")
    for found in pkgutil.iter_modules(stdnum.__path__):
        if found.name in _NOT_NUMBERS:
            continue
        if found.ispkg:
            paths = [f"{path}/{found.name}" for path in stdnum.__path__]
            yield from (f"{found.name}.{each.name}" for each in pkgutil.iter_modules(paths))
        else:
            yield found.name
