"""Which fonts there are in a folder, and the reviewed list that says which of them may be trained on."""

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

__all__ = ["EXTENSIONS", "Family", "Listed", "Side", "choose", "find_families", "read_list", "side_of"]

Side: TypeAlias = Literal["train", "judge"]

EXTENSIONS: Final = (".ttf", ".otf", ".woff2", ".woff")
"""Of files with one stem and several of these endings, the first counts: it is one font, packed anew."""

JUDGES_ONE_IN: Final = 5
_PACKAGE: Final = re.compile(r"(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*")
_VERSION: Final = re.compile(r"\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?")


@dataclass(frozen=True, slots=True)
class Family:
    """The files of one font family, in natural order: its weights, or the parts of its characters."""

    name: str
    files: tuple[Path, ...]


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list: a package, its exact version, its side, and the script it is there for."""

    package: str
    version: str
    side: Side
    script: str

    @property
    def family(self) -> str:
        """The package without its scope, as its folder is called.

        >>> Listed("@fontsource/caveat", "5.3.0", "judge", "latin").family
        'caveat'
        """
        return self.package.rpartition("/")[2]


def side_of(package: str) -> Side:
    """Whether a font may be trained on or is kept to judge by: about one in five, by the name's CRC-32.

    A checksum and no draw, so that a font that is added moves no other to the other side.

    >>> side_of("@fontsource/caveat"), side_of("@fontsource/kalam")
    ('judge', 'train')
    """
    return "train" if zlib.crc32(package.encode()) % JUDGES_ONE_IN else "judge"


def read_list(path: Path) -> tuple[Listed, ...]:
    """Read a list of fonts: `package version side script` a line, apart by spaces; `#` begins a comment.

    Raises:
        DatasetError: not readable, not four words, a package twice, or another side than `side_of` says.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "fonts.txt")
    ...     _ = path.write_text("@fontsource/caveat 5.3.0 judge latin  # a pen")
    ...     read_list(path)
    (Listed(package='@fontsource/caveat', version='5.3.0', side='judge', script='latin'),)
    """
    try:
        text = read_file(path).decode("utf-8-sig")
    except ImageError as error:
        raise DatasetError(error.problem) from error
    except UnicodeDecodeError as error:
        raise DatasetError(f"{display_name(path)}: not a text in UTF-8") from error
    listed: dict[str, Listed] = {}
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


def find_families(folder: Path) -> tuple[Family, ...]:
    """The fonts below a folder: each sub-folder is a family, each font file beside them one of its own.

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
    found = [Family(name, files) for name, files in families.items() if files]
    if not found:
        endings = ", ".join(EXTENSIONS)
        raise DatasetError(
            f"{display_name(folder)}: no font in it", remedy=f"have files that end in {endings}"
        )
    return tuple(sorted(found, key=lambda family: natural_key(family.name)))


def choose(
    families: Iterable[Family], listed: Iterable[Listed], side: Side | None
) -> tuple[tuple[Family, ...], tuple[SkippedFile, ...]]:
    """The listed families, of one side or of both; and those that are listed but not there."""
    wanted = {one.family for one in listed if side in {None, one.side}}
    chosen = tuple(family for family in families if family.name in wanted)
    absent = sorted(wanted - {family.name for family in chosen})
    return chosen, tuple(SkippedFile(name, "listed, but not in the folder of fonts") for name in absent)


def _parsed(words: list[str], where: str) -> Listed:
    if len(words) != 4:
        raise DatasetError(
            f"{where}: {len(words)} words", remedy="write `package version side script`, apart by spaces"
        )
    package, version, side, script = words
    if not _PACKAGE.fullmatch(package):
        raise DatasetError(f"{where}: {package!r} is no name of a package")
    if not _VERSION.fullmatch(version):
        raise DatasetError(f"{where}: {version!r} is no exact version", remedy="write one like 5.3.0")
    if side not in get_args(Side):
        raise DatasetError(f"{where}: the side is {side!r}", remedy="write train or judge")
    fixed = side_of(package)
    if side != fixed:
        # Else a font that judged yesterday's model could train tomorrow's.
        raise DatasetError(f"{where}: {package} is for {side!r}", remedy=f"its checksum says {fixed!r}")
    return Listed(package, version, fixed, script)


def _fonts(paths: Iterable[Path]) -> tuple[Path, ...]:
    best: dict[Path, Path] = {}
    for path in sorted(paths, key=lambda path: natural_key(path.as_posix())):
        if path.suffix.lower() not in EXTENSIONS or path.name.startswith(".") or not path.is_file():
            continue
        stem = path.with_suffix("")
        if stem not in best or _rank(path) < _rank(best[stem]):
            best[stem] = path
    return tuple(best.values())


def _rank(path: Path) -> int:
    return EXTENSIONS.index(path.suffix.lower())
