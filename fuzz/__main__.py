"""Command line of the fuzzer; see CONTRIBUTING.md."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import threading
from dataclasses import replace
from pathlib import Path

from fuzz.memory import has_proc
from fuzz.report import Report, load_case
from fuzz.runner import FILES, Plan, fuzz_files, try_again
from fuzz.watching import ROOT, Limits

FAMILIES = (*FILES, "requests")

SHARES = {"images": 4, "archives": 1, "documents": 2, "tables": 2, "models": 2, "runs": 1, "requests": 2}
"""Of the time."""


def main() -> int:
    """Fuzz; 1 where something was found."""
    asked = _arguments()
    if not has_proc() or not hasattr(os, "fork"):
        print("the fuzzer watches memory through /proc, so it runs on Linux alone", file=sys.stderr)
        return 2
    seed = random.SystemRandom().randrange(10**6) if asked.seed is None else asked.seed
    families = asked.only or list(FAMILIES)
    source = asked.source.resolve() if asked.source else None
    report = Report(asked.folder / "findings", f" --source {source}" if source else "")
    whole = sum(SHARES[family] for family in families)
    plan = Plan(
        seed,
        0.0,
        asked.cases,
        asked.folder.resolve(),
        source,
        Limits(timeout=asked.timeout),
        not asked.no_command,
    )
    print(f"seed {seed}; testing {source or ROOT / 'src'}", flush=True)
    if asked.case:
        return _again(asked.case, families[0], plan)
    shutil.rmtree(report.folder, ignore_errors=True)
    jobs = max(1, min(asked.jobs, len(families)))
    plans = [
        (each, replace(plan, seconds=60 * asked.minutes * jobs * SHARES[each] / whole)) for each in families
    ]
    _run(plans, jobs, report)
    print(report.told())
    return 1 if report.findings else 0


def _run(plans: list[tuple[str, Plan]], jobs: int, report: Report) -> None:
    waiting = sorted(plans, key=lambda each: each[1].seconds)

    def work() -> None:
        while waiting:
            family, plan = waiting.pop()
            if family == "requests":
                from fuzz.requests import fuzz_requests

                fuzz_requests(plan, report)
            else:
                fuzz_files(family, plan, report)

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _again(path: Path, family: str, plan: Plan) -> int:
    case = load_case(path)
    if family == "requests":
        from fuzz.requests import try_request

        outcome = try_request(plan, case)
    else:
        outcome = try_again(family, plan, case)
    print(f"{case.kind}: {outcome.told}; {outcome.seconds:.2f} s, {outcome.megabytes:.0f} MB above idle")
    for kind, what in outcome.problems:
        print(f"  {kind}: {what}")
    return 1 if outcome.problems else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=5.0, help="for all families together")
    parser.add_argument("--cases", type=int, help="of each family, instead of a time")
    parser.add_argument("--seed", type=int, help="the same seed draws the same cases; by default a new one")
    parser.add_argument(
        "--only", action="append", choices=FAMILIES, help="this family; may come more than once"
    )
    parser.add_argument("--source", type=Path, help="the folder that holds another kalamos to test")
    parser.add_argument("--jobs", type=int, default=2, help="families at the same time")
    parser.add_argument(
        "--timeout", type=float, default=5.0, help="seconds that kalamos is given for a large file"
    )
    parser.add_argument(
        "--no-command", action="store_true", help="use the library alone, not `kalamos predict`"
    )
    parser.add_argument("--case", type=Path, help="try this saved case again, or any file; with --only")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "fuzz", help="for findings and work")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
