from __future__ import annotations

import unicodedata

import pytest

from kalamos.alphabets import ARABIC_28, LATIN_62
from kalamos.letter_names import NAMES, letter_name


def test_every_arabic_letter_has_its_own_two_names() -> None:
    names = [letter_name(label) for label in (*ARABIC_28.labels, "ء", "ئ", "ة", "لا")]
    assert None not in names
    assert len({name.latin for name in names if name}) == 32
    assert len({name.native for name in names if name}) == 32


@pytest.mark.parametrize("letter", [letter for letter in NAMES if len(letter) == 1])
def test_names_begin_with_their_letter_or_tell_its_seat(letter: str) -> None:
    # Arabic letters' names begin with the letter itself; alif's with its hamza.
    native = NAMES[letter].native
    assert native[0] == letter or letter in "اأإآءئؤةى"


def test_latin_letters_and_digits_say_their_own_names() -> None:
    assert [label for label in LATIN_62.labels if letter_name(label)] == []
    assert letter_name("") is None
    assert letter_name("!") is None


def test_other_forms_and_other_arabic_letters() -> None:
    assert letter_name("\ufe8f") == letter_name("ب")
    assert letter_name(unicodedata.normalize("NFD", "أ")) == letter_name("أ")
    peh = letter_name("پ")
    assert peh is not None
    assert peh.latin == "peh"
