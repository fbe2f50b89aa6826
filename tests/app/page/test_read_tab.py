"""The answers of the tab, without a browser."""

from __future__ import annotations

import base64
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
from kalamos.app.page.read_tab import EXAMPLES, MAX_DRAWING_CHARACTERS, Example, drawing_bytes, examples_html
from kalamos.app.page.session import Session
from kalamos.errors import CorruptImageError
from kalamos.finetune import load_examples
from kalamos.finetune.corrections import NOT_CHARACTERS, Corrections

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
        ("digit", _drawing(), "", "did you mean &#x27;digits&#x27;?"),
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
        ("Q", "The model has no &#x27;Q&#x27;: keep it as a new character?"),
        ("12", "which is 2 characters, not one"),
        ("🙂", "The model has no &#x27;🙂&#x27;: keep it as a new character?"),
        ("👩🏽\u200d🔬", "The model has no &#x27;👩🏽\u200d🔬&#x27;: keep it"),
        ("🇫🇷", "The model has no &#x27;🇫🇷&#x27;: keep it"),
        ("٣", "(it has &#x27;3&#x27;)"),
        ("３", "(it has &#x27;3&#x27;)"),
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
