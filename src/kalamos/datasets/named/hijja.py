"""Hijja: Arabic letters by children aged 7 to 12, 32x32 (Altwaijry and Al-Turaiki 2020)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np

from kalamos.alphabets import ARABIC_28, Alphabet
from kalamos.datasets.assembly import decode_members
from kalamos.datasets.dataset import Problem, Split
from kalamos.datasets.named.entry import NamedDataset, Parts, register
from kalamos.datasets.named.layout import archive
from kalamos.datasets.sources import open_source
from kalamos.datasets.splits import block_groups
from kalamos.errors import DatasetError

__all__ = ["HIJJA", "HIJJA_29"]

HIJJA_29: Final = Alphabet("hijja-29", (*ARABIC_28.labels, "ء"))

WRITER = 108
"""Each child filled in one sheet of 108 boxes: every letter in each of its forms."""

MEMBER = re.compile(r"(?:.*/)?(\d{1,2}) [^/]+/\1\.\d/(\d{1,9})\.png", re.IGNORECASE)
"""`NN name/NN.form/ID.png`; the names are not told apart ("6 ha", "26 ha"), the numbers are."""


def _read(paths: tuple[Path, ...]) -> Parts:
    problems: list[Problem] = []
    with open_source(paths[0]) as source:
        problems += source.problems
        members, labels, ids = [], [], []
        for member in source.members:
            match = MEMBER.fullmatch(member)
            if match and 1 <= int(match[1]) <= len(HIJJA_29):
                members.append(member)
                labels.append(int(match[1]) - 1)
                ids.append(int(match[2]))
            else:
                problems.append(Problem(member, "not named like an image of Hijja"))
        images, kept, unreadable = decode_members(source.read, members)
    if not len(kept):
        raise DatasetError(
            f"{paths[0]}: no image of Hijja in it", remedy="it holds folders such as '1 alif/1.1'"
        )
    split = Split(
        images,
        np.array(labels, np.int64)[kept],
        block_groups(np.array(ids), WRITER)[kept],
        tuple(members[position] for position in kept.tolist()),
    )
    return Parts(split, problems=(*problems, *unreadable))


HIJJA: Final = register(
    NamedDataset(
        name="hijja",
        alphabet=HIJJA_29,
        train=47_434,
        test=0,
        source="Altwaijry and Al-Turaiki 2020",
        layouts=archive("hijja", "hijja2"),
        read=_read,
        grouped_by="writer block",
        home="its authors' project: github.com/israksu/Hijja2",
    )
)
"""28 letters and hamza, in all their forms, black on white. No official split in this arrangement; the IDs
rise writer by writer, so that blocks of 108 of them stand for the writers, now and then a little off."""
