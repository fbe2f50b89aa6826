"""Characters drawn in boxes, which `digits` and `latin-large` learn from."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import cv2
import draw_boxes
import numpy as np
import pytest
from drawn_dataset import write_dataset

from kalamos.alphabets import LATIN_47, Alphabet
from kalamos.datasets import Split, load_dataset

GLYPH = cv2.GaussianBlur(
    cv2.putText(np.zeros((28, 28), np.uint8), "5", (6, 23), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 3),
    (0, 0),
    0.6,
)


def test_most_digits_can_be_read_in_their_box_and_the_same_number_draws_the_same_one() -> None:
    drawn = [draw_boxes.filled_box(GLYPH, np.random.default_rng(number)) for number in range(60)]
    boxes = [box for box in drawn if box is not None]
    assert len(boxes) > 45
    inks = draw_boxes.inks_of(boxes, draw_boxes.SHOWN_FRACTION)
    assert sum(ink is not None for ink in inks) > 0.9 * len(boxes)
    again = draw_boxes.filled_box(GLYPH, np.random.default_rng(1))
    assert again is not None
    assert np.array_equal(again, drawn[1])


def test_letters_keep_their_case_where_the_alphabet_does_and_their_writers_apart(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Hands:
        def __init__(self, name: str, labels: str) -> None:
            self.name = name
            self.alphabet = Alphabet(name, tuple(labels))
            self.train = Split(np.stack([GLYPH] * len(labels)), np.arange(len(labels)))

    known = {"emnist-47": Hands("emnist-47", "5Ab"), "unipen": Hands("unipen", "acC?")}
    monkeypatch.setattr(draw_boxes, "load_dataset", known.__getitem__)
    monkeypatch.setattr(draw_boxes, "stratified_split", lambda labels, share, seed: (np.array([0, 2]), None))
    assert [(group, label) for group, label, _ in draw_boxes.glyphs(LATIN_47)] == [
        ("emnist-47-0", "5"),
        ("emnist-47-2", "b"),
        ("unipen-0", "a"),
        ("unipen-1", "C"),
        ("unipen-2", "C"),
    ]
    monkeypatch.setattr(draw_boxes, "IMAGES", 1)
    drawn = [group.rpartition("-")[0] for group, _, _ in draw_boxes.glyphs(LATIN_47)]
    assert drawn in (["emnist-47", "unipen"], ["emnist-47"])  # a sign of no class may be chosen


def test_another_alphabet_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["draw_boxes.py", "klingon", str(tmp_path / "drawn")])
    with pytest.raises(SystemExit, match="2"):
        draw_boxes.main()
    assert not list(tmp_path.iterdir())


def test_what_a_copier_lost_is_no_example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(draw_boxes, "_copied", lambda scene, rng: np.full_like(scene, 240.0))
    monkeypatch.setattr(draw_boxes, "COPIED", 1.0)
    assert draw_boxes.filled_box(GLYPH, np.random.default_rng(0)) is None


def test_a_drawn_dataset_is_there_as_a_whole_or_not_at_all(tmp_path: Path) -> None:
    letters = [("writer-1", "A", GLYPH), ("writer-2", "a", GLYPH)]
    write_dataset(letters, tmp_path / "letters", LATIN_47)
    written = load_dataset(tmp_path / "letters" / "latin-47.csv")
    assert [written.alphabet.labels[label] for label in written.train.labels] == ["A", "a"]
    shutil.rmtree(tmp_path / "letters")

    images = [("writer-1", "5", GLYPH), ("writer-2", "7", GLYPH)]
    write_dataset(images, tmp_path / "digits")
    rows = list(csv.DictReader((tmp_path / "digits" / "digits.csv").read_text("utf-8").splitlines()))
    assert [(row["label"], row["group"]) for row in rows] == [("5", "writer-1"), ("7", "writer-2")]
    assert all((tmp_path / "digits" / row["path"]).is_file() for row in rows)

    def broken() -> Iterator[tuple[str, str, draw_boxes.Grey]]:
        yield images[0]
        raise OSError("full")

    with pytest.raises(OSError, match="full"):
        write_dataset(broken(), tmp_path / "others")
    assert [path.name for path in tmp_path.iterdir()] == ["digits"]
