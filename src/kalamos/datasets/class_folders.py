"""Names of class folders: the label itself, with escapes for what no folder name can hold.

An escape is a percent sign and two hexadecimal digits per byte of UTF-8, as in URLs (RFC 3986). Not
`urllib.parse.quote`, which would escape every letter outside ASCII, and cannot escape "." or "con".
"""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import unquote

__all__ = ["folder_of", "label_of"]

_IMPOSSIBLE: Final = re.compile(r'[/\\:*?"<>|\x00-\x1f\x7f]|^\.|[. ]$')
"""On Linux, macOS or Windows; a name that begins with a dot is hidden."""

_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?|thumbs\.db|desktop\.ini|__macosx"
    # Folders with these names may be taken for the splits of a dataset.
    r"|train|training|val|valid|validation|test|testing",
    re.IGNORECASE,
)
_ESCAPE: Final = re.compile("%[0-9A-F]{2}")


def folder_of(label: str) -> str:
    """Return the name of the folder for a class.

    >>> [folder_of(label) for label in ("ß", "/", ".", "a.b", "con", "100%")]
    ['ß', '%2F', '%2E', 'a.b', '%63on', '100%']
    """
    composed = unicodedata.normalize("NFC", label)
    name = _ESCAPE.sub(lambda found: f"%25{found[0][1:]}", composed)
    name = _IMPOSSIBLE.sub(lambda found: _escaped(found[0]), name)
    return _escaped(name[0]) + name[1:] if _RESERVED.fullmatch(name) else name


def label_of(folder: str) -> str:
    """Return the label of a name from `folder_of`; any other name is the label itself.

    >>> [label_of(name) for name in ("ß", "%2F", "%2E", "50%", "%41")]
    ['ß', '/', '.', '50%', '%41']
    """
    if not _ESCAPE.search(folder):
        return folder
    label = unquote(folder, errors="replace")
    return label if folder_of(label) == unicodedata.normalize("NFC", folder) else folder


def _escaped(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
