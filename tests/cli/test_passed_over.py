from __future__ import annotations

from pathlib import Path

import pytest

from kalamos.cli.passed_over import MAX_NAMED_FILES, print_skipped
from kalamos.datasets import SkippedFile, load_dataset
from kalamos.errors import DatasetError
from kalamos.teaching.examples import load_examples


def test_the_first_ones_are_named_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    print_skipped("pages", [])
    print_skipped("pages", [SkippedFile("a.png", "no ink")])
    print_skipped(
        "pages", [SkippedFile(f"{place}.png", "damaged") for place in range(MAX_NAMED_FILES + 1_200)]
    )
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.splitlines() == [
        "pages: skipped 1 file:",
        "  a.png: no ink",
        "pages: skipped 1,205 files:",
        *(f"  {place}.png: damaged" for place in range(MAX_NAMED_FILES)),
        "  and 1,200 more",
    ]


def test_files_of_other_kinds_are_counted_by_kind(capsys: pytest.CaptureFixture[str]) -> None:
    others = [SkippedFile(f"a/IMG_{place}.HEIC", "not named like an image") for place in range(1_200)]
    print_skipped(
        "letters", [*others, SkippedFile("a/1.png", "damaged"), SkippedFile("notes.txt", "no image")]
    )
    assert capsys.readouterr().err.splitlines() == [
        "letters: skipped 1,202 files:",
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
