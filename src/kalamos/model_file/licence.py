"""Under which licence a model may be used: what whoever made it has said, and nothing where nobody has."""

from __future__ import annotations

from typing import Final

from kalamos.alphabets import CONTROL_CHARACTERS
from kalamos.errors import UsageError

__all__ = ["NOT_STATED", "check_licence", "licence_text"]

NOT_STATED: Final = "NOASSERTION"
"""What SPDX has for a licence that nobody has stated."""

MAX_LICENCE_CHARACTERS: Final = 200
"""Characters of a licence: an SPDX identifier or expression, or a short name."""


def check_licence(licence: str) -> str:
    """The licence without white space around it.

    Raises:
        UsageError: blank, of several lines, or longer than 200 characters.

    >>> check_licence(" CC-BY-4.0 ")
    'CC-BY-4.0'
    """
    text = licence.strip()
    if not text or len(text) > MAX_LICENCE_CHARACTERS or CONTROL_CHARACTERS.search(text):
        raise UsageError(
            f"{licence[:40]!r} is not the name of a licence",
            remedy="give an SPDX identifier, such as Apache-2.0 or CC-BY-4.0",
        )
    return text


def licence_text(licence: str) -> str:
    """A model's licence for people.

    >>> licence_text("Apache-2.0"), licence_text(NOT_STATED)
    ('Apache-2.0', 'not stated')
    """
    return "not stated" if licence == NOT_STATED else licence
