from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.writers.escape import encodable, one_line

ANY_TEXT = st.text(st.characters(exclude_categories=[]))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("img/7.png", "img/7.png"),
        ("صور/ب.png", "صور/ب.png"),
        (r"a\n.png", r"a\n.png"),
        ("\u202egnp.jpg \u2067ب\u2069", r"\u202egnp.jpg \u2067ب\u2069"),
        ("ب\u200f.png", "ب\u200f.png"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\0\x1b[31m\x7f", r"\x00\x1b[31m\x7f"),
        ("\x85\u2028\u2029", r"\u0085\u2028\u2029"),
        ("\udce9\ud800", r"\xe9\ud800"),
        ("no\u00a0break \u3000", "no\u00a0break \u3000"),
    ],
)
def test_one_line(text: str, shown: str) -> None:
    assert one_line(text) == shown


def test_encodable_touches_surrogates_only() -> None:
    assert encodable("a\nب\u2028\udcff") == "a\nب\u2028" + r"\xff"


def test_the_bytes_of_a_file_name_are_shown() -> None:
    name = b"caf\xe9-\xd8\xa8.png"
    assert encodable(name.decode("utf-8", "surrogateescape")) == name.decode("utf-8", "backslashreplace")


@given(ANY_TEXT)
def test_all_text_fits_a_line_and_utf_8(text: str) -> None:
    assert len(one_line(text).splitlines()) == (1 if text else 0)
    one_line(text).encode()
    encodable(text).encode()
