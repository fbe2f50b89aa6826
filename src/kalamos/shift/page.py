"""`shift.html`: the suite's figures and images on one page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from kalamos.evaluation.evaluate import EvalTarget
from kalamos.evaluation.html import percent, render_page, seen_by
from kalamos.recognizer import Recognizer
from kalamos.shift.catalogue import STRENGTHS, Grey
from kalamos.shift.corruptions import CORRUPTIONS
from kalamos.shift.report import ALL, ShiftReport
from kalamos.shift.suite import Outcomes

__all__ = ["Reading", "corruption_rows", "robustness_page", "surest_misreadings"]

IMAGES_PER_ROW = 10
WORST_CORRUPTIONS_SHOWN = 6


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
