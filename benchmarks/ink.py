"""What the ink finder leaves to the readers: real images by other hands, frames, paddings, the shift suite.

Usage: python benchmarks/ink.py [--write] [--sheets]
Needs real-dev.zip and MNIST in the data folder. Prints a table, and another of what is read without each of
the rules beside the network; `--write` keeps them in docs/ink.json and in docs/results.md; `--sheets` draws
what was misread, beside what the model saw, to build/ink (the real images have no clear licence: they are
looked at, and not passed on).
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import json
import sys
import zipfile
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import cv2
import numpy as np
from numpy.typing import NDArray

import kalamos
from kalamos.datasets import load_dataset
from kalamos.datasets.named import data_dir
from kalamos.errors import NoInkError
from kalamos.evaluation.metrics import wilson_interval
from kalamos.images import decode_grey
from kalamos.learn.synthetic_photos import Camera, photograph
from kalamos.preprocessing import ink, steps
from kalamos.recognizer import Recognizer

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE, SHEETS = ROOT / "docs" / "ink.json", ROOT / "docs" / "results.md", ROOT / "build" / "ink"

REAL = (
    ("exam boxes with borders", "answer_cells", "latin-large"),
    ("exam boxes without borders", "answer_cells_inner", "latin-large"),
    ("38 students, case folded", "spanish_class", "latin-large"),
    ("noisy 32 px frames", "rakam_photos", "digits"),
    ("own digits of 29 people", "own_digits", "digits"),
)
"""What it is, its folder in real-dev.zip, and the model that reads it."""

INSETS, LINES, GREYS = (0, 2, 4, 6, 12), (1, 2, 4), (0, 80, 160)
"""Of the frames, in px and grey levels: 45 kinds."""

PAPER, INK, FRAME_SIDE, DIGIT_SIDE = 235, 30, 100, 60

PADDINGS, PADDING_SHARES = {"white": 255, "grey": 128, "black": 0, "the paper's own": None}, (0.25, 1.0, 3.0)

TILE, TILES_A_ROW = 96, 7

RULES_TOLD = "What the rules beside the network are worth: each left out in turn."


class Sample(NamedTuple):
    image: NDArray[np.uint8]
    label: str


class Measured(NamedTuple):
    what: str
    model: str
    correct: int
    n: int

    @property
    def accuracy(self) -> float:
        return self.correct / self.n


def real_samples(archive: zipfile.ZipFile, folder: str) -> list[Sample]:
    table = csv.DictReader(io.StringIO(archive.read("manifest.csv").decode("utf-8")))
    rows = [row for row in table if row["path"].startswith(f"{folder}/")]
    return [Sample(decode_grey(archive.read(row["path"])), row["label"]) for row in rows]


def digit_samples(count: int) -> list[Sample]:
    split = load_dataset("mnist").test
    rows = np.random.default_rng(0).choice(len(split), count, replace=False)
    return [Sample(split.images[row], str(split.labels[row])) for row in rows]


def framed(sample: Sample, inset: int, line: int, grey: int) -> Sample:
    """A digit in the middle of paper with a rectangle drawn around it."""
    page = np.full((FRAME_SIDE, FRAME_SIDE), PAPER, np.uint8)
    share = cv2.resize(sample.image, (DIGIT_SIDE, DIGIT_SIDE), interpolation=cv2.INTER_CUBIC) / 255.0
    edge = (FRAME_SIDE - DIGIT_SIDE) // 2
    inside = slice(edge, edge + DIGIT_SIDE)
    page[inside, inside] = np.rint(PAPER * (1 - share) + INK * share)
    for step in range(line):
        corner, opposite = inset + step, FRAME_SIDE - 1 - inset - step
        cv2.rectangle(page, (corner, corner), (opposite, opposite), grey, 1)
    return Sample(page, sample.label)


def photographed(sample: Sample, seed: int) -> Sample:
    camera = Camera(smallest=40, largest=160, inverted=0.0)
    return Sample(photograph(sample.image, camera, np.random.default_rng((9, seed))), sample.label)


def padded(sample: Sample, level: int | None, share: float) -> Sample:
    image = sample.image
    width = round(max(image.shape) * share / 2)
    if level is None:
        level = int(np.median(np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])))
    return Sample(
        cv2.copyMakeBorder(image, width, width, width, width, cv2.BORDER_CONSTANT, value=level), sample.label
    )


def read(
    what: str, reader: Recognizer, samples: Iterable[Sample], *, fold: bool = False, sheet: str = ""
) -> Measured:
    """Count the right answers; draw the wrong ones if a sheet is named."""
    count = correct = 0
    wrong: list[tuple[Sample, str]] = []
    for sample in samples:
        got = reader.predict(sample.image, min_known=0).label or ""
        right = got.casefold() == sample.label.casefold() if fold else got == sample.label
        count, correct = count + 1, correct + right
        if not right:
            wrong.append((sample, got))
    if sheet and wrong:
        SHEETS.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(SHEETS / f"{sheet}.png"), draw_sheet(reader, wrong))
    return Measured(what, reader.spec.name, correct, count)


def draw_sheet(reader: Recognizer, wrong: list[tuple[Sample, str]]) -> NDArray[np.uint8]:
    """Each misread image, its ink, and what the network saw, with both labels below."""
    tiles = []
    for sample, got in wrong:
        stages: dict[str, NDArray[np.uint8]] = {}
        with contextlib.suppress(NoInkError):
            stages.update(reader.trace(sample.image))
        black = np.zeros((8, 8), np.uint8)
        seen = [
            fitted(image) for image in (sample.image, stages.get("ink", black), stages.get("centre", black))
        ]
        tile = np.vstack([np.hstack(seen), np.full((18, 3 * TILE), 40, np.uint8)])
        text = f"{sample.label} > {got or 'no ink'}"
        cv2.putText(tile, text, (3, TILE + 13), cv2.FONT_HERSHEY_SIMPLEX, 0.45, 255, 1, cv2.LINE_AA)
        tiles.append(tile)
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % TILES_A_ROW)
    rows = [np.hstack(tiles[start : start + TILES_A_ROW]) for start in range(0, len(tiles), TILES_A_ROW)]
    return np.vstack(rows)


def fitted(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    scale = (TILE - 4) / max(image.shape)
    height, width = (max(1, round(side * scale)) for side in image.shape)
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST
    tile = np.full((TILE, TILE), 128, np.uint8)
    tile[:height, :width] = cv2.resize(image, (width, height), interpolation=method)
    return tile


def measure(*, sheets: bool) -> Iterator[Measured]:
    readers = {name: kalamos.load(name) for name in ("digits", "latin-large")}
    with zipfile.ZipFile(data_dir(None) / "real-dev.zip") as archive:
        for what, folder, model in REAL:
            samples = real_samples(archive, folder)
            yield read(what, readers[model], samples, fold="folded" in what, sheet=folder if sheets else "")
    digits = digit_samples(200)
    kinds = [
        read(
            f"frame at {inset} px, {line} px wide, grey {grey}",
            readers["digits"],
            (framed(digit, inset, line, grey) for digit in digits),
        )
        for inset in INSETS
        for line in LINES
        for grey in GREYS
    ]
    correct, n = sum(kind.correct for kind in kinds), sum(kind.n for kind in kinds)
    yield Measured(f"digits in frames, {len(kinds)} kinds", "digits", correct, n)
    worst = min(kinds, key=lambda kind: kind.accuracy)
    yield worst._replace(what=f"the worst of them: {worst.what}")
    photos = [photographed(digit, seed) for seed, digit in enumerate(digits)]
    yield read("photographed digits", readers["digits"], photos, sheet="photographed" if sheets else "")
    for name, level in PADDINGS.items():
        for share in PADDING_SHARES:
            samples = [padded(photo, level, share) for photo in photos]
            yield read(f"padded with {name} by {share:.0%}", readers["digits"], samples)


def without_rules() -> Iterator[tuple[str, list[Measured]]]:
    """The real sets, read with all rules, and with each of them left out."""
    readers = {name: kalamos.load(name) for name in ("digits", "latin-large")}
    with zipfile.ZipFile(data_dir(None) / "real-dev.zip") as archive:
        sets = [(what, real_samples(archive, folder), readers[model]) for what, folder, model in REAL]
    digits = digit_samples(200)
    sets.append(
        (
            "photographed digits",
            [photographed(one, seed) for seed, one in enumerate(digits)],
            readers["digits"],
        )
    )
    sets.append(("the same digits at 28 px", digits, readers["digits"]))

    def measured() -> list[Measured]:
        return [read(what, reader, samples, fold="folded" in what) for what, samples, reader in sets]

    yield "all", measured()
    for what, module, name, stand_in in (
        ("a plain ground is subtracted", steps, "ink_on_plain_ground", lambda image, contrast: None),
        ("a crop along the ink is two levels", steps, "ink_of_cut_out", lambda image: None),
        ("padding is cut off", steps, "trim_padding", lambda image: image),
        (
            "strokes found in part are followed",
            ink,
            "follow_strokes",
            lambda grey, levels, mask: (levels, mask),
        ),
        ("lone strokes are seen", ink, "lone_strokes", lambda grey: None),
    ):
        with mock.patch.object(module, name, stand_in):
            yield f"without: {what}", measured()


def table_of_rules(tried: list[tuple[str, list[Measured]]]) -> str:
    heads = [row.what for row in tried[0][1]]
    lines = [f"| rules | {' | '.join(heads)} |", "|---" * (len(heads) + 1) + "|"]
    lines += [f"| {what} | {' | '.join(f'{row.accuracy:.1%}' for row in rows)} |" for what, rows in tried]
    return "\n".join(lines)


def table(rows: list[Measured]) -> str:
    lines = ["| what | model | right | 95 % interval | n |", "|---|---|---|---|---|"]
    for row in rows:
        low, high = wilson_interval(row.correct, row.n)
        lines.append(
            f"| {row.what} | {row.model} | {row.accuracy:.1%} | {low:.1%} to {high:.1%} | {row.n:,} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/")
    parser.add_argument("--sheets", action="store_true", help="draw what was misread to build/ink")
    given = parser.parse_args()
    rows = []
    for row in measure(sheets=given.sheets):
        rows.append(row)
        print(f"{row.what}, {row.model}: {row.accuracy:.1%} of {row.n:,}", flush=True)
    tried = []
    for what, measured in without_rules():
        tried.append((what, measured))
        print(what, *(f"{row.what} {row.accuracy:.1%}" for row in measured), sep=", ", flush=True)
    if given.write:
        date = datetime.now(UTC).date().isoformat()
        kept = {
            "date": date,
            "rows": [row._asdict() for row in rows],
            "rules": {what: [row._asdict() for row in measured] for what, measured in tried},
        }
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
        page = (
            f"{table(rows)}\n\n{RULES_TOLD}\n\n{table_of_rules(tried)}\n\nMeasured by `make ink` on {date}."
        )
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "ink", page), "utf-8")


if __name__ == "__main__":
    main()
