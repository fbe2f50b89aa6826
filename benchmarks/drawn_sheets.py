"""Sheets of an own alphabet that are filled by hands that nothing learnt from, and scanned or photographed.

Greek letters of Omniglot (drawers 11 to 20), digits of MNIST's and capitals of EMNIST's test split. Some
boxes stay blank; some are crossed out, hold two characters, or a speck; some characters leave their box.
Grids that are not kalamos's own, of thin lines unevenly spaced, come from here too.
"""

from __future__ import annotations

import csv
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

import cv2
import numpy as np
import pypdfium2
from drawn_camera import SCANS, photograph, scan
from drawn_forms import printed
from drawn_hands import CAPITALS, DIGITS, Hands, Pen, held_out_hands, random_pen, stamp, write
from drawn_paper import Floats, ink_in, paper
from numpy.typing import NDArray

from kalamos.datasets.named import data_dir
from kalamos.images import decode_grey
from kalamos.sheets import SheetPlan, print_plan

__all__ = ["CONTENTS", "GREEK", "DrawnSheet", "draw_grid", "draw_sheet", "fill_page", "sheet_hands"]

GREEK: Final = "αβγδεζηθικλμνξοπρστυφχψω"

CONTENTS: Final[Mapping[str, str]] = {"greek": GREEK, "digits": DIGITS, "capitals": CAPITALS}

COUNT: Final = 10

DPI: Final = 200

MM: Final = DPI / 25.4

SHARES: Final = {"blank": 0.06, "crossed out": 0.03, "two characters": 0.02, "speck": 0.015}
"""Of boxes with other content than one character."""

LEAVES_SHARE: Final = 0.04
"""Of characters as large as their box, or larger."""


@dataclass(frozen=True)
class DrawnSheet:
    """A page that was filled and came back.

    Attributes:
        image: uint8 [H, W].
        labels: of its boxes.
        contents: "character" or one of `SHARES`, of each box.
        corners: float32 [N, 4, 2], px of the image, clockwise from the top left as the page is read.
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        pen: what it was filled with.
    """

    image: NDArray[np.uint8]
    labels: tuple[str, ...]
    contents: tuple[str, ...]
    corners: NDArray[np.float32]
    kind: str
    pen: Pen


@cache
def sheet_hands() -> Hands:
    """Load the hands of `held_out_hands`, and Greek letters of Omniglot by the drawers that teach nothing.

    Raises:
        DatasetError: a dataset is absent.
    """
    pools: dict[str, list[NDArray[np.uint8]]] = {letter: [] for letter in GREEK}
    with zipfile.ZipFile(data_dir(None) / "alphabets-dev.zip") as archive:
        rows = archive.read("omniglot/manifest.csv").decode().splitlines()
        for row in csv.DictReader(rows):
            number = int("".join(filter(str.isdigit, row["label"])) or 0)
            if row["alphabet"].lower() == "greek" and int(row["group"][-2:]) > 10 and 1 <= number <= 24:
                image = decode_grey(archive.read(f"omniglot/{row['path']}"), where=row["path"])
                pools[GREEK[number - 1]].append(255 - image if image.mean() > 127 else image)
    held = held_out_hands()
    return Hands({**held.pools, **pools}, held.framed)


def draw_sheet(kind: str, content: str, seed: int) -> DrawnSheet:
    """Print, fill and scan or photograph one page of a sheet.

    Args:
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        content: one of `CONTENTS`.
        seed: the same one gives the same sheet.
    """
    generator = np.random.default_rng((5, zlib.crc32(f"{kind}/{content}".encode()), seed))
    plan = SheetPlan(content, tuple(CONTENTS[content]), COUNT)
    number = 1 + seed % len(plan.pages)
    return fill_page(plan, number, 1, kind, sheet_hands(), random_pen(generator), generator)


def fill_page(
    plan: SheetPlan,
    number: int,
    copy: int,
    kind: str,
    hands: Hands,
    pen: Pen,
    generator: np.random.Generator,
) -> DrawnSheet:
    """Fill a page (from 1) of a copy, and scan or photograph it."""
    empty = _printed_pages(plan, copy)[number - 1]
    boxes = [(line.label, box) for line in plan.pages[number - 1].lines for box in line.boxes]
    scaled = [(label, np.array(box) * MM) for label, box in boxes]
    layer, contents = _filled(empty.shape, scaled, hands, pen, generator)
    sheet = printed(empty, generator)
    ink_in(sheet, layer, pen.level, pen.grain, generator)
    shot = (scan if kind in SCANS else photograph)(sheet, kind, generator)
    places = np.array([_corners(box) for _, box in boxes]) * MM - 0.5
    corners = shot.place(places.reshape(-1, 2)).reshape(-1, 4, 2).astype(np.float32)
    return DrawnSheet(shot.image, tuple(label for label, _ in boxes), contents, corners, kind, pen)


@cache
def _printed_pages(plan: SheetPlan, copy: int) -> tuple[NDArray[np.uint8], ...]:
    with tempfile.TemporaryDirectory() as folder:
        print_plan(plan, f"{folder}/sheet.pdf", first=copy)
        with pypdfium2.PdfDocument(f"{folder}/sheet.pdf") as document:
            return tuple(
                np.array(page.render(scale=DPI / 72).to_pil().convert("L"), np.uint8) for page in document
            )


def draw_grid(kind: str, seed: int, *, hands: Hands | None = None, label: str = "") -> DrawnSheet:
    """Draw a grid that somebody else designed: thin grey boxes, unevenly spaced, one character in all.

    Args:
        kind: one of `SCANS` or `PHOTOGRAPHS`.
        seed: the same one gives the same grid.
        hands: who fills it; by default those of `sheet_hands`.
        label: what is written; by default any.
    """
    generator = np.random.default_rng((6, zlib.crc32(kind.encode()), seed))
    label = label or str(generator.choice(list(GREEK + DIGITS + CAPITALS)))
    side = generator.uniform(10, 16)
    columns, rows = int(170 / (side * 1.22)), int(250 / (side * 1.22))
    shape = (round(297 * MM), round(210 * MM))
    xs, ys = (
        start + np.cumsum(generator.uniform(1.12, 1.3, count) * side) - 1.2 * side
        for start, count in ((generator.uniform(14, 20), columns), (generator.uniform(18, 24), rows))
    )
    level, width = generator.uniform(110, 190), generator.uniform(0.15, 0.5) * MM
    lines = np.zeros(shape, np.uint8)
    boxes = []
    for y in ys:
        for x in xs:
            place = np.array([x, y, side, side]) + generator.normal(0, 0.1, 4)
            boxes.append((label, place * MM))
            corners = np.rint(_corners(place * MM) * 16).astype(np.int32)
            cv2.polylines(lines, [corners], True, 255, max(1, round(width)), cv2.LINE_AA, 4)
    pen = random_pen(generator)
    layer, contents = _filled(shape, boxes, hands or sheet_hands(), pen, generator)
    sheet: Floats = paper(shape, generator.uniform(228, 250), generator.uniform(0.8, 3.0), generator)
    ink_in(sheet, lines, level, generator.uniform(0, 0.3), generator)
    ink_in(sheet, layer, pen.level, pen.grain, generator)
    shot = (scan if kind in SCANS else photograph)(sheet, kind, generator)
    places = np.array([_corners(box) for _, box in boxes])
    corners = shot.place(places.reshape(-1, 2)).reshape(-1, 4, 2).astype(np.float32)
    return DrawnSheet(shot.image, (label,) * len(boxes), contents, corners, kind, pen)


def _corners(box: object) -> NDArray[np.float64]:
    x, y, width, height = np.asarray(box, np.float64)
    return np.array([[x, y], [x + width, y], [x + width, y + height], [x, y + height]])


def _filled(
    shape: tuple[int, ...],
    boxes: list[tuple[str, NDArray[np.float64]]],
    hands: Hands,
    pen: Pen,
    generator: np.random.Generator,
) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    """Write into boxes (x, y, width, height in px): how much ink covers each pixel, and what is in each."""
    layer = np.zeros(shape, np.uint8)
    pen_px = pen.width * MM
    size = generator.uniform(0.45, 0.72)
    slant, sloppy = generator.normal(0, 0.06), generator.uniform(0.02, 0.08)
    contents = []
    for label, (left, top, wide, tall) in boxes:
        kind = str(generator.choice(["character", *SHARES], p=[1 - sum(SHARES.values()), *SHARES.values()]))
        contents.append(kind)
        middle = np.array([left + wide / 2, top + tall / 2]) + generator.normal(0, sloppy, 2) * (wide, tall)
        if kind == "blank":
            continue
        if kind == "speck":
            cv2.circle(layer, tuple(np.rint(middle).astype(int).tolist()), max(1, round(0.15 * MM)), 200, -1)
            continue
        lean, turn = slant + generator.normal(0, 0.03), generator.normal(0, 3)
        long = size * generator.normal(1, 0.08) * tall
        if kind == "two characters":
            other = str(generator.choice([each for each in hands.pools if each not in hands.framed]))
            for character, shift in ((label, -0.26), (other, 0.26)):
                cover = write(
                    hands.choose(character, generator), 0.62 * long, pen_px, pen, slant=lean, turn=turn
                )
                _stamp_at(layer, cover, middle + np.array([shift * wide, 0]))
            continue
        if kind == "character" and generator.random() < LEAVES_SHARE:
            long = generator.uniform(0.95, 1.15) * tall
        cover = write(hands.choose(label, generator), long, pen_px, pen, slant=lean, turn=turn)
        most = generator.uniform(0.8, 1.05) * wide
        if cover.shape[1] > most:
            shorter = long * most / cover.shape[1]
            cover = write(hands.choose(label, generator), shorter, pen_px, pen, slant=lean, turn=turn)
        _stamp_at(layer, cover, middle)
        if kind == "crossed out":
            _cross_out(layer, middle, max(cover.shape) * generator.uniform(0.55, 0.75), pen_px, generator)
    return layer, tuple(contents)


def _stamp_at(layer: NDArray[np.uint8], cover: NDArray[np.uint8], middle: NDArray[np.float64]) -> None:
    stamp(layer, cover, middle[0] - cover.shape[1] / 2, middle[1] - cover.shape[0] / 2)


def _cross_out(
    layer: NDArray[np.uint8],
    middle: NDArray[np.float64],
    reach: float,
    pen_px: float,
    generator: np.random.Generator,
) -> None:
    """Draw an X, two or more lines, or a scribble over a character."""
    kind = str(generator.choice(["cross", "lines", "scribble"]))
    strokes: list[list[tuple[float, float]]] = {
        "cross": [[(-1, -1), (1, 1)], [(1, -1), (-1, 1)]],
        "lines": [[(-1, 0.3 * y - 0.2), (1, 0.3 * y - 0.5)] for y in (-1, 0, 1, 2)],
        "scribble": [[(-1 + 0.17 * step, 0.9 * (-1) ** step) for step in range(13)]],
    }[kind]
    for stroke in strokes:
        points = middle + reach * (np.array(stroke) + generator.normal(0, 0.08, (len(stroke), 2)))
        cv2.polylines(
            layer, [np.rint(points * 16).astype(np.int32)], False, 255, max(1, round(pen_px)), cv2.LINE_AA, 4
        )
