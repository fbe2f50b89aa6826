"""Pictures given in every way there is: examples, folders, and parts cut out, in a real Chromium."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tests.app.page_helpers import GRADIO_WARNINGS, Open, choose_model, give_picture, png, tab, wait

pytestmark = GRADIO_WARNINGS


def row_of(digits: str) -> NDArray[np.uint8]:
    page = np.full((200, 120 * len(digits)), 235, np.uint8)
    for place, digit in enumerate(digits):
        cv2.putText(page, digit, (30 + 120 * place, 135), cv2.FONT_HERSHEY_SIMPLEX, 3, 30, 9, cv2.LINE_AA)
    return page


def test_an_example_is_read_at_a_click_and_others_come_with_another_model(open_page: Open) -> None:
    page = open_page()
    page.locator("#answer").get_by_role("button", name="A 3 in chalk").click()
    wait(page, "#answer .glyph", "3")
    assert page.locator("#picture img").is_visible()
    page.locator("#examples-to-try").get_by_role("button", name="A 7 in pen").click()
    wait(page, "#answer .glyph", "7")
    choose_model(page, "arabic: 28 letters")
    page.locator("#examples-to-try").get_by_role("button", name="The letter ba in pen").click()
    wait(page, "#answer .glyph", "ب")
    assert page.locator("#examples-to-try button").count() == 2


def test_a_part_is_cut_out_and_turned_upright_before_it_is_read(open_page: Open) -> None:
    page = open_page()
    give_picture(page, png(np.rot90(row_of("537")).copy()))
    page.locator("#answer .verdict").wait_for()
    page.get_by_text("Crop or turn it").click()
    page.wait_for_function("document.querySelector('#frame canvas').height === 480")
    page.get_by_role("button", name="Turn right").click()
    page.wait_for_function("document.querySelector('#frame canvas').width === 480")
    canvas = page.locator("#frame canvas")
    for digit, place in (("3", 1), ("7", 2), ("5", 0)):
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        left, right = (box["x"] + box["width"] * (place + inset) / 3 for inset in (0.05, 0.95))
        page.mouse.move(left, box["y"] + 0.05 * box["height"])
        page.mouse.down()
        page.mouse.move(right, box["y"] + 0.95 * box["height"], steps=4)
        page.mouse.up()
        wait(page, "#answer .glyph", digit)
    # By key: one third to the right.
    canvas.focus()
    for _ in range(17):
        page.keyboard.press("ArrowRight")
    wait(page, "#answer .glyph", "3")
    # What one looks into, and keeps, is the part.
    tab(page, "Look inside")
    page.locator("#inside .verdict").filter(has_text="Read as 3").wait_for()


def test_a_folder_is_chosen_with_what_lies_in_it(open_page: Open, tmp_path: Path) -> None:
    folder = tmp_path / "scans"
    (folder / "sub").mkdir(parents=True)
    (folder / "1.png").write_bytes(png(row_of("1")))
    (folder / "sub" / "1.png").write_bytes(png(row_of("4")))
    (folder / "notes.txt").write_text("none", encoding="utf-8")
    (folder / ".hidden.png").write_bytes(png(row_of("5")))
    page = open_page()
    tab(page, "Read a folder")
    for images in (2, 3):
        with page.expect_file_chooser() as chooser:
            page.get_by_role("button", name="Choose a folder").click()
        chooser.value.set_files(folder)
        page.locator("#summary .verdict").get_by_text(f"{images} images").wait_for()
        said = page.locator("#choose-folder [role=status]").inner_text()
        assert said == f"{images} images in the folder; skipped 1 file without an image extension."
        (folder / "2.png").write_bytes(png(row_of("2")))
    names = {row.locator("td").nth(3).inner_text() for row in page.locator("#table tbody tr").all()}
    assert names == {"scans/1.png", "scans/2.png", "scans/sub/1.png"}
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    (nothing / "notes.txt").write_text("none", encoding="utf-8")
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Choose a folder").click()
    chooser.value.set_files(nothing)
    page.get_by_text("No image found in this folder; skipped 1 file without an image extension.").wait_for()
