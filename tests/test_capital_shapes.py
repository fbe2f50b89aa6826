"""Bars and capital Ls, of any size, lean and pen, wherever a charset asks for capitals alone."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

import kalamos
from kalamos.alphabets import restrict
from kalamos.capital_shapes import bars_as_capitals, is_bar
from kalamos.pages.cells import read_cells
from kalamos.postprocessing import Inference
from kalamos.predict_options import PredictOptions

Grey = NDArray[np.uint8]


def drawn(points: list[tuple[float, float]], size: float, lean: float, pen: float) -> Grey:
    """Draw a line through points in [0, 1] x [0, 1], on black."""
    side = round(size + 2 * abs(lean) * size + 4 * pen)
    ink = np.zeros((side, side), np.uint8)
    there = [(2 * pen + size * (x + max(lean, 0) + lean * -y), 2 * pen + size * y) for x, y in points]
    cv2.polylines(
        ink, [np.rint(np.array(there) * 16).astype(np.int32)], isClosed=False, color=255,
        thickness=max(1, round(pen)), lineType=cv2.LINE_AA, shift=4,
    )  # fmt: skip
    return ink


@pytest.mark.parametrize("size", [14, 30, 80])
@pytest.mark.parametrize("lean", [-0.35, 0.0, 0.35])
@pytest.mark.parametrize("pen", [0.06, 0.16])
def test_a_bar_is_a_bar_however_it_leans_and_an_l_is_none(size: int, lean: float, pen: float) -> None:
    assert is_bar(drawn([(0.1, 0), (0.1, 1)], size, lean, pen * size))
    assert is_bar(drawn([(0.15, 0), (0.1, 0.5), (0.12, 1)], size, lean, pen * size))
    assert not is_bar(drawn([(0.1, 0), (0.1, 1), (0.5, 1)], size, lean, pen * size))
    assert not is_bar(drawn([(0.1, 0), (0.1, 0.95), (0.3, 1), (0.6, 0.95)], size, lean, pen * size))


@given(
    hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=2, max_side=12), elements=st.integers(0, 255))
)
def test_any_picture_is_a_bar_or_is_none(ink: Grey) -> None:
    assert is_bar(ink) in {True, False}


def test_of_a_bar_two_probabilities_are_exchanged_and_no_other() -> None:
    bar = drawn([(0.1, 0), (0.1, 1)], 30, 0, 3)
    ell = drawn([(0.1, 0), (0.1, 1), (0.5, 1)], 30, 0, 3)
    likely = np.array([[0.1, 0.2, 0.6, 0.1]] * 4)
    found = Inference(np.arange(4), np.zeros((4, 4), np.float32), likely, None)
    asked = [("I", "L", "T"), ("I", "L", "T"), None, ("1", "I", "L", "T")]
    told = bars_as_capitals(found, [bar, ell, bar, bar], ("I", "1", "L", "T"), asked)
    assert told.probabilities.tolist() == [
        [0.6, 0.2, 0.1, 0.1],
        [0.1, 0.2, 0.6, 0.1],
        [0.1, 0.2, 0.6, 0.1],
        [0.1, 0.6, 0.2, 0.1],  # of I and 1, the likelier
    ]
    assert found.probabilities.tolist() == [[0.1, 0.2, 0.6, 0.1]] * 4


@pytest.mark.parametrize("model", ["latin", "latin-large"])
def test_who_asks_for_capitals_alone_gets_an_i_for_a_bar(model: str) -> None:
    reader = kalamos.load(model)
    bars = [255 - drawn([(0.1, 0), (0.1, 1)], 60, lean, 6) for lean in (-0.1, 0.0, 0.1, 0.2)]
    ells = [255 - drawn([(0.1, 0), (0.1, 1), (0.6, 1)], 60, lean, 6) for lean in (-0.1, 0.0, 0.1)]

    def read(charset: str) -> list[str]:
        answers = reader.predict_batch([*bars, *ells], charset=charset, min_confidence=0, min_known=0)
        return [answer.label for answer in answers]

    assert read("upper") == ["I"] * 4 + ["L"] * 3
    assert set(read("upper digits")[:4]) <= {"I", "1"}
    assert read("IL") == ["I"] * 4 + ["L"] * 3
    # With small letters a bar may be an l: what the model says stays.
    found = reader.infer([*bars, *ells], restrict(reader.spec.alphabet, "letters"))
    labels = restrict(reader.spec.alphabet, "letters").labels
    said = [
        labels[column] for column in found.logits[:, [reader.labels.index(each) for each in labels]].argmax(1)
    ]
    assert read("letters") == read("upper lower") == said
    assert "L" in said[:4]
    assert read("l")[:4] == ["l"] * 4


def test_of_a_form_s_boxes_those_for_capitals_are_read_so() -> None:
    reader = kalamos.load("latin")
    crop = np.pad(255 - drawn([(0.1, 0), (0.1, 1)], 40, 0.05, 4), 12, constant_values=255)
    rule = reader.answer_rule(PredictOptions(top_k=len(reader.labels)))
    cells = read_cells(reader, [crop] * 3, rule, capitals=[("I", "L"), None, None])
    capital, either, again = (dict(cell.answer.top) for cell in cells if cell.answer)
    assert capital["I"] > capital["L"]
    assert either["L"] > either["I"]  # or nothing would be shown
    assert {capital["I"], capital["L"]} == {either["I"], either["L"]}
    assert either == again
