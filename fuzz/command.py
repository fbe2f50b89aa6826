"""The same files given to `kalamos predict`: its exit status, its output, and what it says aside."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from fuzz.case import Case
from fuzz.child import Problem
from fuzz.watching import Limits, Outcome, environment

__all__ = ["faults_of_command"]

MOST_BYTES = 20_000_000
"""Of a file that is read so too: what is larger takes long to write."""

SECONDS = 120.0
"""For a batch: nothing hangs that has been read within its limits before."""


def faults_of_command(
    cases: Mapping[int, Case], folder: Path, source: Path | None, limits: Limits
) -> Iterator[tuple[int, Outcome]]:
    """A number and an outcome for each case that the command fails on.

    A batch that fails is halved until one is left.
    """
    cases = {number: case for number, case in cases.items() if case.size < MOST_BYTES}
    problems = _run(list(cases.values()), folder, source, limits) if cases else []
    if not problems:
        return
    if len(cases) > 1:
        pairs = list(cases.items())
        half = len(pairs) // 2
        found = [
            *faults_of_command(dict(pairs[:half]), folder, source, limits),
            *faults_of_command(dict(pairs[half:]), folder, source, limits),
        ]
        if found:
            yield from found
            return
        problems = [(kind, f"{what} (with others of its batch)") for kind, what in problems]
    number, case = next(iter(cases.items()))
    yield number, Outcome(case, "command", tuple(problems), 0.0, 0.0)


def _run(cases: Sequence[Case], folder: Path, source: Path | None, limits: Limits) -> list[Problem]:
    folder.mkdir(parents=True, exist_ok=True)
    paths = [case.write(folder / f"{number:03}-{case.name}") for number, case in enumerate(cases)]
    output = folder / "rows.json"
    output.unlink(missing_ok=True)
    command = [
        sys.executable,
        "-m",
        "kalamos",
        "predict",
        "-q",
        "-f",
        "json",
        "-o",
        str(output),
        *map(str, paths),
    ]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            timeout=SECONDS,
            env=environment(source, folder, limits),
            cwd=folder,
            check=False,
        )
        return _judged(done, paths, output)
    except subprocess.TimeoutExpired:
        return [("the command hangs", f"more than {SECONDS:g} s for {len(cases)} files")]
    finally:
        for path in paths:
            path.unlink(missing_ok=True)


def _judged(done: subprocess.CompletedProcess[bytes], paths: Sequence[Path], output: Path) -> list[Problem]:
    said = done.stderr.decode(errors="replace").strip()
    if done.returncode not in {0, 1, 2}:
        return [("the command died", f"status {done.returncode}: {said[-160:]}")]
    if "Traceback" in said:
        return [("the command's traceback", said.splitlines()[-1][:160])]
    if done.returncode == 2:
        typed = said.startswith(("kalamos: ", "Usage: ")) and len(said.splitlines()) <= 5
        return [] if typed else [("text on standard error", said[:160])]
    problems: list[Problem] = [("text on standard error", said[:160])] if said else []
    try:
        rows = json.loads(output.read_text("utf-8"), parse_constant=int)
    except (OSError, ValueError) as error:
        return [*problems, ("the command's JSON is not valid", str(error)[:160])]
    named = [row.get("path") or "" for row in rows]
    for path in paths:
        # A table may name files elsewhere: its rows are theirs.
        if path.suffix not in {".csv", ".tsv", ".parquet"} and not any(
            name.startswith(str(path)) for name in named
        ):
            problems.append(("a row missing", f"{path.suffix} has no row"))
            break
    return problems
