from __future__ import annotations

from collections.abc import Sequence

from kalamos.datasets import SkippedFile
from kalamos.training.reports import EpochReport, Start, StepReport, Watch, Watches

START = Start("cnn2", 10, 20, 5, 3, (), 2, "cpu", "float32")
STEP = StepReport(1, 1, 0.5, 100.0)
PROBLEM = SkippedFile("7/scan.pdf", "not an image")
EPOCH = EpochReport(1, 0.5, 0.6, 0.7, 0.01, 100.0, 1.0)


class Notes(Watch):
    def __init__(self, told: list[object]) -> None:
        self.told = told

    def on_passed_over(self, dataset: str, problems: Sequence[SkippedFile]) -> None:
        self.told.append((dataset, *problems))

    def on_start(self, start: Start) -> None:
        self.told.append(("start", start))

    def on_epoch(self, report: EpochReport) -> None:
        self.told.append(("epoch", report))


def tell(watch: Watch) -> None:
    watch.on_passed_over("letters", (PROBLEM,))
    watch.on_start(START)
    watch.on_step(STEP)
    watch.on_epoch(EPOCH)


def test_a_watch_need_not_listen_to_everything() -> None:
    tell(Watch())
    told: list[object] = []
    tell(Notes(told))
    assert told == [("letters", PROBLEM), ("start", START), ("epoch", EPOCH)]


def test_several_are_told_in_their_order() -> None:
    one: list[object] = []
    tell(Watches(Notes(one), Watch(), Notes(one)))
    assert one == [
        told for told in (("letters", PROBLEM), ("start", START), ("epoch", EPOCH)) for _ in range(2)
    ]
