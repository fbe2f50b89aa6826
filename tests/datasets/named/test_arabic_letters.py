from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from kalamos.datasets import Dataset, load_dataset
from kalamos.datasets.named import describe
from kalamos.errors import DatasetError


def ahcd_files(folder: Path, value: int) -> None:
    folder.mkdir()
    for part in ("Train", "Test"):
        np.savetxt(folder / f"csv{part}Images.csv", np.full((2, 1024), value), fmt="%d", delimiter=",")
        (folder / f"csv{part}Label.csv").write_text("1\n28\n")


def hijja_files(folder: Path, value: int) -> None:
    for sheet in range(5):
        path = folder / f"2 ba/2.1/{sheet * 108 + 1}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((32, 32), value, np.uint8))


def test_two_sources_of_one_polarity_under_one_alphabet(tmp_path: Path) -> None:
    ahcd_files(tmp_path / "ahcd", 30)
    hijja_files(tmp_path / "hijja", 200)
    loaded = load_dataset("arabic-letters", tmp_path)
    assert [loaded.alphabet.labels[label] for label in loaded.train.labels] == ["ا", "ي", *"بببب"]
    assert loaded.train.images[:, 0, 0].tolist() == [30, 30, 55, 55, 55, 55]
    assert loaded.test.images[:, 0, 0].tolist() == [30, 30, 55]
    assert loaded.train.groups.tolist()[:2] == loaded.test.groups.tolist()[:2] == [0, 0]
    blocks = loaded.train.groups.tolist()[2:] + loaded.test.groups.tolist()[2:]
    assert sorted(blocks) == [-5, -4, -3, -2, -1]


@pytest.mark.parametrize(("there", "absent"), [("ahcd", "hijja2.zip"), ("hijja", "ahcd-csv.zip")])
def test_one_source_alone_does_not_do(tmp_path: Path, there: str, absent: str) -> None:
    {"ahcd": ahcd_files, "hijja": hijja_files}[there](tmp_path / there, 1)
    with pytest.raises(DatasetError, match=f"^arabic-letters: there is no .*{absent}"):
        load_dataset("arabic-letters", tmp_path)


def test_the_real_ones(arabic_letters: Dataset, ahcd: Dataset) -> None:
    for together, first in ((arabic_letters.train, ahcd.train), (arabic_letters.test, ahcd.test)):
        assert np.array_equal(together.images[: len(first)], first.images)
        assert np.array_equal(together.labels[: len(first)], first.labels)
        assert np.array_equal(together.groups >= 0, np.arange(len(together)) < len(first))
        assert together.images.mean(axis=(1, 2)).max() < 128  # bright on black
    blocks = [set(split.groups[split.groups < 0]) for split in (arabic_letters.train, arabic_letters.test)]
    assert not blocks[0] & blocks[1]


def test_nothing_of_the_test_is_in_the_training_byte_for_byte(arabic_letters: Dataset) -> None:
    seen = {image.tobytes() for image in arabic_letters.train.images}
    assert not any(image.tobytes() in seen for image in arabic_letters.test.images)


def test_its_alphabet_is_that_of_its_sources() -> None:
    assert describe("arabic-letters").alphabet == describe("ahcd").alphabet == describe("hijja-28").alphabet
