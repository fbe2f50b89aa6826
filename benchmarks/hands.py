"""How well the hands of real people are read, and what is withheld as no character.

Usage: python benchmarks/hands.py [--write] [--sheets] [--model NAME=FILE ...]
Needs real-dev.zip in the data folder. Prints a row for each of its sets: the best labels that are right,
with case folded, and with look-alikes merged; the share that can be answered so that 99 % of the answers
are right, merged; and what is withheld. `--write` keeps them in docs/hands.json and in docs/results.md;
`--sheets` draws what was misread, sorted by cause, to build/hands (the images have no clear licence: they are
looked at, and not passed on). `--model` tries a model file in place of a shipped model.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

import kalamos
from kalamos.datasets.named import data_dir
from kalamos.evaluation.calibration import risk_coverage
from kalamos.evaluation.metrics import wilson_interval
from kalamos.predictions import NOT_A_CHARACTER, Prediction
from kalamos.recognizer import Recognizer

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "docs")]
from ink import REAL, Sample, draw_sheet, real_samples  # noqa: E402
from markers import replace_part  # noqa: E402  (the path must be set first)

KEPT, PAGE, SHEETS = ROOT / "docs" / "hands.json", ROOT / "docs" / "results.md", ROOT / "build" / "hands"

LOOK_ALIKE = ("0o", "1il", "5s", "2z", "9gq")
"""Labels that many hands write alike, case folded."""

CAUSES = ("no ink", NOT_A_CHARACTER, "other case", "looks alike", "misread")

TARGET = 0.99


class Row(NamedTuple):
    what: str
    model: str
    n: int
    right: int
    folded: int
    merged: int
    withheld: int
    answered: float
    """Share that the most confident answers can have while 99 % of them are right, merged."""


def fold(label: str) -> str:
    """Merge cases and labels that look alike.

    >>> fold("S"), fold("5"), fold("K")
    ('5', '5', 'k')
    """
    small = label.casefold()
    return next((group[0] for group in LOOK_ALIKE if small in group), small)


def cause(sample: Sample, answer: Prediction, withheld: bool) -> str | None:
    """Why an answer is not right; None if it is."""
    if answer.label is None:
        return "no ink"
    if withheld:
        return NOT_A_CHARACTER
    if answer.label == sample.label:
        return None
    if answer.label.casefold() == sample.label.casefold():
        return "other case"
    return "looks alike" if fold(answer.label) == fold(sample.label) else "misread"


def read(what: str, reader: Recognizer, samples: list[Sample], sheet: str) -> Row:
    """Read a set, whatever its images seem to be, and count what would be withheld."""
    images = [sample.image for sample in samples]
    answers = reader.predict_batch(images, min_confidence=0, min_known=0)
    least = 0.0 if reader.spec.known is None else reader.spec.known.threshold
    withheld = [each.known is not None and each.known < least for each in answers]
    labels = [(sample.label, answer.label or "") for sample, answer in zip(samples, answers, strict=True)]
    merged = np.array([fold(got) == fold(truth) for truth, got in labels])
    confidence = np.array(
        [0.0 if none else answer.confidence or 0.0 for answer, none in zip(answers, withheld, strict=True)]
    )
    if sheet:
        draw_causes(
            reader,
            sheet,
            [
                (cause(sample, answer, none), sample, answer.label or "")
                for sample, answer, none in zip(samples, answers, withheld, strict=True)
            ],
        )
    return Row(
        what,
        reader.spec.name,
        len(samples),
        sum(got == truth for truth, got in labels),
        sum(got.casefold() == truth.casefold() for truth, got in labels),
        int(merged.sum()),
        sum(withheld),
        risk_coverage(confidence, merged).coverage_at(TARGET),
    )


def draw_causes(reader: Recognizer, sheet: str, outcomes: Iterable[tuple[str | None, Sample, str]]) -> None:
    """Draw a picture for each cause: images, their ink, what the network saw; most frequent pairs first."""
    SHEETS.mkdir(parents=True, exist_ok=True)
    by_cause: dict[str, list[tuple[Sample, str]]] = {}
    for why, sample, got in outcomes:
        if why is not None:
            by_cause.setdefault(why, []).append((sample, got))
    for why in CAUSES:
        found = by_cause.get(why, [])
        pairs = [(sample.label, got) for sample, got in found]
        found.sort(key=lambda each: (-pairs.count((each[0].label, each[1])), each[0].label, each[1]))
        path = SHEETS / f"{sheet}-{why.replace(' ', '-')}.png"
        if found:
            cv2.imwrite(str(path), draw_sheet(reader, found))
        else:
            path.unlink(missing_ok=True)


def table(rows: Iterable[Row]) -> str:
    lines = [
        f"| set | model | n | right | case folded | merged | answered at {TARGET:.0%} | withheld |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = [
            "{:.1%} ({:.1%} to {:.1%})".format(count / row.n, *wilson_interval(count, row.n))
            for count in (row.right, row.folded, row.merged)
        ]
        rest = f"{row.answered:.1%} | {row.withheld:,}"
        lines.append(f"| {row.what} | {row.model} | {row.n:,} | {' | '.join(shares)} | {rest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/")
    parser.add_argument("--sheets", action="store_true", help="draw what was misread to build/hands")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE", help="try a model file")
    given = parser.parse_args()
    files = dict(each.split("=", 1) for each in given.model)
    rows = []
    with zipfile.ZipFile(data_dir(None) / "real-dev.zip") as archive:
        for what, folder, model in REAL:
            reader = kalamos.load(files.get(model, model))
            rows.append(read(what, reader, real_samples(archive, folder), folder if given.sheets else ""))
            print(table(rows[-1:]).splitlines()[-1], flush=True)
    if given.write:
        date = datetime.now(UTC).date().isoformat()
        KEPT.write_text(json.dumps({"date": date, "rows": [row._asdict() for row in rows]}, indent=1) + "\n")
        page = f"{table(rows)}\n\nMeasured by `make hands` on {date}."
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "hands", page), "utf-8")


if __name__ == "__main__":
    main()
