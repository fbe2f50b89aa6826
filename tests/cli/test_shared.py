"""What C libraries print stays off the terminal; what kalamos says reaches it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.cli import _shared
from kalamos.cli._shared import MAX_NAMED_FILES, print_skipped, progress_callback, track
from kalamos.datasets import SkippedFile, load_dataset
from kalamos.errors import DatasetError
from kalamos.finetune.examples import load_examples


def damaged_jpegs(folder: Path, count: int = 40) -> None:
    """Write JPEGs whose structure is sound and whose scans have other bytes here and there."""
    picture = np.full((120, 90), 240, np.uint8)
    cv2.putText(picture, "7", (20, 95), cv2.FONT_HERSHEY_SIMPLEX, 3, 20, 8)
    _, encoded = cv2.imencode(".jpg", picture)
    whole = encoded.tobytes()
    scan = whole.index(b"\xff\xda") + 14
    dice = np.random.default_rng(5)
    for number in range(count):
        mutant = bytearray(whole)
        for _ in range(6):
            mutant[dice.integers(scan, len(whole) - 2)] = dice.integers(255)
        (folder / f"{number:02}.jpg").write_bytes(mutant)


def test_libjpeg_prints_nothing_on_the_terminal(tmp_path: Path) -> None:
    damaged_jpegs(tmp_path)
    told = subprocess.run(
        [sys.executable, "-m", "kalamos", "predict", "-q", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode in (0, 1)
    assert len(told.stdout.splitlines()) == 40
    assert told.stderr == ""


def test_errors_of_ours_are_still_on_standard_error(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-m", "kalamos", "predict", "-m", "none", tmp_path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 2
    assert "no model is called 'none'" in told.stderr


def test_the_first_ones_are_named_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_skipped("pages", [])
    print_skipped("pages", [SkippedFile("a.png", "no ink")])
    print_skipped(
        "pages", [SkippedFile(f"{place}.png", "damaged") for place in range(MAX_NAMED_FILES + 1_200)]
    )
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "pages: skipped 1 file:",
        "  a.png: no ink",
        "pages: skipped 1,205 files:",
        *(f"  {place}.png: damaged" for place in range(MAX_NAMED_FILES)),
        "  and 1,200 more",
    ]


def test_files_of_other_kinds_are_counted_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    others = [SkippedFile(f"a/IMG_{place}.JXL", "not named like an image") for place in range(1_200)]
    print_skipped(
        "letters", [*others, SkippedFile("a/1.png", "damaged"), SkippedFile("notes.txt", "no image")]
    )
    assert capsys.readouterr().err.splitlines() == [
        "letters: skipped 1,202 files:",
        "  1,200 JPEG XL images: convert them to JPEG or PNG (a/IMG_0.JXL, a/IMG_1.JXL, a/IMG_2.JXL, …)",
        "  1 text file (notes.txt)",
        "  a/1.png: damaged",
    ]


def test_a_dataset_of_foreign_files_alone_says_so(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.jxl").write_bytes(b"x")
    told = r"no class with images \(2 JPEG XL images: convert them to JPEG or PNG \(a/1.jxl, b/1.jxl\)\)"
    with pytest.raises(DatasetError, match=told):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match="2 JPEG XL images: convert them"):
        load_examples(tmp_path)


@pytest.fixture
def on_terminal(terminal, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Call it to make standard error the terminal. Not done here: pytest puts its own back before a test."""
    with os.fdopen(os.dup(terminal.theirs), "w") as stream:
        monkeypatch.setenv("TERM", "xterm")
        yield lambda: monkeypatch.setattr(sys, "stderr", stream)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_shared, "SECONDS_BEFORE_BAR", 0.0)
    monkeypatch.setattr(_shared, "SECONDS_BETWEEN_UPDATES", 0.0)


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
    shown = terminal.read_to_end()
    assert count in shown
    assert "work" in shown


def test_without_a_terminal_there_is_no_bar(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_callback(total=50) as on_progress:
        on_progress(10)
        on_progress(40, 50)
    assert capsys.readouterr() == ("", "")
