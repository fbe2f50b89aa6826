"""Families in a folder, and the list of those that were reviewed."""

from __future__ import annotations

import zlib
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.datasets.dataset import SkippedFile
from kalamos.errors import DatasetError
from kalamos.fonts.families import FontFamily, ListedFont, find_families, read_list, select_families, side_of

REVIEWED = Path(__file__).parents[2] / "recipes" / "handwriting-fonts.txt"


def write(path: Path, content: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_the_reviewed_list_holds_and_keeps_about_a_fifth_for_judging() -> None:
    listed = read_list(REVIEWED)
    latin = [one for one in listed if one.script == "latin"]
    judges = [one for one in latin if one.side == "judge"]
    assert {one.script for one in listed} == {"latin", "arabic"}
    assert 0.15 < len(judges) / len(latin) < 0.3
    assert len({one.family for one in listed}) == len(listed)


def test_the_side_is_a_checksum_and_never_changes() -> None:
    names = [f"@scope/font-{number}" for number in range(500)]
    assert [side_of(name) == "judge" for name in names] == [
        zlib.crc32(name.encode()) % 5 == 0 for name in names
    ]
    assert 60 < sum(side_of(name) == "judge" for name in names) < 140


def test_comments_and_blank_lines_and_a_byte_order_mark(tmp_path: Path) -> None:
    path = write(tmp_path / "l.txt", "\ufeff# a comment\n\n  @fontsource/kalam  5.3.0\ttrain latin # pen\r\n")
    assert read_list(path) == (ListedFont("@fontsource/kalam", "5.3.0", "train", "latin"),)


@pytest.mark.parametrize(
    ("line", "wrong"),
    [
        ("@fontsource/kalam 5.3.0 train", "3 words"),
        ("@fontsource/kalam ^5.3.0 train latin", "not an exact version"),
        ("@fontsource/kalam 5.3.0 both latin", "the side is 'both'"),
        ("@fontsource/kalam 5.3.0 judge latin", "is for 'judge'"),
        ("../kalam 5.3.0 train latin", "not a package name"),
        ("@fontsource/.. 5.3.0 train latin", "not a package name"),
        ("--force 5.3.0 train latin", "not a package name"),
        ("", "lists no font"),
        ("@fontsource/kalam 5.3.0 train latin\n" * 2, "listed twice"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: str, wrong: str) -> None:
    with pytest.raises(DatasetError, match=wrong):
        read_list(write(tmp_path / "list.txt", line))


def test_a_list_that_is_no_text(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="UTF-8"):
        read_list(write(tmp_path / "list.txt", b"\xff\xfe\x00"))
    with pytest.raises(DatasetError, match="no such file"):
        read_list(tmp_path / "absent.txt")
    with pytest.raises(DatasetError, match="folder"):
        read_list(tmp_path)


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with suppress(DatasetError):
        assert read_list(path)


def test_a_folder_is_a_family_and_so_is_a_file_beside_them(tmp_path: Path) -> None:
    for name in (
        "pen/10.ttf",
        "pen/9.ttf",
        "pen/more/x.OTF",
        "lone.woff2",
        "empty/readme.txt",
        ".hidden.ttf",
    ):
        write(tmp_path / name, b"")
    assert find_families(tmp_path) == (
        FontFamily("lone", (tmp_path / "lone.woff2",)),
        FontFamily("pen", tuple(tmp_path / "pen" / name for name in ("9.ttf", "10.ttf", "more/x.OTF"))),
    )


def test_one_font_in_two_packings_counts_once(tmp_path: Path) -> None:
    for name in ("pen/a.woff", "pen/a.woff2", "pen/b.woff"):
        write(tmp_path / name, b"")
    assert [path.name for path in find_families(tmp_path)[0].files] == ["a.woff2", "b.woff"]


@pytest.mark.parametrize("place", ["absent", "file.ttf", "", "nul\0"])
def test_no_folder_of_fonts(tmp_path: Path, place: str) -> None:
    write(tmp_path / "file.txt", b"")
    with pytest.raises(DatasetError, match=r"no font|cannot be opened"):
        find_families(tmp_path / place)


def test_choosing_a_side_tells_what_is_absent() -> None:
    there = (FontFamily("kalam", ()), FontFamily("caveat", ()), FontFamily("other", ()))
    listed = (
        ListedFont("@fontsource/kalam", "5.3.0", "train", "latin"),
        ListedFont("@fontsource/handlee", "5.3.0", "train", "latin"),
        ListedFont("@fontsource/caveat", "5.3.0", "judge", "latin"),
    )
    assert select_families(there, listed, "judge") == ((there[1],), ())
    absent = SkippedFile("handlee", "listed, but not in the folder of fonts")
    assert select_families(there, listed, "train") == ((there[0],), (absent,))
    assert select_families(there, listed, None) == (there[:2], (absent,))
