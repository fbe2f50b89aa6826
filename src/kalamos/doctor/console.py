"""A diagnosis on a terminal: what is wrong first, then the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kalamos.doctor.examination import InspectionReport
from kalamos.doctor.findings import Case, Finding
from kalamos.doctor.pool import ImageIndex
from kalamos.doctor.summary import case_note, measured, verdict
from kalamos.writers.escape import one_line

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["print_diagnosis"]

MAX_IMAGES_NAMED = 3
"""Images of one case that are named."""

SEVERITY_STYLES = {"error": "bold red", "warning": "yellow"}


def print_diagnosis(console: Console, diagnosis: InspectionReport, *, most: int) -> None:
    """Print every finding with `most` of its cases, then a line for everything measured.

    Each line holds one thing, however long: a terminal wraps it, a pipe does not.
    """
    from rich.text import Text

    def say(*pieces: str | tuple[str, str]) -> None:
        console.print(Text.assemble(*pieces), soft_wrap=True)

    dataset = diagnosis.dataset
    say((one_line(dataset.name), "bold"), f": {verdict(diagnosis)}   ({one_line(dataset.source)})")
    for finding in diagnosis.findings:
        about = finding.about
        say(
            "\n",
            (f"{about.severity:<9}", SEVERITY_STYLES[about.severity]),
            (str(finding), "bold"),
        )
        for line in _cases(finding, diagnosis.images, most):
            say(f"{'':<9}", line)
        say(f"{'':<9}", (f"→ {about.remedy}", "dim"))
    say()
    for name, told in measured(diagnosis).items():
        say((f"{name:<9}", "bold"), told)


def _cases(finding: Finding, pool: ImageIndex, most: int) -> Iterator[str]:
    for case in finding.cases[:most]:
        yield _told(case, pool)
    left = len(finding.cases) - most
    if left > 0:
        yield f"and {left:,} more"


def _told(case: Case, pool: ImageIndex) -> str:
    places = [pool.place(row) for row in case.rows[:MAX_IMAGES_NAMED]]
    named = [f"{place.label}  {place}" for place in places]
    if len(case.rows) > MAX_IMAGES_NAMED:
        named.append(f"{len(case.rows) - MAX_IMAGES_NAMED:,} more")
    note = case_note(case)
    return "   ".join(filter(None, [" | ".join(named), note]))
