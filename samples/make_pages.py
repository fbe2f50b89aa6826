"""Draw the sample pages: lines of capitals, and a puzzle's grid with printed and written digits.

Run `python samples/make_pages.py`; with the same models, the same files come out every time. It needs UNIPEN in the
data folder, as `make_form.py` does. The files lie in `samples-pages/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]
from drawn_camera import photograph  # noqa: E402  (the path must be set first)
from drawn_forms import printed  # noqa: E402
from drawn_hands import Hands, Pen, write  # noqa: E402
from drawn_paper import ink_in  # noqa: E402
from make_form import hand  # noqa: E402

from kalamos.datasets.named import data_dir  # noqa: E402
from kalamos.datasets.strokes import read_strokes  # noqa: E402

FOLDER = ROOT / "samples-pages"

LINES = ("THE QUICK BROWN", "FOX JUMPS OVER", "A LAZY DOG")

PUZZLE = (
    "530070000", "600195000", "098000060", "800060003", "400803001", "700020006", "060000280", "000419005",
    "000080079",
)  # fmt: skip
"""As printed, 0 for a blank."""

SOLVED = ("534678912", "672195348", "198342567")
"""The first three rows, which a pen has filled."""

WRITERS = (88, 89, 157, 163, 164, 165)
"""Of UNIPEN; no single one wrote every letter so that it is read."""

CELL_PX = 110

PEN = Pen("ballpoint", 0.5, 60, 0.1, 0.8, 30)

SIDE_PX = 900
"""The shorter side of the photographs."""

QUALITY = 80


def put(layer: NDArray[np.uint8], ink: NDArray[np.uint8], x: float, y: float) -> None:
    """Lay a character's ink on a layer, its middle at x, y."""
    height, width = ink.shape
    top, left = round(y - height / 2), round(x - width / 2)
    place = layer[top : top + height, left : left + width]
    np.maximum(place, ink, out=place)


def letters(hands: Hands, generator: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an empty page with ruled lines, and the ink on it."""
    page = np.full((900, 1500), 255, np.uint8)
    for y in range(90, 900, 90):
        cv2.line(page, (0, y), (1500, y), 205, 2)
    layer = np.zeros_like(page)
    for row, line in enumerate(LINES):
        x = 130.0 + generator.uniform(0, 40)
        for letter in line:
            if letter != " ":
                size = 78 * generator.uniform(0.9, 1.1)
                ink = write(hands.choose(letter, generator), size, 7, PEN, slant=0.08)
                put(layer, ink, x, 190 + 180 * row + generator.uniform(-5, 5))
            x += 82
    return page, layer


def puzzle(hands: Hands, generator: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a printed puzzle, and the ink in its first rows."""
    side = 9 * CELL_PX
    page = np.full((side + 240, side + 240), 255, np.uint8)
    for place in range(10):
        at, width = 120 + place * CELL_PX, 6 if place % 3 == 0 else 2
        cv2.line(page, (at, 120), (at, 120 + side), 40, width)
        cv2.line(page, (120, at), (120 + side, at), 40, width)
    layer = np.zeros_like(page)
    for row, digits in enumerate(PUZZLE):
        for column, digit in enumerate(digits):
            x, y = 120 + (column + 0.5) * CELL_PX, 120 + (row + 0.5) * CELL_PX
            if digit != "0":
                (width, height), _ = cv2.getTextSize(digit, cv2.FONT_HERSHEY_SIMPLEX, 2.2, 4)
                at = (round(x - width / 2), round(y + height / 2))
                cv2.putText(page, digit, at, cv2.FONT_HERSHEY_SIMPLEX, 2.2, 30, 4, cv2.LINE_AA)
            elif row < len(SOLVED):
                ink = write(hands.choose(SOLVED[row][column], generator), 62, 6, PEN)
                put(layer, ink, x + generator.uniform(-8, 8), y + generator.uniform(-6, 6))
    return page, layer


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    strokes = read_strokes(data_dir(None) / "unipen-train.npz")
    pools: dict[str, list[NDArray[np.uint8]]] = {}
    for writer in WRITERS:
        for label, images in hand(strokes, writer).pools.items():
            pools.setdefault(label, []).extend(images)
    for name, draw, kind, seed in (
        ("letters.jpg", letters, "shadow", 4),
        ("puzzle.jpg", puzzle, "perspective", 2),
    ):
        generator = np.random.default_rng(seed)
        empty, layer = draw(Hands(pools), generator)
        page = printed(empty, generator)
        ink_in(page, layer, PEN.level, PEN.grain, generator)
        image = photograph(page, kind, generator, shorter=SIDE_PX).image
        cv2.imwrite(str(FOLDER / name), image, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
