"""Examples drawn from fonts, for an alphabet of which nobody has samples yet.

The embedding of `glyphs` brings a printed letter near to written ones, so that a reader can begin with the
shapes of fonts; samples join later. Needs `pip install 'kalamos[fonts]'`.
"""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import SkippedFile
from kalamos.datasets.fonts import FONT_EXTENSIONS, FontFile, GlyphForm, require_fonts
from kalamos.datasets.render import vary_glyph
from kalamos.errors import DatasetError, UsageError, suggest
from kalamos.finetune.examples import Examples, check_label
from kalamos.images.files import display_name
from kalamos.sheets import parse_chars

__all__ = ["FONTS", "characters_of_script", "draw_examples", "find_fonts", "split_characters"]

FONTS: Final = "the fonts"
"""What groups examples that no hand wrote."""

MAX_FACES: Final = 6
"""Faces that draw one character: the shapes differ more between scripts' styles than beyond that."""

DRAWINGS_PER_FACE: Final = 4
"""Each time turned, slanted, bent and with another pen, as a hand would."""

HEAVY: Final = (
    "Bold",
    "Black",
    "Heavy",
    "Thin",
    "Light",
    "Condensed",
    "Display",
    "Symbols",
    "Math",
    "Mono",
    "Emoji",
)
"""Words in the names of fonts whose shapes other faces of the family have too, or that have no letters."""

LETTERS: Final = frozenset({"Lo", "Lu", "Ll", "Lt", "Nd"})
"""Unicode's categories of what is an alphabet's letter or digit."""

MARKS: Final = frozenset({"Mn", "Mc", "Me"})


def split_characters(text: str) -> tuple[str, ...]:
    """Split a text into different characters as `kalamos.sheets.parse_chars` does, and refuse what is none.

    Raises:
        UsageError: no character in it, or a mark alone.

    >>> split_characters("αβ γ"), len(split_characters("कि"))
    (('α', 'β', 'γ'), 1)
    """
    found = tuple(dict.fromkeys(parse_chars(text)))
    if not found:
        raise UsageError("no character was given", remedy='write them together, as in --chars "αβγ"')
    for each in found:
        if unicodedata.category(each[0]) in MARKS:
            raise UsageError(
                f"{each[0]!r} combines with a letter, and none stands before it",
                remedy="write it after the letter that carries it",
            )
    return tuple(map(check_label, found))


def characters_of_script(script: str) -> tuple[str, ...]:
    """List the letters and digits of a script, without those that are others with an accent.

    Args:
        script: Unicode's name of it, such as "Devanagari", or its code, such as "Deva".

    Raises:
        UsageError: there is no such script.
        MissingExtraError: fontTools is not installed.

    >>> "".join(characters_of_script("Hebrew"))[:9]
    'אבגדהוזחט'
    """
    require_fonts()
    from fontTools import unicodedata as scripts  # type: ignore[import-untyped]

    wanted = script.strip().replace(" ", "_").casefold()
    names = {
        code: str(scripts.script_name(code)).casefold()
        for code in {scripts.script(chr(point)) for point in range(sys.maxunicode + 1) if point < 0x30000}
    }
    codes = [code for code, name in names.items() if wanted in {name.replace(" ", "_"), code.casefold()}]
    if not codes:
        remedy = suggest(script, [name.title() for name in names.values()])
        raise UsageError(f"no script is called {script!r}", remedy=remedy)
    characters = map(chr, range(0x30000))
    found = [
        each
        for each in characters
        if scripts.script(each) == codes[0]
        and unicodedata.category(each) in LETTERS
        and unicodedata.normalize("NFKD", each) == each
    ]
    if not found:
        raise UsageError(f"{script}: a script without letters", remedy="give the characters with --chars")
    return tuple(found)


def find_fonts(folders: Iterable[Path] | None = None) -> tuple[Path, ...]:
    """List font files: those below some folders, or the system's own; plain faces, Noto's first.

    Args:
        folders: files or folders; None takes where the operating system keeps fonts.

    Raises:
        DatasetError: a file or folder that is not there.
    """
    if folders is None:
        files = [file for folder in _system_folders() if folder.is_dir() for file in _below(folder)]
        files = [file for file in files if not any(word in file.stem for word in HEAVY)]
        return tuple(sorted(files, key=lambda file: (not file.stem.startswith("Noto"), file.name)))
    found: list[Path] = []
    for path in folders:
        if path.is_dir():
            found += sorted(_below(path))
        elif path.is_file():
            found.append(path)
        else:
            raise DatasetError(
                f"{display_name(path)}: there is no such font", remedy="give a font file or a folder"
            )
    return tuple(found)


def _below(folder: Path) -> Iterator[Path]:
    return (file for file in folder.rglob("*") if file.suffix.lower() in FONT_EXTENSIONS)


def _system_folders() -> tuple[Path, ...]:
    home = Path.home()
    if sys.platform == "win32":
        local = Path(os.environ.get("LOCALAPPDATA", home)) / "Microsoft" / "Windows" / "Fonts"
        return Path(os.environ.get("WINDIR", "C:/Windows")) / "Fonts", local
    if sys.platform == "darwin":
        return Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library" / "Fonts"
    return (
        Path("/usr/share/fonts"),
        Path("/usr/local/share/fonts"),
        home / ".local" / "share" / "fonts",
        home / ".fonts",
    )


def draw_examples(
    characters: Sequence[str], fonts: Sequence[Path], *, name: str = "fonts", seed: int = 0
) -> Examples:
    """Draw each character by several faces, several times each.

    Args:
        fonts: see `find_fonts`; the first that have a character draw it.

    Returns:
        Examples whose groups are the faces. A character that no font has is among the problems.

    Raises:
        DatasetError: no font has any of them.
        MissingExtraError: fontTools is not installed.
    """
    require_fonts()
    generator = np.random.default_rng(seed)
    lacking = dict.fromkeys(characters, 0)
    images: list[NDArray[np.uint8]] = []
    labels: list[str] = []
    faces: list[str] = []
    for path in fonts:
        wanted = [each for each, count in lacking.items() if count < MAX_FACES]
        if not wanted:
            break
        try:
            font = FontFile(path)
        except DatasetError:
            continue
        for character in wanted:
            glyph = font.draw(GlyphForm(character, character))
            if glyph is None:
                continue
            lacking[character] += 1
            drawn = [vary_glyph(glyph, generator) for _ in range(DRAWINGS_PER_FACE)]
            images += [np.pad(glyph, max(glyph.shape) // 4), *drawn]
            labels += [character] * (1 + DRAWINGS_PER_FACE)
            faces += [path.stem] * (1 + DRAWINGS_PER_FACE)
    absent = [each for each, count in lacking.items() if not count]
    if not images:
        shown = " ".join(absent[:10])
        raise DatasetError(
            f"no font has any of {shown}",
            remedy="install fonts that do (Debian: fonts-noto-core), or name one with --font",
        )
    problems = tuple(SkippedFile(each, "no font has this character") for each in absent)
    return Examples(name, images, tuple(labels), problems, None, tuple(faces), FONTS)
