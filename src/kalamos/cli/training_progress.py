"""Progress of `kalamos train` and `compare`: a live bar on a terminal, and one line per epoch or run."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from kalamos.cli._shared import bar_of, echo, print_skipped
from kalamos.learn.callbacks import Callback, EpochReport, Start, StepReport
from kalamos.learn.compare import ComparisonCallback
from kalamos.learn.compare.systems import SeededRun, System

if TYPE_CHECKING:
    from rich.progress import Progress

    from kalamos.datasets import SkippedFile

__all__ = [
    "EpochLines",
    "LiveBar",
    "TrainingProgress",
    "comparison_context",
    "is_main_process",
    "training_context",
    "training_progress",
]

MEMBER_STATES = {
    "given": "a finished run",
    "finished": "already finished",
    "interrupted": "continuing",
    "new": "training",
}
"""What each state of `ComparisonCallback.on_member` is called."""


def is_main_process() -> bool:
    """Of several processes that `torchrun` started, only the first one prints."""
    return os.environ.get("RANK", "0") == "0"


def training_progress() -> TrainingProgress:
    """Return what shows a training in this process."""
    if not is_main_process():
        return TrainingProgress()
    return LiveBar() if sys.stdout.isatty() else EpochLines()


@contextmanager
def training_context(folder: Path) -> Iterator[TrainingProgress]:
    """Show a training, and after an interruption print how to continue it."""
    progress = training_progress()
    try:
        yield progress
    except KeyboardInterrupt:
        progress.close()
        if is_main_process() and (folder / "run.json").exists():
            echo(f"\nstopped; continue with: kalamos train --resume {shlex.quote(str(folder))}", err=True)
        raise
    except Exception:
        if is_main_process():
            with suppress(OSError):
                folder.rmdir()  # if nothing has been written yet
        raise
    finally:
        progress.close()


class TrainingProgress(Callback):
    """Shows nothing; remembers whether images were passed over."""

    lost = False

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:  # noqa: ARG002
        self.lost = self.lost or any(problem.lost for problem in problems)

    def close(self) -> None: ...


class EpochLines(TrainingProgress):
    """The model, then one line per epoch, on standard output; skipped files on standard error."""

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        super().on_skipped_files(dataset, problems)
        print_skipped(dataset, problems)

    def on_notes(self, notes: Sequence[str]) -> None:
        classes, *odd = notes
        echo(classes)
        for note in odd:
            echo(note, err=True)

    def on_start(self, start: Start) -> None:
        self._epochs = start.epochs
        done = f", {len(start.earlier)} of {start.epochs} epochs done" if start.earlier else ""
        others = f", {start.outliers:,} of no character" if start.outliers else ""
        self._print(
            f"{start.arch}: {start.parameters:,} parameters; {start.train_count:,} training images{others}, "
            f"{start.val_count:,} held out; {start.device}, {start.precision}{done}"
        )

    def on_epoch(self, report: EpochReport) -> None:
        self._print(
            f"epoch {report.epoch:>3}/{self._epochs}  loss {report.loss:.4f}  "
            f"validation loss {report.val_loss:.4f} accuracy {report.val_accuracy:.2%}  "
            f"{report.images_per_second:,.0f} images/s"
        )

    def _print(self, line: str) -> None:
        echo(line)


class LiveBar(EpochLines):
    """The same lines, and below them a bar with the loss, the speed and the time left."""

    _bar: Progress | None = None

    def on_start(self, start: Start) -> None:
        from rich.progress import BarColumn, TimeRemainingColumn

        self._steps = start.steps
        self._best = max((report.val_accuracy for report in start.earlier), default=0.0)
        self._bar = bar_of(
            "epoch {task.fields[epoch]:>3}/{task.fields[epochs]}",
            BarColumn(),
            "loss {task.fields[loss]}",
            "best {task.fields[best]}",
            "{task.fields[rate]:,.0f} images/s",
            TimeRemainingColumn(elapsed_when_finished=True),
            stderr=False,
        )
        self._task = self._bar.add_task(
            "training",
            total=start.epochs * start.steps,
            completed=len(start.earlier) * start.steps,
            epoch=min(len(start.earlier) + 1, start.epochs),
            epochs=start.epochs,
            loss="  –   ",
            best=f"{self._best:.2%}" if start.earlier else "–",
            rate=0.0,
        )
        super().on_start(start)
        self._bar.start()

    def on_step(self, report: StepReport) -> None:
        assert self._bar is not None  # noqa: S101  (a step comes after the start)
        self._bar.update(
            self._task,
            completed=(report.epoch - 1) * self._steps + report.step,
            epoch=report.epoch,
            loss=f"{report.loss:.4f}",
            rate=report.images_per_second,
        )

    def on_epoch(self, report: EpochReport) -> None:
        assert self._bar is not None  # noqa: S101
        self._best = max(self._best, report.val_accuracy)
        self._bar.update(self._task, best=f"{self._best:.2%}")
        super().on_epoch(report)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()

    def _print(self, line: str) -> None:
        assert self._bar is not None  # noqa: S101
        self._bar.console.print(line, highlight=False, markup=False)


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
        count = f"[{self._count} of {self._total}]"
        echo(f"{count} {_name(system, member)}: {MEMBER_STATES[state]} ({member.folder})")
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
