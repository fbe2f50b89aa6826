"""Lines of digits read as wholes: strips, what the network says of them, and what a page makes of it."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import onnxruntime
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import kalamos
from kalamos.pages import PageReader, digit_lines
from kalamos.pages.digit_lines import DIRT, Judged, are_digits, fused, vouched, with_doubtful
from kalamos.pages.ink_map import PageInk, find_page_ink
from kalamos.pages.line_recognizer import LABELS, LINE_FILE, LineScores, Strip, read_strips, strip_of
from kalamos.pages.lines import Band, TextLine, find_lines
from kalamos.pages.page import Box, Page
from kalamos.pages.parts import Part, Sheet, find_parts, profile_skew
from kalamos.pages.segmentation import Candidate as Group
from kalamos.pages.segmentation import Piece, pieces_of
from kalamos.pages.strips import BAND_PX, STRIP_PX, cut_strip
from kalamos.predictions import Candidate, Prediction

Grey = NDArray[np.uint8]

TOUCHING = ("35", "48", "26", "952", "3053", "628")
"""Digits that `joined` writes in one piece."""


def joined(text: str, size: float = 2.0) -> Grey:
    """Write digits so close that their strokes run into each other, on a line of their own."""
    pen = round(2.5 * size)
    page = np.full((220, 130 + 50 * len(text)), 232, np.uint8)
    x = 60
    for digit in text:
        sign = np.zeros((120, 90), np.uint8)
        cv2.putText(sign, digit, (20, 90), cv2.FONT_HERSHEY_SIMPLEX, size, 255, pen, cv2.LINE_AA)
        left, top, width, height = cv2.boundingRect(sign)
        ink = sign[top : top + height, left : left + width]
        place = page[130 - height : 130, x : x + width]
        np.minimum(place, 232 - (ink.astype(np.int32) * 190 // 255).astype(np.uint8), out=place)
        x += width - pen // 2 - 1
    return cv2.GaussianBlur(page, (3, 3), 0)  # type: ignore[return-value]


def parts_of(page: Page) -> list[tuple[str | None, Box]]:
    return [(each.label, each.box) for line in page.lines for word in line.words for each in word.characters]


@pytest.fixture(scope="module")
def reader() -> PageReader:
    return PageReader(kalamos.load("digits"), layout="line")


@pytest.mark.parametrize("text", TOUCHING)
def test_digits_that_touch_are_read_each_with_its_box(reader: PageReader, text: str) -> None:
    image = joined(text)
    assert cv2.connectedComponents((image < 150).view(np.uint8))[0] == 2  # paper and one piece of ink
    found = parts_of(reader.read_image(image))
    assert "".join(label or "?" for label, _ in found) == text
    lefts = [box.x for _, box in found]
    assert lefts == sorted(lefts)
    assert all(20 < box.width < 70 and 35 < box.height < 60 for _, box in found)


def test_a_charset_holds_for_digits_that_touch() -> None:
    image = joined("35")
    reader = PageReader(kalamos.load("digits"), kalamos.PredictOptions(charset="58"), layout="line")
    [(first, left), (last, right)] = parts_of(reader.read_image(image))
    assert first in {"5", "8", None}  # a 3, which may not be answered, is a character all the same
    assert last == "5"
    assert left.x < right.x


def test_letters_are_read_without_the_line_recogniser(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []
    monkeypatch.setattr(digit_lines, "read_strips", lambda strips, allowed: calls.append(len(strips)))
    image = np.full((160, 400), 230, np.uint8)
    cv2.putText(image, "HAT", (60, 110), cv2.FONT_HERSHEY_SIMPLEX, 2.5, 40, 6, cv2.LINE_AA)
    page = kalamos.read(image, model="latin", charset="upper", layout="line")
    assert page.text.replace(" ", "") == "HAT"
    assert not calls


@settings(max_examples=25, deadline=None)
@given(width=st.integers(1, 400), seed=st.integers(0, 99), allowed=st.sampled_from(["0123456789", "17", "3"]))
def test_strips_of_any_width_have_a_row_every_two_px(width: int, seed: int, allowed: str) -> None:
    ink = np.random.default_rng(seed).integers(0, 256, (STRIP_PX, width)).astype(np.uint8)
    [scores] = read_strips([Strip(ink, 5.0, 0.5)], allowed)
    assert scores.logs.shape == ((width + 1) // 2, 1 + len(LABELS))
    np.testing.assert_allclose(np.exp(scores.logs).sum(axis=1), 1, atol=1e-3)
    others = [1 + LABELS.index(digit) for digit in "0123456789" if digit not in allowed]
    assert (np.exp(scores.logs[:, others]) < 1e-5).all()
    assert all(spike.column >= 5 for spike in scores.spikes())
    assert scores.step == 4


def test_one_strip_is_read_as_among_others() -> None:
    generator = np.random.default_rng(0)
    strips = [
        Strip(generator.integers(0, 256, (STRIP_PX, width)).astype(np.uint8), 0, 1) for width in (40, 90)
    ]
    both = read_strips(strips, LABELS)
    for strip, scores in zip(strips, both, strict=True):
        np.testing.assert_array_equal(read_strips([strip], LABELS)[0].logs, scores.logs)


def scores_of(text: str, sure: float = 0.97) -> LineScores:
    """Say that characters stand at every third row, of 4 px."""
    count = len(LABELS)
    logs = np.full((3 * len(text) + 1, 1 + count), np.log((1 - sure) / count))
    logs[:, 0] = np.log(sure)
    for place, character in enumerate(text):
        row = 3 * place + 1
        logs[row, 0] = np.log((1 - sure) / count)
        logs[row, 1 + LABELS.index(character)] = np.log(sure)
    return LineScores(logs, 0.0, 4.0)


def test_spikes_are_in_the_middle_of_what_they_stand_for() -> None:
    assert scores_of("70").spikes() == [(6.0, "7"), (18.0, "0")]
    assert scores_of("77").spikes() == [(6.0, "7"), (18.0, "7")]
    assert scores_of("").spikes() == []


def test_one_character_is_likely_where_one_stands() -> None:
    scores = scores_of("70")
    one, two, none = (np.exp(scores.single(*ends)) for ends in ((0, 12), (0, 28), (8, 16)))
    assert one.argmax() == LABELS.index("7")
    assert one.max() > 0.9
    assert two.max() < 0.1
    assert none.max() < 0.1
    assert np.isfinite(scores.single(-np.inf, np.inf)).all()
    assert np.isfinite(scores.single(500, 600)).all()


def bar(x: int, width: int = 6, height: int = 40, y: int = 0) -> Part:
    return Part(Box(x, y, width, height), np.full((height, width), 255, np.uint8))


def test_a_strip_is_level_and_as_high_as_its_line() -> None:
    sheet = np.zeros((200, 600), np.uint8)
    parts = []
    for place in range(8):
        x, y = 40 + 60 * place, 40 + 9 * place
        sheet[y : y + 48, x : x + 8] = 255
        parts.append(bar(x, 8, 48, y))
    strip = strip_of(TextLine(tuple(parts), Band(70, 120)), sheet)
    assert strip.scale == pytest.approx(BAND_PX / 48, rel=0.02)
    rows = np.flatnonzero((strip.ink > 127).any(axis=1))
    assert rows[-1] - rows[0] + 1 == pytest.approx(BAND_PX, abs=2)
    assert rows.mean() == pytest.approx(STRIP_PX / 2 - 0.5, abs=1)


def test_a_strip_reaches_beyond_the_sheet() -> None:
    sheet = np.full((20, 30), 255, np.uint8)
    strip = cut_strip(sheet, -40, np.full(120, 10.0), 20.0)
    assert strip.shape[0] == STRIP_PX
    assert not strip[:, :40].any()
    assert strip[10:30, 60:70].min() > 200


def test_faint_ink_is_seen_as_well_as_dark() -> None:
    sheet = np.zeros((60, 100), np.uint8)
    sheet[10:50, 40:46] = 250
    dark, faint = (cut_strip(ink, 0, np.full(100, 30.0), 40.0) for ink in (sheet, sheet // 5))
    assert np.abs(dark.astype(int) - faint).max() <= 8


def test_a_part_is_cut_between_two_characters() -> None:
    ink = np.zeros((40, 50), np.uint8)
    ink[:, 5:9] = ink[:, 40:44] = ink[18:22, 5:44] = 255  # an H, which two bars that are joined are
    part = Part(Box(100, 0, 50, 40), ink)
    line = TextLine((part,), Band(0, 40))
    [left, right] = [piece for piece in pieces_of(line, 4.0, (107.0, 142.0)) if piece.part.box.height == 40][
        :2
    ]
    assert left.part.right <= 142
    assert right.part.box.x >= 107
    assert right.cut == pytest.approx(1.0, abs=0.3)


def pair() -> tuple[TextLine, list[Piece], list[Group]]:
    pieces = [Piece(bar(0)), Piece(bar(14), 0.2)]
    whole = Part(Box(0, 0, 20, 40), np.full((40, 20), 255, np.uint8))
    line = TextLine((whole,), Band(0, 40))
    groups = [Group(0, 0, pieces[0].part, 0.1), Group(1, 1, pieces[1].part, 0.1), Group(0, 1, whole, 0.1)]
    return line, pieces, groups


def read_as(label: str, share: float, other: str) -> Prediction:
    top = (Candidate(label, share), Candidate(other, 1 - share))
    return Prediction(label, share, top, known=0.9)


def test_the_line_decides_between_one_character_and_two() -> None:
    line, pieces, groups = pair()
    answers = [read_as("1", 0.6, "7"), read_as("1", 0.6, "7"), read_as("0", 0.6, "4")]
    two = fused(line, pieces, groups, answers, scores_of("11"))
    one = fused(line, pieces, groups, answers, scores_of("0"))
    assert two[0].loss + two[1].loss < two[2].loss
    assert one[2].loss < one[0].loss + one[1].loss


def test_an_answer_stays_where_both_agree_and_is_weighed_where_not() -> None:
    line, pieces, groups = pair()
    answers = [read_as("1", 0.6, "7"), read_as("1", 0.6, "7"), Prediction(None, None)]
    agreed, weighed, nothing = fused(line, pieces, groups, answers, scores_of("17"))
    assert agreed.answer is answers[0]
    assert weighed.answer.label == "7"
    assert weighed.answer.top[0].confidence == weighed.answer.confidence
    assert 0.5 < weighed.share < 1
    assert sum(each.confidence for each in weighed.answer.top) == pytest.approx(1)
    assert weighed.answer.known == 0.9
    assert nothing.loss > 10  # nobody could read it


def test_a_line_of_known_digits_vouches_for_one_that_is_not() -> None:
    def judged(*known: float) -> list[Judged]:
        return [Judged(replace(read_as("1", 0.6, "7"), known=each), 1.0, 0.8) for each in known]

    assert [each.known for each in vouched(judged(0.95, 0.7, 0.01))] == [0.95, 0.8, 0.8]
    assert [each.known for each in vouched(judged(0.95, 0.02, 0.01))] == [0.95, 0.02, 0.01]
    assert vouched([]) == []
    whole = [each._replace(whole=True) for each in judged(0.95, 0.7, 0.01)]
    assert [each.known for each in vouched(whole)] == [0.95, 0.7, 0.01]
    more = [each._replace(whole=True) for each in judged(0.95, 0.9, 0.9, 0.01)]
    assert [each.known for each in vouched(more)] == [0.95, 0.9, 0.9, 0.8]


def apart(text: str) -> Sheet:
    """Write digits beside each other."""
    image = np.full((200, 120 + 70 * len(text)), 232, np.uint8)
    for place, digit in enumerate(text):
        cv2.putText(image, digit, (60 + 70 * place, 130), cv2.FONT_HERSHEY_SIMPLEX, 2, 40, 5, cv2.LINE_AA)
    ink = find_page_ink(cv2.GaussianBlur(image, (3, 3), 0), 45)  # type: ignore[arg-type]
    assert ink is not None
    return Sheet.of(ink)


@pytest.mark.parametrize("missed", [1, 2])
def test_parts_that_seemed_no_writing_come_back_where_the_line_has_digits(missed: int) -> None:
    sheet = apart("5263")
    parts = find_parts(sheet)
    assert len(parts) == 4
    writing = [part for place, part in enumerate(parts) if place != missed]
    found = with_doubtful(writing, parts, [200.0] * 4, sheet.height, sheet, find_lines, "0123456789")
    assert sorted(part.box for part in found) == [part.box for part in parts]
    faint = [200.0 if place != missed else 20.0 for place in range(4)]
    assert with_doubtful(writing, parts, faint, sheet.height, sheet, find_lines, "0123456789") == writing


def test_what_stands_far_from_the_line_does_not_come_back() -> None:
    sheet = apart("1  263")
    parts = find_parts(sheet)
    found = with_doubtful(parts[1:], parts, [200.0] * 4, sheet.height, sheet, find_lines, "0123456789")
    assert found == parts[1:]


def test_light_ink_beside_a_dark_edge_is_ink_all_the_same() -> None:
    mask = np.zeros((200, 300), np.uint8)
    mask[:, 280:] = 255  # the table
    mask[80:120, 40:46] = mask[80:120, 100:106] = mask[80:120, 160:166] = 255
    grey = np.where(mask > 0, 60, 220).astype(np.uint8)
    grey[:, 280:] = 255
    strokes = PageInk(mask, grey, 1.0, 40.0).strokes()
    assert strokes[100, 43] > 200


def test_a_scribble_does_not_come_back() -> None:
    sheet = apart("5263")
    parts = find_parts(sheet)
    blank = replace(sheet, strokes=np.zeros_like(sheet.strokes))  # the line recogniser sees nothing
    found = with_doubtful(parts[:2], parts, [200.0] * 4, sheet.height, blank, find_lines, "0123456789")
    assert found == parts[:2]


def test_a_sign_is_told_by_the_line_and_dirt_is_left_out() -> None:
    pieces = [Piece(bar(0)), Piece(bar(16, 5, 5, 36)), Piece(bar(30))]
    line = TextLine(tuple(piece.part for piece in pieces), Band(0, 40))
    groups = [Group(place, place, piece.part, 0.0) for place, piece in enumerate(pieces)]
    answers = [read_as("1", 0.9, "7"), Prediction(None, None), read_as("1", 0.9, "7")]
    signed = fused(line, pieces, groups, answers, scores_of("1.1"))
    assert signed[1].loss < 1
    slash = fused(line, pieces, groups, [answers[0], read_as("1", 0.9, "7"), answers[0]], scores_of("/11"))
    assert slash[0].answer == Prediction("/", 1.0)
    assert slash[0].slash > 0.9
    assert max(each.slash for each in signed) < 0.01
    empty = scores_of("111", sure=0.999)
    empty.logs[4] = empty.logs[3]  # nothing where the speck is
    empty.logs[4, 0] = np.log(0.8)  # as far as it can tell
    assert fused(line, pieces, groups, answers, empty)[1].answer is DIRT


def test_lines_that_touch_tell_how_a_page_lies() -> None:
    ink = np.zeros((140, 400), np.uint8)
    for x in range(400):
        ink[x // 5 : x // 5 + 40, x] = 255
    part = Part(Box(10, 10, 400, 140), ink)
    assert profile_skew([part], 50.0, 0.0) == pytest.approx(11.3, abs=1)
    level = Part(Box(10, 10, 400, 40), np.full((40, 400), 255, np.uint8))
    assert profile_skew([level], 40.0, 0.3) == 0.3  # nothing tells them better
    assert profile_skew([], 40.0, 2.0) == 2.0


@pytest.mark.parametrize(
    ("labels", "digits"), [("0123456789", True), ("17", True), ("1A", False), ("", False)]
)
def test_the_line_recogniser_is_for_digits(labels: str, digits: bool) -> None:
    assert are_digits(labels) == digits


def test_the_shipped_file_is_small_and_says_how_it_was_made() -> None:
    content = LINE_FILE.read_bytes()
    assert len(content) < 1_000_000
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])
    recipe = json.loads(session.get_modelmeta().custom_metadata_map["kalamos-lines"])
    loaded = pytest.importorskip("kalamos.learn.lines.recipe").LineRecipe.load(
        Path(__file__).parents[2] / "recipes" / "digit-lines.toml"
    )
    assert recipe == asdict(loaded)
    card = LINE_FILE.with_suffix(".md").read_text("utf-8")
    assert re.search(r"SHA-256 `([0-9a-f]{64})`", card)[1] == hashlib.sha256(content).hexdigest()  # type: ignore[index]
    assert f"{len(content):,} bytes" in card
