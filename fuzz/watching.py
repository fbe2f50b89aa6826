"""Watches the child process from outside: its death, its time, its memory and that of its own children."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from fuzz.case import Case
from fuzz.child import Problem
from fuzz.memory import cpu_of_tree, resident_of_tree, tree

__all__ = ["ROOT", "Child", "Limits", "Outcome", "environment"]

ROOT = Path(__file__).parent.parent


def _patience() -> float:
    """How many times as long as allowed a case may take by the clock, where the machine does other things."""
    return max(3.0, 2.0 * os.getloadavg()[0] / (os.cpu_count() or 1))


@dataclass(frozen=True)
class Limits:
    """What one case may take.

    Attributes:
        small_seconds: for a file below `small_bytes`, of processor time; by the clock more where others work.
        document_seconds: for a document below `small_bytes`, each of whose pages has its own time.
        timeout: seconds for any file: kalamos's own limit, which the child passes on.
        grace: what is added to that.
        megabytes: above what the process had when idle.
        address_space: bytes that a process may map (Linux): a fault then does not take the machine along,
            and what comes of memory that is refused is seen as well.
    """

    small_seconds: float = 2.0
    small_bytes: int = 1_000_000
    document_seconds: float = 10.0
    timeout: float = 5.0
    grace: float = 1.0
    megabytes: float = 500.0
    address_space: int = 5 * 2**30

    def seconds(self, size: int, family: str) -> float:
        """For a file of `size` bytes; a model has the small file's time whatever its size."""
        small = family in {"models", "runs"} or size < self.small_bytes
        if small and family == "documents":
            return self.document_seconds
        return self.small_seconds if small else self.timeout + self.grace


@dataclass(frozen=True)
class Outcome:
    """What became of a case."""

    case: Case
    told: str
    problems: tuple[Problem, ...]
    seconds: float
    """By the clock."""
    megabytes: float
    cpu: float = 0.0
    """Seconds of processor time, of all its processes together."""


def environment(source: Path | None, folder: Path, limits: Limits) -> dict[str, str]:
    """For a child: the source to test first on the path, and a home and a temporary folder of its own."""
    for name in ("home", "tmp"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    paths = [str(source or ROOT / "src"), str(ROOT)]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        "HOME": str(folder / "home"),
        "TMPDIR": str(folder / "tmp"),
        "OMP_NUM_THREADS": "1",
        "KALAMOS_FUZZ_TIMEOUT": str(limits.timeout),
        "KALAMOS_FUZZ_FOLDER": str(folder),
    }


class Child:
    """A process that tries cases one after the other, begun again where one has ended it.

    A context manager.
    """

    def __init__(
        self,
        family: str,
        folder: Path,
        limits: Limits,
        *,
        source: Path | None = None,
        tasks: str = "fuzz.tasks",
    ) -> None:
        self.family, self.folder, self.limits, self.tasks = family, folder, limits, tasks
        folder.mkdir(parents=True, exist_ok=True)
        self._environment = environment(source, folder, limits)
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""
        self.idle = 0.0
        self.source = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def try_case(self, case: Case, number: int = 0) -> Outcome:
        """Try one; its file is gone again afterwards."""
        path = case.write(self.folder / f"{number:06}-{case.name}")
        try:
            return self.try_one(case, path)
        finally:
            path.unlink(missing_ok=True)

    def try_one(self, case: Case, path: Path) -> Outcome:
        """Try one whose file is there."""
        process = self._process or self._start()
        asked = {"path": str(path), "notes": case.notes}
        assert process.stdin is not None
        started, worked = time.perf_counter(), cpu_of_tree(process.pid)
        try:
            process.stdin.write(json.dumps(asked).encode() + b"\n")
            process.stdin.flush()
        except BrokenPipeError:  # it ended after the last answer: of that case, most likely
            return self._died(case, started, 0.0)
        allowed = self.limits.seconds(case.size, self.family)
        most = 0.0
        while True:
            line = self._line(0.02)
            most = max(most, resident_of_tree(process.pid) - self.idle) if line is None else most
            if line == b"":
                return self._died(case, started, most)
            if line:
                return self._judged(case, json.loads(line), most, allowed, cpu_of_tree(process.pid) - worked)
            late = time.perf_counter() - started > _patience() * allowed
            late = late or cpu_of_tree(process.pid) - worked > 1.5 * allowed
            if late or most > 2 * self.limits.megabytes:
                return self._stopped(case, started, most, allowed)

    def _judged(self, case: Case, answer: dict[str, Any], most: float, allowed: float, cpu: float) -> Outcome:
        problems: list[Problem] = [(kind, what) for kind, what in answer["problems"]]
        most = max(most, answer["megabytes"])
        # Where others work at the same time, the same work takes more processor time as well.
        busy = 1.3 if _patience() > 3 else 1.0
        if cpu > busy * allowed or answer["seconds"] > _patience() * allowed:
            problems.append(("too slow", f"more than {allowed:g} s"))
        if most > self.limits.megabytes:
            problems.append(("too much memory", f"more than {self.limits.megabytes:g} MB above idle"))
        return Outcome(case, answer["outcome"], tuple(problems), answer["seconds"], most, cpu)

    def _stopped(self, case: Case, started: float, most: float, allowed: float) -> Outcome:
        self.end()
        problem: Problem = ("too slow", f"more than {allowed:g} s")
        if most > self.limits.megabytes:
            problem = "too much memory", f"more than {self.limits.megabytes:g} MB above idle"
        return Outcome(case, "stopped", (problem,), time.perf_counter() - started, most)

    def _died(self, case: Case, started: float, most: float) -> Outcome:
        assert self._process is not None
        code = self._process.wait()
        said = (self.folder / "stderr").read_text(errors="replace").strip().splitlines()
        how = signal.Signals(-code).name if code < 0 else f"exit status {code}"
        self.end()
        problem = "the process died", f"{how}{': ' + said[-1][:160] if said else ''}"
        return Outcome(case, "died", (problem,), time.perf_counter() - started, most)

    def _start(self) -> subprocess.Popen[bytes]:
        reading, writing = os.pipe()
        os.set_inheritable(writing, True)
        arguments = [sys.executable, "-m", "fuzz.child", self.family, str(writing), self.tasks]
        with (self.folder / "stderr").open("wb") as quiet:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=quiet,
                stderr=quiet,
                env=self._environment,
                cwd=self.folder,
                pass_fds=(writing,),
                start_new_session=True,
                preexec_fn=self._limit,  # noqa: PLW1509 - before it, this process starts no threads that matter
            )
        os.close(writing)
        self._answers, self._pending = reading, b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(reading, selectors.EVENT_READ)
        line = self._line(120)
        if not line:
            said = (self.folder / "stderr").read_text(errors="replace")
            raise SystemExit(f"the child process for {self.family} does not start:\n{said}")
        first = json.loads(line)
        self.idle, self.source = resident_of_tree(self._process.pid), first["source"]
        return self._process

    def _limit(self) -> None:
        import resource

        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        most = self.limits.address_space
        # Not the hard limit: what kalamos starts may have reasons to set its own.
        resource.setrlimit(resource.RLIMIT_AS, (most if hard < 0 else min(most, hard), hard))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    def _line(self, seconds: float) -> bytes | None:
        """The next answer; None where there is none yet, and nothing where there will be none any more."""
        while b"\n" not in self._pending:
            if not self._selector.select(seconds):
                return None
            data = os.read(self._answers, 1 << 16)
            if not data:
                return b""
            self._pending += data
        line, _, self._pending = self._pending.partition(b"\n")
        return line

    def end(self) -> None:
        """End the process and those that it started."""
        if self._process is None:
            return
        for pid in list(tree(self._process.pid)):
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):  # what a child that died has left behind
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdin:
            with contextlib.suppress(OSError):  # what it never read
                self._process.stdin.close()
        self._selector.close()
        os.close(self._answers)
        self._process = None
