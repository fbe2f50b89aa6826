"""The files of a robustness report.

`shift.json` has the keys of `report`, and before them:

model, model_name     what was measured: as asked for, and as the model file says of itself
dataset, split        on what
date, kalamos_version
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from kalamos._version import __version__
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.html import report_json, save_files, today
from kalamos.recognizer import Recognizer
from kalamos.shift.page import robustness_page
from kalamos.shift.report import ShiftReport
from kalamos.shift.suite import Outcomes

__all__ = ["shift_json", "write_shift_report"]


def shift_json(report: ShiftReport, subject: EvalTarget, reader: Recognizer) -> str:
    """Write the figures as JSON, a line for each key and for each cell."""
    origin = {
        "model": subject.model,
        "model_name": reader.spec.name,
        "dataset": subject.dataset,
        "split": subject.split,
        "date": today(),
        "kalamos_version": __version__,
    }
    return report_json({**origin, **report.to_mapping()})


def write_shift_report(
    folder: Path, outcomes: Outcomes, report: ShiftReport, reader: Recognizer, subject: EvalTarget
) -> tuple[str, ...]:
    """Write the figures and the page that shows them with the images they come from.

    `shift.json` and `shift.html`; with Matplotlib (the extra 'train') also `shift.png` and
    `shift_reliability.png`, which the page then shows.

    Returns:
        The names of the files written.

    Raises:
        OutputError: the folder or a file cannot be written.
    """
    plots = {}
    if find_spec("matplotlib"):
        from kalamos.evaluation.plots import reliability_plot
        from kalamos.shift.plots import shift_plot

        plots = {
            "shift.png": shift_plot(report),
            "shift_reliability.png": reliability_plot(outcomes.reliability),
        }
    page = robustness_page(outcomes, report, reader, subject, plots)
    return save_files(
        folder, {"shift.json": shift_json(report, subject, reader), **plots, "shift.html": page}
    )
