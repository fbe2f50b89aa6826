"""Callbacks of a training, and the logs of a run folder: CSV, TensorBoard events, curves as a picture."""

from __future__ import annotations

import csv
import io
import time
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import BinaryIO

from kalamos.datasets import SkippedFile
from kalamos.privacy import import_matplotlib
from kalamos.utils.atomic_write import write_bytes, write_text

__all__ = [
    "CURVES_FILE",
    "LOG_FILE",
    "Callback",
    "CallbackList",
    "CsvLog",
    "EpochReport",
    "Start",
    "StepReport",
    "TensorBoardLog",
    "read_log",
    "write_curves",
]

LOG_FILE, CURVES_FILE, EVENTS_FOLDER = "log.csv", "curves.png", "tensorboard"


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
    outliers: int = 0
    """Images of no character that are learnt from."""


@dataclass(frozen=True)
class StepReport:
    """How far the epoch is. Loss in nats, mean so far."""

    epoch: int
    step: int
    loss: float
    images_per_second: float


class Callback:
    """Base callback: every hook is a no-op. Override what you want."""

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        """Called first, with what is not trained on: files that cannot be read, images without ink."""

    def on_notes(self, notes: Sequence[str]) -> None:
        """Called next: the dataset's classes first, then what is odd about them or the split."""

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

    def on_notes(self, notes: Sequence[str]) -> None:
        for callback in self._callbacks:
            callback.on_notes(notes)

    def on_start(self, start: Start) -> None:
        for callback in self._callbacks:
            callback.on_start(start)

    def on_step(self, report: StepReport) -> None:
        for callback in self._callbacks:
            callback.on_step(report)

    def on_epoch(self, report: EpochReport) -> None:
        for callback in self._callbacks:
            callback.on_epoch(report)


class CsvLog(Callback):
    """`log.csv`: one line an epoch, there as soon as the epoch is done."""

    def __init__(self, folder: Path, reports: Iterable[EpochReport] = ()) -> None:
        self._path = folder / LOG_FILE
        self.reports = list(reports)

    def on_start(self, start: Start) -> None:
        self.reports = list(start.earlier)

    def on_epoch(self, report: EpochReport) -> None:
        self.reports.append(report)
        self.write()

    def write(self) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([f.name for f in fields(EpochReport)])
        writer.writerows(asdict(report).values() for report in self.reports)
        write_text(self._path, text.getvalue())


class TensorBoardLog(Callback):
    """Scalars for `tensorboard --logdir RUN`, under the same names as the CSV's columns.

    TensorBoard's own records, written at once: PyTorch's `SummaryWriter` hands them to a thread, for
    which the process waits for ever when Ctrl-C comes while it does so; and it names the host.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder / EVENTS_FOLDER
        self._file: BinaryIO | None = None

    def on_start(self, start: Start) -> None:
        self._folder.mkdir(exist_ok=True)
        # TensorBoard reads the files of a folder in the order of their names.
        self._file = (self._folder / f"events.out.tfevents.{time.time_ns()}").open("xb")
        step = len(start.earlier) + 1
        self._write(step=step, file_version="brain.Event:2")
        # What an interrupted run logged after its last checkpoint is logged again.
        self._write(step=step, session_log={"status": "START"})

    def on_epoch(self, report: EpochReport) -> None:
        values = asdict(report)
        epoch = values.pop("epoch")
        scalars = [{"tag": name, "simple_value": value} for name, value in values.items()]
        self._write(step=epoch, summary={"value": scalars})

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def _write(self, **event: object) -> None:
        from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[import-untyped]
        from tensorboard.summary.writer.record_writer import RecordWriter  # type: ignore[import-untyped]

        assert self._file is not None  # noqa: S101  (an epoch comes after the start)
        RecordWriter(self._file).write(Event(wall_time=time.time(), **event).SerializeToString())
        self._file.flush()


def read_log(folder: Path) -> tuple[EpochReport, ...]:
    """`log.csv` back as reports. Raises what `csv` and `float` raise for a damaged one."""
    with (folder / LOG_FILE).open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream))
    columns = [f.name for f in fields(EpochReport)][1:]
    return tuple(EpochReport(int(row["epoch"]), *(float(row[name]) for name in columns)) for row in rows)


def write_curves(folder: Path, reports: Sequence[EpochReport], title: str) -> None:
    """`curves.png`: loss and validation error over the epochs, the learning rate below."""
    import_matplotlib()
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, NullFormatter

    epochs = [report.epoch for report in reports]
    figure = Figure(figsize=(9, 5.5), layout="constrained")
    grid = figure.add_gridspec(2, 2, height_ratios=(3, 1))
    loss, error = figure.add_subplot(grid[0, 0]), figure.add_subplot(grid[0, 1])
    rate = figure.add_subplot(grid[1, :])
    marker = "o" if len(epochs) < 30 else ""
    loss.plot(epochs, [r.loss for r in reports], label="training", marker=marker, markersize=3)
    loss.plot(epochs, [r.val_loss for r in reports], label="validation", marker=marker, markersize=3)
    loss.set(title="loss (nats)", xlabel="epoch")
    loss.legend(frameon=False)
    wrong = [1 - r.val_accuracy for r in reports]
    error.plot(epochs, wrong, color="tab:orange", marker=marker, markersize=3)
    if 0 < min(wrong) < max(wrong):
        error.set_yscale("log")
    percent = FuncFormatter(lambda share, _: f"{100 * share:.3g}%")
    error.yaxis.set_major_formatter(percent)
    # Within one decade there may be no major tick at all.
    error.yaxis.set_minor_formatter(percent if max(wrong) < 10 * min(wrong) else NullFormatter())
    best = max(reports, key=lambda r: r.val_accuracy)
    error.set(
        title=f"validation error (least {1 - best.val_accuracy:.2%}, epoch {best.epoch})", xlabel="epoch"
    )
    rate.plot(epochs, [r.lr for r in reports], color="tab:green", marker=marker, markersize=3)
    rate.set(title="learning rate after the epoch", xlabel="epoch")
    for axes in (loss, error, rate):
        axes.grid(alpha=0.3)
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    figure.suptitle(title, parse_math=False)
    content = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a title in a script that the font lacks
        figure.savefig(content, format="png", dpi=110)
    write_bytes(folder / CURVES_FILE, content.getvalue())
