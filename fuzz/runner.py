"""Draws cases a batch at a time, has them tried, and tries again what was found."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from fuzz import archives, documents, images, models, runs, tables
from fuzz.case import Case, Generator, case_number
from fuzz.command import faults_of_command
from fuzz.report import Report
from fuzz.tasks import MORE
from fuzz.watching import Child, Limits, Outcome

__all__ = ["FILES", "Plan", "fuzz_files", "try_again"]

FILES: dict[str, Generator] = {
    "images": images.draw,
    "archives": archives.draw,
    "documents": documents.draw,
    "tables": tables.draw,
    "models": models.draw,
    "runs": runs.draw,
}
"""The families whose cases are files."""

BATCH = 50

COSTLY = {"too slow", "the process died", "too much memory"}
"""Faults that another process, or a case before, may be the cause of: the first of a kind is tried again by
itself. Each costs seconds, so a kind that has shown such faults three times is passed over from then on, for
the others to come to their turn."""


@dataclass(frozen=True)
class Plan:
    """What to do."""

    seed: int
    seconds: float
    """For one family."""
    cases: int | None
    """Of one family, instead of a time."""
    folder: Path
    source: Path | None
    limits: Limits
    command: bool = True
    """Whether batches are read by the command as well."""


def fuzz_files(family: str, plan: Plan, report: Report) -> None:
    """Try cases of a family until its time is over."""
    draw, number, began = FILES[family], 0, time.monotonic()
    work = plan.folder / f"work-{family}"

    def goes_on() -> bool:
        return number < plan.cases if plan.cases is not None else time.monotonic() - began < plan.seconds

    with Child(family, work, plan.limits, source=plan.source) as child:
        while goes_on():
            left = BATCH if plan.cases is None else min(BATCH, plan.cases - number)
            sound: dict[int, Case] = {}
            for each in range(number, number + left):
                case = case_number(draw, family, plan.seed, each)
                if report.knows(family, case.kind, COSTLY):
                    report.passed_over += 1
                    continue
                outcome = _settled(family, plan, report, child.try_case(case, each))
                report.add(family, plan.seed, each, outcome)
                if not outcome.problems and not outcome.told.endswith(MORE):
                    sound[each] = case
                if plan.cases is None and time.monotonic() - began > plan.seconds:
                    break
            if plan.command and family in {"images", "archives", "documents", "tables"} and goes_on():
                for each, outcome in faults_of_command(sound, work / "command", plan.source, plan.limits):
                    report.add(family, plan.seed, each, outcome)
            number += left
    report.seconds[family] += time.monotonic() - began


def _settled(family: str, plan: Plan, report: Report, outcome: Outcome) -> Outcome:
    """The outcome, without the faults that do not come again where the case is tried alone."""
    costly = COSTLY & {kind for kind, _ in outcome.problems}
    if not costly or report.knows(family, outcome.case.kind, costly, least=1):
        return outcome
    again = try_again(family, plan, outcome.case)
    if again.problems:
        return again
    if any(kind == "the process died" for kind, _ in outcome.problems):
        kept = [(kind, f"{what} (not when tried alone)") for kind, what in outcome.problems]
        return replace(outcome, problems=tuple(kept))
    return replace(again, problems=tuple(each for each in outcome.problems if each[0] not in COSTLY))


def try_again(family: str, plan: Plan, case: Case) -> Outcome:
    """Try one case in a process of its own."""
    with Child(family, plan.folder / f"again-{family}", plan.limits, source=plan.source) as child:
        return child.try_case(case)
