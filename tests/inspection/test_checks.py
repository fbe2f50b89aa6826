from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from kalamos.alphabets import DIGITS
from kalamos.datasets import Dataset, RaggedImages, SkippedFile, Split, load_dataset
from kalamos.datasets.copies import first_equals
from kalamos.datasets.dataset import PREPARE_CHUNK_IMAGES
from kalamos.inspection.checks import (
    ImageIndex,
    Place,
    check_classes,
    check_copies,
    check_files,
    check_ink,
    check_near,
    check_polarity,
    check_sizes,
    gather,
    imbalance,
    polarities,
)

LABELS = ("ا", "b", "c")


def kinds(counts: list[list[int]], parts: list[int]) -> dict[str, list[str]]:
    found = gather(check_classes(np.array(counts), LABELS, parts))
    return {finding.kind: [case.what for case in finding.cases] for finding in found}


def test_enough_of_each_is_fine() -> None:
    assert kinds([[10, 99, 10], [0, 0, 0], [1, 1, 1]], [0, 2]) == {}


def test_parts_that_do_not_exist_lack_nothing() -> None:
    assert kinds([[10, 10, 10], [0, 0, 0], [0, 0, 0]], [0]) == {}


def test_a_class_without_any_image_is_told_once() -> None:
    assert kinds([[10, 10, 0], [0, 0, 0], [1, 1, 0]], [0, 2]) == {"missing-class": ["c: no image"]}


def test_each_fault() -> None:
    assert kinds([[0, 9, 2], [1, 0, 1], [1, 1, 0]], [0, 1, 2]) == {
        "missing-class": ["ا: no image"],
        "few": ["c: 2", "b: 9"],
        "absent": ["b: none in validation", "c: none in test"],
    }


def test_imbalance_is_of_the_classes_that_have_images() -> None:
    assert kinds([[1000, 100, 0], [0, 0, 0], [0, 0, 0]], [0]) == {
        "missing-class": ["c: no image"],
        "imbalance": ["ا: 1,000, b: 100, 10 times fewer"],
    }


@pytest.mark.parametrize(("counts", "ratio"), [([2, 6], 3.0), ([0, 6], 1.0), ([0, 0], None)])
def test_the_ratio(counts: list[int], ratio: float | None) -> None:
    assert imbalance(np.array(counts)) == ratio


def index_of_copies(images, labels, groups=None, test=None) -> ImageIndex:
    groups = None if groups is None else np.array(groups)
    train = Split(np.stack(images), np.array(labels), groups)
    return ImageIndex(Dataset("d", DIGITS, train, test, "nobody"))


def found(index: ImageIndex, blank=()) -> dict[str, list[tuple[int, ...]]]:
    findings = gather(check_copies(index, first_equals(index), blank))
    return {finding.kind: [case.rows for case in finding.cases] for finding in findings}


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
    assert found(index_of_copies([one, other, one], labels, groups)) == {kind: [(0, 2)] for kind in kinds}


def test_copies_in_train_and_test(draw) -> None:
    one, other = draw(0, 2, seed=1)
    test = Split(np.stack([other, draw(0, 1, seed=2)[0]]), np.array([1, 1]))
    assert found(index_of_copies([one, other], [1, 1], test=test)) == {"crossing": [(1, 2)]}


def test_one_pixel_makes_another_picture(draw) -> None:
    one, other = np.repeat(draw(0, 1, seed=1), 2, axis=0)
    other[-1, -1] ^= 1
    assert found(index_of_copies([one, other], [1, 1])) == {}


def test_the_largest_sets_come_first_and_blank_images_are_left_out(draw) -> None:
    a, b = draw(0, 2, seed=1)
    nothing = np.zeros_like(a)
    index = index_of_copies([nothing, a, b, nothing, b, a, b], [1, 2, 3, 4, 3, 2, 3])
    assert found(index, blank=[0, 3]) == {"copies": [(2, 4, 6), (1, 5)]}


def test_equal_bytes_of_another_shape_are_another_picture() -> None:
    tall, wide = np.zeros((8, 4), np.uint8), np.zeros((4, 8), np.uint8)
    split = Split(RaggedImages.of([tall, wide]), np.array([1, 1]))
    assert first_equals(ImageIndex(Dataset("d", DIGITS, split, None, "nobody"))).tolist() == [0, 1]


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
    index = index_of_copies(images, [1] * 7 + [label], groups)
    [(found, case)] = check_near(index, first_equals(index), [])
    assert found == kind
    assert case.rows == (3, 7)
    assert case.difference == pytest.approx(0, abs=1e-3)


def test_blank_images_are_not_near_duplicates() -> None:
    light = np.tile(np.linspace(200, 210, 28).astype(np.uint8), (28, 1))
    index = index_of_copies([light, light - 2], [1, 1])
    first = first_equals(index)
    assert list(check_near(index, first, []))
    assert not list(check_near(index, first, [0, 1]))


def test_copies_are_not_also_near_duplicates(draw) -> None:
    one, other = draw(0, 2, seed=1)
    index = index_of_copies([one, other, one], [1, 1, 1])
    assert not list(check_near(index, first_equals(index), []))


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


@pytest.mark.parametrize(
    ("where", "kind"),
    [
        ("7/scan.png", "unreadable"),
        ("7/SCAN.JPG", "unreadable"),
        (r"'7/caf\udce9.png'", "unreadable"),
        ("labels.csv:12", "unreadable"),
        ("README.md", "foreign"),
        ("7", "foreign"),
    ],
)
def test_lost_images_are_told_from_other_files(where: str, kind: str) -> None:
    found = check_files([SkippedFile(where, "as it is")])
    assert [(found_kind, case.what) for found_kind, case in found] == [(kind, f"{where}: as it is")]


def test_a_name_stays_on_its_line() -> None:
    [(_, case)] = check_files([SkippedFile("a\nb\x1b[31m.png", "bad")])
    assert case.what == r"a\nb\x1b[31m.png: bad"


def index_of_picture(*images) -> ImageIndex:
    split = Split(RaggedImages.of(images), np.arange(len(images)) % 10)
    return ImageIndex(Dataset("d", DIGITS, split, None, "nobody"))


def test_odd_sizes_are_found_the_oddest_first() -> None:
    sizes = [(28, 28), (30, 25), (7, 7), (28, 28), (300, 280), (30, 3), (27, 30)]
    found = check_sizes(index_of_picture(*(np.zeros(size, np.uint8) for size in sizes)))
    assert [(case.rows, case.what) for _, case in found] == [
        ((4,), "280 x 300 px"),
        ((5,), "3 x 30 px"),
        ((2,), "7 x 7 px"),
    ]
    assert list(check_sizes(index_of_picture())) == []


def test_the_fewer_of_two_polarities_are_the_cases(draw) -> None:
    images = [*draw(0, 5, seed=1)]
    found = polarities(index_of_picture(*images, 255 - images[0], np.full((9, 9), 7, np.uint8)))
    assert found.tolist() == [0, 0, 0, 0, 0, 1, -1]
    [(_, case)] = check_polarity(found)
    assert (case.rows, case.what) == ((5,), "dark on light")
    [(_, inverse)] = check_polarity(np.where(found < 0, found, 1 - found).astype(np.int8))
    assert (inverse.rows, inverse.what) == ((5,), "light on dark")


def test_ink_over_the_edges_leaves_the_polarity_open() -> None:
    full = np.zeros((20, 6), np.uint8)
    full[:, :3] = 255
    assert polarities(index_of_picture(full)).tolist() == [-1]


def test_blank_images_and_those_with_something_on_them(draw) -> None:
    paper = np.random.default_rng(0).normal(220, 3, (40, 40)).astype(np.uint8)
    solid = np.full((30, 8), 255, np.uint8)
    solid[:, 0] = 0
    found = check_ink(
        index_of_picture(
            draw(0, 1, seed=1)[0], np.zeros((5, 5), np.uint8), paper, solid, draw(1, 1, seed=1)[0]
        )
    )
    rows = {finding.kind: [case.rows for case in finding.cases] for finding in gather(found)}
    assert rows.pop("blank") == [(1,), (2,)]
    assert set(rows) <= {"no-ink"}
    assert len(rows.get("no-ink", [])) <= 1


def test_rows_count_on_from_chunk_to_chunk(draw) -> None:
    images = [*draw(0, 5, seed=1)] * (PREPARE_CHUNK_IMAGES // 4)
    images[PREPARE_CHUNK_IMAGES + 3] = np.zeros((28, 28), np.uint8)
    assert [case.rows for _, case in check_ink(index_of_picture(*images))] == [(PREPARE_CHUNK_IMAGES + 3,)]


def ragged(*sizes: tuple[int, int]) -> RaggedImages:
    return RaggedImages.of([np.full(size, number, np.uint8) for number, size in enumerate(sizes)])


def test_parts_groups_and_shapes_of_all_splits() -> None:
    train = Split(ragged((3, 4), (5, 6), (7, 8)), np.array([1, 2, 3]), np.array([4, 4, 5]))
    test = Split(np.zeros((2, 9, 9), np.uint8), np.array([7, 8]), np.array([5, 6]), ("a\n.png", "b.png"))
    index = ImageIndex(Dataset("d", DIGITS, train, test, "nobody", val_rows=np.array([1])))
    assert len(index) == 5
    assert [image.shape for image in index] == [(3, 4), (5, 6), (7, 8), (9, 9), (9, 9)]
    assert index.shapes.tolist() == [[3, 4], [5, 6], [7, 8], [9, 9], [9, 9]]
    assert [index[row].shape for row in range(5)] == [image.shape for image in index]
    assert index.labels.tolist() == [1, 2, 3, 7, 8]
    assert index.part_of.tolist() == [0, 1, 0, 2, 2]
    assert index.parts() == [0, 1, 2]
    assert index.groups is not None
    assert index.groups.tolist() == [4, 4, 5, 5, 6]
    assert index.place(1) == Place("validation", 1, "2", "")
    assert index.place(3) == Place("test", 0, "7", r"a\n.png")
    assert str(index.place(4)) == "test 1 b.png"


def test_groups_that_only_one_split_has_are_none() -> None:
    train = Split(np.zeros((1, 9, 9), np.uint8), np.array([1]), np.array([4]))
    test = Split(np.zeros((1, 9, 9), np.uint8), np.array([1]))
    assert ImageIndex(Dataset("d", DIGITS, train, test, "nobody")).groups is None


def test_a_dataset_without_images() -> None:
    index = ImageIndex(
        Dataset("d", DIGITS, Split(np.zeros((0, 9, 9), np.uint8), np.zeros(0, np.int64)), None, "nobody")
    )
    assert len(index) == 0
    assert list(index) == []
    assert index.parts() == [0]
    assert index.shapes.shape == (0, 2)
