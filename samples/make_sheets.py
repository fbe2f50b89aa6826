"""Draw the sample sheet, and three copies that were filled: scanned, photocopied and photographed.

Run `python samples/make_sheets.py`; with the same models, the same files come out every time. It needs UNIPEN in
the data folder, as `make_form.py` does, and one writer fills each copy: some boxes stay blank, some are crossed out.
The files lie in `samples-sheets/`.
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "samples")]
from drawn_sheets import draw_grid, fill_page  # noqa: E402  (the path must be set first)
from make_form import BLACK, BLUE, PENCIL, QUALITY, SCALE, hand  # noqa: E402

from kalamos.datasets.named import data_dir  # noqa: E402
from kalamos.datasets.strokes import read_strokes  # noqa: E402
from kalamos.sheets import SheetPlan, print_plan  # noqa: E402

FOLDER = ROOT / "samples-sheets"

PLAN = SheetPlan("capitals", tuple("ABCDEHMRST"), count=8)

COPIES = (
    ("1-scan.jpg", "clean", 88, BLUE),
    ("2-shadow.jpg", "shadow", 164, PENCIL),
    ("3-copied.jpg", "photocopy", 157, BLACK),
)
"""A file, how it came back, whose hand (a UNIPEN writer), which pen."""


def main() -> None:
    (FOLDER / "scans").mkdir(parents=True, exist_ok=True)
    print_plan(PLAN, FOLDER / "sheet.pdf", copies=len(COPIES))
    PLAN.save(FOLDER / "sheet.toml")
    strokes = read_strokes(data_dir(None) / "unipen-train.npz")
    for copy, (name, kind, writer, pen) in enumerate(COPIES, 1):
        drawn = fill_page(PLAN, 1, copy, kind, hand(strokes, writer), pen, np.random.default_rng(copy))
        save(FOLDER / "scans" / name, drawn.image)
    save(FOLDER / "grid.jpg", draw_grid("shadow", 1, hands=hand(strokes, 89), label="A").image)


def save(path: Path, image: NDArray[np.uint8]) -> None:
    """Keep a picture at 150 dpi, as `make_form.py` does."""
    small = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(path), small, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])


if __name__ == "__main__":
    main()
