from __future__ import annotations

import csv
import math
import threading
from collections.abc import Sequence
from pathlib import Path

import cv2
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from kalamos.datasets import SkippedFile
from kalamos.learn import EpochReport
from kalamos.learn.callbacks import (
    CURVES_FILE,
    LOG_FILE,
    Callback,
    CallbackList,
    CsvLog,
    Start,
    StepReport,
    TensorBoardLog,
    read_log,
    write_curves,
)

COLUMNS = ["epoch", "loss", "val_loss", "val_accuracy", "lr", "images_per_second", "seconds"]


def report(epoch: int, accuracy: float = 0.9) -> EpochReport:
    return EpochReport(epoch, 1 / epoch, 2 / epoch, accuracy, 0.1 / epoch, 1000.0, 1 / 3)


def start(*earlier: EpochReport) -> Start:
    return Start("cnn2", 10, 20, 5, 9, earlier, 2, "cpu", "float32")


def test_the_csv_is_there_after_every_epoch_and_for_spreadsheets(tmp_path: Path) -> None:
    log = CsvLog(tmp_path)
    log.on_start(start())
    for epoch in (1, 2):
        log.on_epoch(report(epoch))
        with (tmp_path / LOG_FILE).open(newline="") as stream:
            header, *rows = csv.reader(stream)
        assert header == COLUMNS
        assert [int(row[0]) for row in rows] == list(range(1, epoch + 1))
    assert b"\r" not in (tmp_path / LOG_FILE).read_bytes()


def test_the_csv_comes_back_exactly(tmp_path: Path) -> None:
    reports = (report(1), report(3), EpochReport(4, 1e-300, math.inf, 1.0, 2 / 3, 1e9, 0.1))
    CsvLog(tmp_path, reports).write()
    assert read_log(tmp_path) == reports


def test_a_continued_csv_holds_what_the_state_knows_and_no_more(tmp_path: Path) -> None:
    CsvLog(tmp_path, [report(1), report(2), report(3)]).write()  # the third came after the last checkpoint
    log = CsvLog(tmp_path)
    log.on_start(start(report(1), report(2)))
    log.on_epoch(report(3, accuracy=0.5))
    assert [(r.epoch, r.val_accuracy) for r in read_log(tmp_path)] == [(1, 0.9), (2, 0.9), (3, 0.5)]


def scalars(folder: Path, name: str) -> list[tuple[int, float]]:
    events = EventAccumulator(str(folder / "tensorboard"))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars(name)]


def test_tensorboard_finds_every_column_and_no_epoch_twice(tmp_path: Path) -> None:
    before = threading.active_count()
    for begin in (start(), start(report(1), report(2))):
        log = TensorBoardLog(tmp_path)
        log.on_start(begin)
        for epoch in range(len(begin.earlier) + 1, 4):
            log.on_epoch(report(epoch))
        log.close()
    assert threading.active_count() == before
    for name in COLUMNS[1:]:
        found = scalars(tmp_path, name)
        assert [step for step, _ in found] == [1, 2, 3]
        assert found[-1][1] == pytest.approx(getattr(report(3), name), rel=1e-6)


def test_a_tensorboard_log_that_never_began_writes_nothing(tmp_path: Path) -> None:
    TensorBoardLog(tmp_path).close()
    assert not list(tmp_path.iterdir())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "accuracies",
    [
        [0.5],
        [1.0],
        [0.0],
        [0.5, 0.9, 0.99, 0.999],
        [0.97, 0.98, 0.981, 0.979],
        [0.9, 1.0, 1.0],
        [0.1 + 0.0089 * i for i in range(100)],
    ],
    ids=["one", "perfect", "hopeless", "decades", "close", "to nothing", "hundred"],
)
def test_the_curves_are_a_picture(tmp_path: Path, accuracies: list[float]) -> None:
    reports = [report(epoch, accuracy) for epoch, accuracy in enumerate(accuracies, start=1)]
    write_curves(tmp_path, reports, "cnn2 on حروف 汉字 $x^$")
    picture = cv2.imread(str(tmp_path / CURVES_FILE))
    assert picture is not None
    assert picture.shape == (605, 990, 3)
    assert picture.min() < 50 < picture.max()


START = Start("cnn2", 10, 20, 5, 3, (), 2, "cpu", "float32")
STEP = StepReport(1, 1, 0.5, 100.0)
PROBLEM = SkippedFile("7/scan.pdf", "not an image")
EPOCH = EpochReport(1, 0.5, 0.6, 0.7, 0.01, 100.0, 1.0)


class Notes(Callback):
    def __init__(self, told: list[object]) -> None:
        self.told = told

    def on_skipped_files(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        self.told.append((dataset, *problems))

    def on_start(self, start: Start) -> None:
        self.told.append(("start", start))

    def on_epoch(self, report: EpochReport) -> None:
        self.told.append(("epoch", report))


def tell(callback: Callback) -> None:
    callback.on_skipped_files("letters", (PROBLEM,))
    callback.on_start(START)
    callback.on_step(STEP)
    callback.on_epoch(EPOCH)


def test_a_watch_need_not_listen_to_everything() -> None:
    tell(Callback())
    told: list[object] = []
    tell(Notes(told))
    assert told == [("letters", PROBLEM), ("start", START), ("epoch", EPOCH)]


def test_several_are_told_in_their_order() -> None:
    one: list[object] = []
    tell(CallbackList(Notes(one), Callback(), Notes(one)))
    assert one == [
        told for told in (("letters", PROBLEM), ("start", START), ("epoch", EPOCH)) for _ in range(2)
    ]
