from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.errors import DatasetError, UsageError
from kalamos.outliers import exposure
from kalamos.preprocessing import DEFAULT_STEPS, Preprocessor

PREPARE = Preprocessor(DEFAULT_STEPS)
DRAWN = ("scribbles", "shapes", "paper")


def test_so_many_prepared_images_whatever_the_threads() -> None:
    one, three = (exposure(DIGITS, PREPARE, 70, 3, sets=DRAWN, jobs=jobs) for jobs in (1, 3))
    assert (one.shape, one.dtype) == ((70, 28, 28), np.uint8)
    assert np.array_equal(one, three)
    assert one.max(axis=(1, 2)).min() > 0
    assert len({image.tobytes() for image in one}) > 60
    assert not np.array_equal(one, exposure(DIGITS, PREPARE, 70, 4, sets=DRAWN))


def test_absent_sets_are_left_out_unless_they_are_named(tmp_path: Path) -> None:
    assert len(exposure(DIGITS, PREPARE, 10, 0, tmp_path)) == 10
    with pytest.raises(DatasetError, match="ahcd: there is no"):
        exposure(DIGITS, PREPARE, 10, 0, tmp_path, sets=["script:ahcd"])


def test_a_small_set_begins_anew_and_keeps_to_its_training_images(tmp_path: Path) -> None:
    pages = {}
    for part, rows in (("train", range(3)), ("test", range(3, 5))):
        for label in "AR":
            (tmp_path / part / label).mkdir(parents=True)
            for row in rows:
                page = np.full((30, 30), 255, np.uint8)
                cv2.line(page, (5, 5 + row * 4), (25, 20), 0, 2)
                cv2.imwrite(str(tmp_path / part / label / f"{row}.png"), page)
                pages[part, row] = PREPARE.image(page).tobytes()
    images = exposure(DIGITS, PREPARE, 20, 0, sets=[f"script:{tmp_path}"])
    assert len(images) == 20
    assert {image.tobytes() for image in images} == {pages["train", row] for row in range(3)}


def test_none_asked_for() -> None:
    assert exposure(DIGITS, PREPARE, 0, 0, sets=DRAWN).shape == (0, 28, 28)


def test_wrong_usage() -> None:
    with pytest.raises(UsageError, match="there is no set to draw outliers from; name some of paper"):
        exposure(DIGITS, PREPARE, 5, 0, sets=[])
    with pytest.raises(UsageError, match="n = -1"):
        exposure(DIGITS, PREPARE, -1, 0)
    with pytest.raises(UsageError, match="seed = -5 is negative"):
        exposure(DIGITS, PREPARE, 1, -5)


def test_a_preprocessing_that_finds_nothing() -> None:
    blind = Preprocessor([{"step": "polarity", "min_contrast": 250}, *DEFAULT_STEPS[1:]])
    with pytest.raises(DatasetError, match="only 0 of 60 outliers have ink on them; name other sets"):
        exposure(DIGITS, blind, 3, 0, sets=["paper"])
