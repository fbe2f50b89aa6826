"""How the shipped models read hands that no training saw: the handwriting fonts kept to judge by.

Usage: python benchmarks/judged_fonts.py [NAME ...] [--table]
Needs `make fonts`. Every character of these fonts as drawn, then under every corruption of the shift suite
that makes a photograph of it, at all strengths, and as crops along the ink's own box, as a segmentation
makes them. Writes docs/judged-fonts.json and its table in docs/results.md; `--table` only writes the table.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

import kalamos
from kalamos.datasets import load_dataset
from kalamos.evaluation.calibration import risk_coverage
from kalamos.evaluation.metrics import case_folding, merging
from kalamos.evaluation.robustness import Outcomes, measure
from kalamos.evaluation.robustness.canvas import (
    GLYPH_SIDE,
    PAPER_LEVEL,
    PEN_LEVEL,
    PHOTOGRAPH,
    draw_glyph,
    photograph_page,
)
from kalamos.evaluation.robustness.corruptions import CORRUPTIONS
from kalamos.recognizer import Recognizer

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE = ROOT / "docs" / "judged-fonts.json", ROOT / "docs" / "results.md"
DRAWN = ROOT / "build" / "judged"
MODELS = {"digits": "digits", "digits-large": "digits", "latin": "latin-47", "latin-large": "latin-47"}
LIMIT = 1000
ANSWERED = 0.99

MARGINS, BLURS = (0.03, 0.0, -0.03), (0.0, 0.03)
"""Of crops: paper beyond the ink's box, and the blur's standard deviation, as shares of its longer side."""


def figures(name: str) -> dict[str, Any]:
    reader, dataset = kalamos.load(name), load_dataset(str(DRAWN / MODELS[name]))
    photographs = [each.name for each in CORRUPTIONS.values() if each.group == PHOTOGRAPH]
    outcomes = measure(reader, dataset.train, dataset.alphabet.labels, limit=LIMIT, names=photographs)
    clean, labels = outcomes.clean, reader.labels
    truth = np.broadcast_to(outcomes.truth, outcomes.predicted.shape)
    same: NDArray[np.int64] = np.arange(len(labels))
    folded, merged = case_folding(labels), merging(labels, reader.spec.alphabet.name)
    folded = same if folded is None else folded
    merged = same if merged is None else merged

    def right(*groupings: NDArray[np.int64]) -> NDArray[np.bool_]:
        means = same
        for grouping in groupings:
            means = grouping[means]
        # -1, no ink, is never right.
        found: NDArray[np.bool_] = (means[outcomes.predicted] == means[truth]) & (outcomes.predicted >= 0)
        return found

    either = right(folded, merged).ravel()
    return {
        "n": len(outcomes.rows),
        "photographs": either.size,
        "drawn": clean.accuracy,
        "drawn_folded": None if clean.case_folded is None else clean.case_folded.value,
        "accuracy": float(right().mean()),
        "case_folded": float(right(folded).mean()),
        "merged": float(either.mean()),
        "cut_out": cut_out_accuracy(reader, outcomes),
        "answered": risk_coverage(outcomes.confidence.ravel(), either).coverage_at(ANSWERED),
        "date": datetime.now(UTC).date().isoformat(),
    }


def cut_out_accuracy(reader: Recognizer, outcomes: Outcomes) -> float:
    """Of crops along the ink's own box, a little wider or cut a little: all margins, sharp and blurred."""
    right = [
        reader.predict(crop).label == reader.labels[label]
        for row, ink, label in zip(outcomes.rows, outcomes.inks, outcomes.truth, strict=True)
        for crop in crops(ink, np.random.default_rng((outcomes.seed, int(row))))
    ]
    return float(np.mean(right))


def crops(ink: NDArray[np.uint8], rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    cover = draw_glyph(ink, rng)
    left, top, width, height = cv2.boundingRect((cover > 0.5).view(np.uint8))
    for blur in BLURS:
        soft = cv2.GaussianBlur(cover, (0, 0), blur * GLYPH_SIDE) if blur else cover
        page = photograph_page(PAPER_LEVEL, PEN_LEVEL, soft, rng)
        for margin in MARGINS:
            more = max(round(margin * GLYPH_SIDE), 1 - min(width, height) // 4)
            yield page[max(top - more, 0) : top + height + more, max(left - more, 0) : left + width + more]


def table(kept: dict[str, Any]) -> str:
    lines = [
        "| model | as drawn | as photographed | case folded | and confusables merged | answered at 99 % | "
        "cut out along the ink |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in sorted(kept.items()):
        told = " | ".join(
            f"{found[key]:.1%}"
            for key in ("drawn", "accuracy", "case_folded", "merged", "answered", "cut_out")
        )
        lines.append(f"| {name} | {told} |")
    crops_of_each = len(MARGINS) * len(BLURS)
    counts = "; ".join(
        f"{name}: {found['n']:,}, {found['photographs']:,} and {crops_of_each * found['n']:,}"
        for name, found in sorted(kept.items())
    )
    dates = sorted({found["date"] for found in kept.values()})
    return "\n".join(
        [*lines, "", f"n as drawn, as photographed and cut out: {counts}. Measured {' and '.join(dates)}."]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--table", action="store_true", help="write the table only")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(MODELS)}; all by default")
    asked = parser.parse_args()
    kept: dict[str, Any] = json.loads(KEPT.read_text("utf-8")) if KEPT.exists() else {}
    for name in () if asked.table else asked.names or MODELS:
        kept[name] = figures(name)
        KEPT.write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
    PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "judged-fonts", table(kept)), "utf-8")


if __name__ == "__main__":
    main()
