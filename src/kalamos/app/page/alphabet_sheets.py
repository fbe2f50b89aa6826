"""An alphabet's samples on paper: a sheet to print, and filled ones cut into the alphabet's folder."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kalamos.app.page.context import UploadedFile
from kalamos.app.page.drawn_alphabet import DrawnAlphabet
from kalamos.errors import KalamosError
from kalamos.images import read_file
from kalamos.inputs.item import NamedImage

__all__ = ["TakenSheets", "sheet_pdf", "take_sheets"]

BOXES: Final = 10
"""Of each character on a sheet."""

MAX_SCANS: Final = 40
"""Taken at once; for more there is `kalamos sheets cut`."""


@dataclass
class TakenSheets:
    """What became of scans: samples by label, what was set aside by reason, and scans that show no sheet."""

    samples: Counter[str] = field(default_factory=Counter)
    doubtful: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)


def sheet_pdf(alphabet: DrawnAlphabet) -> bytes:
    """Draw a sheet for an alphabet, as PDF.

    Raises:
        MissingExtraError: without `kalamos[forms]`.
        KalamosError: its characters do not fit on sheets.
    """
    from kalamos.sheets import SheetPlan, print_plan

    with tempfile.TemporaryDirectory(prefix="kalamos-") as folder:
        path = Path(folder) / "sheet.pdf"
        print_plan(SheetPlan(alphabet.name, alphabet.labels, BOXES), path)
        return path.read_bytes()


def take_sheets(alphabet: DrawnAlphabet, scans: Sequence[UploadedFile]) -> TakenSheets:
    """Cut filled sheets, and add each character that is not doubtful to the alphabet's samples.

    Characters that the alphabet lacks join it.

    Raises:
        MissingExtraError: without `kalamos[forms]`.
        OutputError: the disk does not take them.
    """
    from kalamos.sheets import LetterFolder, SheetCutter

    taken = TakenSheets()
    with tempfile.TemporaryDirectory(prefix="kalamos-") as root:
        folder = LetterFolder(Path(root) / "letters", Path(root) / "doubtful")
        items: list[NamedImage] = []
        for name, path in scans[:MAX_SCANS]:
            try:
                items.append(NamedImage(name, read_file(path)))
            except KalamosError as error:
                taken.failed.append(f"{name}: {error.problem}")
        for each in SheetCutter(folder).cut(items, jobs=1):
            taken.doubtful += each.doubtful
            if each.error is not None:
                taken.failed.append(f"{each.path}: {each.error.problem.removeprefix(f'{each.path}: ')}")
        for row in folder.rows:
            label = row["label"]
            if label not in alphabet.labels:
                alphabet.labels = (*alphabet.labels, label)
            alphabet.add((folder.path / row["path"]).read_bytes(), label)
            taken.samples[label] += 1
    return taken
