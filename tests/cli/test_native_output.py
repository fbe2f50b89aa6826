"""What C libraries print stays off the terminal; what kalamos says reaches it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np


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
