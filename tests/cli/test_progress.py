from __future__ import annotations

import os
import pty
import sys
from collections.abc import Iterator

import pytest

from kalamos.cli import progress
from kalamos.predictions import Prediction


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Standard error is a terminal; yields the end to read it from."""
    ours, theirs = pty.openpty()
    with os.fdopen(theirs, "w") as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        monkeypatch.setenv("TERM", "xterm")
        yield ours
    os.close(ours)


def test_the_bar_counts_from_its_first_sight_on(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)
    monkeypatch.setattr(progress, "REFRESH", 0.0)
    items = [Prediction("7", 0.9)] * 5
    with progress.progress_bar() as watch:
        assert list(watch(items)) == items
    shown = os.read(terminal, 65536).decode()
    assert "5 images" in shown
    assert "/s" in shown
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l"), "the cursor stays hidden"


def test_quick_work_shows_no_bar(terminal: int) -> None:
    with progress.progress_bar() as watch:
        assert list(watch(iter([Prediction("7", 0.9)]))) == [Prediction("7", 0.9)]
    sys.stderr.write(".")
    sys.stderr.flush()
    assert os.read(terminal, 65536) == b"."


def test_an_error_takes_the_bar_away(terminal: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "PATIENCE", 0.0)

    def failing() -> Iterator[Prediction]:
        yield Prediction("7", 0.9)
        yield Prediction("7", 0.9)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), progress.progress_bar() as watch:
        list(watch(failing()))
    shown = os.read(terminal, 65536).decode()
    assert shown.rindex("\x1b[?25h") > shown.rindex("\x1b[?25l")
