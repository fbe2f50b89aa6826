from __future__ import annotations

import numpy as np

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, RaggedImages, Split
from kalamos.datasets.prepare import PREPARE_CHUNK_IMAGES
from kalamos.doctor.picture import check_ink, check_polarity, check_sizes, polarities
from kalamos.doctor.pool import ImageIndex


def index_of(*images) -> ImageIndex:
    split = Split(RaggedImages.of(images), np.arange(len(images)) % 10)
    return ImageIndex(Dataset("d", DIGITS, split, None, "nobody"))


def test_odd_sizes_are_found_the_oddest_first() -> None:
    sizes = [(28, 28), (30, 25), (7, 7), (28, 28), (300, 280), (30, 3), (27, 30)]
    [finding] = check_sizes(index_of(*(np.zeros(size, np.uint8) for size in sizes)))
    assert [(case.rows, case.what) for case in finding.cases] == [
        ((4,), "280 x 300 px"),
        ((5,), "3 x 30 px"),
        ((2,), "7 x 7 px"),
    ]
    assert check_sizes(index_of()) == []


def test_the_fewer_of_two_polarities_are_the_cases(draw) -> None:
    images = [*draw(0, 5, seed=1)]
    found = polarities(index_of(*images, 255 - images[0], np.full((9, 9), 7, np.uint8)))
    assert found.tolist() == [0, 0, 0, 0, 0, 1, -1]
    [finding] = check_polarity(found)
    assert [(case.rows, case.what) for case in finding.cases] == [((5,), "dark on light")]
    [inverse] = check_polarity(np.where(found < 0, found, 1 - found).astype(np.int8))
    assert [(case.rows, case.what) for case in inverse.cases] == [((5,), "light on dark")]


def test_ink_over_the_edges_leaves_the_polarity_open() -> None:
    full = np.zeros((20, 6), np.uint8)
    full[:, :3] = 255
    assert polarities(index_of(full)).tolist() == [-1]


def test_blank_images_and_those_with_something_on_them(draw) -> None:
    paper = np.random.default_rng(0).normal(220, 3, (40, 40)).astype(np.uint8)
    solid = np.full((30, 8), 255, np.uint8)
    solid[:, 0] = 0
    blank, no_ink = check_ink(
        index_of(draw(0, 1, seed=1)[0], np.zeros((5, 5), np.uint8), paper, solid, draw(1, 1, seed=1)[0])
    )
    assert [case.rows for case in blank.cases] == [(1,), (2,)]
    assert blank.kind == "blank"
    assert no_ink.kind == "no-ink"
    assert len(no_ink.cases) <= 1


def test_rows_count_on_from_chunk_to_chunk(draw) -> None:
    images = [*draw(0, 5, seed=1)] * (PREPARE_CHUNK_IMAGES // 4)
    images[PREPARE_CHUNK_IMAGES + 3] = np.zeros((28, 28), np.uint8)
    assert [case.rows for case in check_ink(index_of(*images))[0].cases] == [(PREPARE_CHUNK_IMAGES + 3,)]
