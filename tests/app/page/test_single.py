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
from kalamos.app.models import ModelShelf
from kalamos.app.page import single
from kalamos.app.page.context import Context
from kalamos.app.page.session import Session


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context(ModelShelf(["digits"]), Limits(pixels=10_000), tmp_path, gr.State(), gr.Dropdown())


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
    assert single._read_drawing(context, visit, "digits", "", 0, "") == single.START
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
    assert "nothing to keep" in single._keep_example(context, visit, "7")[0]


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
