"""How a comparison shows itself: which member it is about, and each training as `kalamos train` does."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kalamos.cli.terminal import echo
from kalamos.cli.training_progress import TrainingCallback, training_callback
from kalamos.comparison.compare import ComparisonCallback
from kalamos.comparison.systems import SeededRun, System
from kalamos.training.reports import EpochReport, Start, StepReport

if TYPE_CHECKING:
    from kalamos.datasets import SkippedFile

__all__ = ["told"]

STATES = {
    "given": "a finished run",
    "finished": "finished before",
    "interrupted": "goes on",
    "new": "training",
}


@contextmanager
def told(systems: Sequence[System]) -> Iterator[ComparisonCallback]:
    """Yields who tells the terminal; an interruption is told as well."""
    callback = _Told(sum(len(system.members) for system in systems))
    try:
        yield callback
    except KeyboardInterrupt:
        callback.on_trained()
        print("\nstopped; the same command goes on from here", file=sys.stderr)
        raise
    finally:
        callback.on_trained()


class _Told(ComparisonCallback):
    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._training = TrainingCallback()
        self._passed_over: set[frozenset[SkippedFile]] = set()

    def on_member(self, system: System, member: SeededRun, state: str) -> None:
        self._count += 1
        place = f"{self._count} of {self._total}"
        echo(f"[{place}] {_who(system, member)}: {STATES[state]} ({member.folder})")
        self._training = training_callback()

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        named = frozenset(problems)  # the seed says which of them come first
        if named not in self._passed_over:
            self._passed_over.add(named)
            self._training.on_skipped_files(dataset, problems)

    def on_start(self, start: Start) -> None:
        self._training.on_start(start)

    def on_step(self, report: StepReport) -> None:
        self._training.on_step(report)

    def on_epoch(self, report: EpochReport) -> None:
        self._training.on_epoch(report)

    def on_trained(self) -> None:
        self._training.close()

    def on_measured(self, system: System, member: SeededRun, accuracy: float) -> None:
        echo(f"{_who(system, member)}: {accuracy * 100:.2f} % right")

    def on_failure(self, system: System, member: SeededRun, error: Exception) -> None:
        self._training.close()
        echo(f"{_who(system, member)}: failed: {error}", err=True)

    def on_timing(self) -> None:
        echo("timing all of them side by side")


def _who(system: System, member: SeededRun) -> str:
    return f"{system.name}, seed {member.recipe.seed}"
