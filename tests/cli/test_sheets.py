"""`kalamos sheets` as a user runs it."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from tests.sheets.pages import BLANK, PLAN, SCRIBBLE, filled, grid, save

from kalamos import load_dataset
from kalamos.cli import cli
from kalamos.sheets import SheetPlan


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


def rows_of(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))


def files_below(path: Path) -> dict[str, bytes]:
    return {
        each.relative_to(path).as_posix(): each.read_bytes() for each in path.rglob("*") if each.is_file()
    }


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    others = {("α", 1): BLANK, ("A", 2): SCRIBBLE}
    save(tmp_path / "scans" / "first.png", filled(copy=1, others=others))
    save(tmp_path / "scans" / "second.jpg", filled(copy=2))
    return tmp_path / "scans"


def test_a_sheet_is_printed_with_the_file_that_says_it(tmp_path: Path) -> None:
    result = run("sheets", "print", "--chars", "ա բ գ", "--copies", "3", "-o", tmp_path / "sheet.pdf")
    assert result.exit_code == 0, result.output
    assert "3 characters, 10 boxes each, 1 page x 3" in result.output
    assert (tmp_path / "sheet.pdf").read_bytes()[:5] == b"%PDF-"
    assert SheetPlan.load(tmp_path / "sheet.toml") == SheetPlan("sheet", ("ա", "բ", "գ"))
    again = run("sheets", "print", "--chars", "abc", "-o", tmp_path / "sheet.pdf")
    assert "says something else" in str(again.exception)
    assert SheetPlan.load(tmp_path / "sheet.toml").labels == ("ա", "բ", "գ")


def test_filled_sheets_become_a_folder_that_datasets_read(scans: Path, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    result = run("sheets", "cut", scans, "-o", letters)
    assert result.exit_code == 0, result.output
    assert "2 scans cut · 38 characters · 1 blank · 1 doubtful" in result.stderr
    dataset = load_dataset(letters)
    assert set(dataset.alphabet.labels) == set(PLAN.labels)
    assert len(dataset.train) == 38
    assert len(set((dataset.train.groups if dataset.train.groups is not None else np.zeros(0)).tolist())) == 2
    assert len({each.name.casefold() for each in letters.iterdir()}) == len(PLAN.labels) + 1
    [doubtful] = rows_of(tmp_path / "letters-doubtful" / "doubtful.csv")
    assert (doubtful["label"], doubtful["reason"]) == ("A", "crossed out")
    assert (tmp_path / "letters-doubtful" / doubtful["path"]).exists()
    picture = cv2.imread(str(tmp_path / "letters-contact.png"))
    assert picture is not None
    assert picture.shape[0] > 4 * 40


def test_a_second_run_adds_what_is_new_and_nothing_twice(scans: Path, tmp_path: Path) -> None:
    letters = tmp_path / "letters"
    run("sheets", "cut", scans / "first.png", "-o", letters)
    before = files_below(letters)
    again = run("sheets", "cut", scans / "first.png", scans / "first.png", "-o", letters)
    assert "2 scans were there" in again.stderr
    assert files_below(letters) == before
    (scans / "first.png").rename(scans / "renamed.png")
    both = run("sheets", "cut", scans, "-o", letters)
    assert "1 scan cut" in both.stderr
    assert "1 scan was there" in both.stderr
    assert len(rows_of(letters / "manifest.csv")) == 38


def test_photocopies_of_one_copy_are_told_apart_by_their_order(tmp_path: Path) -> None:
    scans = [save(tmp_path / f"{number}.png", filled(others={("α", number): BLANK})) for number in range(3)]
    run("sheets", "cut", *scans, "-o", tmp_path / "letters")
    groups = {row["scan"]: row["group"] for row in rows_of(tmp_path / "letters" / "manifest.csv")}
    assert len(set(groups.values())) == 3


def test_a_bad_scan_is_told_and_stops_nothing(scans: Path, tmp_path: Path) -> None:
    (scans / "bad.png").write_bytes(b"nothing")
    save(scans / "tiny.png", np.full((3, 3), 90, np.uint8))
    save(scans / "white.png", np.full((500, 300), 250, np.uint8))
    result = run("sheets", "cut", scans, "-o", tmp_path / "letters")
    assert result.exit_code == 1
    assert "2 scans cut" in result.stderr
    assert "3 not cut" in result.stderr
    assert "white.png: shows no sheet of kalamos" in result.stderr
    assert len(rows_of(tmp_path / "letters" / "manifest.csv")) == 38


def test_a_run_that_cut_nothing_writes_nothing(tmp_path: Path) -> None:
    save(tmp_path / "white.png", np.full((500, 300), 250, np.uint8))
    result = run("sheets", "cut", tmp_path / "white.png", "-o", tmp_path / "letters")
    assert result.exit_code == 1
    assert sorted(each.name for each in tmp_path.iterdir()) == ["white.png"]


def test_a_grid_of_one_s_own_is_cut(tmp_path: Path) -> None:
    save(tmp_path / "a.png", grid(4, 5))
    result = run("sheets", "cut", tmp_path / "a.png", "--label", "α", "-o", tmp_path / "letters")
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "letters" / "manifest.csv")
    assert [row["label"] for row in rows] == ["α"] * 20
    assert {row["group"] for row in rows} == {"a.png"}


def test_a_grid_by_rows_and_columns_turned_by_hand(tmp_path: Path) -> None:
    save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(grid(2, 3))))
    (tmp_path / "layout.csv").write_text("a,b,\nd,e,f\n", encoding="utf-8")
    arguments = ("sheets", "cut", tmp_path / "a.png", "--labels", tmp_path / "layout.csv")
    refused = run(*arguments, "-o", tmp_path / "letters")
    assert refused.exit_code == 1
    assert "3 rows and 2 columns of boxes are seen" in refused.stderr
    result = run(*arguments, "--turn", "90", "--writer", "me", "-o", tmp_path / "letters")
    assert result.exit_code == 0, result.output
    rows = rows_of(tmp_path / "letters" / "manifest.csv")
    assert [(row["label"], row["box"], row["group"]) for row in rows] == [
        ("a", "1", "me"), ("b", "2", "me"), ("d", "4", "me"), ("e", "5", "me"), ("f", "6", "me"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("print", "-o", "sheet.pdf"), "give the characters after --chars"),
        (
            ("print", "--chars", "ab", "--labels", "a.txt", "-o", "sheet.pdf"),
            "give the characters after --chars",
        ),
        (("print", "--chars", "ab", "-o", "sheet.png"), "a sheet is a .pdf file"),
        (("print", "--chars", "aa", "-o", "sheet.pdf"), "'a' comes twice"),
        (("print", "--chars", " ", "-o", "sheet.pdf"), "a sheet without labels"),
        (("print", "--labels", "none.txt", "-o", "sheet.pdf"), "none.txt: cannot be read"),
        (("cut", "none.png", "-o", "letters"), "none.png"),
        (("cut", "a.png", "--label", "a", "--labels", "b.csv", "-o", "letters"), "give --label for one"),
        (("cut", "a.png", "--label", " ", "-o", "letters"), "is no label"),
        (("cut", "a.png", "--label", "a", "--sheet", "s.toml", "-o", "letters"), "--sheet is of a sheet"),
        (("cut", "a.png", "--sheet", "s.toml", "-o", "letters"), "s.toml: cannot be read"),
        (("cut", "a.png", "-o", "a.png"), "a.png: is no folder"),
    ],
)
def test_wrong_usage_is_told(
    arguments: tuple[str, ...], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    save(tmp_path / "a.png", grid(1, 2))
    result = run("sheets", *arguments)
    assert result.exit_code != 0
    assert words in str(result.exception)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.png"]
