"""What the cells of one grid tell about each other, and what they must not."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from kalamos.pages.cells import CellReading, Ink, blanks_of, inks_of, read_cells
from kalamos.pages.together import (
    averaged,
    proven_contrast,
    read_together,
    reweighted,
    shared,
    without_specks,
)
from kalamos.postprocessing import Inference
from kalamos.predict_options import PredictOptions
from kalamos.recognizer import Recognizer, load

Grey = NDArray[np.uint8]

MARGIN = 5 / 64
TEXT = "8365492718836549"


@pytest.fixture(scope="module")
def reader() -> Recognizer:
    return load("digits")


def printed(label: str, *, blur: float = 0.8, level: int = 40, seed: int = 0, noise: float = 1.5) -> Grey:
    """A ruled cell of 64 px with a printed digit, out of focus."""
    cell = np.full((64, 64), 225, np.uint8)
    cv2.rectangle(cell, (5, 5), (58, 58), 90, 2)
    if label:
        cv2.putText(cell, label, (22, 44), cv2.FONT_HERSHEY_DUPLEX, 0.9, level, 2, cv2.LINE_AA)
    soft = cv2.GaussianBlur(cell, (0, 0), blur)
    return np.clip(soft + np.random.default_rng(seed).normal(0, noise, cell.shape), 0, 255).astype(np.uint8)


def together(reader: Recognizer, cells: list[Grey]) -> list[str]:
    return labels(read_together(reader, inks_of(cells, MARGIN), reader.answer_rule(PredictOptions())))


def labels(readings: list[CellReading]) -> list[str]:
    return ["" if one.answer is None or one.blank >= 0.5 else one.answer.top[0].label for one in readings]


def test_a_blurred_grid_is_read_no_worse_than_cell_by_cell(reader: Recognizer) -> None:
    cells = [printed(label, blur=2.6, seed=seed) for seed, label in enumerate(TEXT)]
    alone = labels(read_cells(reader, cells, reader.answer_rule(PredictOptions()), margin=MARGIN))
    right = [label == said for label, said in zip(TEXT, together(reader, cells), strict=True)]
    assert sum(right) >= sum(label == said for label, said in zip(TEXT, alone, strict=True))
    assert sum(right) >= len(TEXT) - 1


def test_a_label_that_stands_once_on_a_page_is_read_where_it_is_plain(reader: Recognizer) -> None:
    text = TEXT.replace("1", "8") + "0"
    assert "".join(together(reader, [printed(label, seed=seed) for seed, label in enumerate(text)])) == text


def test_blanks_stay_blank_and_faint_print_beside_dark_pens_is_read(reader: Recognizer) -> None:
    truth = [
        *((label, 25) for label in TEXT),
        ("", 0),
        ("4", 200),
        ("7", 200),
        ("2", 200),
        ("5", 200),
        ("", 0),
    ]
    cells = [printed(label, level=level, seed=seed) for seed, (label, level) in enumerate(truth)]
    assert together(reader, cells) == [label for label, _ in truth]


def test_grids_without_ink_and_without_cells_are_read(reader: Recognizer) -> None:
    assert together(reader, [printed(""), printed("", seed=1)]) == ["", ""]
    assert together(reader, []) == []
    assert together(reader, [printed("7")]) == ["7"]


def test_what_is_no_character_is_still_none_among_many(reader: Recognizer) -> None:
    scribble = printed("")
    points = np.random.default_rng(5).integers(14, 50, (60, 2)).astype(np.int32)
    cv2.polylines(scribble, [points], isClosed=False, color=40, thickness=2, lineType=cv2.LINE_AA)
    cells = [printed(label, seed=seed) for seed, label in enumerate(TEXT)] + [scribble]
    read = read_together(reader, inks_of(cells, MARGIN), reader.answer_rule(PredictOptions()))
    *digits, last = [1.0 if one.answer is None else one.answer.known or 0.0 for one in read]
    threshold = reader.spec.known.threshold if reader.spec.known is not None else 0.0
    assert min(digits) > 0.5
    assert last < threshold


def test_few_rows_or_votes_change_nothing() -> None:
    few = np.array([[0.9, 0.1]] * 8 + [[0.4, 0.6]])
    assert np.array_equal(reweighted(few), few)
    many = np.tile(few, (10, 1))
    assert np.array_equal(reweighted(many, np.full(90, 0.1)), many)
    assert reweighted(many)[8, 0] > 0.4


def test_reweighting_follows_the_shares_of_classes_and_keeps_their_sum() -> None:
    rng = np.random.default_rng(3)
    classes = rng.choice(3, 400, p=[0.8, 0.2, 0.0])
    logits = rng.normal(0, 1, (400, 3)) + 2.0 * np.eye(3)[classes]
    probabilities = np.exp(2.0 * logits) / np.exp(2.0 * logits).sum(axis=1, keepdims=True)
    adjusted = reweighted(probabilities)
    assert np.allclose(adjusted.sum(axis=1), 1)
    right, before = ((each.argmax(axis=1) == classes).mean() for each in (adjusted, probabilities))
    assert right > before + 0.02
    assert (adjusted.argmax(axis=1) == 2).mean() < 0.01


def test_only_pictures_of_the_same_print_share_what_is_seen(reader: Recognizer) -> None:
    cells = [printed(label, seed=seed) for seed, label in enumerate("8833")]
    prepared = reader.prepare_ink([ink.image for ink in inks_of(cells, MARGIN) if ink])
    pictures = [each for each in prepared if isinstance(each, np.ndarray)]
    assert len(pictures) == len(cells)
    seen = np.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.2, 0.8]])
    told = shared(seen, pictures)
    assert told[0, 0] == pytest.approx(told[1, 0], abs=0.05)
    assert told[1, 0] > 0.6
    assert np.allclose(told[2:], seen[2:], atol=0.05)
    turned = [np.ascontiguousarray(np.rot90(pictures[0])), *pictures[1:]]
    assert shared(seen, turned)[1, 0] == pytest.approx(0.4, abs=0.05)


def test_two_looks_are_averaged_where_both_saw_something() -> None:
    logits = np.log(np.array([[0.9, 0.1], [0.5, 0.5]], np.float32))
    first = Inference.of_logits(np.array([0, 2]), logits, 1.0, None, np.array([0.8, 0.6]))
    second = Inference.of_logits(np.array([2, 3]), logits, 1.0, None, np.array([0.2, 1.0]))
    both = averaged(first, second)
    assert both.rows.tolist() == [0, 2]
    assert both.probabilities[:, 0].tolist() == pytest.approx([0.9, 0.75], abs=1e-6)
    assert both.known is not None
    assert both.known.tolist() == pytest.approx([0.8, 0.4])


def test_small_dust_among_characters_is_blank_and_a_small_character_is_not(reader: Recognizer) -> None:
    [ink] = [each for each in inks_of([printed("7")], MARGIN) if each]
    inks = [ink] * 12 + [ink._replace(longer=ink.longer / 3)] * 2
    told = without_specks(inks, range(14), np.array([0.99] * 12 + [0.001, 0.9]))
    assert [each.stray for each in told] == [False] * 12 + [True, False]
    few = without_specks(inks[10:], range(4), np.array([0.99, 0.99, 0.001, 0.9]))
    assert not any(each.stray for each in few)


def test_ink_of_few_grey_levels_is_print_only_where_it_is_plainly_a_character() -> None:
    strokes = np.zeros((8, 8), np.float32)
    inks = [Ink(strokes, strokes.astype(np.uint8), contrast, 0.5, False) for contrast in (60.0, 5.0, 5.0)]
    logits = np.zeros((3, 10), np.float32)
    seen = Inference.of_logits(np.arange(3), logits, 1.0, None, np.array([1.0, 0.9, 0.3]))
    assert [blank < 0.5 for blank in blanks_of(inks, seen)] == [True, True, False]


def test_faint_ink_is_proven_by_several_sure_characters_only() -> None:
    assert proven_contrast([20.0, 21.0, 90.0, 95.0], [0.9, 0.1, 0.9, 0.9]) > 60
    assert proven_contrast([20.0, 21.0], [0.9, 0.9]) == float("inf")


@pytest.mark.parametrize(
    ("proven", "known", "written"),
    [
        (70.0, 0.8, False),  # paper's own relief that looks like a digit, on a page of plain print
        (70.0, 0.97, True),
        (12.0, 0.8, True),  # other print of the page is nearly as faint
        (float("inf"), 0.8, True),  # nothing is known of the page's print
    ],
)
def test_ink_much_fainter_than_all_print_of_a_page_must_be_a_character_beyond_doubt(
    proven: float, known: float, written: bool
) -> None:
    strokes = np.zeros((8, 8), np.float32)
    inks = [Ink(strokes, strokes.astype(np.uint8), contrast, 0.5, False) for contrast in (100.0, 100.0, 9.0)]
    seen = Inference.of_logits(
        np.arange(3), np.zeros((3, 10), np.float32), 1.0, None, np.array([1.0, 1.0, known])
    )
    assert [blank < 0.5 for blank in blanks_of(inks, seen, proven=proven)] == [True, True, written]
