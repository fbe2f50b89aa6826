"""Characters typed in a row, and lists of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from kalamos.errors import FormError
from kalamos.finetune.from_fonts import split_characters
from kalamos.sheets import Caption, parse_chars, read_labels


def test_joined_and_marked_characters_stay_together() -> None:
    assert parse_chars("क\u0941ख") == ("क\u0941", "ख")
    assert parse_chars(" ա  բ\tգ\n") == ("ա", "բ", "գ")
    assert parse_chars("e\u0301e") == ("é", "e")
    assert parse_chars("") == ()


@pytest.mark.parametrize("text", ["ab c", "abc", "a b c", " ab\nc "])
def test_teach_and_sheets_take_the_same_characters(text: str) -> None:
    assert parse_chars(text) == split_characters(text) == ("a", "b", "c")


def test_a_list_of_labels(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\ufeffA\n\n E:I \ne\u0301\n", encoding="utf-8")
    assert read_labels(path) == (("A", "E:I", "é"), {})


def test_a_table_of_labels_with_names_and_pictures(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text('Label,picture,name\nka,ka.png,"letter ka"\n-,,\n', encoding="utf-8")
    labels, captions = read_labels(path)
    assert labels == ("ka", "-")
    assert captions == {"ka": Caption("letter ka", tmp_path / "ka.png")}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\n \n", "names no label"),
        ("a.txt", b"\xff\xfe", "cannot be read as text"),
        ("a.csv", b"name\nka\n", "names no column label"),
    ],
)
def test_what_is_no_list(name: str, content: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(FormError, match=said):
        read_labels(tmp_path / name)
