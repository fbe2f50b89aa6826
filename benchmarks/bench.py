"""`make bench`: what kalamos costs, each figure beside its floor, measured in the same run.

Usage: python benchmarks/bench.py [PART ...] [--repeats 7] [--quick] [--write]
PART: figures (cold start, folders, memory, latency), http, stages, growth, forms, peers; all without one.
`--quick` measures less, for a look: fewer images, at most 100,000 of them. `--write` puts the tables into
docs/performance.md, the first also into README.md, and draws the plots.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import form_speed
import growth
import http_api
import peers
import running
import stages
from figures import table, write


def figures(repeats: int, *, quick: bool, keep: bool) -> str:
    rows = [
        *running.one_image(repeats),
        *running.folders(repeats, 1_000 if quick else 10_000),
        *running.latency(repeats, 100 if quick else 1_000),
    ]
    note = f"n = {repeats} repeats, each run in turn with its floor; the ratio is that of the pairs"
    report = table(rows, note)
    if keep:
        write("bench", report, ("docs/performance.md", "README.md"))
    return report


def over_http(repeats: int, *, quick: bool, keep: bool) -> str:
    rows, note = http_api.measure(repeats, 3 if quick else 30)
    report = table(rows, note)
    if keep:
        write("bench-http", report)
    return report


def profile(repeats: int, *, quick: bool, keep: bool) -> str:
    measured = stages.measure(repeats, 500 if quick else 5_000)
    report = stages.report(measured, repeats)
    if keep:
        stages.plot(measured)
        write("bench-stages", report)
    return report


def growing(repeats: int, *, quick: bool, keep: bool) -> str:
    runs = growth.measure(max(1, repeats // 3), growth.SIZES[:-1] if quick else growth.SIZES)
    report = growth.report(runs)
    if keep:
        growth.plot(runs)
        write("bench-growth", report)
    return report


def beside_peers(repeats: int, *, quick: bool, keep: bool) -> str:
    rows, agreement = peers.measure(repeats, 500 if quick else 10_000)
    report = table(rows, f"n = {repeats} repeats in turn; {agreement}", beside="script")
    if keep:
        write("bench-peers", report)
    return report


def forms(repeats: int, *, quick: bool, keep: bool) -> str:
    rows = form_speed.form_speed(repeats, 30 if quick else 300)
    report = table(rows, f"n = {repeats} repeats, each in turn with what it stands beside")
    if keep:
        write("bench-forms", report)
    return report


PARTS: dict[str, Callable[..., str]] = {
    "figures": figures,
    "http": over_http,
    "stages": profile,
    "growth": growing,
    "forms": forms,
    "peers": beside_peers,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--write", action="store_true")
    asked = parser.parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        parser.error(f"no part is called {min(unknown)!r}; they are {', '.join(PARTS)}")
    for part in asked.parts or PARTS:
        started = time.perf_counter()
        print(PARTS[part](asked.repeats, quick=asked.quick, keep=asked.write), flush=True)
        print(f"{part} took {time.perf_counter() - started:.0f} s\n", file=sys.stderr)


if __name__ == "__main__":
    main()
