from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_47, Alphabet
from kalamos.datasets import Dataset, load_dataset
from kalamos.errors import DatasetError, UsageError
from kalamos.evaluation.ood import OODContext, default_sets, exposure, open_set
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
    with pytest.raises(UsageError, match="no set to draw outliers from; name some of paper"):
        exposure(DIGITS, PREPARE, 5, 0, sets=[])
    with pytest.raises(UsageError, match="n = -1"):
        exposure(DIGITS, PREPARE, -1, 0)
    with pytest.raises(UsageError, match="seed = -5 is negative"):
        exposure(DIGITS, PREPARE, 1, -5)


def write(folder: Path, label: str, values: range) -> None:
    (folder / label).mkdir(parents=True, exist_ok=True)
    for value in values:
        cv2.imwrite(str(folder / label / f"{value}.png"), np.full((9, 9), value, np.uint8))


def test_outliers_without_ink_are_none(tmp_path: Path) -> None:
    for label in "AB":
        write(tmp_path / "blank", label, range(40))
    with pytest.raises(DatasetError, match="only 0 of 60 outliers have ink on them; name other sets"):
        exposure(DIGITS, PREPARE, 3, 0, sets=[f"script:{tmp_path / 'blank'}"])


def values(folder: Path, side: str, alphabet: Alphabet = DIGITS, seed: int = 0) -> list[int]:
    outliers = open_set(f"script:{folder}", OODContext(alphabet, side, seed))
    return [int(outliers.draw(index)[0, 0]) for index in range(outliers.size)]


def test_known_classes_and_their_likes_are_left_out(tmp_path: Path) -> None:
    for start, label in enumerate("7OAك"):
        write(tmp_path / "letters", label, range(start * 50, start * 50 + 10))
    outliers = open_set(f"script:{tmp_path / 'letters'}", OODContext(DIGITS, "eval"))
    assert outliers.note == "2 classes: A ك"
    both = values(tmp_path / "letters", "train") + values(tmp_path / "letters", "eval")
    assert sorted(both) == [*range(100, 110), *range(150, 160)]


def test_classes_that_look_known_are_kept_apart(tmp_path: Path) -> None:
    for start, label in enumerate("7OAكI"):
        write(tmp_path / "letters", label, range(start * 50, start * 50 + 10))
    for side, count in (("train", 16), ("eval", 4)):
        outliers = open_set(f"script:{tmp_path / 'letters'}", OODContext(DIGITS, side))
        alike = outliers.lookalikes
        assert (alike.name, alike.note) == (f"script:{tmp_path / 'letters'} look-alikes", "2 classes: I O")
        seen = {int(alike.draw(index)[0, 0]) for index in range(alike.size)}
        assert alike.size == len(seen) == count
        assert seen <= {*range(50, 60), *range(200, 210)}


def test_a_script_without_lookalikes_has_none_apart(tmp_path: Path) -> None:
    for start, label in enumerate("7AK"):
        write(tmp_path / "letters", label, range(start * 50, start * 50 + 10))
    assert open_set(f"script:{tmp_path / 'letters'}", OODContext(DIGITS, "eval")).lookalikes is None


def test_without_a_test_split_one_in_five_is_judged(tmp_path: Path) -> None:
    write(tmp_path / "letters", "A", range(50))
    write(tmp_path / "letters", "B", range(100, 150))
    exposed, judged = (values(tmp_path / "letters", side, ARABIC_28) for side in ("train", "eval"))
    assert (len(exposed), len(judged)) == (80, 20)
    assert set(exposed).isdisjoint(judged)
    assert values(tmp_path / "letters", "eval", ARABIC_28) == judged
    assert values(tmp_path / "letters", "eval", ARABIC_28, seed=1) != judged


def test_a_test_split_is_for_judging_alone(tmp_path: Path) -> None:
    for part, first in (("train", 0), ("test", 100)):
        for label, start in (("A", first), ("R", first + 50)):
            write(tmp_path / "letters" / part, label, range(start, start + 10))
    assert max(values(tmp_path / "letters", "train")) < 100 <= min(values(tmp_path / "letters", "eval"))


def test_an_alphabet_that_is_known_is_no_set(tmp_path: Path) -> None:
    write(tmp_path / "letters", "O", range(5))
    write(tmp_path / "letters", "1", range(5))
    with pytest.raises(DatasetError, match="every class is, or looks like, one of the alphabet 'digits'"):
        open_set(f"script:{tmp_path / 'letters'}", OODContext(DIGITS, "eval"))
    with pytest.raises(DatasetError, match="every class is, or looks like"):
        open_set("script:mnist", OODContext(LATIN_47, "eval", 0, tmp_path))  # refused before it is looked for


def test_the_default_scripts_are_foreign() -> None:
    assert default_sets(DIGITS)[5:] == ("script:ahcd", "script:emnist-47", "script:unipen")
    assert default_sets(LATIN_47)[5:] == ("script:ahcd",)
    assert default_sets(ARABIC_28)[5:] == ("script:emnist-47", "script:mnist", "script:unipen")


def test_real_letters_to_judge_are_of_the_test_split(data: Path) -> None:
    ahcd: Dataset = load_dataset("ahcd", data)
    tests = {image.tobytes() for image in ahcd.test.images}
    outliers = open_set("script:ahcd", OODContext(DIGITS, "eval", 0, data))
    assert {outliers.draw(index).tobytes() for index in range(outliers.size)} < tests
