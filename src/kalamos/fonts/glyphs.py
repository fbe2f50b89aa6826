"""The forms of a character in a font, and each of them as pixels."""

from __future__ import annotations

import io
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.errors import DatasetError, MissingExtraError
from kalamos.images.files import display_name

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = ["EM_PX", "FontFile", "GlyphForm", "glyph_forms", "require_fonts"]

EM_PX: Final = 128
"""Side of the em square: large beside the 64 px of the images, so that varying costs no sharpness."""

ZERO_WIDTH_JOINER: Final = "\u200d"
"""The shaper joins the letter beside it to this side."""

_FORM_TEMPLATES: Final = {
    "isolated": "{}",
    "initial": "{}" + ZERO_WIDTH_JOINER,
    "medial": ZERO_WIDTH_JOINER + "{}" + ZERO_WIDTH_JOINER,
    "final": ZERO_WIDTH_JOINER + "{}",
}


@dataclass(frozen=True, slots=True)
class GlyphForm:
    """One way to write a label: the character, the text that shapes it, and the name of its form, if any."""

    character: str
    text: str
    form: str = ""

    @property
    def key(self) -> str:
        """A name in ASCII, distinct even if file names ignore case.

        >>> GlyphForm("a", "a").key, GlyphForm("ب", "ب", "isolated").key
        ('u0061', 'u0628-isolated')
        """
        points = "-".join(f"u{ord(character):04x}" for character in self.character)
        return f"{points}-{self.form}" if self.form else points


def require_fonts() -> None:
    """Raise `MissingExtraError` unless `kalamos[fonts]` is installed."""
    missing = [name for name in ("PIL", "fontTools", "brotli") if not find_spec(name)]
    if missing:
        raise MissingExtraError(f"fonts need {', '.join(missing)}, not installed here", extra="fonts")


def glyph_forms(alphabet: Alphabet, label: str) -> tuple[GlyphForm, ...]:
    """List the ways to write a label: both cases of a merged one, the joined forms of an Arabic letter.

    >>> from kalamos.alphabets import ARABIC_28, LATIN_47
    >>> [drawing.character for drawing in glyph_forms(LATIN_47, "C")]
    ['C', 'c']
    >>> [drawing.form for drawing in glyph_forms(ARABIC_28, "د")]
    ['isolated', 'final']
    """
    characters = (label, label.lower()) if label in alphabet.merged else (label,)
    found: list[GlyphForm] = []
    for character in characters:
        forms = _arabic_forms().get(character)
        if forms is None:
            found.append(GlyphForm(character, character))
        else:
            found += [
                GlyphForm(character, text.format(character), form)
                for form, text in _FORM_TEMPLATES.items()
                if form in forms
            ]
    return tuple(found)


class FontFile:
    """An open font file.

    Raises:
        DatasetError: it cannot be read as a font.
    """

    def __init__(self, path: Path) -> None:
        from fontTools.ttLib import TTFont  # type: ignore[import-untyped]
        from PIL import ImageFont

        try:
            with TTFont(path, lazy=False) as font:
                self._characters = frozenset(font.getBestCmap() or {})
                # FreeType reads woff2 only if it was built with brotli, so it gets unpacked fonts.
                font.flavor = None
                unpacked = io.BytesIO()
                font.save(unpacked)
            self._font: FreeTypeFont = ImageFont.truetype(io.BytesIO(unpacked.getvalue()), EM_PX)
        except Exception as error:  # a damaged file may raise anything, in either library
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(f"{display_name(path)}: not a font that can be read ({reason})") from error

    def has(self, character: str) -> bool:
        """Whether the font has all code points of a character."""
        return all(ord(point) in self._characters for point in character)

    def draw(self, drawing: GlyphForm) -> NDArray[np.uint8] | None:
        """Draw white on black, uint8 [H, W], cropped to the ink; None if the font lacks the character.

        Raises:
            MissingExtraError: joined forms without the shaper.
        """
        from PIL import Image, ImageDraw, features

        if not self.has(drawing.character):
            return None
        if drawing.form and not features.check("raqm"):
            raise MissingExtraError(
                "the joined forms of letters need Pillow with Raqm", remedy="install Pillow's own wheels"
            )
        left, top, right, bottom = self._font.getbbox(drawing.text)
        width, height = int(right - left) + 2, int(bottom - top) + 2
        # A font may claim any extent; real letters take a few ems.
        if width <= 2 or height <= 2 or max(width, height) > 8 * EM_PX:
            return None
        page = Image.new("L", (width, height), 0)
        ImageDraw.Draw(page).text((1 - left, 1 - top), drawing.text, fill=255, font=self._font)
        return _crop_to_ink(np.asarray(page))


def _crop_to_ink(page: NDArray[np.uint8]) -> NDArray[np.uint8] | None:
    rows, columns = np.flatnonzero(page.max(axis=1) > 127), np.flatnonzero(page.max(axis=0) > 127)
    if not len(rows):
        return None
    return np.ascontiguousarray(page[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])


@cache
def _arabic_forms() -> dict[str, frozenset[str]]:
    """Map each letter to its forms, as in Unicode's Arabic Presentation Forms A and B."""
    forms: dict[str, set[str]] = {}
    for point in (*range(0xFB50, 0xFE00), *range(0xFE70, 0xFF00)):
        tag, _, letters = unicodedata.decomposition(chr(point)).partition("> ")
        if tag.startswith("<") and tag[1:] in _FORM_TEMPLATES and " " not in letters:
            forms.setdefault(chr(int(letters, 16)), set()).add(tag[1:])
    return {letter: frozenset(found) for letter, found in forms.items()}
