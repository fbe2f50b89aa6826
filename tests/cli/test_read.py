"""`kalamos read` and `kalamos forms` as a user runs them."""

from __future__ import annotations

import csv
import io
import json
import re
import shlex
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result

from kalamos.cli import cli
from kalamos.errors import KalamosError
from kalamos.forms.decoding import CHECK_DIGIT_CERTAINTY, DEFAULT_CERTAINTY
from kalamos.forms.reader import FormReader
from kalamos.pages import PageReader
from kalamos.pages.page import LAYOUTS
from kalamos.recognizer import Recognizer

ROOT = Path(__file__).parents[2]
FORM = ROOT / "samples-form" / "form.toml"


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(each) for each in arguments])


@pytest.fixture
def page(tmp_path: Path) -> Path:
    image = np.full((220, 420), 235, np.uint8)
    for place, digit in enumerate("3725"):
        at = (50 + 75 * place, 130)
        cv2.putText(image, digit, at, cv2.FONT_HERSHEY_SIMPLEX, 2.2, 40, 5, cv2.LINE_AA)
    path = tmp_path / "a page.png"
    cv2.imwrite(str(path), image)
    return path


def test_text_goes_to_standard_output_and_a_summary_beside_it(page: Path) -> None:
    result = run("read", page)
    assert result.exit_code == 0
    assert result.stdout == "3725\n"
    assert "1 page · 4 characters" in result.stderr


def test_a_row_a_character_and_one_for_a_bad_page(page: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"nothing")
    result = run("read", tmp_path, "-f", "csv", "-q")
    assert result.exit_code == 1
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert [row["label"] for row in rows] == ["3", "7", "2", "5", ""]
    assert [row["position"] for row in rows[:4]] == ["1", "2", "3", "4"]
    assert int(rows[1]["x"]) > int(rows[0]["x"]) + 20
    assert rows[4]["path"].endswith("bad.png")
    assert rows[4]["error"]


def test_json_lines_and_hocr_have_the_places(page: Path, tmp_path: Path) -> None:
    assert run("read", page, "-o", tmp_path / "out.jsonl", "-q").exit_code == 0
    said = json.loads((tmp_path / "out.jsonl").read_text())
    assert said["text"] == "3725"
    assert len(said["lines"][0]["words"][0]["characters"][0]["candidates"]) == 5
    assert run("read", page, "-o", tmp_path / "out.hocr", "-q").exit_code == 0
    hocr = (tmp_path / "out.hocr").read_text()
    assert hocr.count('class="ocrx_cinfo"') == 4
    assert 'class="ocr_page"' in hocr
    assert "bbox 0 0 420 220" in hocr


def test_an_overlay_is_a_picture_of_each_page(page: Path, tmp_path: Path) -> None:
    result = run("read", page, "--overlay", tmp_path / "seen", "-q")
    assert result.exit_code == 0
    [drawn] = (tmp_path / "seen").iterdir()
    picture = cv2.imread(str(drawn))
    assert picture.shape == (220, 420, 3)
    assert (picture.max(axis=2) - picture.min(axis=2) > 60).any()  # there is colour on it


def test_the_help_says_how_sure_ok_is() -> None:
    said = re.search(
        r"--certainty P.*?\[default:\s+([\d.]+),\s+beside\s+a\s+check\s+digit\s+([\d.]+)\]",
        run("forms", "read", "--help").stdout,
        re.DOTALL,
    )
    assert said is not None
    assert (float(said[1]), float(said[2])) == (DEFAULT_CERTAINTY, CHECK_DIGIT_CERTAINTY)


def test_the_help_names_all_layouts() -> None:
    [sentence] = re.findall(r"--layout LAYOUT\s+(.*?);", run("read", "--help").stdout, re.DOTALL)
    assert [word for word in re.findall(r"\w+", sentence) if word in LAYOUTS] == list(LAYOUTS)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("read", "no-such.png"), "no-such.png: no such file or folder"),
        (("read", "PAGE", "-o", "out.png"), "the name of an image"),
        (("read", "PAGE", "-f", "cvs"), "pages are not written as 'cvs'; did you mean 'csv'"),
        (("read", "PAGE", "-o", "out.csv", "-f", "jsonl"), "a name for csv, not for jsonl"),
        (("forms", "read", "no.toml", "PAGE", "-o", "t.csv"), "no.toml: cannot be read"),
        (("forms", "new", "-o", "form.toml"), "give an empty form, or a list of fields"),
        (("forms", "new", "PAGE", "-o", "form.txt"), "a template is a .toml file"),
        (("forms", "print", str(FORM), "-o", "out.txt"), "out.txt: a sheet is a .pdf file"),
        (("forms", "print", str(FORM), "-o", "a page.png"), "a page.png: a sheet is a .pdf file"),
        (("forms", "read", str(FORM), "PAGE", "-o", "no/x/t.csv"), "there is no folder 'no/x'"),
        (("read", "PAGE", "-o", "no/x/t.csv"), "there is no folder 'no/x'"),
        (("predict", "PAGE", "-o", "no/x/t.csv"), "there is no folder 'no/x'"),
        (("read", "PAGE", "--overlay", "a page.png/seen"), "a page.png is no folder"),
        (("read", "PAGE", "--layout", "gird", "-o", "t.csv"), "did you mean 'grid'"),
        (("forms", "read", str(FORM), "PAGE", "-o", "t.csv", "--overlay", "a page.png"), "is no folder"),
    ],
)
def test_wrong_usage_is_told(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], words: str
) -> None:
    def read_too_early(*_: object, **__: object) -> None:
        pytest.fail("an image was read before its output was checked")

    monkeypatch.setattr(FormReader, "read", read_too_early)
    monkeypatch.setattr(PageReader, "try_read", read_too_early)
    monkeypatch.setattr(Recognizer, "infer", read_too_early)
    monkeypatch.chdir(tmp_path)
    before = page.read_bytes()
    result = run(*[str(page) if each == "PAGE" else each for each in arguments])
    assert result.exit_code != 0
    assert words in str(result.exception)
    assert isinstance(result.exception, KalamosError)
    assert result.exception.exit_code == 2
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a page.png"]
    assert page.read_bytes() == before


def test_a_page_that_cannot_be_read_is_named_once(page: Path, tmp_path: Path) -> None:
    bad = tmp_path / "b\x1bad.png"
    bad.write_bytes(b"nothing")
    result = run("read", tmp_path, tmp_path / "none.png")
    assert result.exit_code == 1
    shown = repr(str(bad))
    assert result.stdout.splitlines() == [
        "3725", "", f"{shown}: this is not an image kalamos reads; it looks like text", "",
        f"{tmp_path / 'none.png'}: no such file",
    ]  # fmt: skip


def test_forms_are_read_into_a_table_that_grows(tmp_path: Path) -> None:
    scans = tmp_path / "scans"
    scans.mkdir()
    shutil.copy(ROOT / "samples-form" / "scans" / "1-scan.jpg", scans)
    template, table = ROOT / "samples-form" / "form.toml", tmp_path / "table.csv"
    first = run("forms", "read", template, scans, "-o", table, "--overlay", tmp_path / "seen")
    assert first.exit_code == 0
    assert "1 form read" in first.stderr
    assert (tmp_path / "seen" / "1-scan.jpg.png").exists()
    # A person puts a name right; then another scan comes.
    table.write_text(table.read_text("utf-8-sig").replace("ANNA KOVACS", "ANNA KOVAC"), "utf-8-sig")
    shutil.copy(ROOT / "samples-form" / "scans" / "2-turned.jpg", scans)
    second = run("forms", "read", template, scans, "-o", table)
    assert "1 form read" in second.stderr
    assert "1 were there" in second.stderr
    rows = list(csv.DictReader(io.StringIO(table.read_text("utf-8-sig"))))
    assert [Path(row["scan"]).name for row in rows] == ["1-scan.jpg", "2-turned.jpg"]
    assert rows[0]["name"] == "ANNA KOVAC"
    assert rows[1]["student"] == "40718322"
    before = table.read_bytes()
    third = run("forms", "read", template, tmp_path / "nowhere.jpg", "-o", table)
    assert third.exit_code != 0
    assert table.read_bytes() == before


@pytest.mark.parametrize("name", ["table.csv", "table.xlsx", "table.jsonl"])
def test_rows_that_could_not_be_read_are_counted_until_they_are_removed(
    page: Path, tmp_path: Path, name: str
) -> None:
    scans, table = tmp_path / "scans", tmp_path / name
    scans.mkdir()
    shutil.copy(page, scans / "other.png")
    (scans / "bad.png").write_bytes(b"nothing")
    first = run("forms", "read", FORM, scans, "-o", table)
    assert first.exit_code == 1
    assert "2 forms read · 1 that do not show the form · 1 that cannot be read" in first.stderr
    again = run("forms", "read", FORM, scans, "-o", table)
    assert again.exit_code == 1
    assert "0 forms read · 2 were there" in again.stderr
    assert "of scans that could not be read: 2." in again.stderr
    assert f"remove the rows (status error or unregistered) from {table}" in again.stderr
    if name == "table.csv":
        lines = table.read_text("utf-8-sig").splitlines(keepends=True)
        table.write_text("".join(line for line in lines if "bad.png" not in line), "utf-8-sig")
        shutil.copy(ROOT / "samples-form" / "scans" / "1-scan.jpg", scans / "bad.png")
        third = run("forms", "read", FORM, scans, "-o", table)
        assert "1 form read · 1 to check · 1 were there" in third.stderr
        assert third.exit_code == 1
        # A person put the last one in by hand, and said so.
        table.write_text(table.read_text("utf-8-sig").replace("unregistered", "ok"), "utf-8-sig")
        fourth = run("forms", "read", FORM, scans, "-o", table)
        assert "could not be read" not in fourth.stderr
        assert fourth.exit_code == 0


def test_the_command_that_comes_next_is_ready_to_be_pasted(tmp_path: Path) -> None:
    folder = tmp_path / "my forms & yours"
    folder.mkdir()
    drafted = run("forms", "new", ROOT / "samples-form" / "form.png", "-o", folder / "my form.toml")
    assert shlex.split(drafted.output.splitlines()[-1])[3] == str(folder / "my form.toml")
    (folder / "fields.txt").write_text("student: 8 digits\n")
    listed = run("forms", "new", "--fields", folder / "fields.txt", "-o", folder / "my list.toml")
    command = shlex.split(listed.output.partition("Print it: ")[2])
    assert command[3:] == [str(folder / "my list.toml"), "-o", "my list.pdf"]


def test_a_template_is_drafted_from_an_empty_form(tmp_path: Path) -> None:
    result = run("forms", "new", ROOT / "samples-form" / "form.png", "-o", tmp_path / "mine.toml")
    assert result.exit_code == 0, result.output
    assert sorted(each.name for each in tmp_path.iterdir()) == [
        "mine-fields1.png", "mine-page1.png", "mine.toml",
    ]  # fmt: skip
    again = run("forms", "new", ROOT / "samples-form" / "form.png", "-o", tmp_path / "mine.toml")
    assert "is there" in str(again.exception)
    table = tmp_path / "table.csv"
    read = run(
        "forms", "read", tmp_path / "mine.toml", ROOT / "samples-form" / "scans" / "1-scan.jpg", "-o", table
    )
    assert read.exit_code == 0
    [row] = csv.DictReader(io.StringIO(table.read_text("utf-8-sig")))
    assert "40718264" in row.values()
