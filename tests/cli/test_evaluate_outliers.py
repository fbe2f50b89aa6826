"""`kalamos evaluate --outliers`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("sklearn", reason="needs the extra 'train'")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_table_and_a_report(command, digits_folder: Path) -> None:
    asked = ["--outliers", "--outlier-count", "20", "--data-dir", digits_folder, "--report", "out"]
    outcome = command("evaluate", "digits", "mnist", *asked)
    assert outcome.code == 0
    assert outcome.rows[0] == "digits on mnist test, known n = 60"
    for name in (
        "paper",
        "scribbles",
        "shapes",
        "textures",
        "skipped script:ahcd",
        "skipped script:emnist-47",
    ):
        assert any(row.startswith(name) for row in outcome.rows)
    assert sorted(path.name for path in Path("out").iterdir()) == ["outliers.html", "outliers.json"]
    assert "wrote out/outliers.json and out/outliers.html" in outcome.rows[-1]


def test_json_is_what_the_report_holds(command, digits_folder: Path) -> None:
    asked = ["--outliers", "--outlier-set", "shapes", "--outlier-count", "9", "--seed", "3", "-f", "json"]
    outcome = command("evaluate", "digits", "mnist", *asked, "--report", "out", "--data-dir", digits_folder)
    assert outcome.out == Path("out/outliers.json").read_bytes()
    figures = json.loads(outcome.out)
    assert ([each["name"] for each in figures["sets"]], figures["seed"]) == (["shapes"], 3)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--outlier-count", "5"], "--outlier-count is of the outliers; add --outliers"),
        (["--outlier-set", "paper"], "--outlier-set is of the outliers; add --outliers"),
        (["--outliers", "--shift"], "--shift does not go with --outliers"),
        (["--outliers", "--shift-limit", "5"], "--shift-limit does not go with --outliers"),
        (["--outliers", "--charset", "123"], "--charset does not go with --outliers"),
        (["--outliers", "--record"], "--record does not go with --outliers"),
        (["--outliers", "--outlier-set", "papre"], "there is no outlier set 'papre'; did you mean 'paper'?"),
        (["--outliers", "--outlier-count", "0"], "0 is not in the range"),
        (["--seed", "5"], "add --shift, or --outliers"),
    ],
)
def test_wrong_usage(command, digits_folder: Path, options: list[str], told: str) -> None:
    outcome = command("evaluate", "digits", "mnist", "--data-dir", digits_folder, *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert told in outcome.err
