"""Draw the sample form: its template, the empty form, and six filled ones, scanned, copied and photographed.

Run `python samples/make_form.py`; with the same models, the same files come out every time. It needs UNIPEN in the
data folder, whose pen strokes (Guyon et al. 1994, CC BY 4.0) it writes with, and draws as the benchmarks draw forms.
The files lie in `samples-form/`, not here: `kalamos predict samples` would take them for characters.
"""

from __future__ import annotations

import csv
import sys
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT / "benchmarks")]
from drawn_camera import SCANS, photograph, scan  # noqa: E402  (the path must be set first)
from drawn_forms import fill, printed  # noqa: E402
from drawn_hands import CAPITALS, DIGITS, Hands, Pen  # noqa: E402
from drawn_paper import ink_in  # noqa: E402
from drawn_templates import Printing, draw_empty  # noqa: E402

import kalamos  # noqa: E402
from kalamos.datasets.named import data_dir  # noqa: E402
from kalamos.datasets.strokes import StrokeSet, read_strokes  # noqa: E402
from kalamos.forms.template import Field, FormPage, FormTemplate, Marker, row_of_boxes  # noqa: E402

FOLDER = ROOT / "samples-form"

SIZE = (210, 297)
"""Of the form, in mm: the template's unit."""

SCALE = 0.75
"""Pages are drawn at 200 dpi and kept at 150, so that a fresh clone stays small."""

QUALITY = 72

QUESTIONS = 10

LEAST_CONFIDENCE = 0.8


class Filled(NamedTuple):
    """A sheet: its file, how it came back, whose hand (a UNIPEN writer), which pen, and what is written."""

    name: str
    kind: str
    writer: int
    pen: Pen
    student: str
    number: str
    date: str
    answers: str
    level: str
    seed: int


BLUE = Pen("ballpoint", 0.5, 70, 0.1, 0.8, 30)
BLACK = Pen("fineliner", 0.5, 30, 0.0, 0.9, 0)
PENCIL = Pen("pencil", 0.55, 95, 0.4, 0.8, 60)

SHEETS = (
    Filled("1-scan.jpg", "clean", 88, BLUE, "ANNA KOVACS", "40718264", "14032026", "ACDBBADCCA", "basic", 1),
    Filled("2-turned.jpg", "turned", 89, BLACK, "BEN OKAFOR", "40718322", "14032026", "ACDBBADCCB", "advanced", 2),
    Filled("3-copied.png", "photocopy", 157, BLACK, "CARLA DIAZ", "40718413", "14032026", "ABDBB DCCA", "basic", 3),
    Filled("4-shadow.jpg", "shadow", 164, BLUE, "DMITRI WEBER", "40718579", "15032026", "DCDBBADCAA", "basic", 4),
    Filled("5-curved.jpg", "curved", 165, PENCIL, "EVA LIND", "40718682", "15032026", "ACDABADCCA", "advanced", 5),
    Filled("6-upside-down.jpg", "upside down", 163, BLUE, "FELIX HAHN", "40718736", "15032026", "ACDBCADC A", "basic", 6),
)  # fmt: skip


def template() -> FormTemplate:
    """Return the form: name, number with a check digit, date, ten answers, one of two boxes to tick."""
    across, down = (185.0, 272.0)
    places = ((10.0, 10.0), (across + 5, 10.0), (10.0, down + 5), (across + 5, down + 5))
    markers = tuple(Marker(number, x, y, 10.0) for number, (x, y) in enumerate(places))
    fields = [
        Field("name", row_of_boxes(55, 70, 7.5, 9, count=16, step=8), model="latin-large", charset="upper"),
        Field("student", row_of_boxes(55, 90, 7.5, 9, count=8, step=8), charset="digits", check="luhn"),
        Field(
            "date",
            row_of_boxes(55, 110, 7.5, 9, count=8, step=8),
            charset="digits",
            pattern="[0-3][0-9][01][0-9]20[0-9][0-9]",
        ),
        Field(
            "level",
            row_of_boxes(55, 131, 6, 6, count=2, step=32),
            kind="tick",
            options=("basic", "advanced"),
        ),
    ]
    fields += [
        Field(
            f"answer {number + 1}",
            row_of_boxes(55 + 65 * (number // 5), 160 + 17 * (number % 5), 7.5, 9, count=1, step=8),
            model="latin-large",
            charset="ABCD",
            may_be_blank=True,
        )
        for number in range(QUESTIONS)
    ]
    return FormTemplate("geography", (FormPage(*SIZE, "form.png", markers),), tuple(fields))


def truth_of(sheet: Filled) -> dict[str, str]:
    """Return what is in each field."""
    answers = {f"answer {place}": letter.strip() for place, letter in enumerate(sheet.answers, 1)}
    return {
        "name": sheet.student, "student": sheet.number, "date": sheet.date, "level": sheet.level, **answers,
    }  # fmt: skip


def hand(strokes: StrokeSet, writer: int) -> Hands:
    """Return the digits and capitals of one writer that the shipped models read right, each cut out.

    UNIPEN's labels are what a writer was asked for, its characters cut from lines by program: some are halves, and
    some something else.
    """
    pools: dict[str, list[NDArray[np.uint8]]] = {}
    for labels, model, charset in ((DIGITS, "digits", "digits"), (CAPITALS, "latin-large", "upper")):
        rows = [row for row in np.flatnonzero(strokes.writers == writer) if strokes.labels[row] in labels]
        drawn = [strokes.draw(row, side=80, width=8) for row in rows]
        answers = kalamos.load(model).predict_batch([np.pad(image, 12) for image in drawn], charset=charset)
        for row, image, answer in zip(rows, drawn, answers, strict=True):
            if answer.label == strokes.labels[row] and (answer.confidence or 0) > LEAST_CONFIDENCE:
                pools.setdefault(strokes.labels[row], []).append(image)
    return Hands(pools)


def main() -> None:
    (FOLDER / "scans").mkdir(parents=True, exist_ok=True)
    form = template()
    form.save(FOLDER / "form.toml")
    lines = (
        "Write one capital letter or digit in each box. Leave the other boxes empty.",
        "Answer each question with A, B, C or D.",
    )
    empty = draw_empty(form, Printing("Geography test", lines))
    small = cv2.resize(empty, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
    cv2.imwrite(str(FOLDER / "form.png"), small, [cv2.IMWRITE_PNG_COMPRESSION, 9])
    strokes = read_strokes(data_dir(None) / "unipen-train.npz")
    for sheet in SHEETS:
        generator = np.random.default_rng(sheet.seed)
        layer = fill(empty.shape, form, truth_of(sheet), hand(strokes, sheet.writer), sheet.pen, generator)
        page = printed(empty, generator)
        ink_in(page, layer, sheet.pen.level, sheet.pen.grain, generator)
        image = (scan if sheet.kind in SCANS else photograph)(page, sheet.kind, generator).image
        image = cv2.resize(image, None, fx=SCALE, fy=SCALE, interpolation=cv2.INTER_AREA)
        options = (
            [cv2.IMWRITE_JPEG_QUALITY, QUALITY]
            if sheet.name.endswith(".jpg")
            else [cv2.IMWRITE_PNG_COMPRESSION, 9]
        )
        cv2.imwrite(str(FOLDER / "scans" / sheet.name), image, options)
    with (FOLDER / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(["scan", *(field.name for field in form.fields)])
        for sheet in SHEETS:
            truth = truth_of(sheet)
            table.writerow([sheet.name, *(truth[field.name] for field in form.fields)])


if __name__ == "__main__":
    main()
