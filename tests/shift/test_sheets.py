from __future__ import annotations

from dataclasses import replace

import numpy as np

from kalamos.recognizer import Recognizer
from kalamos.shift.sheets import (
    FRAME,
    GAP,
    HEAD,
    HEIGHT,
    NO_INK,
    RIGHT,
    WIDTH,
    WRONG,
    corruption_sheet,
    misreads_sheet,
)
from kalamos.shift.suite import Outcomes


def frames(sheet: np.ndarray, row: int) -> list[tuple[int, ...]]:
    """The frame colours of a row's cells; white where there is none."""
    top = GAP + row * (HEIGHT + GAP) + 1
    lefts = range(GAP + HEAD + 1, sheet.shape[1] - WIDTH, WIDTH + GAP)
    return [tuple(sheet[top, left].tolist()) for left in lefts]


def with_answers(outcomes: Outcomes, predicted: np.ndarray) -> Outcomes:
    confidence = np.where(predicted < 0, 0, 0.9).astype(np.float32)
    return replace(outcomes, predicted=predicted, confidence=confidence)


def test_the_frame_tells_how_it_was_read(outcomes: Outcomes, reader: Recognizer) -> None:
    predicted = np.broadcast_to(outcomes.truth, outcomes.predicted.shape).copy()
    predicted[1, 1] = (outcomes.truth + 1) % 10
    predicted[1, 2] = -1
    sheet = corruption_sheet(with_answers(outcomes, predicted), outcomes.names[1], reader)
    assert sheet.shape == (3 * (HEIGHT + GAP) + GAP, GAP + HEAD + 10 * (WIDTH + GAP), 3)
    assert [set(frames(sheet, row)) for row in range(3)] == [{RIGHT}, {WRONG}, {NO_INK}]


def test_the_tile_is_the_corrupted_image(outcomes: Outcomes, reader: Recognizer) -> None:
    sheet = corruption_sheet(outcomes, "brightness", reader)
    top, left = GAP + FRAME, GAP + HEAD + FRAME
    corner = [int(sheet[top + row * (HEIGHT + GAP) + 2, left + 2, 0]) for row in range(3)]
    assert corner == [64, 128, 178]


def test_columns_are_of_all_classes(outcomes: Outcomes, reader: Recognizer) -> None:
    few = replace(
        outcomes,
        clean=replace(outcomes.clean, truth=outcomes.truth[:3], probabilities=np.eye(3, 10, dtype="f4")),
        rows=outcomes.rows[:3], inks=outcomes.inks[:3],
        predicted=outcomes.predicted[..., :3], confidence=outcomes.confidence[..., :3],
    )  # fmt: skip
    sheet = corruption_sheet(few, "stripe", reader)
    assert sheet.shape[1] == GAP + HEAD + 3 * (WIDTH + GAP)


def test_misreadings_come_surest_first_and_without_any_the_row_is_empty(
    outcomes: Outcomes, reader: Recognizer
) -> None:
    predicted = np.broadcast_to(outcomes.truth, outcomes.predicted.shape).copy()
    first = predicted.copy()
    predicted[0, 2, :4] = (outcomes.truth[:4] + 1) % 10
    first[0, 2, 3] = predicted[0, 2, 3]
    confidence = np.linspace(0.5, 0.9, 40, dtype=np.float32) + np.zeros((4, 3, 1), np.float32)
    sheet, surest = (
        misreads_sheet(
            replace(outcomes, predicted=answers, confidence=confidence), outcomes.names[:2], reader
        )
        for answers in (predicted, first)
    )
    white = (255, 255, 255)
    assert frames(sheet, 0) == [WRONG] * 4 + [white] * 6
    assert set(frames(sheet, 1)) == {white}
    tile = np.s_[GAP : GAP + HEIGHT, GAP + HEAD : GAP + HEAD + WIDTH]
    assert np.array_equal(sheet[tile], surest[tile])


def test_labels_of_any_script_are_drawn(outcomes: Outcomes, reader: Recognizer) -> None:
    arabic = replace(outcomes, clean=replace(outcomes.clean, labels=tuple("ابتثجحخدذر")))
    sheets = [corruption_sheet(each, "stripe", reader) for each in (outcomes, arabic)]
    assert sheets[0].shape == sheets[1].shape
    assert not np.array_equal(*sheets)
