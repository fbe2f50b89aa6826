"""How well the hands of real people are read, and what is withheld as no character.

Usage: python benchmarks/hands.py [--write] [--sheets] [--model NAME=FILE ...]
Needs real-dev.zip in the data folder. Prints a row for each of its sets, and one for all of them together:
the best labels that are right, with case folded, and with look-alikes merged; the share that can be answered
so that 99 % of the answers are right, merged; what is withheld; and the calibration error of what is not,
over 15 bins of as many answers, case folded. `--write` keeps them in docs/hands.json and in docs/results.md;
`--sheets` draws what was misread, sorted by cause, to build/hands (the images have no clear licence: they are
looked at, and not passed on). `--model` tries a model file in place of a shipped model.
"""

from __future__ import annotations

import argparse
import json
import sys
import zipfile
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

import kalamos
from kalamos.datasets.named import data_dir
from kalamos.evaluation.calibration import risk_coverage
from kalamos.evaluation.metrics import expected_calibration_error, wilson_interval
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
    ece: float | None
    """Expected calibration error of the answers, case folded; None if there is none."""


class Outcomes(NamedTuple):
    """How the N images of a set were read; arrays [N]."""

    what: str
    model: str
    right: NDArray[np.bool_]
    folded: NDArray[np.bool_]
    """Right in either case."""
    merged: NDArray[np.bool_]
    """Right in either case, and as any label that looks alike."""
    withheld: NDArray[np.bool_]
    confidence: NDArray[np.float64]
    """0 of what is not answered."""
    folded_confidence: NDArray[np.float64]
    """The probability of both cases; likewise."""

    def row(self) -> Row:
        given = self.confidence > 0
        ece = expected_calibration_error(self.folded_confidence[given], self.folded[given])
        return Row(
            self.what,
            self.model,
            len(self.right),
            int(self.right.sum()),
            int(self.folded.sum()),
            int(self.merged.sum()),
            int(self.withheld.sum()),
            risk_coverage(self.confidence, self.merged).coverage_at(TARGET),
            ece if given.any() else None,
        )


def pooled(parts: Sequence[Outcomes]) -> Outcomes:
    """Take several sets for one."""
    arrays = (np.concatenate(each) for each in zip(*(part[2:] for part in parts), strict=True))
    return Outcomes("all of these", "", *arrays)


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


def folded_confidence(answer: Prediction) -> float:
    """Sum the probabilities of the label that was read and of its other case."""
    small = (answer.label or "").casefold()
    return sum(each.confidence for each in answer.top if each.label.casefold() == small)


def read(what: str, reader: Recognizer, samples: list[Sample], sheet: str) -> Outcomes:
    """Read a set, whatever its images seem to be, and note what would be withheld."""
    images = [sample.image for sample in samples]
    answers = reader.predict_batch(images, min_confidence=0, min_known=0, top_k=len(reader.labels))
    least = 0.0 if reader.spec.known is None else reader.spec.known.threshold
    withheld = [each.known is not None and each.known < least for each in answers]
    labels = [(sample.label, answer.label or "") for sample, answer in zip(samples, answers, strict=True)]
    given = np.array(
        [not none and answer.label is not None for answer, none in zip(answers, withheld, strict=True)]
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
    return Outcomes(
        what,
        reader.spec.name,
        np.array([got == truth for truth, got in labels]),
        np.array([got.casefold() == truth.casefold() for truth, got in labels]),
        np.array([fold(got) == fold(truth) for truth, got in labels]),
        np.array(withheld),
        np.where(given, [answer.confidence or 0.0 for answer in answers], 0.0),
        np.where(given, [min(folded_confidence(answer), 1.0) for answer in answers], 0.0),
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
        f"| set | model | n | right | case folded | merged | answered at {TARGET:.0%} | withheld | ECE |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        shares = [
            "{:.1%} ({:.1%} to {:.1%})".format(count / row.n, *wilson_interval(count, row.n))
            for count in (row.right, row.folded, row.merged)
        ]
        rest = f"{row.answered:.1%} | {row.withheld:,} | {'–' if row.ece is None else f'{row.ece:.2%}'}"
        lines.append(f"| {row.what} | {row.model} | {row.n:,} | {' | '.join(shares)} | {rest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--write", action="store_true", help="keep the table in docs/")
    parser.add_argument("--sheets", action="store_true", help="draw what was misread to build/hands")
    parser.add_argument("--model", action="append", default=[], metavar="NAME=FILE", help="try a model file")
    given = parser.parse_args()
    files = dict(each.split("=", 1) for each in given.model)
    parts = []
    with zipfile.ZipFile(data_dir(None) / "real-dev.zip") as archive:
        for what, folder, model in REAL:
            reader = kalamos.load(files.get(model, model))
            parts.append(read(what, reader, real_samples(archive, folder), folder if given.sheets else ""))
            print(table([parts[-1].row()]).splitlines()[-1], flush=True)
    rows = [part.row() for part in (*parts, pooled(parts))]
    print(table(rows[-1:]).splitlines()[-1])
    if given.write:
        date = datetime.now(UTC).date().isoformat()
        KEPT.write_text(json.dumps({"date": date, "rows": [row._asdict() for row in rows]}, indent=1) + "\n")
        page = f"{table(rows)}\n\nMeasured by `make hands` on {date}."
        PAGE.write_text(replace_part(PAGE.read_text("utf-8"), "hands", page), "utf-8")


if __name__ == "__main__":
    main()
