"""Draw characters in a form's boxes, scanned, copied and photographed, and keep the ink found: a dataset.

Usage: python benchmarks/draw_boxes.py digits|latin-47 OUTPUT
The hands are those of MNIST's or EMNIST's training images, without what recipes hold out for validation, and
of UNIPEN's. Any pen writes them; a copier breaks a pencil's strokes to pieces, and a box's line touches a
stroke. The ink is taken as `kalamos.forms` takes it, with the box's lines and without. The pen is that of
`kalamos.learn.synthetic_photos`; nothing is shared with the drawn forms that figures are measured on. Writes
the alphabet's manifest, OUTPUT/digits.csv or OUTPUT/latin-47.csv, and a folder for each class, or nothing.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from drawn_dataset import write_dataset
from numpy.typing import NDArray

from kalamos.alphabets import DIGITS, LATIN_47, Alphabet
from kalamos.datasets import load_dataset
from kalamos.datasets.splits import stratified_split
from kalamos.forms.cutting import cut_boxes, without_lines
from kalamos.forms.reader import BOX_PX, SHOWN_FRACTION
from kalamos.learn.synthetic_photos.render import (
    BROAD_GRAIN,
    FINE_GRAIN,
    MEDIUM_GRAIN,
    Camera,
    Floats,
    Pen,
    Strokes,
    compress,
    cut,
    draw,
    trace,
)
from kalamos.pages.cells import inks_of

Grey = NDArray[np.uint8]

SEED: Final = 42
VALIDATION_FRACTION: Final = 0.05
"""Of MNIST's and EMNIST's training images, what the recipes hold out, by the same seed."""
SOURCES: Final = {"digits": ("mnist", "unipen-digits"), "latin-47": ("emnist-47", "unipen")}
"""Alphabet -> images of no known writers, of which recipes hold some out, and images of known ones."""
IMAGES: Final = 20_000
"""How many are drawn of either at most; of several alike, by chance."""

DPI: Final = 200
MM: Final = DPI / 25.4
BOX_MM: Final = (5.0, 11.0)
PROPORTIONS: Final = (0.75, 1.05)
"""A box's width, in heights."""
INK_FRACTION: Final = (0.42, 0.95)
"""The ink's longer side, as a share of the box's height."""
PENS: Final = {  # width in mm; darkness, load, grain and softness as in `Pen`; a share of the pens
    "ballpoint": ((0.3, 0.65), (0.6, 0.93), (0.95, 1.3), (0.0, 0.25), (1.0, 1.6), 0.45),
    "pencil": ((0.35, 0.8), (0.3, 0.75), (0.5, 1.0), (0.15, 0.5), (1.2, 2.2), 0.35),
    "felt": ((0.65, 1.2), (0.7, 0.95), (1.0, 1.4), (0.0, 0.1), (1.0, 1.6), 0.2),
}
LINE_MM: Final = (0.1, 0.6)
LINE_DARKNESS: Final = (0.15, 0.95)
MISPLACED_FRACTION: Final = 0.02
"""Standard deviation of where a box is taken to be, as a share of its side."""
COPIED, COARSE, PHOTOGRAPHED = 0.4, 0.25, 0.25
"""Shares of the drawings: photocopied first; scanned at half of the dpi; photographed."""
LEGIBLE_FRACTION: Final = 0.6
"""Of a digit's ink, the part that must be darker than the paper in the end, or nobody could read it."""
LEGIBLE_LEVELS: Final = 25
WANTED: Final = Camera(wobble=0.15, elastic=0.03, rotate=7, slant=7, margin=0.0)


def glyphs(alphabet: Alphabet) -> Iterator[tuple[str, str, Grey]]:
    """Yield group, label and image of each hand, bright on black."""
    scans, pens = (load_dataset(each) for each in SOURCES[alphabet.name])
    learnt, _ = stratified_split(scans.train.labels, VALIDATION_FRACTION, SEED)
    for dataset, rows in (scans, _some(learnt)), (pens, _some(np.arange(len(pens.train.labels)))):
        for row in rows.tolist():
            label = alphabet.class_of(dataset.alphabet.labels[dataset.train.labels[row]])
            if label is not None:
                image = np.asarray(dataset.train.images[row], np.uint8)
                yield f"{dataset.name}-{row}", alphabet.labels[label], image


def _some(rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Choose `IMAGES` rows by chance; all of fewer."""
    return rows if len(rows) <= IMAGES else np.random.default_rng(SEED).choice(rows, IMAGES, replace=False)


def filled_box(glyph: Grey, rng: np.random.Generator) -> Grey | None:
    """Return a box with a digit as it is cut out of a scan, uint8 [H, W]; None where nobody could read it."""
    height = rng.uniform(*BOX_MM) * MM
    box = np.array([rng.uniform(*PROPORTIONS) * height, height])
    around = 0.5 * height
    shape = round(box[1] + 2 * around), round(box[0] + 2 * around)
    scene = np.full(shape, rng.uniform(190, 252), np.float32)
    scene += np.float32(rng.uniform(0, 2.5)) * cut(MEDIUM_GRAIN, shape, rng)
    corners = around + np.array([[0, 0], [box[0], 0], box, [0, box[1]]])
    _print_lines(scene, corners, rng)
    strokes = trace(glyph)
    if strokes is None:
        return None
    pen = _pen(rng)
    cover = np.zeros(shape, np.float32)
    longer = min(rng.uniform(*INK_FRACTION), 1.1 * box.min() / box[1]) * height
    middle = corners.mean(axis=0) + rng.normal(0, 0.05, 2) * box
    _write(scene, cover, strokes, longer, middle, pen, rng)
    if rng.random() < 0.5:  # the neighbour's digit comes near
        neighbour = middle + np.array([rng.choice([-1, 1]) * rng.uniform(1.0, 1.15) * box[0], 0])
        _write(scene, None, strokes, longer, neighbour, pen, rng)
    paper = float(np.median(scene))
    if rng.random() < COPIED:
        scene = _copied(scene, rng)
        paper = float(np.median(scene))
    photographed = rng.random() < PHOTOGRAPHED
    scene = _seen(scene, rng, photographed=photographed)
    picture = np.clip(scene, 0, 255).astype(np.uint8)
    scale = rng.uniform(0.45, 0.7) if rng.random() < COARSE else 1.0
    if scale < 1:
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    if rng.random() < 0.7:
        picture = compress(picture, rng)
    inked = cover > 0.5
    seen = cv2.resize(picture, shape[::-1], interpolation=cv2.INTER_LINEAR)[inked]
    if not seen.size or np.mean(seen < paper - LEGIBLE_LEVELS) < LEGIBLE_FRACTION:
        return None
    taken = (corners + rng.normal(0, MISPLACED_FRACTION * box.min(), 2)) * scale
    taken += rng.normal(0, MISPLACED_FRACTION / 2 * box.min() * scale, (4, 2))
    crop = cut_boxes(picture, taken[np.newaxis], side=BOX_PX)[0]
    return without_lines(crop) if rng.random() < 0.5 else crop


def _pen(rng: np.random.Generator) -> tuple[float, Pen]:
    """Return a pen's width in px, and what else it has."""
    shares = [share for *_, share in PENS.values()]
    width, darkness, load, grain, softness, _ = PENS[str(rng.choice(list(PENS), p=shares))]
    return rng.uniform(*width) * MM, Pen(width, darkness, load, grain, softness)


def _write(
    scene: Floats,
    cover: Floats | None,
    strokes: Strokes,
    longer: float,
    middle: NDArray[np.float64],
    pen: tuple[float, Pen],
    rng: np.random.Generator,
) -> None:
    """Write a digit into a scene in place, and note where it lies."""
    width = pen[0] / longer
    drawing = draw(strokes, longer, WANTED, rng, pen=pen[1]._replace(width=(width, width)))
    tall, wide = drawing.ink.shape
    top, left = round(middle[1] - tall / 2), round(middle[0] - wide / 2)
    first, last = max(0, -top), max(0, min(tall, scene.shape[0] - top))
    start, end = max(0, -left), max(0, min(wide, scene.shape[1] - left))
    if last <= first or end <= start:
        return
    place = slice(top + first, top + last), slice(left + start, left + end)
    scene[place] *= 1 - drawing.ink[first:last, start:end]
    if cover is not None:
        cover[place] = drawing.coverage[first:last, start:end]


def _print_lines(scene: Floats, corners: NDArray[np.float64], rng: np.random.Generator) -> None:
    """Print the box's lines, and those of the boxes beside it, in place."""
    layer = np.zeros(scene.shape, np.uint8)
    gap = 0.0 if rng.random() < 0.6 else rng.uniform(0.05, 0.3) * (corners[1, 0] - corners[0, 0])
    thick = max(1, round(rng.uniform(*LINE_MM) * MM))
    step = corners[1, 0] - corners[0, 0] + gap
    for shift in (-step, 0, step):
        points = np.rint((corners + np.array([shift, 0])) * 16).astype(np.int32)
        cv2.polylines(layer, [points], True, 255, thick, cv2.LINE_AA, 4)
    darkness = rng.uniform(*LINE_DARKNESS)
    scene *= 1 - np.float32(darkness / 255) * layer


def _copied(scene: Floats, rng: np.random.Generator) -> Floats:
    """Return a photocopy: what is dark enough is black, unevenly, and toner lies about."""
    soft = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.5, 1.2))
    grain = FINE_GRAIN if rng.random() < 0.5 else MEDIUM_GRAIN
    soft += np.float32(rng.uniform(4, 16)) * cut(grain, scene.shape, rng)
    soft += np.float32(rng.uniform(0, 14)) * cut(BROAD_GRAIN, scene.shape, rng)
    middle, slope = rng.uniform(115, 195), rng.uniform(6, 25)
    black = rng.uniform(0, 50)
    copied: Floats = black + (255 - black) / (1 + np.exp((np.float32(middle) - soft) / np.float32(slope)))
    for _ in range(int(rng.poisson(1.2))):
        centre = (rng.uniform(0, 1, 2) * scene.shape[::-1] * 16).astype(int).tolist()
        cv2.circle(copied, centre, round(rng.uniform(0.4, 2.0) * 16), rng.uniform(0, 120), -1, cv2.LINE_AA, 4)
    return copied


def _seen(scene: Floats, rng: np.random.Generator, *, photographed: bool) -> Floats:
    """Return what a scanner or a phone sees of a scene."""
    seen = cv2.GaussianBlur(scene, (0, 0), rng.uniform(0.8, 2.0) if photographed else rng.uniform(0.35, 0.9))
    if photographed:
        ramp = np.linspace(-1, 1, scene.shape[1], dtype=np.float32)
        seen *= np.float32(rng.uniform(0.5, 1.0)) * (1 + np.float32(rng.uniform(-0.2, 0.2)) * ramp)
    else:
        black, white = rng.uniform(0, 30), rng.uniform(236, 262)
        seen = (seen - np.float32(black)) * np.float32(255 / (white - black))
    seen += np.float32(rng.uniform(0.5, 4.0)) * cut(FINE_GRAIN, scene.shape, rng)
    return np.asarray(seen, np.float32)


def images(alphabet: Alphabet) -> Iterator[tuple[str, str, Grey]]:
    """Yield group, label and the ink that the form reader finds, where it finds some."""
    for number, (group, label, glyph) in enumerate(glyphs(alphabet)):
        box = filled_box(glyph, np.random.default_rng((SEED, number)))
        ink = None if box is None else inks_of([box], SHOWN_FRACTION)[0]
        if ink is not None:
            yield group, label, ink.soft_image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("alphabet", choices=tuple(SOURCES))
    parser.add_argument("output", type=Path, metavar="OUTPUT")
    given = parser.parse_args()
    alphabet = next(each for each in (DIGITS, LATIN_47) if each.name == given.alphabet)
    write_dataset(images(alphabet), given.output, alphabet)


if __name__ == "__main__":
    main()
