"""Findings: told once a kind, the first ones saved so that they can be tried again."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Set
from dataclasses import dataclass, field
from pathlib import Path

from fuzz.case import Case
from fuzz.watching import Outcome

__all__ = ["Report", "load_case", "save_case"]

MOST_SAVED = 3
"""Files of one kind of finding."""


def save_case(case: Case, path: Path) -> None:
    """Write a case as a file that `load_case` reads: its own bytes, and beside it what goes with them."""
    case.write(path)
    kept = {"kind": case.kind, "name": case.name, "zeros": case.zeros, "notes": case.notes}
    path.with_name(path.name + ".json").write_text(json.dumps(kept, indent=1), "utf-8")


def load_case(path: Path) -> Case:
    """A saved case, or any file as a case."""
    beside = path.with_name(path.name + ".json")
    kept = json.loads(beside.read_text("utf-8")) if beside.exists() else {}
    zeros = kept.get("zeros", 0)
    with path.open("rb") as file:
        content = file.read(path.stat().st_size - zeros)
    return Case(
        kept.get("kind", "a file"), kept.get("name", path.name), content, zeros, kept.get("notes", {})
    )


@dataclass
class Report:
    """Collects outcomes; `findings` counts those with a fault."""

    folder: Path
    options: str = ""
    cases: Counter[str] = field(default_factory=Counter)
    seconds: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    kinds: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    findings: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str, str], str] = field(default_factory=dict)
    passed_over: int = 0

    def knows(self, family: str, kind: str, problems: Set[str], least: int = MOST_SAVED) -> bool:
        """Whether a kind of case has shown one of some faults at least so many times."""
        counts = (
            count
            for (of, what, told), count in self.findings.items()
            if of == family and what == kind and told.partition(":")[0] in problems
        )
        return sum(counts) >= least

    def add(self, family: str, seed: int, number: int, outcome: Outcome) -> None:
        """Take an outcome in; a finding of a new kind is printed at once."""
        self.cases[family] += 1
        self.kinds[outcome.case.kind] += 1
        self.outcomes[f"{family}: {outcome.told.partition(':')[0]}"] += 1
        for problem, what in outcome.problems:
            key = family, outcome.case.kind, _signature(problem, what)
            self.findings[key] += 1
            if self.findings[key] <= MOST_SAVED:
                self._save(key, family, seed, number, outcome, problem, what)

    def _save(
        self,
        key: tuple[str, str, str],
        family: str,
        seed: int,
        number: int,
        outcome: Outcome,
        problem: str,
        what: str,
    ) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{family}-{seed}-{number}-{outcome.case.name}"
        save_case(outcome.case, path)
        if key in self.first:
            return
        self.first[key] = (
            f"  {problem}: {what}\n"
            f"    {outcome.case.kind}; {outcome.case.size:,} bytes, {outcome.seconds:.1f} s, "
            f"{outcome.megabytes:.0f} MB above idle\n"
            f"    again: python -m fuzz --only {family} --case {path}{self.options}"
        )
        print(f"found in {family}, case {number}:\n{self.first[key]}", flush=True)

    def told(self) -> str:
        """All of it, for people."""
        lines = ["", f"{'family':<10} {'cases':>8} {'seconds':>8} {'faults':>7}"]
        for family, cases in sorted(self.cases.items()):
            faults = sum(count for (of, _, _), count in self.findings.items() if of == family)
            lines.append(f"{family:<10} {cases:>8,} {self.seconds[family]:>8.0f} {faults:>7,}")
        if self.passed_over:
            lines.append(
                f"{self.passed_over:,} more were passed over: their kinds had shown three such faults already"
            )
        if self.findings:
            lines.append(f"\n{len(self.findings)} kinds of finding:")
            for (family, kind, problem), count in sorted(self.findings.items()):
                lines.append(f"{count:>6,} x {family}, {kind}: {problem[:120]}")
        else:
            lines.append("\nno finding")
        return "\n".join(lines)


def _signature(problem: str, what: str) -> str:
    """What findings of one kind have in common: not the numbers, and not which text a library printed."""
    if problem in {"text on standard error", "a traceback of the server"}:
        return problem
    first = re.sub(r"0x[0-9a-f]+|[0-9.]+|'[^']*'", "#", (what.splitlines() or [""])[0])
    return f"{problem}: {first[:80]}"
