from __future__ import annotations

import unicodedata
import zipfile
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kalamos.datasets import Dataset, RaggedImages, load_dataset
from kalamos.datasets.named.ocr_arabic import ARABIC_32, LETTERS, PUNCTUATION, PUNCTUATION_11, font_of
from kalamos.errors import DatasetError

Png = Callable[..., bytes]


def write(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)


@pytest.mark.parametrize(
    ("file", "font"),
    [
        ("iArial_12 size47.jpg", "Arial"),
        ("iArial_40 size9 - Copy.jpg", "Arial"),
        ("z6Typesetting_30 size.jpg", "Typesetting"),
        ("z6Typesetting_12 size.jpg", "Unicode"),
        ("z93Unicode_13 size.jpg", "Unicode"),
        ("z22iAndalus_23 size - Copy.jpg", "Andalus"),
        ("iCalibri_152 size3.jpg", "Calibri"),
        ("10 Arial.jpg", "Arial"),
        ("10 Arial .jpg", "Arial"),
        ("11  Calibri Light.jpg", "Calibri"),
        ("9Traditional Arabic.jpg", "Traditional Arabic"),
        ("40 Segoe UI Semilight.jpg", "Segoe UI"),
        ("scan.jpg", ""),
        ("", ""),
    ],
)
def test_the_font_is_told_by_the_name_whatever_size_and_style(file: str, font: str) -> None:
    assert font_of(file) == font


def test_folders_are_the_letters_they_show() -> None:
    assert sorted(LETTERS.values()) == sorted(ARABIC_32.labels)
    assert sorted(PUNCTUATION.values()) == sorted(PUNCTUATION_11.labels)
    names = {folder: unicodedata.name(label[0]) for folder, label in LETTERS.items()}
    for folder, name in (
        ("taa", "TAH"),
        ("ta2", "TEH"),
        ("7aa", "HAH"),
        ("haa", "HEH"),
        ("za2", "ZAH"),
        ("3ayn", "AIN"),
    ):
        assert names[folder] == f"ARABIC LETTER {name}"


def test_labels_groups_and_sizes(tmp_path: Path, png: Png) -> None:
    files = {
        "7aa/iArial_12 size1.jpg": png(10, 5, 4),
        "7aa/iArial_40 size2.jpg": png(20, 6, 4),
        "lamAlif/z1Unicode_20 size.jpg": png(30, 7, 9),
        "lamAlif/z2Typesetting_20 size.jpg": png(40, 5, 4),
    }
    write(tmp_path / "ocr-arabic.zip", files)
    loaded = load_dataset("ocr-arabic", tmp_path)
    assert [loaded.alphabet.labels[label] for label in loaded.train.labels] == ["ح", "ح", "لا", "لا"]
    assert isinstance(loaded.train.images, RaggedImages)
    assert [image.shape for image in loaded.train.images] == [(5, 4), (6, 4), (7, 9), (5, 4)]
    assert loaded.train.groups.tolist() == [0, 0, 2, 1]
    assert loaded.train.names == tuple(files)
    assert (loaded.test, loaded.grouped_by) == (None, "font")


def test_twins_under_two_fonts_are_of_one(tmp_path: Path, png: Png) -> None:
    files = {
        "baa/z1Typesetting_13 size.jpg": png(10),
        "baa/z1Unicode_13 size.jpg": png(10),
        "baa/z2Typesetting_13 size.jpg": png(20),
        "baa/z3Typesetting_13 size.jpg": png(10),
        "dal/iArial_13 size1.jpg": png(10, 5, 6),  # the same bytes in another shape
    }
    write(tmp_path / "ocr-arabic.zip", files)
    groups = load_dataset("ocr-arabic", tmp_path).train.groups
    assert groups.tolist() == [2, 2, 1, 2, 0]


def test_strangers_are_passed_over(tmp_path: Path, png: Png) -> None:
    write(
        tmp_path / "ocr-arabic.zip",
        {
            "top/baa/1.png": png(),
            "cats/1.png": png(),
            "loose.png": png(),
            "baa/torn.jpg": b"",
            "dal/2.png": png(),
        },
    )
    loaded = load_dataset("ocr-arabic", tmp_path)
    assert set(loaded.train.names) == {"top/baa/1.png", "dal/2.png"}
    assert {problem.where for problem in loaded.problems} == {"cats/1.png", "loose.png", "baa/torn.jpg"}
    write(tmp_path / "ocr-arabic.zip", {"cats/1.png": png()})
    with pytest.raises(DatasetError, match="no image of OCR-Arabic in it"):
        load_dataset("ocr-arabic", tmp_path)


def test_the_real_letters(ocr_arabic: Dataset, aspect: Callable[..., float]) -> None:
    split = ocr_arabic.train
    assert len(split) == 15_288
    assert len(ocr_arabic.alphabet) == 32
    assert np.unique(split.labels).tolist() == list(range(32))
    assert np.bincount(split.groups).tolist() == [3025, 3317, 3416, 3434 - 117 - 78, 2096 + 117 + 78]
    tall, flat = (
        aspect(split.images[split.labels == ocr_arabic.alphabet.index(letter)][:200]) for letter in "اس"
    )
    assert (tall > 1.5, flat < 0.9) == (True, True)


def test_no_twins_on_both_sides_of_a_split_by_font(ocr_arabic: Dataset) -> None:
    fonts = defaultdict(set)
    for image, group in zip(ocr_arabic.train.images, ocr_arabic.train.groups.tolist(), strict=True):
        fonts[image.shape, image.tobytes()].add(group)
    assert max(map(len, fonts.values())) == 1
    assert len(ocr_arabic.train) - len(fonts) > 800  # and twins there are


def test_the_real_punctuation(ocr_arabic_punctuation: Dataset) -> None:
    assert len(ocr_arabic_punctuation.train) == 1_595
    assert np.bincount(ocr_arabic_punctuation.train.labels).min() >= 140
    assert len(np.unique(ocr_arabic_punctuation.train.groups)) == 10
