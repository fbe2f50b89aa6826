"""What the suite leaves behind.

`shift.json` has the keys of `report`, and before them:

model, model_name     what was measured: as asked for, and as the model file says of itself
dataset, split        on what
date, kalamos_version
"""

from __future__ import annotations

from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import cv2

from kalamos._version import __version__
from kalamos.atomic import write_bytes
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.pictures import Picture, encode_png
from kalamos.evaluation.report import make_folder, metrics_json
from kalamos.shift.page import render_shift_page
from kalamos.shift.report import ShiftReport
from kalamos.shift.sheets import corruption_sheet, misreads_sheet

if TYPE_CHECKING:
    from kalamos.recognizer import Recognizer
    from kalamos.shift.suite import Outcomes

__all__ = ["shift_json", "write_shift_report"]

SHEETS = "shift-sheets"
QUALITY = 80
"""Of the sheets in the page, as JPEG: as PNG, thirty sheets of noise are tens of megabytes."""

WORST = 6


def shift_json(report: ShiftReport, subject: EvalTarget, reader: Recognizer) -> str:
    """The figures as JSON, a line for each key and for each cell."""
    origin = {
        "model": subject.model,
        "model_name": reader.spec.name,
        "dataset": subject.dataset,
        "split": subject.split,
        "date": datetime.now(UTC).date().isoformat(),
        "kalamos_version": __version__,
    }
    return metrics_json({**origin, **report.to_mapping()})


def write_shift_report(
    folder: Path, outcomes: Outcomes, report: ShiftReport, reader: Recognizer, subject: EvalTarget
) -> tuple[str, ...]:
    """Write figures, contact sheets and the page that holds them all.

    `shift.json`, `shift_misreads.png`, `shift-sheets/NAME.png` for each corruption, `shift.html`, and
    where Matplotlib is installed (the extra 'train') `shift.png` and `shift_reliability.png`.

    Returns:
        The names of the files written.

    Raises:
        OutputError: a folder or a file cannot be written.
    """
    make_folder(folder / SHEETS)
    written = {"shift.json": shift_json(report, subject, reader).encode()}
    plots = []
    if find_spec("matplotlib"):
        from kalamos.evaluation.plots import DARK, LIGHT, reliability_plot
        from kalamos.shift.plots import shift_plot

        palettes = LIGHT, DARK
        plots = [
            tuple(shift_plot(report, palette) for palette in palettes),
            tuple(reliability_plot(outcomes.reliability, palette) for palette in palettes),
        ]
        written |= {"shift.png": plots[0][0], "shift_reliability.png": plots[1][0]}
    misreads = misreads_sheet(outcomes, report.worst(WORST), reader)
    written["shift_misreads.png"] = encode_png(misreads)
    sheets = {}
    for name in outcomes.names:
        sheet = corruption_sheet(outcomes, name, reader)
        written[f"{SHEETS}/{name}.png"] = encode_png(sheet)
        sheets[name] = _jpeg(sheet)
    page = render_shift_page(report, subject, plots, sheets, _jpeg(misreads))
    written["shift.html"] = page.encode()
    for name, content in written.items():
        write_bytes(folder / name, content)
    return tuple(written)


def _jpeg(picture: Picture) -> bytes:
    _, content = cv2.imencode(".jpg", picture, (cv2.IMWRITE_JPEG_QUALITY, QUALITY))
    return content.tobytes()
