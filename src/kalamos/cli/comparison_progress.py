"""Progress of a comparison: which run it is at, and each training as `kalamos train` shows it."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from kalamos.cli.terminal import echo
from kalamos.cli.training_progress import TrainingProgress, training_progress
from kalamos.comparison.compare import ComparisonCallback
from kalamos.comparison.systems import SeededRun, System
from kalamos.training.reports import EpochReport, Start, StepReport

if TYPE_CHECKING:
    from kalamos.datasets import SkippedFile

__all__ = ["comparison_context"]

STATES = {
    "given": "a finished run",
    "finished": "already finished",
    "interrupted": "continuing",
    "new": "training",
}


@contextmanager
def comparison_context(systems: Sequence[System]) -> Iterator[ComparisonCallback]:
    """Show a comparison, and after an interruption print how to continue it."""
    progress = _ComparisonProgress(sum(len(system.members) for system in systems))
    try:
        yield progress
    except KeyboardInterrupt:
        progress.on_trained()
        print("\nstopped; run the same command again to continue", file=sys.stderr)
        raise
    finally:
        progress.on_trained()


class _ComparisonProgress(ComparisonCallback):
    def __init__(self, total: int) -> None:
        self._total = total
        self._count = 0
        self._training = TrainingProgress()
        self._skipped: set[frozenset[SkippedFile]] = set()

    def on_member(self, system: System, member: SeededRun, state: str) -> None:
        self._count += 1
        echo(f"[{self._count} of {self._total}] {_name(system, member)}: {STATES[state]} ({member.folder})")
        self._training = training_progress()

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        files = frozenset(problems)  # in any order: that depends on the seed
        if files not in self._skipped:
            self._skipped.add(files)
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
        echo(f"{_name(system, member)}: accuracy {accuracy:.2%}")

    def on_failure(self, system: System, member: SeededRun, error: Exception) -> None:
        self._training.close()
        echo(f"{_name(system, member)}: failed: {error}", err=True)

    def on_timing(self) -> None:
        echo("timing all models, interleaved")


def _name(system: System, member: SeededRun) -> str:
    return f"{system.name}, seed {member.recipe.seed}"
