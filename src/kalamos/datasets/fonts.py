"""Handwriting fonts as a source of styles: families in a folder, and their characters as pixels.

A reviewed list says which fonts may be trained on and which are kept for tests.
"""

from __future__ import annotations

import io
import re
import unicodedata
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet
from kalamos.datasets.dataset import SkippedFile
from kalamos.errors import DatasetError, ImageError, MissingExtraError
from kalamos.images import read_file
from kalamos.images.files import display_name
from kalamos.inputs.files import natural_order

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

__all__ = [
    "EM_PX",
    "FontFamily",
    "FontFile",
    "GlyphForm",
    "ListedFont",
    "find_families",
    "glyph_forms",
    "read_list",
    "require_fonts",
    "select_families",
    "side_of",
]

Side: TypeAlias = Literal["train", "judge"]

FONT_EXTENSIONS: Final = (".ttf", ".otf", ".ttc", ".otc", ".woff2", ".woff")
"""If files with one stem have several of these endings, the first counts: it is one font, repacked."""

JUDGE_ONE_IN: Final = 5
_PACKAGE: Final = re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class FontFamily:
    """The files of one font family, in natural order: its weights, or the parts of its characters."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class ListedFont:
    """A line of the list: a package, its exact version, its side, and the script it is listed for."""

    package: str
    version: str
    side: Side
    script: str

    @property
    def family(self) -> str:
        """The package without its scope, as its folder is called.

        >>> ListedFont("@fontsource/caveat", "5.3.0", "judge", "latin").family
        'caveat'
        """
        return self.package.rpartition("/")[2]


def side_of(package: str) -> Side:
    """Return whether a font may be trained on ("train") or only tested on ("judge": about one in five).

    A CRC-32 of the name, not a random draw, so that adding a font does not move another to the other side.

    >>> side_of("@fontsource/caveat"), side_of("@fontsource/kalam")
    ('judge', 'train')
    """
    return "train" if zlib.crc32(package.encode()) % JUDGE_ONE_IN else "judge"


def read_list(path: Path) -> tuple[ListedFont, ...]:
    """Read a font list: one `package version side script` a line, with spaces between; `#` begins a comment.

    Raises:
        DatasetError: not readable, not four words, a package twice, or another side than `side_of` says.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fonts.txt")
    ...     _ = path.write_text("@fontsource/caveat 5.3.0 judge latin  # a pen")
    ...     read_list(path)
    (ListedFont(package='@fontsource/caveat', version='5.3.0', side='judge', script='latin'),)
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except ImageError as error:
        raise DatasetError(error.problem) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{display_name(path)}: not a text in UTF-8") from error
    listed: dict[str, ListedFont] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"{display_name(path)}, line {number}"
        one = _parsed(words, where)
        if one.family in listed:
            raise DatasetError(f"{where}: the font {one.family!r} is listed twice")
        listed[one.family] = one
    if not listed:
        raise DatasetError(f"{display_name(path)}: lists no font")
    return tuple(listed.values())


def find_families(folder: Path) -> tuple[FontFamily, ...]:
    """Find the fonts below a folder: each sub-folder is a family, each font file beside them another one.

    Raises:
        DatasetError: not a folder, or no font in it.
    """
    try:
        entries = [entry for entry in folder.iterdir() if not entry.name.startswith(".")]
        families = {entry.name: _fonts(entry.rglob("*")) for entry in entries if entry.is_dir()}
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{display_name(folder)}: cannot be opened as a folder ({reason})") from error
    for file in _fonts(entries):
        families[file.stem] = (*families.get(file.stem, ()), file)
    found = [FontFamily(name, files) for name, files in families.items() if files]
    if not found:
        endings = ", ".join(FONT_EXTENSIONS)
        raise DatasetError(
            f"{display_name(folder)}: no font in it", remedy=f"have files that end in {endings}"
        )
    return tuple(sorted(found, key=lambda family: natural_order(family.name)))


def select_families(
    families: Iterable[FontFamily], listed: Iterable[ListedFont], side: Side | None
) -> tuple[tuple[FontFamily, ...], tuple[SkippedFile, ...]]:
    """Return the listed families, of one side or of both; and those that are listed but absent."""
    wanted = {one.family for one in listed if side in {None, one.side}}
    chosen = tuple(family for family in families if family.name in wanted)
    absent = sorted(wanted - {family.name for family in chosen})
    return chosen, tuple(SkippedFile(name, "listed, but not in the folder of fonts") for name in absent)


def _parsed(words: list[str], where: str) -> ListedFont:
    if len(words) != 4:
        raise DatasetError(
            f"{where}: {len(words)} words", remedy="write `package version side script`, separated by spaces"
        )
    package, version, side, script = words
    if not _PACKAGE.fullmatch(package):
        raise DatasetError(f"{where}: {package!r} is not a package name")
    if not _VERSION.fullmatch(version):
        raise DatasetError(f"{where}: {version!r} is not an exact version", remedy="write one like 5.3.0")
    if side not in get_args(Side):
        raise DatasetError(f"{where}: the side is {side!r}", remedy="write train or judge")
    fixed = side_of(package)
    if side != fixed:
        # Otherwise a font that judged one model could train the next.
        raise DatasetError(f"{where}: {package} is for {side!r}", remedy=f"its checksum says {fixed!r}")
    return ListedFont(package, version, fixed, script)


def _fonts(paths: Iterable[Path]) -> tuple[Path, ...]:
    best: dict[Path, Path] = {}
    for path in sorted(paths, key=lambda path: natural_order(path.as_posix())):
        if path.suffix.lower() not in FONT_EXTENSIONS or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.with_suffix("")
        if stem not in best or _rank(path) < _rank(best[stem]):
            best[stem] = path
    return tuple(best.values())


def _rank(path: Path) -> int:
    return FONT_EXTENSIONS.index(path.suffix.lower())


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
    """List the ways to write a label: all its characters, an Arabic letter in its joined forms.

    >>> from kalamos.alphabets import ARABIC_28, ARABIC_DIGITS, LATIN_47
    >>> [drawing.character for drawing in glyph_forms(LATIN_47, "C")]
    ['C', 'c']
    >>> [drawing.character for drawing in glyph_forms(ARABIC_DIGITS, "٤")]
    ['٤', '۴']
    >>> [drawing.form for drawing in glyph_forms(ARABIC_28, "د")]
    ['isolated', 'final']
    """
    found: list[GlyphForm] = []
    for character in alphabet.characters(label):
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
            content = path.read_bytes()
            # Of a collection the first face.
            with TTFont(io.BytesIO(content), lazy=True, fontNumber=0) as font:
                self._characters = frozenset(font.getBestCmap() or {})
                if font.flavor is not None:
                    # FreeType reads woff2 only if it was built with brotli, so it gets unpacked fonts.
                    font.flavor = None
                    unpacked = io.BytesIO()
                    font.save(unpacked)
                    content = unpacked.getvalue()
            self._font: FreeTypeFont = ImageFont.truetype(io.BytesIO(content), EM_PX)
        except Exception as error:  # a damaged file may raise anything, in either library
            reason = " ".join(str(error).split()) or type(error).__name__
            raise DatasetError(f"{display_name(path)}: not a font that can be read ({reason})") from error

    @property
    def code_points(self) -> frozenset[int]:
        """The code points that the font has glyphs for."""
        return self._characters

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
