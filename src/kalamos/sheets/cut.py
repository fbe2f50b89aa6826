"""Filled sheets in, a folder of characters out."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.errors import ImageError
from kalamos.forms.geometry import Grey
from kalamos.images import MAX_PIXELS
from kalamos.inputs.item import Item, load_item, name_of
from kalamos.parallel import default_jobs, ordered_map
from kalamos.sheets.cutting import cut_characters
from kalamos.sheets.doubts import Doubt, find_doubts
from kalamos.sheets.finding import find_sheet
from kalamos.sheets.foreign import Layout, find_boxes
from kalamos.sheets.letters import LetterFolder
from kalamos.sheets.plan import SheetPlan

__all__ = ["CutScan", "SheetCutter"]


@dataclass(frozen=True)
class CutScan:
    """What became of one scan.

    Attributes:
        path: its name.
        sheet: which page of which sheet it shows; "" if none.
        group: who wrote, as the manifest has it.
        boxes: how many it has.
        kept: characters that were cut.
        doubtful: by reason, those set aside.
        blank: boxes without ink.
        known: whether the folder had it already, so that nothing was cut.
        error: why nothing could be cut.
    """

    path: str
    sheet: str = ""
    group: str = ""
    boxes: int = 0
    kept: int = 0
    doubtful: Counter[str] = field(default_factory=Counter)
    blank: int = 0
    known: bool = False
    error: ImageError | None = None


class _Box(NamedTuple):
    number: int
    label: str
    image: bytes
    doubt: Doubt | None


class _Read(NamedTuple):
    """What was found on a scan, before it is known whose it is."""

    path: str
    digest: str = ""
    known: bool = False
    name: str = ""
    page: int = 0
    copy: int | None = None
    boxes: int = 0
    filled: tuple[_Box, ...] = ()
    error: ImageError | None = None


class SheetCutter:
    """Cuts scans into a folder.

    Args:
        folder: that characters are added to.
        plan: the sheet, if its file is given; else the codes on the scans say it.
        layout: of a grid that is none of kalamos's: which label is in which box; see
            `kalamos.sheets.foreign`.
        writer: who wrote all of the scans; by default the copies' numbers tell the writers of sheets, and the
            files those of other grids.
        turn: by how many quarters scans are turned clockwise before boxes are looked for.
    """

    def __init__(
        self,
        folder: LetterFolder,
        *,
        plan: SheetPlan | None = None,
        layout: Layout | None = None,
        writer: str = "",
        turn: int = 0,
    ) -> None:
        self.folder, self.plan, self.layout, self.writer, self.turn = folder, plan, layout, writer, turn
        self._known = set(folder.known)
        self._pages: dict[str, set[str]] = {}
        for row in (*folder.rows, *folder.doubtful):
            self._pages.setdefault(row["group"], set()).add(row["sheet"])

    def cut(self, scans: Iterable[Item], *, jobs: int | None = None) -> Iterator[CutScan]:
        """Cut scans one after the other, in their order; one that cannot be read or cut is told.

        Call `LetterFolder.save` at the end.

        Args:
            scans: paths and `kalamos.inputs.NamedImage`s.
            jobs: scans looked at at once; None takes one for each available processor.

        Raises:
            OutputError: an image cannot be written.
        """
        read = ordered_map(
            lambda chunk: [self._read(item) for item in chunk], scans, chunk=1, jobs=jobs or default_jobs()
        )
        return map(self._write, read)

    def _read(self, item: Item) -> _Read:
        path = name_of(item) or ""
        try:
            scan = load_item(item, max_pixels=MAX_PIXELS)
            digest = hashlib.sha256(scan.tobytes() + str(scan.shape).encode()).hexdigest()[:16]
            if digest in self._known:
                return _Read(path, digest, known=True)
            scan = np.ascontiguousarray(np.rot90(scan, -self.turn))
            return self._found(scan, path, digest)
        except ImageError as error:
            return _Read(path, error=error)

    def _found(self, scan: Grey, path: str, digest: str) -> _Read:
        if self.layout is None:
            found = find_sheet(scan, self.plan)
            filled = _filled(scan, found.corners, found.labels)
            page = found.page
            return _Read(path, digest, False, page.name, page.number, found.copy, len(found.labels), filled)
        grid = find_boxes(scan, self.layout)
        filled = _filled(scan, grid.corners, grid.labels)
        return _Read(path, digest, False, boxes=sum(map(bool, grid.labels)), filled=filled)

    def _write(self, read: _Read) -> CutScan:
        if read.error is not None:
            return CutScan(read.path, error=read.error)
        if read.known or read.digest in self._known:
            return CutScan(read.path, known=True)
        self._known.add(read.digest)
        sheet, group = self._whose(read)
        doubtful: Counter[str] = Counter()
        for box in read.filled:
            self.folder.add(
                box.image,
                label=box.label,
                sheet=sheet,
                group=group,
                scan=read.path,
                box=box.number,
                digest=read.digest,
                doubt=box.doubt,
            )
            doubtful.update([box.doubt] if box.doubt else [])
        kept = len(read.filled) - doubtful.total()
        return CutScan(read.path, sheet, group, read.boxes, kept, doubtful, read.boxes - len(read.filled))

    def _whose(self, read: _Read) -> tuple[str, str]:
        """Tell what a scan's sheet is called, and who wrote it.

        A page that comes again under one number is a photocopy, filled by somebody else: scans that follow
        each other belong together.
        """
        if not read.page:
            return read.path, self.writer or PurePath(read.path).name.partition("#")[0]
        sheet = f"{read.name}, page {read.page}"
        if self.writer:
            return sheet, self.writer
        if read.copy is None:
            return sheet, PurePath(read.path).name
        first = f"{read.name}, no. {read.copy}"
        again, number = first, 1
        while (following := f"{first} ({number + 1})") in self._pages:
            again, number = following, number + 1
        if sheet in self._pages.get(again, ()):
            again = following
        self._pages.setdefault(again, set()).add(sheet)
        return sheet, again


def _filled(scan: Grey, corners: NDArray[np.float32], labels: tuple[str, ...]) -> tuple[_Box, ...]:
    """Cut the boxes that have a label and ink."""
    cuts = cut_characters(scan, corners)
    doubts = find_doubts(cuts, labels)
    return tuple(
        _Box(number, label, cv2.imencode(".png", cut.image)[1].tobytes(), doubt)
        for number, (cut, label, doubt) in enumerate(zip(cuts, labels, doubts, strict=True), 1)
        if label and cut.image is not None
    )
