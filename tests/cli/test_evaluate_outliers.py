"""`kalamos ood`, and `kalamos evaluate --outliers`, as it was spelled before."""

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
    options = ["--count", "20", "--data-dir", digits_folder, "--report", "out"]
    outcome = command("ood", "digits", "mnist", *options)
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


def test_json_is_what_the_report_holds_and_the_old_spelling(command, digits_folder: Path) -> None:
    shared = ["--seed", "3", "-f", "json", "--data-dir", digits_folder]
    outcome = command("ood", "digits", "mnist", "--set", "shapes", "--count", "9", *shared, "--report", "out")
    assert outcome.out == Path("out/outliers.json").read_bytes()
    figures = json.loads(outcome.out)
    assert ([each["name"] for each in figures["sets"]], figures["seed"]) == (["shapes"], 3)
    old = ["--outliers", "--outlier-set", "shapes", "--outlier-count", "9"]
    before = command("evaluate", "digits", "mnist", *old, *shared)
    assert before.out == outcome.out
    assert before.err.startswith("kalamos: evaluate --outliers is deprecated; use kalamos ood\n")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["evaluate", "--count", "5"], "No such option '--count'"),
        (["evaluate", "--outliers", "--shift-limit", "5"], "No such option '--shift-limit'"),
        (["ood", "--charset", "123"], "No such option '--charset'"),
        (["ood", "--set", "papre"], "there is no outlier set 'papre'; did you mean 'paper'?"),
        (["evaluate", "--outliers", "--outlier-count", "0"], "0 is not in the range"),
    ],
)
def test_wrong_usage(command, digits_folder: Path, arguments: list[str], told: str) -> None:
    verb, *options = arguments
    outcome = command(verb, "digits", "mnist", "--data-dir", digits_folder, *options)
    assert (outcome.code, outcome.out) == (2, b"")
    assert told in outcome.err
