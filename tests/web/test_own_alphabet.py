"""An alphabet of one's own in the page: drawn, kept, read, downloaded, opened again."""

from __future__ import annotations

import base64
import csv
import io
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from kalamos import load
from kalamos.cli import cli

from tests.web.conftest import Open  # isort: skip
from tests.web.test_browser import Points, draw, wait  # isort: skip

if TYPE_CHECKING:
    from playwright.sync_api import Page

VEE: Points = [(0.25, 0.2), (0.5, 0.8), (0.75, 0.2)]
RING: Points = [(0.5, 0.2), (0.25, 0.35), (0.22, 0.6), (0.5, 0.8), (0.76, 0.62), (0.74, 0.35), (0.5, 0.2)]


def again(points: Points, turn: int) -> Points:
    """The same shape by a hand that is never quite the same."""
    moved = np.random.default_rng(turn).normal(0, 0.015, (len(points), 2))
    return [(x + float(dx), y + float(dy)) for (x, y), (dx, dy) in zip(points, moved, strict=True)]


def choose(page: Page, name: str = "My alphabet") -> None:
    page.get_by_role("radio", name=name).check()


def count(page: Page, samples: int) -> None:
    page.wait_for_function("n => document.querySelectorAll('.shot').length === n", arg=samples)


def keep(page: Page, label: str, shapes: Sequence[Points], before: int = 0) -> None:
    page.locator("#label").fill(label)
    for row, shape in enumerate(shapes):
        draw(page, shape)
        page.locator("#keep button").click()
        count(page, before + row + 1)


def taught(page: Page) -> None:
    """Three samples of two characters, one of which no folder can be called by."""
    choose(page)
    keep(page, "A/B", [again(VEE, turn) for turn in range(3)])
    keep(page, "ο", [again(RING, turn) for turn in range(3)], before=3)


def downloaded(page: Page, button: str) -> tuple[str, bytes]:
    with page.expect_download() as waited:
        page.locator(button).click()
    return waited.value.suggested_filename, Path(waited.value.path()).read_bytes()


def picture(points: Points) -> bytes:
    """A drawing as a PNG file."""
    page = np.full((300, 300), 230, np.uint8)
    cv2.polylines(page, [np.int32(np.array(points) * 300)], False, 30, 14, cv2.LINE_AA)
    return cv2.imencode(".png", page)[1].tobytes()


def test_samples_are_kept_read_with_and_downloaded_for_teach(open_file: Open, tmp_path: Path) -> None:
    page = open_file()
    taught(page)
    draw(page, again(VEE, 9))
    wait(page, "A/B")
    page.reload()
    choose(page)
    count(page, 6)
    assert page.locator("#count").inner_text() == "Characters: 2, samples: 6"
    draw(page, again(RING, 9))
    wait(page, "ο")

    page.locator("#alphabet-name").fill("Tests: mine")
    name, content = downloaded(page, "#save-samples")
    assert name == "Tests- mine.zip"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        rows = list(csv.DictReader(io.TextIOWrapper(archive.open("manifest.csv"), "utf-8")))
        archive.extractall(tmp_path / "letters")
    assert [row["label"] for row in rows] == 3 * ["A/B"] + 3 * ["ο"]
    assert all("/" not in row["path"].removesuffix(".png").partition("/")[2] for row in rows)
    (tmp_path / "letters.zip").write_bytes(content)
    for samples in ("letters", "letters.zip"):
        model = str(tmp_path / f"{samples}.onnx")
        done = CliRunner().invoke(cli, ["teach", "glyphs", str(tmp_path / samples), "-o", model])
        assert done.exit_code == 0, done.output
        reader = load(model)
        assert reader.labels == ("A/B", "ο")
        assert reader.predict(picture(again(RING, 8))).top[0].label == "ο"


def test_a_page_of_ones_own_opens_from_disk_and_reads_the_alphabet(open_file: Open, tmp_path: Path) -> None:
    page = open_file()
    taught(page)
    page.locator("#alphabet-name").fill("Rings & vees")
    name, content = downloaded(page, "#save-page")
    assert name == "Rings & vees.html"
    own = tmp_path / "own.html"
    own.write_bytes(content)
    page = open_file(own)
    assert page.get_by_role("radio", name="Rings & vees").is_checked()
    draw(page, again(RING, 7))
    wait(page, "ο")
    draw(page, [(0.1, 0.1), (0.9, 0.9)])
    page.wait_for_function("() => document.querySelector('.columns').dataset.state === 'doubtful'")
    page.get_by_role("radio", name="Digits").check()
    page.locator("#clear").click()
    draw(page, [(0.25, 0.25), (0.72, 0.25), (0.45, 0.82)])
    wait(page, "7")
    choose(page)
    assert page.locator(".shot").count() == 0  # samples of a hand are not passed on
    keep(page, "x", [VEE])
    keep(page, "y", [RING], before=1)
    assert downloaded(page, "#save-page")[1] != content


def test_samples_are_deleted_renamed_and_brought_back(open_file: Open) -> None:
    page = open_file()
    taught(page)
    page.get_by_role("button", name="Delete sample 2 of ο").click()
    count(page, 5)
    assert page.evaluate("document.activeElement.ariaLabel") == "Delete sample 2 of ο"
    page.locator("#undo-sample").click()
    count(page, 6)
    page.get_by_role("button", name="Rename: ο").click()
    page.locator("#new-name").fill("omicron")
    page.keyboard.press("Enter")
    page.get_by_role("heading", name="omicron").wait_for()
    page.get_by_role("button", name="Delete: A/B").click()
    count(page, 3)
    draw(page, VEE)
    wait(page, "·", "waiting")
    assert "two characters" in page.locator("#answer").inner_text()  # one leaves nothing to tell apart
    page.locator("#undo-sample").click()
    count(page, 6)
    wait(page, "A/B")
    page.get_by_role("button", name="Rename: omicron").click()
    page.locator("#new-name").fill("A/B")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelectorAll('#characters li').length === 1")
    page.locator("#forget").click()
    count(page, 0)
    for _ in range(2):
        page.locator("#undo-sample").click()
    page.get_by_role("heading", name="omicron").wait_for()
    page.reload()
    choose(page)
    count(page, 6)
    assert page.locator("#characters h3").all_inner_texts() == ["A/B", "omicron"]


def test_archives_and_pictures_are_taken(open_file: Open) -> None:
    page = open_file()
    choose(page)
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as written:
        for row in range(2):
            written.writestr(f"letters/a%3Ab/{row}.png", picture(again(VEE, row)))
            written.writestr(f"letters/ο/{row}.png", picture(again(RING, row)))
        written.writestr("letters/ο/note.txt", "no picture")
        written.writestr("letters/ο/blank.png", picture([(-1.0, -1.0), (-1.0, -0.9)]))
    page.locator("#archive").set_input_files(
        {"name": "letters.zip", "mimeType": "application/zip", "buffer": archive.getvalue()}
    )
    count(page, 4)
    assert page.locator("#told").inner_text().startswith("Samples added: 4; pictures without ink")
    assert page.locator("#characters h3").all_inner_texts() == ["a:b", "ο"]
    page.evaluate(
        """content => {
          const bytes = Uint8Array.from(atob(content), each => each.charCodeAt(0));
          const dataTransfer = new DataTransfer();
          for (const name of ["1.png", "2.png"])
            dataTransfer.items.add(new File([bytes], name, { type: "image/png" }));
          const target = document.querySelector("[data-character='ο'] h3");
          target.dispatchEvent(new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true }));
        }""",
        base64.b64encode(picture(again(RING, 5))).decode(),
    )
    count(page, 6)
    with page.expect_file_chooser() as chooser:
        page.get_by_role("button", name="Add pictures: a:b").click()
    chooser.value.set_files({"name": "v.png", "mimeType": "image/png", "buffer": picture(again(VEE, 5))})
    count(page, 7)
    page.locator("#file").set_input_files(
        {"name": "v.png", "mimeType": "image/png", "buffer": picture(again(VEE, 6))}
    )
    wait(page, "a:b")
    page.locator("#archive").set_input_files(
        {"name": "letters.zip", "mimeType": "application/zip", "buffer": b"no archive"}
    )
    page.wait_for_function("() => document.querySelector('#told').textContent.includes('no zip archive')")
    count(page, 7)


@pytest.mark.parametrize(("language", "own"), [("en", "My alphabet"), ("ar", "أبجديتي")])
def test_it_is_taught_by_keyboard_on_a_phone_in_the_dark(open_file: Open, language: str, own: str) -> None:
    page = open_file(viewport={"width": 360, "height": 740}, locale=language, color_scheme="dark")
    choose(page, own)
    for label, turns in (("ا", ("ArrowDown",)), ("ل", ("ArrowDown", "ArrowLeft", "ArrowUp"))):
        page.locator("#label").fill(label)
        page.locator("#pad canvas").focus()
        for _ in range(8):
            page.keyboard.press("ArrowUp")
        page.keyboard.press("Space")
        for turn in turns:
            for _ in range(14):
                page.keyboard.press(turn)
        page.keyboard.press("Space")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name=label).wait_for()
    assert page.locator("#told").get_attribute("aria-live") == "polite"
    assert page.locator("#told").inner_text() != ""
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    unnamed = page.evaluate(
        """[...document.querySelectorAll("#samples *, #keep *")]
             .filter(each => /^(BUTTON|INPUT)$/.test(each.tagName) && !each.hidden)
             .filter(each => !each.textContent.trim() && !each.ariaLabel && !each.labels?.[0])
             .map(each => each.outerHTML)"""
    )
    assert unnamed == []


def test_a_hosted_page_gives_a_page_of_ones_own(
    browser: object, host: tuple[str, Callable[[], None]], tmp_path: Path, open_file: Open
) -> None:
    context = browser.new_context(accept_downloads=True)  # type: ignore[attr-defined]
    page = context.new_page()
    page.goto(host[0])
    taught(page)
    own = tmp_path / "own.html"
    own.write_bytes(downloaded(page, "#save-page")[1])
    context.close()
    page = open_file(own)
    draw(page, again(VEE, 7))
    wait(page, "A/B")
