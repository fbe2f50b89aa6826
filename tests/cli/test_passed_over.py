from __future__ import annotations

from pathlib import Path

import pytest

from kalamos.cli.passed_over import SHOWN, tell_passed_over
from kalamos.datasets import SkippedFile, load_dataset
from kalamos.errors import DatasetError
from kalamos.teaching.examples import load_examples


def test_the_first_ones_are_named_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    tell_passed_over("pages", [])
    tell_passed_over("pages", [SkippedFile("a.png", "no ink")])
    tell_passed_over("pages", [SkippedFile(f"{place}.png", "damaged") for place in range(SHOWN + 1_200)])
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "pages: one file passed over",
        "  a.png: no ink",
        "pages: 1,205 files passed over",
        *(f"  {place}.png: damaged" for place in range(SHOWN)),
        "  and 1,200 more",
    ]


def test_files_of_other_kinds_are_counted_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    others = [SkippedFile(f"a/IMG_{place}.HEIC", "not named like an image") for place in range(1_200)]
    tell_passed_over(
        "letters", [*others, SkippedFile("a/1.png", "damaged"), SkippedFile("notes.txt", "no image")]
    )
    assert capsys.readouterr().err.splitlines() == [
        "letters: 1,202 files passed over",
        "  1,200 HEIC photos: convert them to JPEG or PNG (a/IMG_0.HEIC, a/IMG_1.HEIC, a/IMG_2.HEIC, …)",
        "  1 text file (notes.txt)",
        "  a/1.png: damaged",
    ]


def test_a_dataset_of_heic_alone_says_so(tmp_path: Path) -> None:
    for label in "ab":
        (tmp_path / label).mkdir()
        (tmp_path / label / "1.heic").write_bytes(b"x")
    told = r"no class with images \(2 HEIC photos: convert them to JPEG or PNG \(a/1.heic, b/1.heic\)\)"
    with pytest.raises(DatasetError, match=told):
        load_dataset(tmp_path)
    with pytest.raises(DatasetError, match="2 HEIC photos: convert them"):
        load_examples(tmp_path)
