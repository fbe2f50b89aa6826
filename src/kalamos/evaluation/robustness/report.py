"""The report of a robustness measurement: console, JSON, plot and page.

`shift.json` has the keys of `suite`, and before them:

model, model_name     what was measured: as asked for, and as the model file states
dataset, split        on what
date, kalamos_version
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from kalamos._version import __version__
from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.reporting import (
    FAINT_COLOUR,
    INK_COLOUR,
    MISTAKE_COLOURS,
    PAPER_COLOUR,
    RIGHT_COLOUR,
    WRONG_COLOUR,
    drawing,
    percent,
    print_figures,
    print_table,
    render_page,
    report_json,
    save_files,
    seen_by,
    today,
)
from kalamos.evaluation.robustness.canvas import STRENGTHS, Grey
from kalamos.evaluation.robustness.corruptions import CORRUPTIONS
from kalamos.evaluation.robustness.suite import ALL, Outcomes, ShiftReport
from kalamos.recognizer import Recognizer

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

__all__ = [
    "corruption_rows",
    "print_shift",
    "robustness_page",
    "shift_json",
    "shift_plot",
    "surest_misreadings",
    "write_shift_report",
]

IMAGES_PER_ROW = 10
WORST_CORRUPTIONS_SHOWN, WORST_CORRUPTIONS_NAMED = 6, 3
"""On the page with their misreadings, and on a terminal."""

TOP_INCHES, BOTTOM_INCHES, ROW_INCHES = 0.5, 0.6, 0.26
"""Heights of the plot's margins and rows."""


@dataclass(frozen=True, eq=False)
class Reading:
    """One corrupted image and how it was read.

    Attributes:
        image: uint8 [H, W], the input.
        seen: uint8 [S, S], what the model saw of it.
        answer: "" if no ink was found.
    """

    image: Grey
    seen: Grey
    strength: int
    truth: str
    answer: str
    confidence: float

    @property
    def kind(self) -> Literal["right", "wrong", "no-ink"]:
        return "right" if self.answer == self.truth else "wrong" if self.answer else "no-ink"

    @property
    def words(self) -> str:
        return f"{self.truth}, {f'read as {self.answer}' if self.answer else 'no ink found'}"


def robustness_page(
    outcomes: Outcomes,
    report: ShiftReport,
    reader: Recognizer,
    subject: EvalTarget,
    plots: Mapping[str, bytes],
) -> str:
    """Render the page as HTML.

    Args:
        plots: PNG of `shift.png` and `shift_reliability.png`; may be empty.
    """
    worst = report.worst(WORST_CORRUPTIONS_SHOWN)
    return render_page(
        "robustness.html",
        title=f"{subject}: robustness",
        report=report,
        subject=subject,
        plots=plots,
        strengths=STRENGTHS,
        corruptions=CORRUPTIONS,
        summary=list(_summary(report)),
        misreadings=[(name, *surest_misreadings(outcomes, name, reader)) for name in worst],
        samples=((name, corruption_rows(outcomes, name, reader)) for name in outcomes.names),
    )


def corruption_rows(outcomes: Outcomes, name: str, reader: Recognizer) -> list[list[Reading]]:
    """Return, for each strength, the same ten images under a corruption."""
    shown = _columns(outcomes)
    return [
        [_reading(outcomes, reader, name, index, position) for position in shown]
        for index in range(len(STRENGTHS))
    ]


def surest_misreadings(outcomes: Outcomes, name: str, reader: Recognizer) -> tuple[int, list[Reading]]:
    """Return how many images were misread under a corruption, and up to ten: the most confident first."""
    place = outcomes.names.index(name)
    confidence = outcomes.confidence[place]
    wrong = np.argwhere(~outcomes.correct[place] & (outcomes.predicted[place] >= 0))
    surest = wrong[np.argsort(-confidence[tuple(wrong.T)], kind="stable")][:IMAGES_PER_ROW].tolist()
    return len(wrong), [_reading(outcomes, reader, name, index, position) for index, position in surest]


def _reading(outcomes: Outcomes, reader: Recognizer, name: str, index: int, position: int) -> Reading:
    at = outcomes.names.index(name), index, position
    image = outcomes.corrupted(name, STRENGTHS[index], position)
    labels, answer = outcomes.clean.labels, int(outcomes.predicted[at])
    return Reading(
        image,
        seen_by(reader, image),
        STRENGTHS[index],
        labels[outcomes.truth[position]],
        labels[answer] if answer >= 0 else "",
        float(outcomes.confidence[at]),
    )


def _columns(outcomes: Outcomes) -> Sequence[int]:
    """Choose positions of up to ten images, of as many classes as possible, spread over the alphabet."""
    present = np.unique(outcomes.truth)
    chosen = present[np.linspace(0, len(present) - 1, min(IMAGES_PER_ROW, len(present))).round().astype(int)]
    first = [int(np.flatnonzero(outcomes.truth == label)[0]) for label in chosen]
    others = [position for position in range(len(outcomes.truth)) if position not in first]
    return first + others[: IMAGES_PER_ROW - len(first)]


def _summary(report: ShiftReport) -> Iterator[tuple[str, str]]:
    mean, worst = report.means[ALL], report.worst()[0]
    yield percent(mean.value), f"mean over corruptions, 95 % interval {mean.low:.2%} to {mean.high:.2%}"
    yield percent(report.clean.value), "the same images uncorrupted"
    for group, estimate in report.means.items():
        if group != ALL:
            yield percent(estimate.value), f"mean, {group}"
    yield percent(report.accuracy(worst)), f"worst: {worst}"
    yield percent(report.ece), f"calibration error, mean confidence {percent(report.mean_confidence)}"
    if report.no_ink:
        yield f"{report.no_ink:,}", "found without ink, counted as misread"
    if report.withheld:
        yield f"{report.withheld:,}", "taken for something else than a character, and withheld"


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
        from kalamos.evaluation.reporting import reliability_plot

        plots = {
            "shift.png": shift_plot(report),
            "shift_reliability.png": reliability_plot(outcomes.reliability),
        }
    page = robustness_page(outcomes, report, reader, subject, plots)
    return save_files(
        folder, {"shift.json": shift_json(report, subject, reader), **plots, "shift.html": page}
    )


def shift_plot(report: ShiftReport) -> bytes:
    """Draw accuracy by corruption and strength as a heat map, and each corruption's mean as a bar; PNG.

    Raises:
        MissingExtraError: Matplotlib is not installed.
    """
    names = report.names
    height = TOP_INCHES + BOTTOM_INCHES + ROW_INCHES * len(names)
    with drawing(8.0, height) as (figure, done):
        from matplotlib.colors import LinearSegmentedColormap, Normalize

        table, bars = figure.subplots(1, 2, sharey=True, width_ratios=[1, 1.7])
        figure.subplots_adjust(
            left=0.18, right=0.95, top=1 - TOP_INCHES / height, bottom=BOTTOM_INCHES / height, wspace=0.06
        )
        accuracy = np.array([[cell.accuracy for cell in report.of(name)] for name in names])
        # No error is the paper's own colour: what is coloured is what is lost.
        colours = LinearSegmentedColormap.from_list("lost", [PAPER_COLOUR, *MISTAKE_COLOURS])
        lost = 1 - accuracy
        top = max(0.2, float(lost.max()))
        # The square root: a model that loses 2 % here and 60 % there should show both.
        table.imshow(np.sqrt(lost), cmap=colours, norm=Normalize(0, np.sqrt(top)), aspect="auto")
        for (row, column), share in np.ndenumerate(accuracy):
            deep = np.sqrt((1 - share) / top) > 0.6
            table.text(
                column, row, f"{share * 100:.1f}", ha="center", va="center", fontsize=8,
                color=PAPER_COLOUR if deep else INK_COLOUR,
            )  # fmt: skip
        table.set_xticks(range(len(STRENGTHS)), [f"strength {s}" for s in STRENGTHS], fontsize=7.5)
        table.set_yticks(range(len(names)), names, color=INK_COLOUR)
        table.tick_params(length=0, labelcolor=INK_COLOUR)
        means = np.array([report.accuracy(name) for name in names])
        bars.barh(range(len(names)), means, 0.66, color=RIGHT_COLOUR, alpha=0.8)
        bars.axvline(report.clean.value, color=FAINT_COLOUR, linewidth=1, linestyle=(0, (4, 3)))
        bars.axvline(report.means[ALL].value, color=WRONG_COLOUR, linewidth=1.4)
        bars.set(xlim=(0, 1), xlabel="mean over the strengths (orange: of all; dashed: clean)")
        bars.tick_params(axis="y", length=0, labelleft=False)
        bars.xaxis.set_major_formatter("{x:.0%}")
        groups = [report.of(name)[0].group for name in names]
        for group in dict.fromkeys(groups):
            first, count = groups.index(group), groups.count(group)
            for axes in (table, bars) if first else ():
                axes.axhline(first - 0.5, color=INK_COLOUR, linewidth=1)
            bars.text(
                1.02, first + (count - 1) / 2, group, rotation=270, ha="left", va="center",
                color=FAINT_COLOUR,
            )  # fmt: skip
        mean = report.means[ALL]
        title = f"Shift suite: mean {mean.value:.2%} [{mean.low:.2%}, {mean.high:.2%}]"
        table.set_title(title, loc="left", pad=10)
        return done()


def print_shift(console: Console, report: ShiftReport, subject: EvalTarget) -> None:
    """Print the figures, then a row for each corruption."""
    title = f"{subject}, shift suite, n = {report.n:,}, seed {report.seed}"
    print_figures(console, title, _figures(report))
    heads = ("accuracy at strength", *map(str, STRENGTHS), "mean", "no ink")
    print_table(console, heads, _rows(report))


def _figures(report: ShiftReport) -> list[tuple[str, str]]:
    corrupted = len(report.cells) * report.n
    worst = ", ".join(f"{name} {report.accuracy(name):.2%}" for name in report.worst(WORST_CORRUPTIONS_NAMED))
    figures = [("clean", str(report.clean))]
    figures += [("mean" if group == ALL else group, str(mean)) for group, mean in report.means.items()]
    figures += [
        ("worst", worst),
        ("calibration", f"ECE {percent(report.ece)}   mean confidence {percent(report.mean_confidence)}"),
    ]
    if report.no_ink:
        figures.append(("no ink", f"{report.no_ink:,} of {corrupted:,} corrupted images, counted as wrong"))
    if report.withheld:
        figures.append(("withheld", f"{report.withheld:,} of {corrupted:,}, as not a character"))
    return figures


def _rows(report: ShiftReport) -> Iterator[Sequence[str | Text]]:
    from rich.text import Text

    group = ""
    for name in report.names:
        cells = report.of(name)
        if cells[0].group != group:
            group = cells[0].group
            yield (Text(group, "dim"),)
        blank = sum(cell.no_ink for cell in cells)
        shares = (f"{cell.accuracy:.2%}" for cell in cells)
        yield f"  {name}", *shares, f"{report.accuracy(name):.2%}", f"{blank:,}" if blank else ""
