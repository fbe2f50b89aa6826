"""An alphabet of one's own on the page: named, drawn, taught and tried, in a real Chromium."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.app.page_helpers import GRADIO_WARNINGS, Open, draw, png, tab, wait

import kalamos
from kalamos.app.page.alphabet_sheets import sheet_pdf, take_sheets
from kalamos.app.page.drawn_alphabet import MAX_CHARACTERS, DrawnAlphabet, name_characters
from kalamos.errors import AlphabetError, UsageError

pytestmark = GRADIO_WARNINGS

HOOK = [(80, 50), (80, 250), (230, 250)]
ROOF = [(50, 250), (160, 60), (270, 250)]
SHAPES = {"hook": HOOK, "roof": ROOF}


def moved(points: list[tuple[int, int]], shift: int) -> list[tuple[int, int]]:
    return [(x + 3 * shift, y - 4 * shift) for x, y in points]


def stroke(points: list[tuple[int, int]], shift: int) -> bytes:
    """A drawing as the pad makes it: a PNG of 320 px."""
    page = np.full((320, 320), 255, np.uint8)
    cv2.polylines(page, [np.array(moved(points, shift), np.int32)], False, 0, 18, cv2.LINE_AA)
    return png(page)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("αβ γα", ("α", "β", "γ")), ("sun\n moon \n\nsun", ("sun", "moon")), ("कि क", ("कि", "क"))],
)
def test_characters_are_named_together_or_a_line_each(text: str, expected: tuple[str, ...]) -> None:
    assert name_characters(text) == expected


@pytest.mark.parametrize("text", ["", " ", "α", "\n", "x\n", "\n".join(map(str, range(MAX_CHARACTERS + 1)))])
def test_one_character_and_too_many_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        name_characters(text)


def test_a_name_that_is_no_label_is_refused() -> None:
    with pytest.raises(AlphabetError):
        name_characters("sun\nm\x07on")


def test_each_character_is_asked_for_in_turn_and_kept_at_once(tmp_path: Path) -> None:
    mine = DrawnAlphabet("mine", ("E:I", "A", "a"), tmp_path)
    asked = []
    for shift in range(6):
        asked.append(mine.asked)
        mine.add(stroke(HOOK, shift))
    assert asked == ["E:I", "A", "a"] * 2
    assert set(mine.counts().values()) == {2}
    mine.skip()
    assert mine.asked == "A"
    assert (mine.undo(), mine.undo(), mine.asked) == ("a", "A", "A")
    # Another visit goes on with what lies there, and takes none of it back.
    again = DrawnAlphabet("mine", ("E:I", "A", "a", "new"), tmp_path)
    assert (again.asked, again.undo()) == ("new", None)
    assert set(again.examples().labels) == {"E:I", "A", "a"}


def test_two_characters_at_least_need_a_sample(tmp_path: Path) -> None:
    mine = DrawnAlphabet("mine", ("a", "b"), tmp_path)
    mine.add(stroke(HOOK, 0))
    with pytest.raises(UsageError, match="two characters"):
        mine.examples()


def test_an_alphabet_is_drawn_taught_tried_and_downloaded(open_page: Open, corrections: Path) -> None:
    page = open_page()
    tab(page, "My alphabet")
    page.locator("#alphabet-keep").click()
    wait(page, "#alphabet-said", "name the characters first")
    page.locator("#alphabet-characters textarea").fill("hook\nroof")
    page.locator("#alphabet-name input, #alphabet-name textarea").fill("my shapes")
    page.locator("#alphabet-begin").click()
    wait(page, "#alphabet-said", "2 characters, 5 times each: 10 drawings")
    page.locator("#alphabet-keep").click()
    wait(page, "#alphabet-said", "nothing is drawn yet")
    for turn in range(3):
        for label in ("hook", "roof"):
            wait(page, "#alphabet-asked", re.compile(rf"Draw {label}: {turn + 1} of 5"))
            draw(page, moved(SHAPES[label], turn), pad="#alphabet-pad")
            page.locator("#alphabet-keep").click()
            wait(page, "#alphabet-said", f"Kept as {label}")
    page.locator("#alphabet-undo").click()
    wait(page, "#alphabet-said", "Took back the last roof")
    assert page.locator("#alphabet-samples img").count() == 5
    assert len(list((corrections / "alphabets" / "my-shapes").rglob("*.png"))) == 5
    page.locator("#alphabet-teach").click()
    wait(page, "#alphabet-lesson", re.compile("Taught my-shapes from 5 drawings"))
    draw(page, moved(ROOF, 2), pad="#try-pad")
    wait(page, "#try-answer .glyph", "roof")
    with page.expect_download() as download:
        page.locator("#alphabet-download").click()
    saved = corrections / "mine.onnx"
    download.value.save_as(saved)
    assert kalamos.load(saved).predict(stroke(HOOK, 1)).label == "hook"


def test_letters_that_differ_in_case_alone_have_folders_of_their_own(tmp_path: Path) -> None:
    mine = DrawnAlphabet("mine", ("a", "A", "E:I"), tmp_path)
    for shift in range(3):
        mine.add(stroke(HOOK, shift))
    names = [folder.name for folder in tmp_path.iterdir() if folder.is_dir()]
    assert len({name.casefold() for name in names}) == 3
    assert set(mine.examples().labels) == {"a", "A", "E:I"}


def test_filled_sheets_become_samples_and_what_is_none_is_told(tmp_path: Path) -> None:
    pytest.importorskip("segno", reason="needs the extra 'forms'")
    from tests.sheets.pages import filled

    scan, other = tmp_path / "scan.png", tmp_path / "other.png"
    scan.write_bytes(png(filled()))
    other.write_bytes(png(np.full((400, 300), 250, np.uint8)))
    mine = DrawnAlphabet("mixed", ("α",), tmp_path / "kept")
    taken = take_sheets(mine, [("scan.png", scan), ("other.png", other), ("gone.png", tmp_path / "gone.png")])
    assert mine.labels == ("α", "E:I", "A", "a")
    assert set(taken.samples.values()) == {5}
    assert len(taken.failed) == 2
    assert len(mine.examples()) == 20


def test_a_sheet_to_print_holds_the_alphabet() -> None:
    pytest.importorskip("segno", reason="needs the extra 'forms'")
    assert sheet_pdf(DrawnAlphabet("mine", ("α", "β"), Path("nowhere"))).startswith(b"%PDF")
