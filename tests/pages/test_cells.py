"""What stands in cells: dark pens, faint print, nothing."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kalamos.pages.cells import read_cells
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import load


def cell(label: str, level: int, seed: int) -> NDArray[np.uint8]:
    drawn = np.full((64, 64), 225, np.uint8)
    cv2.rectangle(drawn, (5, 5), (58, 58), 120, 2)
    if label:
        cv2.putText(drawn, label, (22, 44), cv2.FONT_HERSHEY_SIMPLEX, 1.1, level, 3, cv2.LINE_AA)
    grain = np.random.default_rng(seed).normal(0, 1, drawn.shape)
    return np.clip(drawn + grain, 0, 255).astype(np.uint8)


def test_faint_print_beside_dark_pens_is_read_and_empty_cells_stay_empty() -> None:
    truth = [*((label, 25) for label in "2345678923456"), ("4", 208), ("7", 208), ("2", 208), ("", 0), ("", 0)]
    cells = [cell(label, level, seed) for seed, (label, level) in enumerate(truth)]
    reader = load("digits")
    read = read_cells(reader, cells, reader.answer_rule(PredictOptions()), margin=5 / 64)
    assert ["" if one.answer is None else one.answer.label for one in read] == [label for label, _ in truth]
    assert all(one.blank < 0.5 for one in read[:-2])
