"""How a training shows itself: a live display on a terminal, else one line an epoch."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kalamos.cli.passed_over import tell_passed_over
from kalamos.cli.terminal import echo
from kalamos.training.reports import Callback, EpochReport, Start, StepReport

if TYPE_CHECKING:
    from rich.progress import Progress

    from kalamos.datasets import SkippedFile

__all__ = ["TrainingCallback", "training_callback"]


def training_callback() -> TrainingCallback:
    """What fits this process: of several that `torchrun` started, only the first one speaks."""
    if os.environ.get("RANK", "0") != "0":
        return TrainingCallback()
    return Live() if sys.stdout.isatty() else Lines()


class TrainingCallback(Callback):
    """Says nothing."""

    def close(self) -> None: ...


class Lines(TrainingCallback):
    """What is trained, then one line an epoch, on standard output; what is left out, on standard error."""

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        tell_passed_over(dataset, problems)

    def on_start(self, start: Start) -> None:
        self._epochs = start.epochs
        echo(_headline(start))

    def on_epoch(self, report: EpochReport) -> None:
        echo(_line(report, self._epochs))


class Live(Lines):
    """The same lines, and below them a bar with the loss, the rate and the time left."""

    _bar: Progress | None = None

    def on_start(self, start: Start) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._start = start
        self._bar = Progress(
            TextColumn("epoch {task.fields[epoch]:>3}/{task.fields[epochs]}"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TextColumn("best {task.fields[best]}"),
            TextColumn("{task.fields[rate]:,.0f} images/s"),
            TimeRemainingColumn(elapsed_when_finished=True),
            transient=True,
        )
        best = max((report.val_accuracy for report in start.earlier), default=None)
        self._task = self._bar.add_task(
            "training",
            total=start.epochs * start.steps,
            completed=len(start.earlier) * start.steps,
            epoch=min(len(start.earlier) + 1, start.epochs),
            epochs=start.epochs,
            loss="  –   ",
            best="–" if best is None else f"{best:.2%}",
            rate=0.0,
        )
        self._best = best or 0.0
        self._bar.console.print(_headline(start), highlight=False, markup=False)
        self._bar.start()

    def on_step(self, report: StepReport) -> None:
        assert self._bar is not None  # noqa: S101  (a step comes after the start)
        self._bar.update(
            self._task,
            completed=(report.epoch - 1) * self._start.steps + report.step,
            epoch=report.epoch,
            loss=f"{report.loss:.4f}",
            rate=report.images_per_second,
        )

    def on_epoch(self, report: EpochReport) -> None:
        assert self._bar is not None  # noqa: S101
        self._best = max(self._best, report.val_accuracy)
        self._bar.update(self._task, best=f"{self._best:.2%}")
        self._bar.console.print(_line(report, self._start.epochs), highlight=False, markup=False)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.stop()


def _headline(start: Start) -> str:
    done = f", {len(start.earlier)} of {start.epochs} epochs done" if start.earlier else ""
    return (
        f"{start.arch}: {start.parameters:,} parameters; {start.train_count:,} images to learn from, "
        f"{start.val_count:,} held out; {start.device}, {start.precision}{done}"
    )


def _line(report: EpochReport, epochs: int) -> str:
    return (
        f"epoch {report.epoch:>3}/{epochs}  loss {report.loss:.4f}  "
        f"validation loss {report.val_loss:.4f} accuracy {report.val_accuracy:.2%}  "
        f"{report.images_per_second:,.0f} images/s"
    )
