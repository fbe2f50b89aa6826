from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from rich import reconfigure

pytest.importorskip("torch", reason="needs the extra 'train'")

from kalamos.cli.training_progress import EpochLines, LiveBar, TrainingProgress, training_progress
from kalamos.training.reports import Callback, EpochReport, Start, StepReport


def report(epoch: int, accuracy: float) -> EpochReport:
    return EpochReport(epoch, 0.5 / epoch, 0.6 / epoch, accuracy, 0.01, 12345.6, 2.0)


def tell(watch: Callback, *earlier: EpochReport) -> None:
    watch.on_start(Start("cnn2", 225034, 54000, 6000, 3, earlier, 40, "cpu", "bfloat16"))
    for epoch in range(len(earlier) + 1, 4):
        for step in (20, 40):
            watch.on_step(StepReport(epoch, step, 0.25, 9876.5))
        watch.on_epoch(report(epoch, 0.9 + epoch / 100))


LINES = [
    "cnn2: 225,034 parameters; 54,000 training images, 6,000 held out; cpu, bfloat16",
    "epoch   1/3  loss 0.5000  validation loss 0.6000 accuracy 91.00%  12,346 images/s",
    "epoch   2/3  loss 0.2500  validation loss 0.3000 accuracy 92.00%  12,346 images/s",
    "epoch   3/3  loss 0.1667  validation loss 0.2000 accuracy 93.00%  12,346 images/s",
]


def test_one_line_an_epoch(capsys: pytest.CaptureFixture[str]) -> None:
    tell(EpochLines())
    assert capsys.readouterr().out.splitlines() == LINES


def test_a_continued_run_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    tell(EpochLines(), report(1, 0.9), report(2, 0.9))
    assert capsys.readouterr().out.splitlines() == [LINES[0] + ", 2 of 3 epochs done", LINES[3]]


def test_only_the_first_process_speaks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "1")
    watch = training_progress()
    assert type(watch) is TrainingProgress
    tell(watch)
    watch.close()
    assert capsys.readouterr().out == ""
    monkeypatch.setenv("RANK", "0")
    assert type(training_progress()) is EpochLines  # there is no terminal


@contextmanager
def printing_to(terminal: Any) -> Iterator[None]:
    """Standard output is a terminal of 100 columns."""
    with pytest.MonkeyPatch.context() as patch, os.fdopen(terminal.theirs, "w", closefd=False) as out:
        for name, value in (("TERM", "xterm-256color"), ("COLUMNS", "100")):
            patch.setenv(name, value)
        for name in ("NO_COLOR", "RANK"):
            patch.delenv(name, raising=False)
        patch.setattr(sys, "stdout", out)
        reconfigure()
        yield
    reconfigure()


def test_a_terminal_has_a_bar_below_the_lines(terminal: Any) -> None:
    with printing_to(terminal):
        watch = training_progress()
        assert isinstance(watch, LiveBar)
        tell(watch)
        assert watch._bar is not None
        watch._bar.refresh()
        watch.close()
    text = terminal.read_to_end()
    for line in LINES:
        assert line in text
    assert "epoch   3/3" in text
    assert "loss 0.2500" in text
    assert "best 93.00%" in text
    assert "9,876 images/s" in text
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_a_continued_bar_begins_where_the_run_was(terminal: Any) -> None:
    with printing_to(terminal):
        watch = LiveBar()
        watch.on_start(Start("cnn2", 10, 20, 5, 4, (report(1, 0.9), report(2, 0.8)), 40, "cpu", "float32"))
        assert watch._bar is not None
        [task] = watch._bar.tasks
        assert (task.completed, task.total) == (80, 160)
        assert (task.fields["epoch"], task.fields["best"]) == (3, "90.00%")
        watch.close()


def test_a_display_that_never_began_can_be_closed() -> None:
    LiveBar().close()
    EpochLines().close()
