"""How well filled sheets are cut: drawn ones, scanned, photocopied and photographed, and real ones.

Usage: python benchmarks/sheets.py [--n 6] [--only KIND ...] [--real] [--write] [-o build/sheets]
Needs MNIST, EMNIST, AHCD and alphabets-dev.zip in the data folder. Draws for each kind `--n` pages of
kalamos's sheets and as many grids that somebody else designed (`drawn_sheets`), cuts them, and prints what
became of their boxes; `--real` cuts the twelve scanned sheets of alphabets-dev.zip, whose truth is a smooth
grid fitted to all boxes. Pictures of what was cut, and where boxes were found, go to `-o`: look at them, and
never commit those of real sheets. `--write` keeps the table in docs/sheets.md.
"""

from __future__ import annotations

import argparse
import csv
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

import cv2
import numpy as np
from drawn_camera import PHOTOGRAPHS, SCANS
from drawn_forms import overlay
from drawn_sheets import CONTENTS, DrawnSheet, draw_grid, draw_sheet
from numpy.typing import NDArray

from kalamos.datasets.named import data_dir
from kalamos.errors import KalamosError
from kalamos.images import decode_grey
from kalamos.sheets.cutting import CutBox, cut_characters
from kalamos.sheets.doubts import Doubt, find_doubts
from kalamos.sheets.finding import find_sheet
from kalamos.sheets.foreign import find_boxes

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

PAGE = ROOT / "docs" / "sheets.md"

MIN_OVERLAP: Final = 0.8
"""Of a box and where it was found, shared by what either covers."""

RIM_FRACTION, RUN_FRACTION = 0.08, 0.5
"""Of a box's side: a straight run so long, so near to a cut picture's edge, may be left of the border."""

TILE_PX: Final = 64

SWAPPED_SHARE: Final = 0.05
"""Of the boxes, whose labels are swapped to see whether it is told."""

Corners = NDArray[np.float32]


@dataclass
class Tally:
    """What became of the boxes of some pages."""

    pages: int = 0
    found_pages: int = 0
    boxes: int = 0
    found: int = 0
    bordered: int = 0
    mislabelled: Counter[str] = field(default_factory=Counter)
    """What is said of good characters under another label: a doubt, or "cut"."""
    strangers: list[tuple[str, CutBox]] = field(default_factory=list)
    """Some good characters of the page before, with their label."""
    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """(what was in a box, "cut", "blank", a doubt, "wrong label" or "lost") -> how often."""

    def of(self, content: str, *outcomes: str) -> str:
        """Return which share of boxes with a content had one of some outcomes, in per cent."""
        total = sum(count for (kind, _), count in self.outcomes.items() if kind == content)
        right = sum(self.outcomes[content, outcome] for outcome in outcomes)
        return f"{100 * right / total:.1f}" if total else "-"


def tally_sheet(tally: Tally, drawn: DrawnSheet, *, is_grid: bool) -> list[CutBox]:
    """Cut a page, count what became of its boxes, and return what was cut of them."""
    tally.pages += 1
    tally.boxes += len(drawn.labels)
    cuts: list[CutBox | None] = [None] * len(drawn.labels)
    doubts: list[Doubt | None] = [None] * len(drawn.labels)
    right = [False] * len(drawn.labels)
    try:
        if is_grid:
            found = find_boxes(drawn.image, ((drawn.labels[0],),))
            corners, labels = found.corners, found.labels
        else:
            sheet = find_sheet(drawn.image)
            corners, labels = sheet.corners, sheet.labels
        tally.found_pages += 1
        cut = cut_characters(drawn.image, corners)
        told = find_doubts(cut, labels)
        count_swapped(tally, cut, labels, told)
        for place, truth in enumerate(drawn.corners):
            nearest = int(np.abs(corners - truth).max(axis=(1, 2)).argmin())
            if overlap(corners[nearest], truth) >= MIN_OVERLAP:
                tally.found += 1
                cuts[place], doubts[place] = cut[nearest], told[nearest]
                right[place] = labels[nearest] == drawn.labels[place]
    except KalamosError as error:
        print(f"  {drawn.kind}: {error}")
    for content, one, doubt, is_right in zip(drawn.contents, cuts, doubts, right, strict=True):
        outcome = "lost" if one is None else "blank" if one.image is None else doubt or "cut"
        tally.outcomes[content, outcome if is_right or outcome != "cut" else "wrong label"] += 1
        if one is not None and one.image is not None and content == "character" and has_border(one):
            tally.bordered += 1
    return [one for one in cuts if one is not None]


def count_swapped(
    tally: Tally, cuts: Sequence[CutBox], labels: tuple[str, ...], doubts: Sequence[Doubt | None]
) -> None:
    """Give some good boxes another label, and count what is said of them.

    On a sheet they get that of another line; where all boxes have one label, characters of the page before
    come among them.
    """
    names = sorted(set(labels))
    good = [place for place, cut in enumerate(cuts) if cut.image is not None and doubts[place] is None]
    count = round(SWAPPED_SHARE * len(labels))
    generator = np.random.default_rng(len(labels))
    chosen = generator.permutation(good)[:count].tolist()
    if len(names) > 1:
        given = list(labels)
        for place in chosen:
            given[place] = str(generator.choice([name for name in names if name != labels[place]]))
        told = find_doubts(cuts, given)
        tally.mislabelled.update(told[place] or "cut" for place in chosen)
        return
    strangers = [cut for label, cut in tally.strangers if label != names[0]]
    told = find_doubts([*cuts, *strangers], [names[0]] * (len(cuts) + len(strangers)))
    tally.mislabelled.update(doubt or "cut" for doubt in told[len(cuts) :])
    tally.strangers = [(names[0], cuts[place]) for place in chosen]


def overlap(one: Corners, other: Corners) -> float:
    """Return intersection over union of two convex quadrilaterals."""
    shared, _ = cv2.intersectConvexConvex(one.astype(np.float32), other.astype(np.float32))
    union = cv2.contourArea(one) + cv2.contourArea(other) - shared
    return float(shared / union) if union > 0 else 0.0


def has_border(cut: CutBox) -> bool:
    """Whether a straight dark run lies along an edge: what is left of a border, or a stroke that does so."""
    assert cut.image is not None  # noqa: S101  (callers ask of filled boxes)
    image = cut.image
    # Against the paper nearby: shadows are no borders.
    reach = 2 * round(0.12 * cut.side) + 1
    depth = cv2.morphologyEx(image, cv2.MORPH_BLACKHAT, np.ones((reach, reach), np.uint8))
    mask = (depth > 0.3 * depth.max()).astype(np.uint8)
    length, rim = max(3, round(RUN_FRACTION * cut.side)), max(2, round(RIM_FRACTION * cut.side))
    across = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((1, length), np.uint8))
    down = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((length, 1), np.uint8))
    return bool(across[:rim].any() or across[-rim:].any() or down[:, :rim].any() or down[:, -rim:].any())


def mosaic(cuts: Iterable[CutBox], columns: int = 24) -> NDArray[np.uint8]:
    """Lay cut pictures side by side; blank boxes are grey."""
    tiles = []
    for cut in cuts:
        tile = np.full((TILE_PX, TILE_PX), 160, np.uint8)
        if cut.image is not None:
            scale = (TILE_PX - 2) / max(cut.image.shape)
            small = cv2.resize(cut.image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            tile[: small.shape[0], : small.shape[1]] = small
        tiles.append(tile)
    tiles += [np.full((TILE_PX, TILE_PX), 255, np.uint8)] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows) if rows else np.zeros((1, 1), np.uint8)


HEAD: Final = (
    "| | pages found | boxes found | characters cut | set aside, though good | crossed out, told "
    "| two characters, told | blanks and specks, left out or told | may have border left "
    "| of that as unlike its label | wrong labels, told |\n"
    "|---|---|---|---|---|---|---|---|---|---|---|"
)


def row_of(name: str, tally: Tally) -> str:
    """Return a line of the table, in per cent."""
    doubts = get_args(Doubt)
    empty = Counter({key[1]: 0 for key in tally.outcomes})
    for (content, outcome), count in tally.outcomes.items():
        if content in ("blank", "speck"):
            empty[outcome] += count
    told = sum(empty[each] for each in ("blank", *doubts))
    written = sum(count for (content, _), count in tally.outcomes.items() if content == "character")
    cells = [
        f"{tally.found_pages} of {tally.pages}",
        f"{100 * tally.found / max(tally.boxes, 1):.2f} of {tally.boxes:,}",
        tally.of("character", "cut"),
        tally.of("character", *doubts),
        tally.of("crossed out", *doubts),
        tally.of("two characters", *doubts),
        f"{100 * told / max(empty.total(), 1):.1f}",
        f"{100 * tally.bordered / max(written, 1):.2f}",
        tally.of("character", "unlike its label"),
        f"{100 * tally.mislabelled['unlike its label'] / tally.mislabelled.total():.0f} of "
        f"{tally.mislabelled.total()}"
        if tally.mislabelled
        else "-",
    ]
    return f"| {name} | {' | '.join(cells)} |"


def drawn_rows(kinds: Sequence[str], count: int, folder: Path) -> list[str]:
    """Cut drawn pages of each kind."""
    rows = []
    for name, is_grid in (("sheets", False), ("other grids", True)):
        total = Tally()
        for kind in kinds:
            tally = Tally(strangers=total.strangers)
            for seed in range(count):
                drawn = draw_grid(kind, seed) if is_grid else draw_sheet(kind, [*CONTENTS][seed % 3], seed)
                if is_grid and kind in ("upside down", "sideways"):
                    break  # nothing on such a page says how it lies
                cuts = tally_sheet(tally, drawn, is_grid=is_grid)
                place = folder / f"{name}-{kind}-{seed}.png".replace(" ", "-")
                cv2.imwrite(str(place), mosaic(cuts))
            if tally.pages:
                rows.append(row_of(f"{name}, {kind}", tally))
                print(rows[-1], flush=True)
            for key in ("pages", "found_pages", "boxes", "found", "bordered"):
                setattr(total, key, getattr(total, key) + getattr(tally, key))
            total.outcomes += tally.outcomes
            total.mislabelled += tally.mislabelled
            total.strangers = tally.strangers
        rows.append(row_of(f"**{name}, all**", total))
        print(rows[-1], flush=True)
        wrong = {key: count for key, count in total.outcomes.items() if key[1] in ("wrong label", "lost")}
        print(f"  wrong labels and lost boxes: {wrong or 'none'}")
    return rows


def real_row(folder: Path) -> str:
    """Cut the twelve real sheets of one letter each, all of whose boxes are filled."""
    tally = Tally()
    with zipfile.ZipFile(data_dir(None) / "alphabets-dev.zip") as archive:
        listed = list(csv.DictReader(archive.read("sheets/manifest.csv").decode().splitlines()))
        for row in listed:
            scan = decode_grey(archive.read(f"sheets/{row['path']}"), where=row["path"])
            found = find_boxes(scan, ((row["label"],),))
            truth = smooth_grid(found.corners, found.places)
            contents = ("character",) * len(truth)
            sheet = DrawnSheet(scan, (row["label"],) * len(truth), contents, truth, row["path"], None)
            cuts = tally_sheet(tally, sheet, is_grid=True)
            name = Path(row["path"]).stem
            cv2.imwrite(str(folder / f"real-{name}.png"), mosaic(cuts))
            cv2.imwrite(str(folder / f"real-{name}-boxes.png"), overlay(scan, [found.corners]))
            for number, cut in enumerate(cuts):
                if cut.image is not None and has_border(cut):
                    cv2.imwrite(str(folder / f"real-{name}-border-{number}.png"), cut.image)
    return row_of(f"{len(listed)} real sheets", tally)


def smooth_grid(corners: Corners, places: NDArray[np.int64]) -> Corners:
    """Return where all boxes of a grid lie, by corners that follow rows and columns smoothly.

    Each corner's x and y is a polynomial of third degree in row and column, fitted twice, the second time
    without what is far off; places without a box that was found are told by it too.
    """
    rows, columns = (places.max(axis=0) + 1).tolist()

    def design(where: NDArray[np.int64]) -> NDArray[np.float64]:
        y, x = (where / (rows, columns) * 2 - 1).T
        return np.stack([x**i * y**j for i in range(4) for j in range(4 - i)], axis=1)

    every = np.array([(row, column) for row in range(rows) for column in range(columns)])
    values, known = corners.reshape(len(corners), 8).astype(np.float64), np.ones(len(corners), bool)
    for _ in range(2):
        solution = np.linalg.lstsq(design(places[known]), values[known], rcond=None)[0]
        off = np.abs(design(places) @ solution - values).max(axis=1)
        known = off <= max(4 * np.median(off), 2.0)
    return (design(every) @ solution).reshape(-1, 4, 2).astype(np.float32)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--n", type=int, default=6, help="pages of each kind")
    parser.add_argument("--only", nargs="*", choices=SCANS + PHOTOGRAPHS, default=SCANS + PHOTOGRAPHS)
    parser.add_argument("--real", action="store_true", help="the real sheets alone")
    parser.add_argument("--write", action="store_true", help="keep the table in docs/sheets.md")
    parser.add_argument("-o", "--output", type=Path, default=ROOT / "build" / "sheets")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    cv2.setNumThreads(1)
    rows = [] if given.real else drawn_rows(given.only, given.n, given.output)
    rows.append(real_row(given.output))
    print(HEAD, *rows, sep="\n")
    if given.write:
        text = PAGE.read_text("utf-8")
        PAGE.write_text(replace_part(text, "sheets", "\n".join([HEAD, *rows])), "utf-8")


if __name__ == "__main__":
    main()
