"""Fonts in a folder, and the reviewed list that says which of them may be trained on."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, TypeAlias, get_args

from kalamos.datasets.dataset import SkippedFile
from kalamos.datasets.sources import natural_key
from kalamos.errors import DatasetError, ImageError
from kalamos.images import read_file
from kalamos.images.files import display_name

__all__ = [
    "FONT_EXTENSIONS",
    "FontFamily",
    "ListedFont",
    "Side",
    "find_families",
    "read_list",
    "select_families",
    "side_of",
]

Side: TypeAlias = Literal["train", "judge"]

FONT_EXTENSIONS: Final = (".ttf", ".otf", ".woff2", ".woff")
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
    return tuple(sorted(found, key=lambda family: natural_key(family.name)))


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
    for path in sorted(paths, key=lambda path: natural_key(path.as_posix())):
        if path.suffix.lower() not in FONT_EXTENSIONS or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.with_suffix("")
        if stem not in best or _rank(path) < _rank(best[stem]):
            best[stem] = path
    return tuple(best.values())


def _rank(path: Path) -> int:
    return FONT_EXTENSIONS.index(path.suffix.lower())
