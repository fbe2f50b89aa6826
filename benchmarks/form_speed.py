"""Scans of a form of 60 boxes, A4 at 200 dpi: seconds for one, and a stream of 300 with its memory."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
from drawn_camera import scan
from drawn_forms import fill, printed, random_truth
from drawn_hands import Hands, random_pen
from drawn_paper import ink_in
from drawn_templates import Printing, draw_empty
from figures import Row, at_most, interleaved
from pictures import small_digits
from processes import Figures, alternate

from kalamos.forms.reader import FormReader
from kalamos.forms.template import Field, FormPage, FormTemplate, row_of_boxes
from kalamos.parallel import default_jobs

__all__ = ["form_speed"]

FIELDS, DIGITS = 6, 10

DRAWN = 4
"""Scans that differ; a stream has them again and again, under other names."""

STREAM = "import sys, kalamos\nfor _ in kalamos.Form.load(sys.argv[1]).stream(sys.argv[2]): pass"


def form_speed(repeats: int, scans: int) -> list[Row]:
    """Measure scans in a process that runs already, then few and `scans` of them in a process each."""
    with tempfile.TemporaryDirectory() as work:
        form, few, many = Path(work, "form.toml"), Path(work, "few"), Path(work, "many")
        _draw(form, few)
        paths = sorted(few.iterdir())
        many.mkdir()
        for number in range(scans):
            os.link(paths[number % DRAWN], many / f"{number:04}.jpg")
        reader = FormReader(FormTemplate.load(form))
        warm = interleaved(
            {
                "kalamos": lambda: [reader.read(path) for path in paths],
                "decoding": lambda: [cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in paths],
            },
            repeats,
        )
        commands = {
            folder.name: [sys.executable, "-c", STREAM, str(form), str(folder)] for folder in (few, many)
        }
        runs = alternate(commands, max(1, repeats // 3))
    (few_seconds, few_memory), (many_seconds, many_memory) = runs["few"], runs["many"]
    one, decoding = (_each(warm[name], DRAWN) for name in ("kalamos", "decoding"))
    what = f"a form of {FIELDS * DIGITS} boxes, A4 at 200 dpi"
    stream = f"{what}, {scans} scans, {default_jobs()} at once"
    more = many_memory.median - few_memory.median
    return [
        Row(f"{what}, one scan", one, "s", "decoding it", decoding, at_most(0.5, one.median, " s")),
        Row(
            f"{stream}, each, whole process",
            _each(many_seconds, scans),
            "s",
            f"each of {DRAWN}",
            _each(few_seconds, DRAWN),
        ),
        Row(
            f"{stream}, peak memory",
            many_memory,
            "MB",
            f"{DRAWN} scans",
            few_memory,
            at_most(50, more, " MB more"),
        ),
    ]


def _each(seconds: Figures, count: int) -> Figures:
    return Figures(tuple(value / count for value in seconds.values))


def _draw(form: Path, folder: Path) -> None:
    """Draw a template, and scans of it filled with digits."""
    fields = [
        Field(f"number {row + 1}", row_of_boxes(60, 60 + 25 * row, 8, 10, count=DIGITS, step=9))
        for row in range(FIELDS)
    ]
    template = FormTemplate("sixty", (FormPage(210, 297, "form.png"),), tuple(fields))
    template.save(form)
    empty = draw_empty(template, Printing("Sixty boxes"))
    cv2.imwrite(str(form.with_name("form.png")), empty)
    drawn = [np.pad(image, 2) for image in small_digits(200)]
    hands = Hands({str(digit): drawn[digit::10] for digit in range(10)})
    folder.mkdir()
    for number in range(DRAWN):
        generator = np.random.default_rng(number)
        pen = random_pen(generator)
        page = printed(empty, generator)
        layer = fill(empty.shape, template, random_truth(template, generator), hands, pen, generator)
        ink_in(page, layer, pen.level, pen.grain, generator)
        cv2.imwrite(str(folder / f"{number}.jpg"), scan(page, "clean", generator).image)
