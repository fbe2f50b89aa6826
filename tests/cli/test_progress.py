from __future__ import annotations

import os
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from kalamos.cli import progress
from kalamos.cli.progress import progress_callback, track


@pytest.fixture
def on_terminal(terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it to make standard error the terminal. Not done here: pytest puts its own back before a test."""
    with os.fdopen(os.dup(terminal.theirs), "w") as stream:
        monkeypatch.setenv("TERM", "xterm")
        yield lambda: monkeypatch.setattr(sys, "stderr", stream)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BEFORE_BAR", 0.0)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_UPDATES", 0.0)


def test_the_bar_counts_from_its_first_sight_on(terminal, on_terminal, impatient) -> None:
    on_terminal()
    assert list(track("12345")) == [*"12345"]
    shown = terminal.read_to_end()
    assert re.search(r" 5 images [1-9][\d,]*/s ", shown)
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_the_bar_shows_the_total_and_the_time_left_once_they_are_known(
    terminal, on_terminal, impatient
) -> None:
    def slow() -> Iterator[int]:
        for place in range(30):
            time.sleep(0.02)
            yield place

    on_terminal()
    assert list(track(slow(), lambda: 1234)) == [*range(30)]
    shown = terminal.read_to_end()
    assert re.search(r"30 of 1,234 images", shown)
    assert re.search(r"0:\d\d:\d\d left", shown)


def test_quick_work_shows_no_bar(terminal, on_terminal) -> None:
    on_terminal()
    assert list(track("1")) == ["1"]
    assert terminal.read_to_end() == ""


@pytest.mark.parametrize("where", ["images", "rows"])
def test_an_interruption_takes_the_bar_away(terminal, on_terminal, impatient, where: str) -> None:
    def interrupted() -> Iterator[int]:
        yield from range(3)
        if where == "images":
            raise KeyboardInterrupt
        yield 3

    def read_all() -> None:
        with closing(track(interrupted())) as rows:
            for row in rows:
                if row == 3:
                    raise KeyboardInterrupt

    on_terminal()
    with pytest.raises(KeyboardInterrupt):
        read_all()
    shown = terminal.read_to_end()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"


@pytest.mark.parametrize(("unit", "count"), [("images", "40/50"), ("bytes", "40/50 bytes")])
def test_a_callback_moves_a_bar(terminal, on_terminal, unit: str, count: str) -> None:
    on_terminal()
    with progress_callback("work", unit=unit) as on_progress:
        on_progress(10)
        on_progress(40, 50)
    assert count in terminal.read_to_end()


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_callback(total=50) as on_progress:
        on_progress(10)
        on_progress(40, 50)
    assert capsys.readouterr() == ("", "")
