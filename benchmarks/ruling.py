"""What `kalamos.pages.ruling` finds: grids of photographed puzzles, boxes of scanned sheets and of drawn
forms.

Usage: python benchmarks/ruling.py [--forms N] [--sheets]
Needs puzzles-dev.zip, alphabets-dev.zip and MNIST in the data folder. Prints a table; `--sheets` draws
what was found to build/ruling (the real images have no clear licence: they are looked at, and not passed on).

Puzzles have no boxes on file: the largest grid must have 9 x 9 cells, all there, and its cells must be
alike. Nor have the sheets: 12 x 17 boxes must be found, and none may be off its row's and column's lines
by more than a tenth of its side. Forms are drawn, N of each kind, and filled with digits of MNIST; their
boxes are known.
"""

from __future__ import annotations

import argparse
import time
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.datasets import load_dataset
from kalamos.datasets.named import data_dir
from kalamos.evaluation.metrics import wilson_interval
from kalamos.images import decode_grey
from kalamos.pages.ruling import Grid, find_grids

ROOT = Path(__file__).parent.parent
SHEETS = ROOT / "build" / "ruling"

Grey = NDArray[np.uint8]
Quads = NDArray[np.float32]

A4: Final = (2339, 1654)
"""Height and width in px of an A4 page at 200 dpi."""

MIN_OVERLAP: Final = 0.8
"""Intersection over union from which on a box counts as found."""

MAX_CELL_RATIO: Final = 1.6
"""A puzzle's cells are alike: the largest has at most so many times the area of the smallest."""


class Measured(NamedTuple):
    what: str
    right: int
    n: int


class Form(NamedTuple):
    image: Grey
    rows: list[Quads]
    """[n, 4, 2] each: the boxes of a row or a table, clockwise from the top left."""


# --- puzzles and sheets ---------------------------------------------------------------------------


def area(quads: Quads) -> NDArray[np.float32]:
    x, y = quads[..., 0], quads[..., 1]
    return np.abs((x * np.roll(y, -1, -1) - y * np.roll(x, -1, -1)).sum(axis=-1)) / 2


def corners_of(grid: Grid) -> Quads:
    return np.stack([cell.corners for cell in grid.cells])


def is_puzzle(grids: list[Grid]) -> bool:
    """Return whether the largest grid has 9 x 9 cells that are alike."""
    if not grids:
        return False
    largest = max(grids, key=lambda grid: area(corners_of(grid)).sum())
    areas = area(corners_of(largest))
    whole = (largest.rows, largest.columns, len(largest.cells)) == (9, 9, 81)
    return bool(whole and areas.max() <= MAX_CELL_RATIO * areas.min())


def regular_boxes(grids: list[Grid], rows: int, columns: int) -> int:
    """Count the boxes of a sheet's grid that stand where the lines through its other boxes meet."""
    grid = max(grids, key=lambda one: len(one.cells), default=None)
    if grid is None or (grid.rows, grid.columns) != (rows, columns):
        return 0
    middles = np.full((rows, columns, 2), np.nan)
    sides = np.sqrt(area(corners_of(grid)))
    for cell in grid.cells:
        middles[cell.row, cell.column] = cell.corners.mean(axis=0)
    row, column = np.indices((rows, columns))
    # A scanner bends nothing: a plane with a twist tells every middle.
    terms = np.stack([np.ones_like(row), row, column, row * column], axis=-1)[~np.isnan(middles[..., 0])]
    known = middles[~np.isnan(middles[..., 0])]
    coefficients = np.linalg.lstsq(terms.astype(float), known, rcond=None)[0]
    off = np.abs(terms @ coefficients - known).max(axis=1)
    alike = np.abs(sides / np.median(sides) - 1) < 0.1
    return int(((off < 0.1 * np.median(sides)) & alike).sum())


def pictures(archive: Path, folder: str) -> Iterator[tuple[str, Grey]]:
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            if name.startswith(folder) and name.endswith(".jpg"):
                yield name.removesuffix(".jpg").replace("/", "-"), decode_grey(opened.read(name))


def measure_puzzles(kind: str, *, sheets: bool) -> Measured:
    right = n = 0
    for name, image in pictures(data_dir(None) / "puzzles-dev.zip", f"{kind}/"):
        grids = find_grids(image)
        good = is_puzzle(grids)
        right, n = right + good, n + 1
        if sheets or not good:
            draw(f"puzzle-{name}", image, grids)
    return Measured(f"photographed puzzles, {kind}: one grid of 9 x 9", right, n)


def measure_sheets(*, sheets: bool) -> Measured:
    right = n = 0
    for name, image in pictures(data_dir(None) / "alphabets-dev.zip", "sheets/"):
        grids = find_grids(image)
        right, n = right + regular_boxes(grids, 17, 12), n + 12 * 17
        if sheets:
            draw(name, image, grids)
    return Measured("scanned sheets of 12 x 17 pencilled boxes: boxes", right, n)


# --- drawn forms ----------------------------------------------------------------------------------

WORDS: Final = [
    "Name",
    "Date",
    "of",
    "birth",
    "Student",
    "Number",
    "Course",
    "City",
    "Please",
    "write",
    "in",
    "capitals",
    "Tick",
    "one",
    "box",
    "Total",
]


def draw_form(glyphs: NDArray[np.uint8], random: np.random.Generator, *, smallest: int = 15) -> Form:
    """Draw an A4 page: headings and text, rows of boxes, tick boxes, tables, frames around some of them."""
    height, width = A4
    page = np.full(A4, random.integers(225, 251), np.uint8)
    rows: list[Quads] = []
    y = 120
    text(page, (120, 90), "Registration form " + str(random.integers(1000)), 1.6, 30, 3)
    while y < height - 420:
        grey, line = int(random.integers(40, 181)), int(random.integers(1, 5))
        kind = random.choice(["boxes", "boxes", "boxes", "ticks", "table", "text"])
        x = int(random.integers(90, 420))
        if kind == "text":
            for _ in range(3):
                y += 34
                words = " ".join(random.choice(WORDS, int(random.integers(5, 10))))
                text(page, (100, y), words, random.uniform(0.6, 0.9), 40, 1)
            y += 50
            continue
        if kind == "ticks":
            side = int(random.integers(max(15, smallest), max(34, smallest + 8)))
            boxes = [(x + number * 330, y, side, side) for number in range(int(random.integers(1, 5)))]
            boxes = [box for box in boxes if box[0] + box[2] < width - 60]
            line = min(line, 1 + side // 12)
            for box in boxes:
                word = str(random.choice(WORDS))
                text(page, (box[0] + side + 14, y + side - 2), word, 0.7, 40, 1)
            groups = [[box] for box in boxes]
        elif kind == "table":
            widths, heights = random.integers(50, 151, int(random.integers(2, 9))), random.integers(40, 90, 3)
            lefts, tops = x + np.cumsum([0, *widths]), y + np.cumsum([0, *heights])
            groups = [
                [
                    (int(left), int(top), int(lefts[c + 1] - left), int(tops[r + 1] - top))
                    for r, top in enumerate(tops[:-1])
                    for c, left in enumerate(lefts[:-1])
                    if lefts[c + 1] < width - 60
                ]
            ]
        else:
            count = int(random.integers(1, 21))
            room = (width - 60 - x) / count
            side = int(
                np.clip(
                    np.exp(random.uniform(np.log(smallest), np.log(150))), smallest, max(room / 1.3, smallest)
                )
            )
            tall = int(side * random.uniform(0.9, 1.35))
            line = min(line, 1 + side // 8)
            # Boxes that touch or nearly do would be drawn as one line.
            gap = 0 if random.random() < 0.4 else int(max(line + 3, random.uniform(0.05, 0.5) * side))
            boxes = [(x + number * (side + gap), y, side, tall) for number in range(count)]
            groups = [[box for box in boxes if box[0] + box[2] < width - 60]]
            where = (x, y - 12) if random.random() < 0.5 else (20, y + 30)
            text(page, where, str(random.choice(WORDS)), 0.7, 40, 1)
        bottom = y
        for group in filter(None, groups):
            for left, top, w, h in group:
                # OpenCV draws a line on both sides of its middle.
                cv2.rectangle(page, (left, top), (left + w, top + h), grey, line)
                if random.random() < 0.7:
                    write(page, glyphs[random.integers(len(glyphs))], (left, top, w, h), random)
                bottom = max(bottom, top + h)
            rows.append(
                np.array(
                    [[(x, t), (x + w, t), (x + w, t + h), (x, t + h)] for x, t, w, h in group], np.float32
                )
            )
        if random.random() < 0.15 and groups and groups[0]:
            cv2.rectangle(page, (x - 40, y - 45), (width - 30, bottom + 30), 90, 2)
        y = bottom + int(random.integers(60, 120))
    for _ in range(4):
        y += 36
        text(page, (100, y), " ".join(random.choice(WORDS, 9)), 0.8, 40, 1)
    return Form(page, [row for row in rows if len(row)])


def text(page: Grey, where: tuple[int, int], words: str, size: float, grey: int, weight: int) -> None:
    cv2.putText(page, words, where, cv2.FONT_HERSHEY_SIMPLEX, size, grey, weight, cv2.LINE_AA)


def write(page: Grey, glyph: Grey, box: tuple[int, int, int, int], random: np.random.Generator) -> None:
    """Write a digit into a box; one in ten touches its lines or goes beyond them."""
    left, top, w, h = box
    share = random.uniform(0.95, 1.25) if random.random() < 0.1 else random.uniform(0.5, 0.85)
    # A glyph of MNIST fills 20 of its 28 px.
    side = max(8, round(min(w, h) * share * 28 / 20))
    drawn = cv2.resize(glyph, (side, side), interpolation=cv2.INTER_CUBIC).astype(np.float32) / 255
    x = left + (w - side) // 2 + int(random.normal(0, 0.05 * w))
    y = top + (h - side) // 2 + int(random.normal(0, 0.05 * h))
    x0, y0, x1, y1 = max(x, 0), max(y, 0), min(x + side, page.shape[1]), min(y + side, page.shape[0])
    if x0 < x1 and y0 < y1:
        part = drawn[y0 - y : y1 - y, x0 - x : x1 - x]
        under = page[y0:y1, x0:x1]
        under[:] = np.rint(under * (1 - part) + random.uniform(30, 90) * part)


def turned(form: Form, random: np.random.Generator) -> Form:
    height, width = form.image.shape
    angle = random.uniform(-15, 15)
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), angle, 0.85)
    return moved(form, lambda points: points @ matrix[:, :2].T + matrix[:, 2], affine=matrix)


def moved(form: Form, forward: Callable[[NDArray], NDArray], *, affine: NDArray[np.float64]) -> Form:
    height, width = form.image.shape
    image = cv2.warpAffine(form.image, affine, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return Form(
        noisy(image, np.random.default_rng(0), 2), [forward(row).astype(np.float32) for row in form.rows]
    )


def photographed(form: Form, random: np.random.Generator) -> Form:
    """Bend the page, look at it from aside, under uneven light with a shadow, with noise, blur and JPEG."""
    height, width = form.image.shape
    bend, phase = random.uniform(8, 30), random.uniform(0, 6)
    frequency = random.uniform(0.8, 1.6) * np.pi / width
    square = np.array([(0, 0), (width, 0), (width, height), (0, height)], np.float32)
    margin = 0.06 * width
    shift = random.uniform(-0.06, 0.06, (4, 2)) * width
    inner = square * (1 - 2 * margin / np.array([width, height])) + margin
    matrix = cv2.getPerspectiveTransform(square, (inner + shift).astype(np.float32))

    def forward(points: Quads) -> Quads:
        bent = points + np.stack(
            [np.zeros_like(points[..., 0]), bend * np.sin(points[..., 0] * frequency + phase)], -1
        )
        return cv2.perspectiveTransform(bent.reshape(-1, 1, 2).astype(np.float32), matrix).reshape(
            points.shape
        )

    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    flat = cv2.perspectiveTransform(np.stack([x, y], -1).reshape(-1, 1, 2), np.linalg.inv(matrix)).reshape(
        height, width, 2
    )
    source_y = flat[..., 1] - bend * np.sin(flat[..., 0] * frequency + phase)
    image = cv2.remap(form.image, flat[..., 0], source_y.astype(np.float32), cv2.INTER_AREA, borderValue=70)
    light = 0.75 + 0.25 * np.cos(x / width * random.uniform(1, 3) + y / height * random.uniform(-2, 2))
    edge = (x - random.uniform(0.2, 0.8) * width) * random.uniform(-1, 1) + (
        y - random.uniform(0.2, 0.8) * height
    )
    shadow = 1 - random.uniform(0.2, 0.5) / (1 + np.exp(-edge / random.uniform(6, 40)))
    image = np.clip(image * light * shadow, 0, 255).astype(np.uint8)
    image = cv2.GaussianBlur(image, (0, 0), random.uniform(0.5, 1.1))
    return Form(jpeg(noisy(image, random, random.uniform(2, 6)), 80), [forward(row) for row in form.rows])


def photocopied(form: Form, random: np.random.Generator) -> Form:
    """Make it darker or paler and nearly black and white, with specks."""
    blurred = cv2.GaussianBlur(noisy(form.image, random, 12), (0, 0), 0.9).astype(np.float32)
    middle = random.uniform(165, 200)
    image = 255 / (1 + np.exp(-(blurred - middle) / random.uniform(6, 14)))
    specks = random.random(image.shape) < 0.0008
    image[cv2.dilate(specks.astype(np.uint8), np.ones((2, 2), np.uint8)) > 0] = 60
    return Form(image.astype(np.uint8), form.rows)


def coarse(form: Form, random: np.random.Generator) -> Form:
    """Scan it at 100 dpi."""
    small = cv2.resize(form.image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return Form(jpeg(noisy(small, random, 2), 75), [(row + 0.5) / 2 - 0.5 for row in form.rows])


def noisy(image: Grey, random: np.random.Generator, spread: float) -> Grey:
    noise = random.standard_normal(image.shape, np.float32) * spread
    return np.clip(image + noise, 0, 255).astype(np.uint8)


def jpeg(image: Grey, quality: int) -> Grey:
    return cv2.imdecode(
        cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1], cv2.IMREAD_GRAYSCALE
    )


KINDS: Final[dict[str, tuple[Callable[[Form, np.random.Generator], Form], int]]] = {
    "clean scans": (lambda form, random: form, 15),
    "turned up to 15 degrees": (turned, 18),
    "photographed": (photographed, 20),
    "photocopied": (photocopied, 15),
    "100 dpi": (coarse, 30),
}
"""How a drawn form is spoilt, and the least side of its boxes before that, in px."""


def overlaps(one: Quads, others: Quads) -> NDArray[np.float32]:
    shares = np.zeros(len(others), np.float32)
    near = np.abs(others.mean(axis=1) - one.mean(axis=0)).max(axis=1) < np.sqrt(area(one[None])[0])
    for index in np.flatnonzero(near):
        shared = cv2.intersectConvexConvex(one, others[index])[0]
        shares[index] = shared / (area(one[None])[0] + area(others[index][None])[0] - shared)
    return shares


class Score(NamedTuple):
    found: int
    true: int
    right: int
    rows_right: int
    rows: int
    seconds: float


def score(form: Form) -> tuple[Score, list[Grid], Quads]:
    started = time.process_time()
    grids = find_grids(form.image)
    seconds = time.process_time() - started
    cells = np.concatenate([corners_of(grid) for grid in grids]) if grids else np.zeros((0, 4, 2), np.float32)
    grid_of = np.repeat(np.arange(len(grids)), [len(grid.cells) for grid in grids])
    right = rows_right = 0
    missed = []
    for row in form.rows:
        owners = []
        for box in row:
            shares = overlaps(box, cells)
            if len(shares) and shares.max() >= MIN_OVERLAP:
                owners.append(int(grid_of[shares.argmax()]))
            else:
                missed.append(box)
        right += len(owners)
        whole = len(owners) == len(row) and len(set(owners)) == 1
        rows_right += whole and len(grids[owners[0]].cells) == len(row)
    total = sum(map(len, form.rows))
    return (
        Score(len(cells), total, right, rows_right, len(form.rows), seconds),
        grids,
        np.array(missed, np.float32),
    )


def measure_forms(what: str, count: int, *, sheets: bool) -> Iterator[Measured]:
    spoil, smallest = KINDS[what]
    glyphs = load_dataset("mnist").test.images
    scores = []
    for seed in range(count):
        random = np.random.default_rng((seed, len(what)))
        form = spoil(draw_form(glyphs, random, smallest=smallest), random)
        result, grids, missed = score(form)
        scores.append(result)
        if sheets:
            draw(f"form-{what.replace(' ', '-')}-{seed}", form.image, grids, missed)
    sums = [sum(part) for part in zip(*scores, strict=True)]
    yield Measured(f"forms, {what}: boxes found", sums[2], sums[1])
    yield Measured(f"forms, {what}: what is found is a box", sums[2], sums[0])
    yield Measured(f"forms, {what}: rows and tables found as one", sums[3], sums[4])
    print(f"forms, {what}: {sums[5] / count:.3f} s a page, {max(one.seconds for one in scores):.3f} at most")


# --- what it prints and draws ---------------------------------------------------------------------


def draw(name: str, image: Grey, grids: list[Grid], missed: Quads | None = None) -> None:
    SHEETS.mkdir(parents=True, exist_ok=True)
    scale = max(1, round(1300 / max(image.shape)))
    shown = cv2.cvtColor(cv2.resize(image, None, fx=scale, fy=scale), cv2.COLOR_GRAY2BGR)

    def outline(corners: Quads, colour: tuple[int, int, int], width: int = 1) -> None:
        points = np.rint((corners + 0.5) * scale - 0.5).astype(np.int32)
        cv2.polylines(shown, [points], True, colour, width, cv2.LINE_AA)

    colours = ((0, 160, 0), (220, 60, 0), (200, 0, 200), (0, 140, 220), (160, 160, 0))
    for number, grid in enumerate(grids):
        for cell in grid.cells:
            outline(cell.corners, colours[number % len(colours)])
    for corners in () if missed is None else missed:
        outline(corners, (0, 0, 255), 3)
    cv2.imwrite(str(SHEETS / f"{name}.png"), shown)


def table(rows: list[Measured]) -> str:
    lines = ["| what | right | 95 % interval | n |", "|---|---|---|---|"]
    for row in rows:
        low, high = wilson_interval(row.right, row.n)
        lines.append(
            f"| {row.what} | {row.right / max(row.n, 1):.2%} | {low:.2%} to {high:.2%} | {row.n:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--forms", type=int, default=20, help="drawn forms of each kind (default: 20)")
    parser.add_argument("--sheets", action="store_true", help="draw what was found to build/ruling")
    given = parser.parse_args()
    rows = [measure_puzzles(kind, sheets=given.sheets) for kind in ("plain", "mixed")]
    rows.append(measure_sheets(sheets=given.sheets))
    for what in KINDS:
        rows += measure_forms(what, given.forms, sheets=given.sheets)
    print(table(rows))


if __name__ == "__main__":
    main()
