from __future__ import annotations

import numpy as np
import pytest

from kalamos.datasets import Dataset
from kalamos.doctor.pool import ImageIndex
from kalamos.doctor.sheets import GROUND, contact_sheet, sample_of_class, thumbnail


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (500, 1), (28, 28), (3000, 2000)])
def test_any_size_fits(shape: tuple[int, int]) -> None:
    image = np.zeros(shape, np.uint8)
    assert max(thumbnail(image, 48).shape) <= max(48, 0)
    assert max(thumbnail(image, 48, enlarge=True).shape) == 48
    sheet = contact_sheet([image])
    assert sheet.shape == (56, 524)
    assert (sheet == 0).any()
    assert (sheet[:4] == GROUND).all()


def test_an_image_is_drawn_where_it_belongs() -> None:
    images = [np.full((48, 48), shade, np.uint8) for shade in range(12)]
    sheet = contact_sheet(images)
    assert sheet[28, 28] == 0
    assert sheet[28, 28 + 9 * 52] == 9
    assert sheet[28 + 52, 28 + 52] == 11


def test_a_sample_is_of_its_class_and_always_the_same(clean: Dataset) -> None:
    pool = ImageIndex(clean)
    rows = sample_of_class(pool, 2)
    assert rows == sample_of_class(pool, 2)
    assert len(rows) == 40 == len(set(rows))
    assert (pool.labels[rows] == 2).all()
    assert rows == sorted(rows)
