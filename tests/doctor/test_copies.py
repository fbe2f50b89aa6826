from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, RaggedImages, Split, load_dataset
from kalamos.doctor.copies import check_copies, check_near, distinct_pictures
from kalamos.doctor.pool import ImageIndex


def index_of(images, labels, groups=None, test=None) -> ImageIndex:
    groups = None if groups is None else np.array(groups)
    train = Split(np.stack(images), np.array(labels), groups)
    return ImageIndex(Dataset("d", DIGITS, train, test, "nobody"))


def found(index: ImageIndex, blank=()) -> dict[str, list[tuple[int, ...]]]:
    findings = check_copies(index, distinct_pictures(index), blank)
    return {finding.kind: [case.rows for case in finding.cases] for finding in findings if finding.cases}


@pytest.mark.parametrize(
    ("labels", "groups", "kinds"),
    [
        ([1, 2, 1], None, {"copies"}),
        ([1, 2, 3], None, {"two-labels"}),
        ([1, 2, 1], [1, 2, 1], {"copies"}),
        ([1, 2, 1], [1, 2, 3], {"group-crossing"}),
        ([1, 2, 3], [1, 2, 3], {"two-labels", "group-crossing"}),
    ],
)
def test_what_equal_images_are_depends_on_where_they_lie(draw, labels, groups, kinds) -> None:
    one, other = draw(0, 2, seed=1)
    assert found(index_of([one, other, one], labels, groups)) == {kind: [(0, 2)] for kind in kinds}


def test_copies_in_train_and_test(draw) -> None:
    one, other = draw(0, 2, seed=1)
    test = Split(np.stack([other, draw(0, 1, seed=2)[0]]), np.array([1, 1]))
    assert found(index_of([one, other], [1, 1], test=test)) == {"crossing": [(1, 2)]}


def test_one_pixel_makes_another_picture(draw) -> None:
    one, other = np.repeat(draw(0, 1, seed=1), 2, axis=0)
    other[-1, -1] ^= 1
    assert found(index_of([one, other], [1, 1])) == {}


def test_the_largest_sets_come_first_and_blank_images_are_left_out(draw) -> None:
    a, b = draw(0, 2, seed=1)
    nothing = np.zeros_like(a)
    index = index_of([nothing, a, b, nothing, b, a, b], [1, 2, 3, 4, 3, 2, 3])
    assert found(index, blank=[0, 3]) == {"copies": [(2, 4, 6), (1, 5)]}


def test_equal_bytes_of_another_shape_are_another_picture() -> None:
    tall, wide = np.zeros((8, 4), np.uint8), np.zeros((4, 8), np.uint8)
    split = Split(RaggedImages.of([tall, wide]), np.array([1, 1]))
    assert distinct_pictures(ImageIndex(Dataset("d", DIGITS, split, None, "nobody"))).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("label", "groups", "kind"),
    [
        (1, None, "near-copies"),
        (2, None, "near-two-labels"),
        (1, [*range(7), 9], "near-crossing"),
        (2, [*range(7), 9], "near-two-labels"),
    ],
)
def test_near_duplicates_are_told_by_their_gravest_side(draw, label, groups, kind) -> None:
    images = [*draw(0, 7, seed=1)]
    images.append(255 - images[3])
    index = index_of(images, [1] * 7 + [label], groups)
    findings = check_near(index, distinct_pictures(index), [])
    [case] = [case for finding in findings if finding.kind == kind for case in finding.cases]
    assert case.rows == (3, 7)
    assert case.difference == pytest.approx(0, abs=1e-3)
    assert sum(len(finding.cases) for finding in findings) == 1


def test_blank_images_are_not_near_duplicates() -> None:
    light = np.tile(np.linspace(200, 210, 28).astype(np.uint8), (28, 1))
    index = index_of([light, light - 2], [1, 1])
    first = distinct_pictures(index)
    assert any(finding.cases for finding in check_near(index, first, []))
    assert not any(finding.cases for finding in check_near(index, first, [0, 1]))


def test_copies_are_not_also_near_duplicates(draw) -> None:
    one, other = draw(0, 2, seed=1)
    index = index_of([one, other, one], [1, 1, 1])
    assert not any(finding.cases for finding in check_near(index, distinct_pictures(index), []))


def test_the_real_duplicates_of_ocr_arabic_are_found() -> None:
    root = os.environ.get("KALAMOS_DATA")
    if not root or not Path(root, "ocr-arabic.zip").is_file():
        pytest.skip("KALAMOS_DATA is not set, or lacks ocr-arabic.zip")
    index = ImageIndex(load_dataset("ocr-arabic", root))
    sets = found(index)
    assert len(sets["two-labels"]) == 7
    assert sum(len(rows) - 1 for rows in {rows for cases in sets.values() for rows in cases}) == 844
    labels = {frozenset(index.place(row).label for row in rows) for rows in sets["two-labels"]}
    assert labels == {frozenset("بج"), frozenset("دذ"), frozenset("ئي")}
