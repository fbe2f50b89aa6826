"""The page in a real Chromium, from the mouse to the answer."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from tests.app.page_helpers import (
    GRADIO_WARNINGS,
    SEVEN,
    Open,
    choose_model,
    draw,
    give,
    give_picture,
    png,
    read_zip,
    still_box,
    tab,
    type_label,
    wait,
    written,
    zipped,
)

from kalamos import load

pytestmark = GRADIO_WARNINGS


def _fifty() -> dict[str, bytes]:
    images = {f"{at:02d}.png": png(written(str(at % 10), thickness=3 + at % 3)) for at in range(47)}
    images["blank.png"] = png(np.full((40, 40), 255, np.uint8))
    images["cut off.png"] = images["01.png"][:50]
    images["=é ط.png"] = images["07.png"]
    return images


def test_a_seven_drawn_with_the_mouse_is_read(open_page: Open) -> None:
    page = open_page()
    draw(page, SEVEN)
    wait(page, "#answer .glyph", "7")
    assert "Read as 7" in page.locator("#answer").inner_text()
    assert page.locator("#answer .bars tr").count() == 5
    assert page.locator("#answer .seen img").evaluate("image => image.naturalWidth") == 28
    page.get_by_role("button", name="Clear").click()
    wait(page, "#answer", "Draw one character")


def test_it_is_read_while_one_draws_and_strokes_are_undone(open_page: Open) -> None:
    page = open_page()
    box = still_box(page, "#pad canvas")
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 2 - 5, box["y"] + 270, steps=10)
    wait(page, "#answer .glyph", "1")  # the button is still down
    page.mouse.up()
    draw(page, [(40, 40), (60, 40)], [(280, 280), (290, 290)])
    page.get_by_role("button", name="Undo stroke").click()
    page.locator("#pad canvas").press("Control+z")
    wait(page, "#answer .glyph", "1")


def test_blank_paper_and_a_damaged_file_are_said_in_words(open_page: Open) -> None:
    page = open_page()
    give_picture(page, png(np.full((50, 50), 255, np.uint8)))
    wait(page, "#answer", "No ink: nothing is written here.")
    page.locator("#picture").get_by_label("Remove Image").click()
    wait(page, "#answer", "Draw one character")
    give(page, "#picture", "c.png", png(written("5"))[:90])
    told = wait(page, "#answer", "Cannot be read")
    assert "truncated" in told
    assert "/" not in told


def test_another_model_is_taken_from_a_file_and_reads_an_arabic_letter(
    open_page: Open, two_letters: Path, alif_png: bytes
) -> None:
    page = open_page()
    give_picture(page, alif_png)
    wait(page, "#answer .glyph", "1")
    page.get_by_text("Use a model file of your own").click()
    give(page, "#model-file", "no.onnx", b"no model")
    assert "no.onnx: not an ONNX model" in wait(page, "#model-file-outcome", "no.onnx")
    assert page.locator("#about").inner_text().startswith("Reads 10 characters")
    page.locator("#model-file input[type=file]").set_input_files(two_letters)
    wait(page, "#about", "Reads 2 characters")
    wait(page, "#answer .glyph", "ا")
    assert page.locator("#answer .glyph").get_attribute("dir") == "rtl"
    assert "alif" in page.locator("#answer .name").inner_text()
    assert "ألف" in page.locator("#answer .name").inner_text()
    # Four stages: the first, the third and the last are shown until others are chosen.
    tab(page, "Look inside")
    page.locator("[data-name=stage-2]").wait_for()
    assert page.locator("#inside .wide b").all_inner_texts() == ["a", "c", "d"]
    # And back again, which nobody else noticed.
    tab(page, "Read one")
    choose_model(page, "digits: 0-9")
    wait(page, "#answer .glyph", "1")
    assert open_page().locator("#about").inner_text().startswith("Reads 10 characters")


def test_a_shipped_model_reads_arabic_letters_uploaded_and_drawn(open_page: Open) -> None:
    letter = np.full((200, 200), 235, np.uint8)
    cv2.ellipse(letter, (100, 80), (62, 38), 0, 5, 175, 40, 9, cv2.LINE_AA)
    cv2.circle(letter, (101, 150), 8, 40, -1, cv2.LINE_AA)
    page = open_page()
    give_picture(page, png(letter))
    page.locator("#answer .glyph").wait_for()
    choose_model(page, "arabic: 28 letters")
    wait(page, "#answer .glyph", "ب")
    assert page.locator("#answer .glyph").get_attribute("dir") == "rtl"
    assert "ba باء" in page.locator("#answer .name").inner_text()
    page.get_by_role("tab", name="Draw").click()
    draw(page, [(160, 60), (157, 255)])
    wait(page, "#answer .glyph", "ا")


def test_what_is_inside_is_pictures_that_change_with_the_input(open_page: Open) -> None:
    page = open_page()
    tab(page, "Look inside")
    wait(page, "#inside", "Read one character first")
    seen = []
    for strokes in ([SEVEN], [[(160, 50), (155, 270)]]):
        tab(page, "Read one")
        page.get_by_role("button", name="Clear").click()
        wait(page, "#answer", "Draw one character")
        draw(page, *strokes)
        page.locator("#answer .glyph").wait_for()
        tab(page, "Look inside")
        page.locator("[data-name=stage-2] img").wait_for()
        page.wait_for_function(
            "before => document.querySelector('[data-name=stage-0] img').src !== before",
            arg=seen[-1]["stage-0"] if seen else "",
        )
        figures = page.locator("#inside figure").evaluate_all(
            "all => all.map(each => [each.dataset.name, each.querySelector('img').src])"
        )
        sizes = page.locator("#inside figure img").evaluate_all("all => all.map(each => each.naturalWidth)")
        assert min(sizes) >= 28
        seen.append(dict(figures))
    assert seen[0].keys() == {"seen", "ink", "saliency", "stage-0", "stage-1", "stage-2"}
    assert all(seen[0][name] != seen[1][name] for name in seen[0])


def test_a_zip_of_fifty_gives_the_command_lines_rows(open_page: Open, tmp_path: Path) -> None:
    images = _fifty()
    assert len(images) == 50
    for name, content in images.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "kalamos", "predict", *images, "-q", "-f", "csv"]
    said = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True).stdout
    page = open_page()
    read_zip(page, zipped(images))
    assert page.locator("#summary").inner_text().startswith("50 images · 48 read · 2 with errors")
    assert page.locator("#table tbody tr").count() == 50
    assert "no ink" in page.locator("#table tbody tr").first.inner_text()
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    assert download.value.suggested_filename == "kalamos.csv"
    assert Path(download.value.path()).read_bytes() == said
    page.locator("#shown input").click()
    page.get_by_role("option", name="Errors").click()
    page.wait_for_function("document.querySelectorAll('#table tbody tr').length === 2")
    # Another visitor sees nothing of it.
    other = open_page()
    tab(other, "Check and teach")
    wait(other, "#item", "Read a folder first")


def test_three_corrected_one_undone_and_taught(open_page: Open, corrections: Path) -> None:
    page = open_page()
    read_zip(page, zipped({f"{at}.png": png(written(str(at % 10))) for at in range(30)}))
    tab(page, "Check and teach")
    page.locator("#item .item").wait_for()
    type_label(page, "ط")
    # Not a digit: it is asked about once, and no more while it is among what was kept.
    page.get_by_role("button", name="Keep it as a new character").click()
    wait(page, "#review-kept", "Kept as ط.")
    for count in (2, 3):
        page.keyboard.press("Enter")
        wait(page, "#item", f"{count} checked")
    page.keyboard.press("Control+z")
    wait(page, "#review-kept", "Undone.")
    wait(page, "#item", "2 checked")
    kept = sorted(path.parent.name for path in corrections.rglob("*.png"))
    assert len(kept) == 2
    assert "ط" in kept
    for count in range(3, 13):
        if count < 8:
            page.locator("#true-label textarea, #true-label input").fill("ط")
        page.keyboard.press("Enter")
        wait(page, "#item", f"{count} checked")
    page.get_by_label("Name of the new model").fill("mine")
    page.get_by_role("button", name="Teach", exact=True).click()
    wait(page, "#lesson", "mine")
    wait(page, "#about", "Reads 11 characters")
    [file] = corrections.rglob("mine.onnx")
    assert "ط" in load(file).labels
    tab(page, "Read a folder")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    rows = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    assert sum(row["label"] == "ط" for row in rows) == 6
    assert sum(row["checked"] == "yes" for row in rows) == 12


@pytest.mark.parametrize(
    "options",
    [
        {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True},
        {"color_scheme": "dark"},
    ],
    ids=["phone", "dark"],
)
def test_on_a_phone_and_in_the_dark(open_page: Open, options: dict[str, object], tmp_path: Path) -> None:
    page = open_page(**options)
    draw(page, SEVEN)
    wait(page, "#answer .glyph", "7")
    for name in ("Read one", "Look inside", "Read a page or form", "Read a folder", "Check and teach"):
        tab(page, name)
        page.wait_for_timeout(200)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        path = tmp_path / f"{name}.png"
        page.screenshot(path=path)
        picture = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        assert picture is not None
        assert picture.std() > 8
        # The page's own ground is what most of the picture is.
        assert (np.median(picture) < 80) == ("color_scheme" in options)
