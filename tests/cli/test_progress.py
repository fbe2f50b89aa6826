from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from kalamos.cli import progress
from kalamos.predictions import Prediction

ITEM = Prediction("7", 0.9)


@pytest.fixture
def on_terminal(terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it to make standard error the terminal. Not done here: pytest puts its own back before a test."""
    with os.fdopen(os.dup(terminal.theirs), "w") as stream:
        monkeypatch.setenv("TERM", "xterm")
        yield lambda: monkeypatch.setattr(sys, "stderr", stream)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "REFRESH", 0.0)


def test_the_bar_counts_from_its_first_sight_on(terminal, on_terminal, impatient) -> None:
    on_terminal()
    with progress.progress_bar() as watch:
        assert list(watch([ITEM] * 5)) == [ITEM] * 5
    shown = terminal.read_to_end()
    assert re.search(r" 5 images [1-9][\d,]*/s ", shown)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_the_bar_shows_the_total_and_the_time_left_once_they_are_known(
    terminal, on_terminal, impatient
) -> None:
    def slow() -> Iterator[Prediction]:
        for _ in range(30):
            time.sleep(0.02)
            yield ITEM

    on_terminal()
    with progress.progress_bar(lambda: 1234) as watch:
        assert list(watch(slow())) == [ITEM] * 30
    shown = terminal.read_to_end()
    assert re.search(r"30 of 1,234 images", shown)
    assert re.search(r"0:\d\d:\d\d left", shown)


def test_quick_work_shows_no_bar(terminal, on_terminal) -> None:
    on_terminal()
    with progress.progress_bar() as watch:
        assert list(watch([ITEM])) == [ITEM]
    assert terminal.read_to_end() == ""


def test_an_interruption_takes_the_bar_away(terminal, on_terminal, impatient) -> None:
    def interrupted() -> Iterator[Prediction]:
        yield from [ITEM] * 3
        raise KeyboardInterrupt

    on_terminal()
    with pytest.raises(KeyboardInterrupt), progress.progress_bar() as watch:
        list(watch(interrupted()))
    shown = terminal.read_to_end()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"
