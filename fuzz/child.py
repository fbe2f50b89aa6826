"""The process that uses kalamos: told of one file a line, it answers what became of each.

Run by `fuzz.watching` as `python -m fuzz.child FAMILY ANSWERS_FD [TASK_MODULE]`. What it uses is the
public surface of kalamos; what is not allowed to happen is listed with each answer under `problems`.
"""

from __future__ import annotations

import csv
import importlib
import inspect
import io
import json
import math
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fuzz.memory import forget_peaks, peak_of_tree

__all__ = ["Problem", "Task", "main", "wrong_rows"]

Problem = tuple[str, str]
"""What kind of fault, and what exactly."""

BORNE = "Corrupt JPEG data: "
"""What libjpeg prints of a damaged scan, and a library cannot keep from its host's standard error (see
`kalamos.cli._shared`). The command can: there it is a finding."""

Task = Callable[[Path, dict[str, Any]], tuple[str, list[Problem]]]
"""From a file and its case's notes to a few words on what came of it, and the faults seen."""


def main() -> None:
    """Answer for each line of standard input until it ends."""
    family, answers = sys.argv[1], os.fdopen(int(sys.argv[2]), "w", buffering=1)
    tasks = importlib.import_module(sys.argv[3] if len(sys.argv) > 3 else "fuzz.tasks")
    task: Task = getattr(tasks, family)()
    idle = peak_of_tree(os.getpid())
    print(json.dumps({"ready": idle, "source": _source()}), file=answers)
    for line in sys.stdin:
        asked = json.loads(line)
        print(json.dumps(_answer(task, asked, idle)), file=answers)


def _source() -> str:
    kalamos = sys.modules.get("kalamos")
    return str(Path(kalamos.__file__).parent.parent) if kalamos and kalamos.__file__ else ""


def _answer(task: Task, asked: dict[str, Any], idle: float) -> dict[str, Any]:
    quiet = os.fstat(2).st_size
    forget_peaks(os.getpid())
    started = time.perf_counter()
    outcome, problems = _tried(task, Path(asked["path"]), asked["notes"])
    took = time.perf_counter() - started
    sys.stderr.flush()
    if os.fstat(2).st_size > quiet and (said := _tail(quiet)):
        problems.append(("text on standard error", said))
    return {
        "outcome": outcome,
        "problems": problems,
        "seconds": round(took, 3),
        "megabytes": round(max(0.0, peak_of_tree(os.getpid()) - idle), 1),
    }


def _tried(task: Task, path: Path, notes: dict[str, Any]) -> tuple[str, list[Problem]]:
    from kalamos.errors import KalamosError

    try:
        return task(path, notes)
    except KalamosError as error:
        return f"{type(error).__name__}: {_short(error)}", []
    except Exception as error:  # noqa: BLE001 - what an untyped error is, is the question
        where = traceback.extract_tb(error.__traceback__)[-1]
        at = f"{Path(where.filename).name}:{where.name}"
        return "untyped error", [("untyped error", f"{type(error).__name__} at {at}: {_short(error)}")]


def _short(error: BaseException) -> str:
    return " ".join(str(error).split())[:160]


def _tail(start: int) -> str:
    with Path("/proc/self/fd/2").readlink().open("rb") as file:
        file.seek(start)
        lines = file.read().decode(errors="replace").splitlines()
    return "\n".join(line for line in lines if line and not line.startswith(BORNE))[:400]


def wrong_rows(rows: Iterable[Any], expected: int | None = None) -> list[Problem]:
    """What is wrong with predictions: their number, their numbers, and the JSON and CSV made of them."""
    rows = list(rows)
    problems: list[Problem] = []
    if expected is not None and len(rows) != expected:
        problems.append(("a row missing", f"{len(rows)} rows for {expected} inputs"))
    for row in rows:
        shares = [row.confidence, *(candidate.confidence for candidate in row.top)]
        if not all(
            share is None or (math.isfinite(share) and -1e-6 <= share <= 1 + 1e-6) for share in shares
        ):
            problems.append(("a confidence that is none", f"{shares[:3]}"))
            break
        if sum((row.label is not None, row.abstained, row.error is not None)) != 1:
            problems.append(("an answer of no kind", repr(row)[:160]))
            break
    return problems + _wrong_documents(rows)


def _wrong_documents(rows: list[Any]) -> list[Problem]:
    from kalamos.writers import open_writer

    problems: list[Problem] = []
    for form, check in (("json", _check_json), ("csv", _check_csv)):
        sink = io.BytesIO()
        with open_writer(form, sink, labels=(), top_k=5) as writer:
            for row in rows:
                writer.write(row)
        try:
            found = check(sink.getvalue().decode())
        except (ValueError, csv.Error) as error:
            problems.append((f"{form} that is not valid", _short(error)))
        else:
            if found != len(rows):
                problems.append((f"{form} without all rows", f"{found} of {len(rows)}"))
    return problems


def _check_json(text: str) -> int:
    def refuse(constant: str) -> None:
        raise ValueError(f"{constant} is no JSON")

    document = json.loads(text, parse_constant=refuse)
    rows = document if isinstance(document, list) else document["results"]
    return len(rows)


def _check_csv(text: str) -> int:
    lines = list(csv.reader(io.StringIO(text), strict=True))
    if any(len(line) != len(lines[0]) for line in lines):
        raise ValueError("rows of different lengths")
    return len(lines) - 1


def with_timeout(call: Callable[..., Any], seconds: float) -> Callable[..., Any]:
    """The call with `timeout=seconds`, where this version of kalamos knows that."""
    if "timeout" in inspect.signature(call).parameters:
        return lambda *args, **named: call(*args, timeout=seconds, **named)
    return call


if __name__ == "__main__":
    main()
