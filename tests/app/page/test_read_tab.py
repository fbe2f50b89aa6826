"""The answers of the tab, without a browser."""

from __future__ import annotations

import base64
import json
import tracemalloc
from importlib.resources import files
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import pytest

from kalamos import load
from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_47
from kalamos.app.batching import ModelRegistry
from kalamos.app.errors import Limits
from kalamos.app.page import read_tab
from kalamos.app.page.context import Context
from kalamos.app.page.read_tab import (
    EXAMPLES,
    MAX_CROP_PX,
    MAX_DRAWING_CHARACTERS,
    MAX_FRAME_CHARACTERS,
    Example,
    Frame,
    drawing_bytes,
    examples_html,
    first_stages,
    frame_of,
    framed,
    inside_html,
    preview,
)
from kalamos.app.page.session import LastRead, Session
from kalamos.errors import CorruptImageError, ImageTooLargeError, UsageError
from kalamos.finetune import load_examples
from kalamos.finetune.corrections import NOT_CHARACTERS, Corrections
from kalamos.predictions import Prediction

FOLDER = files("kalamos.app") / "assets" / "examples"


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.file)
def test_each_is_read_right_by_every_fast_model_that_has_its_character(example: Example) -> None:
    content = (FOLDER / example.file).read_bytes()
    models = [name for name in ("digits", "latin", "arabic") if example.label in load(name).labels]
    assert models
    for name in models:
        assert load(name).predict(content).label == example.label


def test_they_are_small_and_none_lies_there_unused() -> None:
    found = {each.name: len(each.read_bytes()) for each in FOLDER.iterdir()}
    assert found.keys() == {each.file for each in EXAMPLES}
    assert sum(found.values()) < 40_000


def test_those_of_the_models_characters_are_shown() -> None:
    assert examples_html(DIGITS.labels).count("<button") == 3
    assert examples_html(LATIN_47.labels).count("<button") == 5
    assert examples_html(ARABIC_28.labels).count("<button") == 2
    assert examples_html(["x"]) == ""


def test_nothing_drawn_is_nothing() -> None:
    assert drawing_bytes("") is None
    assert drawing_bytes(None) is None


def test_the_bytes_of_a_drawing() -> None:
    assert drawing_bytes("data:image/png;base64," + base64.b64encode(b"abc").decode()) == b"abc"


@pytest.mark.parametrize(
    "value",
    [
        "http://127.0.0.1/secret.png",
        "data:text/html;base64,AAAA",
        "data:image/png;base64,A",
        "data:image/png;base64,é",
        "data:image/png;base64," + "A" * MAX_DRAWING_CHARACTERS,
        17,
    ],
)
def test_what_no_pad_makes_is_refused(value: str) -> None:
    with pytest.raises(CorruptImageError):
        drawing_bytes(value)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(ModelRegistry(["digits"]), Limits(pixels=10_000), tmp_path, gr.State(), gr.Dropdown())


def _drawing(side: int = 60, *, ink: bool = True) -> str:
    page = np.full((side, side), 255, np.uint8)
    if ink:
        page[8:52, 28:33] = 0
    content = cv2.imencode(".png", page)[1].tobytes()
    return f"data:image/png;base64,{base64.b64encode(content).decode()}"


def test_a_drawing_is_read_and_remembered(context: Context) -> None:
    visit = Session()
    assert "Read as 1" in read_tab._read_drawing(context, visit, "digits", _drawing(), 0, "")
    assert visit.last is not None
    assert visit.last.prediction.label == "1"
    assert "Read as" in read_tab._read_again(context, visit, "digits", 0, "")
    assert read_tab._read_drawing(context, visit, "digits", "", 0, "").startswith(read_tab.SINGLE_START)
    assert visit.last is None


def test_options_are_heard(context: Context) -> None:
    visit = Session()
    assert "Read as 4" in read_tab._read_drawing(context, visit, "digits", _drawing(), 0, "4")
    assert "Not sure enough" in read_tab._read_drawing(context, visit, "digits", _drawing(), 1, "")


@pytest.mark.parametrize(
    ("model", "drawing", "charset", "said"),
    [
        ("digits", _drawing(ink=False), "", "No ink"),
        ("digits", _drawing(300), "", "limit"),
        ("digits", "data:image/png;base64,AAAA", "", "Cannot be read"),
        ("digits", "data:image/png;base64,A", "", "did not arrive whole"),
        ("digits", _drawing(), "A", "lacks"),
        ("digit", _drawing(), "", "did you mean &#39;digits&#39;?"),
    ],
)
def test_every_refusal_is_said_and_nothing_is_remembered(
    model: str, drawing: str, charset: str, said: str, context: Context
) -> None:
    visit = Session()
    assert said in read_tab._read_drawing(context, visit, model, drawing, 0, charset)
    assert visit.last is None
    assert "nothing to keep" in read_tab._check_and_save(context, visit, "7")[0]


def test_a_thousand_drawings_leave_nothing_behind(context: Context) -> None:
    visit, drawing = Session(), _drawing()
    for _ in range(20):
        read_tab._read_drawing(context, visit, "digits", drawing, 0, "")
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(1000):
        read_tab._read_drawing(context, visit, "digits", drawing, 0, "")
    grown = sum(each.size_diff for each in tracemalloc.take_snapshot().compare_to(before, "filename"))
    tracemalloc.stop()
    assert grown < 200_000


@pytest.mark.parametrize(
    ("text", "asked"),
    [
        ("Q", "The model has no &#39;Q&#39;: keep it as a new character?"),
        ("12", "which is 2 characters, not one"),
        ("🙂", "The model has no &#39;🙂&#39;: keep it as a new character?"),
        ("👩🏽\u200d🔬", "The model has no &#39;👩🏽\u200d🔬&#39;: keep it"),
        ("🇫🇷", "The model has no &#39;🇫🇷&#39;: keep it"),
        ("٣", "(it has &#39;3&#39;)"),
        ("３", "(it has &#39;3&#39;)"),
        ("<b>", "which is 3 characters"),
    ],
)
def test_a_label_that_the_model_lacks_is_asked_about_before_it_is_kept(
    text: str, asked: str, context: Context
) -> None:
    visit = Session()
    read_tab._read_drawing(context, visit, "digits", _drawing(), 0, "")
    told, field, _, said, label = read_tab._check_and_save(context, visit, text)
    assert asked in said
    assert (told, field, label) == ("", text, text)
    assert visit.kept == []
    assert not list(context.corrections_dir.rglob("*.png"))
    kept, field, *question = read_tab._check_and_save(context, visit, label, asked=True)
    assert "Kept as" in kept
    assert (field, question[1:]) == ("", ["", ""])
    # No more while an example of it is kept.
    assert "Kept as" in read_tab._check_and_save(context, visit, text)[0]
    assert [each.label for each in visit.kept] == [text, text]


@pytest.mark.parametrize("text", ["", " ", "\t", "\u3000", "a\x00", "x" * 51])
def test_a_label_that_none_can_be_is_refused(text: str, context: Context) -> None:
    visit = Session()
    read_tab._read_drawing(context, visit, "digits", _drawing(), 0, "")
    for asked in (False, True):
        assert 'role="alert"' in read_tab._check_and_save(context, visit, text, asked=asked)[0]
    assert visit.kept == []


def test_what_is_no_character_is_kept_apart_and_never_a_class(context: Context) -> None:
    visit = Session()
    read_tab._read_drawing(context, visit, "digits", _drawing(), 0, "")
    read_tab._check_and_save(context, visit, "1")
    assert "not a character" in read_tab._save_example(context, visit, None)[0]
    assert [each.label for each in visit.kept] == ["1", None]
    folder = context.corrections_dir / "digits"
    assert len(list((folder / NOT_CHARACTERS).glob("*.png"))) == 1
    assert set(load_examples(folder).labels) == {"1"}
    corrections = Corrections(folder)
    assert [each.label for each in corrections] == ["1", None]
    assert corrections.examples().labels == ("1",)


def _corner() -> np.ndarray:
    page = np.full((60, 100), 255, np.uint8)
    page[5:15, 10:30] = 0
    return page


@pytest.mark.parametrize(
    ("turn", "shape", "box"),
    [
        (0, (60, 100), (0.1, 1 / 12, 0.3, 0.25)),
        (90, (100, 60), (0.75, 0.1, 11 / 12, 0.3)),
        (-90, (100, 60), (1 / 12, 0.7, 0.25, 0.9)),
        (180, (60, 100), (0.7, 0.75, 0.9, 11 / 12)),
        (270, (100, 60), (1 / 12, 0.7, 0.25, 0.9)),
    ],
)
def test_turns_by_quarters_move_pixels_and_boxes_go_by_the_turned_picture(
    turn: float, shape: tuple[int, int], box: tuple[float, float, float, float]
) -> None:
    assert framed(_corner(), Frame(turn)).shape == shape
    assert sorted(framed(_corner(), Frame(turn))[framed(_corner(), Frame(turn)) < 255]) == [0] * 200
    part = framed(_corner(), Frame(turn, box))
    assert abs(part.size - 200) <= 40  # a pixel more along each side at most
    assert (part == 0).sum() == 200


def test_a_small_turn_turns_back_and_has_the_papers_colour_in_its_corners() -> None:
    turned = framed(_corner(), Frame(30))
    assert turned.shape == (102, 117)
    assert turned[0, 0] == turned[-1, -1] == 255
    # Clockwise, as a browser's canvas turns: what was at the upper left goes to the right.
    ys, xs = np.nonzero(turned < 128)
    assert abs(xs.mean() - (58.5 + np.cos(np.pi / 6) * -30 - np.sin(np.pi / 6) * -20)) < 1
    assert abs(ys.mean() - (51 + np.sin(np.pi / 6) * -30 + np.cos(np.pi / 6) * -20)) < 1
    back = framed(turned, Frame(-30))
    middle = back[
        back.shape[0] // 2 - 30 : back.shape[0] // 2 + 30, back.shape[1] // 2 - 50 : back.shape[1] // 2 + 50
    ]
    assert np.abs(middle.astype(int) - _corner()).mean() < 12


def test_what_is_kept_is_bounded_and_never_empty() -> None:
    large = np.zeros((3000, 4000), np.uint8)
    assert max(framed(large, Frame(10)).shape) <= MAX_CROP_PX + 2
    assert framed(large, Frame(0, (0.5, 0.5, 0.6, 0.6))).shape == (300, 400)  # not scaled down
    for side in ((1, 1), (1, 500), (2, 2)):
        for turn in (0, 45, 90, -33):
            assert min(framed(np.zeros(side, np.uint8), Frame(turn, (0.999, 0.999, 1, 1))).shape) >= 1


@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "[]",
        "{",
        "{}",
        '{"turn": 0}',
        '{"turn": "x", "box": null}',
        '{"turn": NaN, "box": null}',
        '{"turn": 1e9, "box": null}',
        '{"turn": 0, "box": [0, 0, 1]}',
        '{"turn": 0, "box": [0, 0, 1, 2]}',
        '{"turn": 0, "box": [0.5, 0, 0.5, 1]}',
        '{"turn": 0, "box": [0, 0, NaN, 1]}',
        '{"turn": 0, "box": {"a": 1}}',
        '{"turn": 0, "box": [' + "[" * 900,
        " " * (MAX_FRAME_CHARACTERS + 1),
        7,
    ],
)
def test_what_no_pad_sends_is_refused(value: object) -> None:
    with pytest.raises(UsageError):
        frame_of(value)  # type: ignore[arg-type]


def test_a_preview_is_small_and_shows_the_picture() -> None:
    given = json.loads(preview(np.full((3000, 1500), 90, np.uint8)))["picture"]
    head, content = given.split(",")
    assert head == "data:image/jpeg;base64"
    shown = cv2.imdecode(np.frombuffer(base64.b64decode(content), np.uint8), cv2.IMREAD_GRAYSCALE)
    assert shown is not None
    assert shown.shape == (480, 240)


def _last(x: int) -> LastRead:
    page = np.full((60, 60), 255, np.uint8)
    page[8:52, x : x + 5] = 0
    page[8:13, 15:45] = 0
    return LastRead(cv2.imencode(".png", page)[1].tobytes(), Prediction("7", 1.0), "digits")


@pytest.mark.parametrize(
    ("count", "first"), [(0, []), (2, [0, 1]), (3, [0, 1, 2]), (4, [0, 2, 3]), (9, [0, 4, 8])]
)
def test_three_stages_from_first_to_last(count: int, first: list[int]) -> None:
    assert first_stages([str(stage) for stage in range(count)]) == [str(stage) for stage in first]


def test_pictures_of_the_stages_asked_for_and_of_no_others() -> None:
    reader = load("digits")
    shown = inside_html(reader, _last(40), ["deep", "no such stage"], 10**6)
    assert shown.count("<img") == 4
    assert "<b>deep</b>" in shown
    assert "12 of 88 channels, 2×2 px each" in shown
    assert shown != inside_html(reader, _last(30), ["deep"], 10**6)


def test_a_model_of_few_channels_and_any_number_of_stages(two_letters: Path) -> None:
    reader = load(two_letters)
    shown = inside_html(reader, _last(40), reader.spec.feature_maps, 10**6)
    assert shown.count("1 of 1 channels, 28×28 px each") == 4


def test_the_limit_on_pixels_holds_here_too() -> None:
    with pytest.raises(ImageTooLargeError):
        inside_html(load("digits"), _last(40), [], 100)
