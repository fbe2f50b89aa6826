"""What a training says of itself while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kalamos.datasets import SkippedFile

__all__ = ["Callback", "CallbackList", "EpochReport", "Start", "StepReport"]


@dataclass(frozen=True)
class EpochReport:
    """One line of the log. Losses in nats, rates in images a second, shares in [0, 1]."""

    epoch: int
    loss: float
    val_loss: float
    val_accuracy: float
    lr: float
    images_per_second: float
    seconds: float
    """Of training and validating this epoch."""


@dataclass(frozen=True)
class Start:
    """What is about to be trained."""

    arch: str
    parameters: int
    train_count: int
    val_count: int
    epochs: int
    earlier: tuple[EpochReport, ...]
    """Epochs done already, by the run that this one continues."""
    steps: int
    """Batches an epoch."""
    device: str
    precision: str


@dataclass(frozen=True)
class StepReport:
    """How far the epoch is. Loss in nats, mean so far."""

    epoch: int
    step: int
    loss: float
    images_per_second: float


class Callback:
    """Is told how a training goes; does nothing of it. Override what is wanted."""

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        """Nothing is learnt from these: files that cannot be read, images without ink. Comes first."""

    def on_start(self, start: Start) -> None: ...

    def on_step(self, report: StepReport) -> None: ...

    def on_epoch(self, report: EpochReport) -> None: ...


class CallbackList(Callback):
    """Several of them as one."""

    def __init__(self, *callbacks: Callback) -> None:
        self._callbacks = callbacks

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        for callback in self._callbacks:
            callback.on_skipped_files(dataset, problems)

    def on_start(self, start: Start) -> None:
        for callback in self._callbacks:
            callback.on_start(start)

    def on_step(self, report: StepReport) -> None:
        for callback in self._callbacks:
            callback.on_step(report)

    def on_epoch(self, report: EpochReport) -> None:
        for callback in self._callbacks:
            callback.on_epoch(report)
