from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.evaluation.evaluate import Evaluation, evaluate
from kalamos.evaluation.pictures import (
    GAP,
    confused_pairs_sheet,
    encode_png,
    fitted,
    mistakes_sheet,
    samples_sheet,
    seen_by,
)
from kalamos.recognizer import Recognizer


def test_the_sheet_grows_by_rows(reader: Recognizer, spoilt: Split, measured: Evaluation, answering) -> None:
    def height(wrong: int) -> int:
        first = np.arange(60) < wrong
        answers = np.where(first, (measured.truth + 1) % 10, measured.truth)
        return len(mistakes_sheet(answering(measured, answers), spoilt, reader))

    heights = [height(count) for count in (1, 6, 7, 12, 13)]
    assert heights[0] == heights[1] < heights[2] == heights[3] < heights[4]


def test_the_sheet_shows_48_mistakes_and_16_unread_images_at_most(
    reader: Recognizer, digits: Dataset, answering
) -> None:
    split = digits.train.take(np.arange(200))
    measured = evaluate(reader, split, digits.alphabet.labels)
    wrong = answering(measured, (measured.truth + 1) % 10)
    blank = wrong.probabilities.copy()
    blank[100:] = 0
    height = len(mistakes_sheet(replace(wrong, probabilities=blank), split, reader))
    cell = len(mistakes_sheet(answering(measured, measured.truth), split, reader)) - 2 * GAP
    assert height == -(-64 // 6) * (cell + GAP) + GAP


def test_the_surest_mistakes_come_first(
    reader: Recognizer, spoilt: Split, measured: Evaluation, answering
) -> None:
    wrong = np.flatnonzero(~measured.correct & measured.read)
    surest = wrong[np.argmax(measured.confidence[wrong])]
    chosen = np.arange(60) == surest
    answers = np.where(chosen, measured.predicted, measured.truth)
    alone = answering(measured, answers, np.where(chosen, measured.confidence, 0.9))
    whole, single = mistakes_sheet(measured, spoilt, reader), mistakes_sheet(alone, spoilt, reader)
    height, width, _ = single.shape
    assert np.array_equal(whole[: height - GAP, : width - GAP], single[: height - GAP, : width - GAP])


def test_without_mistakes_there_is_still_a_picture(
    reader: Recognizer, digits: Dataset, measured: Evaluation, answering
) -> None:
    right = answering(measured, measured.truth)
    assert mistakes_sheet(right, digits.test, reader).shape == confused_pairs_sheet(right, digits.test).shape
    assert samples_sheet(right, digits.test).shape[1] > 500


def test_samples_are_the_same_for_a_seed(spoilt: Split, measured: Evaluation) -> None:
    split, labels = spoilt.take(np.tile(np.arange(60), 3)), np.tile(measured.truth, 3)
    many = replace(measured, truth=labels, probabilities=np.tile(measured.probabilities, (3, 1)))
    sheets = [samples_sheet(many, split, seed=seed) for seed in (1, 1, 2)]
    assert np.array_equal(sheets[0], sheets[1])
    assert not np.array_equal(sheets[0], sheets[2])


def test_pairs_show_ragged_images_and_labels_of_any_script(measured: Evaluation, spoilt: Split) -> None:
    images = RaggedImages.of([np.pad(image, ((0, 9), (0, i))) for i, image in enumerate(spoilt.images)])
    named = replace(measured, labels=tuple(f"طويل جدا {i}" for i in range(10)))
    sheet = confused_pairs_sheet(named, Split(images, spoilt.labels))
    assert sheet.dtype == np.uint8
    assert sheet.std() > 10


@pytest.mark.parametrize("shape", [(1, 1), (1, 900), (900, 1), (28, 28), (300, 200)])
def test_a_tile_keeps_the_shape(shape: tuple[int, int]) -> None:
    small = fitted(np.zeros(shape, np.uint8), 84)
    assert max(small.shape) == 84
    assert (
        small.shape[0] / small.shape[1] == pytest.approx(shape[0] / shape[1], abs=84) or min(small.shape) == 1
    )


def test_a_blank_image_is_seen_as_nothing(reader: Recognizer, digits: Dataset) -> None:
    assert seen_by(reader, np.zeros((28, 28), np.uint8)).tolist() == [[0]]
    assert seen_by(reader, digits.test.images[0]).shape == (28, 28)


def test_png_holds_the_pixels() -> None:
    for shape in ((20, 30), (20, 30, 3)):
        image = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
        decoded = cv2.imdecode(np.frombuffer(encode_png(image), np.uint8), cv2.IMREAD_UNCHANGED)
        assert np.array_equal(decoded, image)
