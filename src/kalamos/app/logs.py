"""The log's form: one line an event, whatever its text came from."""

from __future__ import annotations

import logging
import re
from typing import Final

__all__ = ["PlainFormatter"]

_CONTROL: Final = re.compile(
    "[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
)


class PlainFormatter(logging.Formatter):
    r"""Writes records so that text from a request cannot end a line, begin one or command a terminal.

    Control characters and those that change the direction of writing are written as escapes; what has
    several lines, as a traceback does, has all but the first indented.

    >>> record = logging.LogRecord("a", logging.ERROR, "", 0, "bad \x1b[2J\n2026 forged", None, None)
    >>> print(PlainFormatter("%(message)s").format(record))
    bad \x1b[2J
        2026 forged
    """

    def format(self, record: logging.LogRecord) -> str:
        """Format a record."""
        lines = super().format(record).split("\n")
        return "\n    ".join(_CONTROL.sub(_escaped, line) for line in lines)


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 256 else f"\\u{code:04x}"
