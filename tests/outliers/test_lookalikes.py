from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.outliers.lookalikes import LOOKALIKES, characters_of, foreign_labels, looks_known


@pytest.mark.parametrize("letter", "OoQDIlLiZzSGbBgqاهوحط١٥.()")
def test_what_looks_like_a_digit_is_no_outlier_for_digits(letter: str) -> None:
    assert looks_known(letter, DIGITS)


@pytest.mark.parametrize("letter", "AHKMNRWXaehnrtبجسشضقم")
def test_letters_that_no_digit_looks_like_are_outliers(letter: str) -> None:
    assert not looks_known(letter, DIGITS)


def test_every_label_is_known_to_its_own_alphabet() -> None:
    for alphabet in (DIGITS, LATIN_26, LATIN_47, LATIN_62, ARABIC_28):
        assert foreign_labels(alphabet, alphabet) == ()


def test_the_other_case_of_a_merged_capital_is_known() -> None:
    assert looks_known("c", LATIN_47)
    assert foreign_labels(Alphabet("small", ("c", "k", "x")), LATIN_47) == ()
    assert characters_of(LATIN_47, "O") == ("O", "o")
    # "L" is l as well, which looks like 1; in an alphabet with its own l it is L alone.
    assert "L" not in foreign_labels(LATIN_47, DIGITS)
    assert characters_of(LATIN_62, "L") == ("L",)


def test_digits_for_a_reader_of_arabic() -> None:
    kept = foreign_labels(DIGITS, ARABIC_28)
    assert set("019").isdisjoint(kept)
    assert {"3", "4", "8"} <= set(kept)


def test_labels_of_several_characters_are_compared_whole() -> None:
    assert foreign_labels(Alphabet("two", ("لا", "ll")), DIGITS) == ("لا", "ll")


def test_composed_and_decomposed_are_the_same_character() -> None:
    accents = Alphabet("accents", ("é", "ü"))
    assert foreign_labels(Alphabet("again", (unicodedata.normalize("NFD", "é"), "ö")), accents) == ("ö",)


def test_groups_have_members_to_compare() -> None:
    assert min(len(group) for group in LOOKALIKES) > 1
    assert all(len(set(group)) == len(group) for group in LOOKALIKES)


@given(st.lists(st.text(min_size=1, max_size=3), min_size=2, max_size=8, unique=True))
def test_any_labels(labels: list[str]) -> None:
    try:
        other = Alphabet("any", tuple(labels))
    except Exception:  # noqa: BLE001  (labels that no alphabet takes)
        return
    assert set(foreign_labels(other, DIGITS)) <= set(labels)
    assert foreign_labels(other, other) == ()
