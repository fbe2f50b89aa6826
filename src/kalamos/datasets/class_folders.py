"""What the folder of a class is called: its label, and where no folder can be called so, an escape.

An escape is a percent sign and two hexadecimal digits a byte of UTF-8, as in URLs (RFC 3986).
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

__all__ = ["folder_of", "label_of"]

_IMPOSSIBLE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$')
"""On Linux, macOS or Windows; and what begins with a dot is hidden."""

_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|thumbs\.db|desktop\.ini|__macosx"
    # Folders of these names may be taken for the parts of a dataset.
    r"|train|training|val|valid|validation|test|testing",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


def folder_of(label: str) -> str:
    """The name of the folder for a class.

    >>> [folder_of(label) for label in ("ß", "/", ".", "a.b", "con", "100%")]
    ['ß', '%2F', '%2E', 'a.b', '%63on', '100%']
    """
    composed = unicodedata.normalize("NFC", label)
    name = _ESCAPE.sub(lambda found: f"%25{found[0][1:]}", composed)
    name = _IMPOSSIBLE.sub(lambda found: _escaped(found[0]), name)
    return _escaped(name[0]) + name[1:] if _RESERVED.fullmatch(name) else name


def label_of(folder: str) -> str:
    """The label that `folder_of` made a name of; any other name is a label as it is.

    >>> [label_of(name) for name in ("ß", "%2F", "%2E", "50%", "%41")]
    ['ß', '/', '.', '50%', '%41']
    """
    if not _ESCAPE.search(folder):
        return folder
    label = unquote(folder, errors="replace")
    return label if folder_of(label) == unicodedata.normalize("NFC", folder) else folder


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
