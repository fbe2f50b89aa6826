"""`kalamos robustness`, and `kalamos evaluate --shift`, as it was spelled before."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.evaluation.robustness import CORRUPTIONS


@pytest.fixture
def pages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, digits: Dataset) -> Path:
    """A folder of three classes, three images each, black on white."""
    monkeypatch.chdir(tmp_path)
    for label in range(3):
        folder = tmp_path / "pages" / str(label)
        folder.mkdir(parents=True)
        for row in np.flatnonzero(digits.train.labels == label)[:3]:
            cv2.imwrite(str(folder / f"{row}.png"), 255 - digits.train.images[row])
    return tmp_path / "pages"


def test_the_table_and_the_report(command, pages: Path) -> None:
    outcome = command("robustness", "digits", "pages", "--limit", "6", "--report", "out")
    assert (outcome.code, outcome.err) == (0, "")
    assert outcome.rows[0].endswith("n = 6, seed 42")
    assert {row.split()[0] for row in outcome.rows if row.startswith("  ")} >= set(CORRUPTIONS)
    assert "wrote out/shift.html and " in outcome.rows[-1]
    stored = json.loads(Path("out/shift.json").read_text("utf-8"))
    assert (stored["n"], {cell["corruption"] for cell in stored["cells"]}) == (6, set(CORRUPTIONS))
    assert not Path("out/metrics.json").exists()


def test_json_and_the_old_spelling_and_blank_images_are_exit_status_1(command, pages: Path) -> None:
    cv2.imwrite(str(pages / "2" / "blank.png"), np.full((28, 28), 255, np.uint8))
    outcome = command("robustness", "digits", "pages", "--limit", "0", "--seed", "3", "-f", "json")
    assert outcome.code == 1
    stored = json.loads(outcome.out)
    assert (stored["n"], stored["seed"], stored["clean_no_ink"]) == (10, 3, 1)
    assert stored["no_ink"] >= 1
    old = command(
        "evaluate", "digits", "pages", "--shift", "--shift-limit", "0", "--seed=3", "-f", "json", "--part=all"
    )
    assert old.out == outcome.out
    assert old.err.splitlines() == [
        "kalamos: evaluate --shift is deprecated; use kalamos robustness",
        "kalamos: --shift-limit is deprecated; use --limit",
        "kalamos: --part is deprecated; use --split",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "--limit", "5"], "No such option '--limit'"),
        (["evaluate", "--shift", "--record"], "No such option '--record'"),
        (["robustness", "--charset", "digits"], "No such option '--charset'"),
        (["robustness", "--limit", "-1"], "-1 is not in the range"),
        (["evaluate", "--shift", "--seed", "-1"], "-1 is not in the range"),
    ],
)
def test_wrong_usage(command, pages: Path, arguments: list[str], told: str) -> None:
    verb, *options = arguments
    outcome = command(verb, "digits", "pages", *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert told in outcome.err
