"""The generator of forms and pages: what is true is where it says, and training shares nothing with it."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path

import cv2
import drawn_hands
import numpy as np
import pytest
from drawn_camera import PHOTOGRAPHS, SCANS, Shot, photograph, quarter_turns, scan
from drawn_forms import SEPARATOR, box_labels, draw_sheet, fill, printed, random_truth, true_boxes
from drawn_hands import ARABIC, CAPITALS, DIGITS, MARKS, Hands, held_out_hands, random_pen, write, write_mark
from drawn_pages import PAGES, draw_page
from drawn_paper import ink_in
from drawn_templates import CONTENTS, Printing, draw_empty, page_size, random_template
from stdnum import luhn

from kalamos.errors import DatasetError
from kalamos.forms.template import Field, FormPage, FormTemplate, row_of_boxes

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
KINDS = SCANS + PHOTOGRAPHS


@pytest.fixture(scope="module")
def hands() -> Hands:
    """Somebody who writes every character as OpenCV prints a digit or capital: no dataset is needed."""
    pools = {}
    for number, label in enumerate(DIGITS + CAPITALS + ARABIC):
        image = np.zeros((28, 28), np.uint8)
        text = label if label.isascii() else DIGITS[number % 10]
        cv2.putText(image, text, (4, 24), cv2.FONT_HERSHEY_SIMPLEX, 0.9, 255, 2, cv2.LINE_AA)
        pools[label] = [image]
    return Hands(pools, frozenset(ARABIC))


@pytest.mark.parametrize("kind", KINDS)
def test_a_sheet_is_the_same_each_time(hands: Hands, kind: str) -> None:
    first, again = (draw_sheet(kind, "mixed", 3, hands=hands) for _ in range(2))
    assert np.array_equal(first.image, again.image)
    assert (first.truth, first.template, first.pen) == (again.truth, again.template, again.pen)
    assert all(np.array_equal(first.corners[name], again.corners[name]) for name in first.corners)
    assert (first.image.dtype, first.image.ndim, first.kind) == (np.uint8, 2, kind)


def test_sheets_of_one_form_are_filled_unlike(hands: Hands) -> None:
    first, other = (draw_sheet("100 dpi", "mixed", seed, hands=hands) for seed in (3, 4))
    assert first.template == other.template
    assert np.array_equal(first.empty, other.empty)
    assert first.truth != other.truth
    assert draw_sheet("100 dpi", "mixed", 23, hands=hands).template != first.template


@pytest.mark.parametrize("kind", KINDS)
def test_the_ink_is_in_the_true_boxes_and_in_no_other(hands: Hands, kind: str) -> None:
    """The same page, empty and filled, before the same camera: they differ where something was written."""
    template, printing = random_template("mixed", np.random.default_rng(1))
    truth = random_truth(template, np.random.default_rng(2))
    empty = draw_empty(template, printing)
    pen = drawn_hands.Pen("felt", 0.6, 20, 0.0, 1.0, 0.0)
    layer = fill(empty.shape, template, truth, hands, pen, np.random.default_rng(3))
    take = scan if kind in SCANS else photograph
    blank, written = printed(empty, np.random.default_rng(4)), printed(empty, np.random.default_rng(4))
    ink_in(written, layer, pen.level, pen.grain, np.random.default_rng(5))
    before, after = (take(page, kind, np.random.default_rng(6)) for page in (blank, written))
    changed = cv2.medianBlur(cv2.absdiff(before.image, after.image), 3) > 45
    inside, around = np.zeros(changed.shape, np.uint8), np.zeros(changed.shape, np.uint8)
    corners = true_boxes(template, empty.shape, after)
    for field in template.fields:
        for label, box in zip(box_labels(field, truth[field.name]), corners[field.name], strict=True):
            only = np.zeros(changed.shape, np.uint8)
            cv2.fillConvexPoly(only, np.rint(box).astype(np.int32), 1)
            share = changed[only > 0].mean()
            assert share > 0.02 if label else share < 0.02, (field.name, label, share)
            inside |= only
            grown = (box - box.mean(axis=0)) * (1.9 if field.kind == "tick" else 1.3) + box.mean(axis=0)
            cv2.fillConvexPoly(around, np.rint(grown).astype(np.int32), 1)
    assert changed[inside > 0].sum() > 0.9 * changed.sum()
    assert changed[around == 0].sum() < 0.003 * changed.sum()


@pytest.mark.parametrize("kind", ["turned", "100 dpi", "upside down", "curved", "all together", "sideways"])
def test_the_boxes_lines_are_where_their_corners_are(kind: str) -> None:
    rows = [Field(f"row {y}", row_of_boxes(20, y, 9, 9, count=17, step=10)) for y in range(40, 280, 60)]
    template = FormTemplate("lines", (FormPage(210, 297),), tuple(rows))
    empty = draw_empty(template, Printing("lines", line=3))
    take = scan if kind in SCANS else photograph
    shot = take(printed(empty, np.random.default_rng(1)), kind, np.random.default_rng(2))
    for corners in true_boxes(template, empty.shape, shot).values():
        for box in corners:
            ends = zip(box, np.roll(box, -1, axis=0), strict=True)
            middle = cv2.remap(shot.image, *box.mean(axis=0).reshape(2, 1, 1), cv2.INTER_LINEAR)[0, 0]
            for start, end in ends:
                places = start + np.linspace(0.1, 0.9, 15)[:, None] * (end - start)
                xs, ys = places.astype(np.float32).T[:, :, None]
                line = cv2.remap(shot.image, xs, ys, cv2.INTER_LINEAR)
                assert line.mean() < 0.7 * middle


def test_quarter_turns_take_points_with_them() -> None:
    page = np.full((50, 80), 200, np.uint8)
    page[10:13, 20:23] = 0
    for turns in range(4):
        turned = quarter_turns(Shot(page, lambda points: points), turns)
        [place] = turned.place(np.array([[21.0, 11.0]]))
        rows, columns = np.nonzero(turned.image == 0)
        assert place.tolist() == [columns.mean(), rows.mean()]


def test_what_is_written_is_what_the_fields_ask_for(hands: Hands) -> None:
    blanks = filled = 0
    for seed in range(40):
        generator = np.random.default_rng(seed)
        template, _ = random_template(CONTENTS[seed % len(CONTENTS)], generator)
        for field in template.fields:
            text = random_truth(template, generator)[field.name]
            blanks, filled = blanks + (not text), filled + bool(text)
            if not text:
                continue
            if field.kind == "tick":
                chosen = text.split(SEPARATOR)
                assert set(chosen) <= set(field.options)
                assert field.several or len(chosen) == 1
                continue
            assert len(text) <= len(field.boxes)
            assert text == text.strip()
            if field.check == "luhn":
                assert luhn.is_valid(text)
                assert len(text) == len(field.boxes)
            allowed = {"digits": DIGITS, "upper": CAPITALS + " ", "ABCD": "ABCD", "": ARABIC}[field.charset]
            assert set(text) <= set(allowed)
    assert 0.05 < blanks / (blanks + filled) < 0.25


def test_forms_have_forty_boxes_and_templates_survive_their_file() -> None:
    for seed in range(30):
        for content in CONTENTS:
            template, printing = random_template(content, np.random.default_rng(seed))
            assert FormTemplate.from_toml(template.to_toml()) == template
            if content in {"digits", "capitals", "arabic"}:
                assert sum(len(field.boxes) for field in template.fields) == 40
            page, size = template.pages[0], page_size(template)
            assert page.width / size[0] == pytest.approx(page.height / size[1], rel=1e-3)
            # A copier may lose light lines; then the sheet can be found by something else.
            assert page.markers or page.image or printing.level <= 60


def test_fields_of_a_form_do_not_overlap() -> None:
    for seed in range(30):
        for content in CONTENTS:
            template, _ = random_template(content, np.random.default_rng(seed))
            boxes = np.array([box for field in template.fields for box in field.boxes])
            starts, ends = boxes[:, :2], boxes[:, :2] + boxes[:, 2:]
            shared = np.minimum(ends[:, None], ends) - np.maximum(starts[:, None], starts)
            np.einsum("iij->ij", shared)[:] = 0
            assert (shared.min(axis=2) <= 0.02 * boxes[0, 2]).all(), (seed, content)


@pytest.mark.parametrize("content", PAGES)
@pytest.mark.parametrize("kind", ["clean", "all together", "sideways"])
def test_a_page_has_its_characters_in_their_boxes(hands: Hands, content: str, kind: str) -> None:
    page, again = draw_page(content, kind, 5, hands=hands), draw_page(content, kind, 5, hands=hands)
    assert np.array_equal(page.image, again.image)
    assert "".join(page.lines).replace(" ", "") == "".join(page.labels)
    assert page.corners.shape == (len(page.labels), 4, 2)
    for corners in page.corners:
        low, high = corners.min(axis=0).astype(int), np.ceil(corners.max(axis=0)).astype(int) + 1
        assert (low >= 0).all()
        assert (high <= page.image.shape[::-1]).all()
        reach = 12
        around = page.image[
            max(0, low[1] - reach) : high[1] + reach, max(0, low[0] - reach) : high[0] + reach
        ]
        assert page.image[low[1] : high[1], low[0] : high[0]].min() < np.percentile(around, 75) - 25
    expected = {
        "alphabet": len(set(page.labels)) == 26,
        "words": any(" " in line for line in page.lines),
        "numbers": bool(set(page.labels) & set(MARKS)),
    }
    assert expected.get(content, all(4 <= len(line) <= 12 for line in page.lines))


def test_touching_digits_touch_and_spaced_ones_do_not(hands: Hands) -> None:
    def parts(content: str) -> float:
        """Parts of ink for each digit, on clean scans of plain paper."""
        counts = []
        for seed in range(6):
            page = draw_page(content, "clean", seed, hands=hands)
            dark = (page.image < 150).astype(np.uint8)
            inked = np.zeros_like(dark)
            for corners in page.corners:
                cv2.fillConvexPoly(inked, np.rint(corners).astype(np.int32), 1)
            areas = cv2.connectedComponentsWithStats(dark & inked)[2][1:, cv2.CC_STAT_AREA]
            counts.append((areas > 60).sum() / len(page.labels))
        return float(np.median(counts))

    assert parts("touching digits") < 0.7
    assert 0.9 < parts("spaced digits") < 1.2


@pytest.mark.parametrize("width", [2.0, 4.0, 8.0])
def test_a_pen_draws_as_wide_as_it_is(hands: Hands, width: float) -> None:
    bar = np.zeros((28, 28), np.uint8)
    bar[4:24, 12:16] = 255
    pen = drawn_hands.Pen("fineliner", 0.5, 30, 0.0, 1.0, 0.0)
    cover = write(drawn_hands.Glyph(bar), 50, width, pen)
    middle = cover[len(cover) // 3 : -len(cover) // 3] / 255
    assert middle.sum(axis=1).mean() == pytest.approx(width, abs=1.6)
    assert abs(cover.shape[0] - 50) <= 0.2 * 50


@pytest.mark.parametrize("mark", MARKS)
def test_marks_have_their_place_between_digits(mark: str) -> None:
    cover, above = write_mark(mark, 50, 4, np.random.default_rng(0))
    top = above + cover.shape[0]
    assert cover.max() > 200
    parts = cv2.connectedComponents((cover > 127).astype(np.uint8))[0] - 1
    assert parts == (2 if mark == ":" else 1)
    lowest, highest = {".": (-3, 15), ",": (-20, 15), "-": (15, 35), "/": (-15, 65), ":": (0, 45)}[mark]
    assert lowest <= above
    assert top <= highest + 4


def test_nothing_is_shared_with_training() -> None:
    for path in BENCHMARKS.glob("drawn_*.py"):
        tree = ast.parse(path.read_text("utf-8"))
        names = [node.module or "" for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
        names += [name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names]
        assert not [name for name in names if name.startswith(("kalamos.learn", "torch"))], path


@pytest.fixture(scope="module")
def real_hands() -> Hands:
    if not os.environ.get("KALAMOS_DATA"):
        pytest.skip("KALAMOS_DATA is not set")
    try:
        return held_out_hands()
    except DatasetError as error:
        pytest.skip(str(error))


def test_real_hands_know_every_character(real_hands: Hands) -> None:
    assert min(len(real_hands.pools[label]) for label in DIGITS) > 800
    assert min(len(real_hands.pools[label]) for label in CAPITALS) > 80
    assert min(len(real_hands.pools[label]) for label in ARABIC) == 120
    for image in real_hands.pools["I"]:  # no dots
        assert cv2.connectedComponents((image > drawn_hands.CUT).astype(np.uint8))[0] == 2
    for image in real_hands.pools["L"]:  # a foot
        columns = np.flatnonzero((image > drawn_hands.CUT).any(axis=0))
        assert len(columns) >= 5


def test_dots_of_arabic_letters_stay(real_hands: Hands) -> None:
    """Thin dots must not be lost when a letter is written with another pen: they are what tells it."""
    generator, kept = np.random.default_rng(0), 0
    for number in range(60):
        pen = random_pen(generator)
        cover = write(
            drawn_hands.Glyph(real_hands.pools["ن"][number], framed=True), 46, pen.width * 7.87, pen
        )
        kept += cv2.connectedComponents((cover > 110).astype(np.uint8))[0] > 2
    assert kept > 48


def test_the_command_writes_pictures_a_template_and_the_truth(real_hands: Hands, tmp_path: Path) -> None:
    command = [sys.executable, BENCHMARKS / "drawn_forms.py", "--kind", "curved", "--n", "1", "-o", tmp_path]
    subprocess.run(command, check=True, capture_output=True)
    assert {path.name for path in tmp_path.iterdir()} >= {
        "mixed-0.png", "mixed-0-boxes.png", "mixed-form-0.toml", "truth.json",
    }  # fmt: skip
    assert FormTemplate.load(tmp_path / "mixed-form-0.toml").fields
