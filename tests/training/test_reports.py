from __future__ import annotations

from collections.abc import Sequence

from kalamos.datasets import SkippedFile
from kalamos.training.reports import Callback, CallbackList, EpochReport, Start, StepReport

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
