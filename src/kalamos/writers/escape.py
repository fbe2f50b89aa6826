"""Text that can always be encoded, text that always stays on its line, text that no terminal obeys."""

from __future__ import annotations

import re

__all__ = ["encodable", "lines_without_controls", "one_line", "without_controls"]

_SURROGATES = re.compile(r"[\ud800-\udfff]")
# Everything that `str.splitlines` or a terminal takes for more than a character; and what turns the order of
# the letters after it (UAX #9), so that gpj.exe would look like another name.
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_CONTROLS_BUT_SPACE = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
_NAMED = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def encodable(text: str) -> str:
    r"""`text` with what UTF-8 cannot hold made visible.

    Python keeps the undecodable bytes of a file name as lone surrogates (PEP 383); here each is
    shown as the byte it was. All else is returned as it came.

    >>> print(encodable("caf\udce9.png"))
    caf\xe9.png
    """
    return text if text.isascii() else _SURROGATES.sub(_visible, text)


def one_line(text: str) -> str:
    r"""`encodable`, and without control characters: one line in reading order, for every terminal too.

    Backslashes are not doubled, so a path that holds none of these is shown exactly.

    >>> print(one_line("scan\n1\x1b[31m.png"))
    scan\n1\x1b[31m.png
    """
    return text if text.isprintable() else _CONTROLS.sub(_visible, text)


def without_controls(text: str) -> str:
    r"""`one_line`, but tabs, carriage returns and line feeds stay.

    >>> without_controls("a\tb\x1b[31m") == r"a\tb\x1b[31m".replace(r"\t", "\t")
    True
    """
    return text if text.isprintable() else _CONTROLS_BUT_SPACE.sub(_visible, text)


def lines_without_controls(text: str) -> str:
    r"""Text of several lines for a terminal: `one_line` for each, which keeps a carriage return from hiding
    what comes before it.

    >>> print(lines_without_controls("one\ntwo\r\x1b[2K"))
    one
    two\r\x1b[2K
    """
    return text if text.isprintable() else "\n".join(map(one_line, text.split("\n")))


def _visible(match: re.Match[str]) -> str:
    character = match.group()
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    # From 0x80 on \x would be mistaken for such a byte.
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x80 else f"\\u{code:04x}")
