"""`make limits`: what kalamos does at its limits and beyond, with the memory and the time that it takes.

Usage: python benchmarks/limits.py [--repeats 3] [--only images|documents|archives|tables|models|server]
    [--write]
Each limit is read from the code, and tried with a file just within it and one just beyond, in a process that
is watched from outside (Linux). `--write` puts the table into SECURITY.md.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from figures import ROOT, machine, write

sys.path[:0] = [str(ROOT)]
from fuzz.watching import Child, Limits, Outcome  # noqa: E402
from limit_cases import Case, Limit, limits  # noqa: E402  (the path must be set first)
from limit_server import Measured, measure_server  # noqa: E402

WATCHED = Limits(small_seconds=60, timeout=30, grace=60, megabytes=2_000)
"""Wide enough to measure what goes beyond what is allowed."""

MEGABYTES, SMALL_SECONDS, SMALL_BYTES = 500, 2.0, 1_000_000
"""What one input may take: memory above the idle process, and time where it is small."""


@dataclass(frozen=True)
class Tried:
    """What became of an input: in words, and the most of several times."""

    told: str
    seconds: float
    megabytes: float
    holds: bool = True

    def __str__(self) -> str:
        memory = f"{max(0.0, self.megabytes):.0f} MB"
        figures = f"{self.told}; {self.seconds:.1f} s, {memory}"
        return figures if self.holds else f"**{figures}**"


def _tried(child: Child, case: Case, repeats: int) -> Tried:
    outcomes = [child.try_case(case) for _ in range(repeats)]
    seconds = max(outcome.cpu or outcome.seconds for outcome in outcomes)
    megabytes = max(outcome.megabytes for outcome in outcomes)
    small = case.size < SMALL_BYTES or child.family == "models"
    holds = (
        megabytes <= MEGABYTES
        and (not small or seconds <= SMALL_SECONDS)
        and not any(outcome.problems for outcome in outcomes)
    )
    return Tried(_in_words(outcomes[-1]), seconds, megabytes, holds)


def _in_words(outcome: Outcome) -> str:
    """What it came to: read, or the error's type. These pictures are blank, which is no refusal."""
    if outcome.problems:
        return outcome.problems[0][0]
    name = outcome.told.partition(":")[0]
    rows, _, error = name.partition(" read, ")
    if error:
        count, kind = error.split()
        return "read" if kind == "NoInkError" else f"`{kind}`" if count == "1" else f"{count} x `{kind}`"
    if name.endswith("Error"):
        return "read" if name == "NoInkError" else f"`{name}`"
    return "read" if rows.endswith("read") else name


def measure(found: Iterable[Limit], folder: Path, repeats: int) -> list[str]:
    """Rows of the table, by family in turn: each has a child process of its own."""
    rows: list[str] = []
    children: dict[str, Child] = {}
    try:
        for limit in found:
            child = children.get(limit.family)
            if child is None:
                child = children[limit.family] = Child(limit.family, folder / limit.family, WATCHED)
            within = "" if limit.within is None else str(_tried(child, limit.within, repeats))
            rows.append(
                f"| {limit.what} | {limit.value} | {within} | {_tried(child, limit.beyond, repeats)} |"
            )
            print(rows[-1], file=sys.stderr, flush=True)
    finally:
        for child in children.values():
            child.end()
    return rows


def _of_server(measured: Measured) -> Tried:
    told, seconds, megabytes = measured
    return Tried(told, seconds, megabytes, megabytes <= MEGABYTES)


def table(rows: Sequence[str], repeats: int) -> str:
    return "\n".join(
        [
            "| limit | stated | just within: outcome, time, memory above idle | beyond |",
            "|---|---|---|---|",
            *rows,
            "",
            f"Measured by `make limits` on {datetime.now(UTC):%Y-%m-%d}, the most of n = {repeats} each",
            "(n = 1 of the server's). Time is processor time, of the server's rows by the clock; memory is",
            "that of the process and its workers together, above what they have when idle; bold is what",
            f"exceeds {MEGABYTES} MB, or {SMALL_SECONDS:g} s for a file below 1 MB or a model. {machine()}.",
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument(
        "--only", action="append", choices=("images", "documents", "archives", "tables", "models", "server")
    )
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kalamos-limits-") as name:
        wanted = (limit for limit in limits() if not asked.only or limit.family in asked.only)
        rows = measure(wanted, Path(name), asked.repeats)
        if not asked.only or "server" in asked.only:
            for what, value, within, beyond in measure_server(Path(name) / "server"):
                first = "" if within is None else str(_of_server(within))
                rows.append(f"| {what} | {value} | {first} | {_of_server(beyond)} |")
                print(rows[-1], file=sys.stderr, flush=True)
    report = table(rows, asked.repeats)
    print(report)
    if asked.write:
        write("limits", report, ("SECURITY.md",))
    print(f"took {time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
