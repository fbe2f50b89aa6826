"""The answers of the tab, without a browser."""

from __future__ import annotations

import base64
import tracemalloc
from pathlib import Path

import cv2
import gradio as gr
import numpy as np
import pytest

from kalamos.app.limits import Limits
from kalamos.app.models import ModelRegistry
from kalamos.app.page import single
from kalamos.app.page.context import Context
from kalamos.app.page.session import Session
from kalamos.corrections import NOT_CHARACTERS, Corrections
from kalamos.teaching import load_examples


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
    assert "Read as 1" in single._read_drawing(context, visit, "digits", _drawing(), 0, "")
    assert visit.last is not None
    assert visit.last.prediction.label == "1"
    assert "Read as" in single._read_again(context, visit, "digits", 0, "")
    assert single._read_drawing(context, visit, "digits", "", 0, "").startswith(single.SINGLE_START)
    assert visit.last is None


def test_options_are_heard(context: Context) -> None:
    visit = Session()
    assert "Read as 4" in single._read_drawing(context, visit, "digits", _drawing(), 0, "4")
    assert "Not sure enough" in single._read_drawing(context, visit, "digits", _drawing(), 1, "")


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
    assert said in single._read_drawing(context, visit, model, drawing, 0, charset)
    assert visit.last is None
    assert "nothing to keep" in single._check_and_save(context, visit, "7")[0]


def test_a_thousand_drawings_leave_nothing_behind(context: Context) -> None:
    visit, drawing = Session(), _drawing()
    for _ in range(20):
        single._read_drawing(context, visit, "digits", drawing, 0, "")
    tracemalloc.start()
    before = tracemalloc.take_snapshot()
    for _ in range(1000):
        single._read_drawing(context, visit, "digits", drawing, 0, "")
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
    single._read_drawing(context, visit, "digits", _drawing(), 0, "")
    told, field, _, said, label = single._check_and_save(context, visit, text)
    assert asked in said
    assert (told, field, label) == ("", text, text)
    assert visit.kept == []
    assert not list(context.corrections_dir.rglob("*.png"))
    kept, field, *question = single._check_and_save(context, visit, label, asked=True)
    assert "Kept as" in kept
    assert (field, question[1:]) == ("", ["", ""])
    # No more while an example of it is kept.
    assert "Kept as" in single._check_and_save(context, visit, text)[0]
    assert [each.label for each in visit.kept] == [text, text]


@pytest.mark.parametrize("text", ["", " ", "\t", "\u3000", "a\x00", "x" * 51])
def test_a_label_that_none_can_be_is_refused(text: str, context: Context) -> None:
    visit = Session()
    single._read_drawing(context, visit, "digits", _drawing(), 0, "")
    for asked in (False, True):
        assert 'role="alert"' in single._check_and_save(context, visit, text, asked=asked)[0]
    assert visit.kept == []


def test_what_is_no_character_is_kept_apart_and_never_a_class(context: Context) -> None:
    visit = Session()
    single._read_drawing(context, visit, "digits", _drawing(), 0, "")
    single._check_and_save(context, visit, "1")
    assert "not a character" in single._save_example(context, visit, None)[0]
    assert [each.label for each in visit.kept] == ["1", None]
    folder = context.corrections_dir / "digits"
    assert len(list((folder / NOT_CHARACTERS).glob("*.png"))) == 1
    assert set(load_examples(folder).labels) == {"1"}
    corrections = Corrections(folder)
    assert [each.label for each in corrections] == ["1", None]
    assert corrections.examples().labels == ("1",)
