"""Hijja: Arabic letters by children aged 7 to 12, 32x32 (Altwaijry and Al-Turaiki 2020).

Nobody says who wrote which image, but the IDs rise sheet by sheet, in the sheet's own order of letters
and forms. Up to ID 34,452 a sheet has exactly 108 IDs (measured: 319 sheets in a row begin with an alef at
1 modulo 108). After it a sheet has 120 to 133, and about every eleventh ID belongs to another sheet that
is threaded through a dozen of them.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import ARABIC_28, Alphabet
from kalamos.datasets.dataset import SkippedFile, Split
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import archive
from kalamos.datasets.named.members import read_members
from kalamos.datasets.splits import block_groups

__all__ = ["HIJJA", "HIJJA_28", "HIJJA_29"]

HIJJA_29: Final = Alphabet("hijja-29", (*ARABIC_28.labels, "ء"))

SHEET_IDS: Final = 108
"""IDs of a sheet: every letter in each of its forms."""

REGULAR_SHEETS: Final = 319
"""Sheets of exactly 108 IDs, which come first."""

LATE_BLOCK_IDS: Final = 1063
"""IDs of a block after them, a fifteenth of what is left: enough sheets that few are cut."""

TEST_ONE_IN: Final = 5
"""One of this many neighbouring blocks is for the test."""

TEST_SEED: Final = 1
"""The first from 0 with which no two byte-identical images fall on both sides."""

_HIJJA_MEMBER: Final = re.compile(r"(?:.*/)?(\d{1,2}) [^/]+/\1\.\d/(\d{1,9})\.png", re.IGNORECASE)
"""`NN name/NN.form/ID.png`; the names are ambiguous ("6 ha", "26 ha"), the numbers are not."""


def _hijja_label(member: str) -> int | None:
    match = _HIJJA_MEMBER.fullmatch(member)
    return int(match[1]) - 1 if match and 1 <= int(match[1]) <= len(HIJJA_29) else None


def _read_all(
    path: Path, group: Callable[[NDArray[np.int64]], NDArray[np.int64]]
) -> tuple[Split, tuple[SkippedFile, ...]]:
    split, problems = read_members(path, _hijja_label, dataset="Hijja", example_folder="1 alif/1.1")
    ids = np.array([int(Path(name).stem) for name in split.names or ()], np.int64)
    return replace(split, groups=group(ids)), problems


def _read_hijja(paths: tuple[Path, ...]) -> Parts:
    split, problems = _read_all(paths[0], partial(block_groups, size=SHEET_IDS))
    return Parts(split, problems=problems)


def _read_hijja_28(paths: tuple[Path, ...]) -> Parts:
    every, problems = _read_all(paths[0], _blocks)
    assert every.groups is not None  # noqa: S101  (`_read_all` sets them)
    letters, test = every.labels < len(ARABIC_28), _for_test(every.groups)
    return Parts(
        every.take(np.flatnonzero(letters & ~test)), every.take(np.flatnonzero(letters & test)), problems
    )


def _blocks(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sheet of each ID; in the later part, where sheets run into each other, the stretch of them."""
    late = ids - REGULAR_SHEETS * SHEET_IDS - 1
    return np.where(late < 0, (ids - 1) // SHEET_IDS, REGULAR_SHEETS + late // LATE_BLOCK_IDS)


def _for_test(blocks: NDArray[np.int64]) -> NDArray[np.bool_]:
    return np.array([block % TEST_ONE_IN == _drawn(block // TEST_ONE_IN) for block in blocks.tolist()], bool)


@cache
def _drawn(fold: int) -> int:
    # A checksum, not a generator, whose stream may change with NumPy's version.
    return zlib.crc32(f"{TEST_SEED}/{fold}".encode()) % TEST_ONE_IN


HIJJA: Final = register(
    NamedDataset(
        name="hijja",
        alphabet=HIJJA_29,
        train=47_434,
        test=0,
        source="Altwaijry and Al-Turaiki 2020",
        layouts=archive("hijja", "hijja2"),
        read=_read_hijja,
        grouped_by="writer block",
        home="its authors' project: github.com/israksu/Hijja2",
    )
)
"""28 letters and hamza, in all their forms, black on white. No official split in this arrangement; blocks of
108 IDs stand for the writers, exactly in the first 34,452 IDs, by and by off after them."""

HIJJA_28: Final = register(
    NamedDataset(
        name="hijja-28",
        alphabet=ARABIC_28,
        train=36_525,
        test=9_201,
        source="Altwaijry and Al-Turaiki 2020; divided by kalamos",
        layouts=archive("hijja", "hijja2"),
        read=_read_hijja_28,
        grouped_by="writer block",
        home="its authors' project: github.com/israksu/Hijja2",
    )
)
"""Hijja without its 1,708 images of hamza, so that its alphabet is AHCD's, with a test split of our own.

Of every five neighbouring blocks one is for the test, drawn by a fixed seed. A block is a sheet (a writer)
up to ID 34,452, and 1,063 IDs after it. In that last third a sheet may be cut where blocks meet, and about
one image in eleven is of a writer with images in several blocks; else writers are apart. No image of
the test is, byte for byte, one of the training's."""
