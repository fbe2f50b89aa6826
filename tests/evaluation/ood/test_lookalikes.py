"""What looks like a character of an alphabet: published, no outlier, and measured apart."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, ARABIC_DIGITS, DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.datasets.named import describe
from kalamos.evaluation.ood.lookalikes import (
    LOOKALIKES,
    foreign_labels,
    lookalike_labels,
    lookalikes_of,
    looks_known,
)


@pytest.mark.parametrize("letter", "OoQDIlLiZzSGbBgqاهوحط١٥.()")
def test_what_looks_like_a_digit_is_no_outlier_for_digits(letter: str) -> None:
    assert looks_known(letter, DIGITS)


@pytest.mark.parametrize("letter", "AHKMNRWXaehnrtبجسشضقم")
def test_letters_that_no_digit_looks_like_are_outliers(letter: str) -> None:
    assert not looks_known(letter, DIGITS)


@pytest.mark.parametrize("letter", "1lاVv079qEعCFS۴۹")
def test_what_looks_like_an_arabic_digit_is_no_outlier_for_those(letter: str) -> None:
    assert looks_known(letter, ARABIC_DIGITS)


@pytest.mark.parametrize("letter", "2348BHKWXbdبجشط")
def test_what_looks_like_no_arabic_digit_is_an_outlier(letter: str) -> None:
    assert not looks_known(letter, ARABIC_DIGITS)


def test_every_label_is_known_to_its_own_alphabet() -> None:
    for alphabet in (DIGITS, LATIN_26, LATIN_47, LATIN_62, ARABIC_28, ARABIC_DIGITS):
        assert foreign_labels(alphabet, alphabet) == ()


def test_the_other_case_of_a_merged_capital_is_known() -> None:
    assert looks_known("c", LATIN_47)
    assert foreign_labels(Alphabet("small", ("c", "k", "x")), LATIN_47) == ()
    assert LATIN_47.characters("O") == ("O", "o")
    # "L" is l as well, which looks like 1; in an alphabet with its own l it is L alone.
    assert "L" not in foreign_labels(LATIN_47, DIGITS)
    assert LATIN_62.characters("L") == ("L",)


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


@pytest.mark.parametrize(
    ("digit", "letters"),
    [("0", "OoQDο٠٥"), ("1", "IlLiιا١"), ("2", "Zz"), ("5", "Ss"), ("6", "Gb"), ("8", "B"), ("9", "Qgq٩")],
)
def test_the_list_says_which_label_a_character_looks_like(digit: str, letters: str) -> None:
    assert set(letters) <= set(lookalikes_of(DIGITS)[digit])


@pytest.mark.parametrize("alphabet", [LATIN_26, LATIN_47, LATIN_62])
def test_greek_and_cyrillic_letters_of_a_latin_shape_are_no_outliers_for_latin(alphabet: Alphabet) -> None:
    greek = Alphabet("greek", tuple("αβγδεζηθικλμνξοπρστυφχψω"))
    assert set("οικνυχκ") <= set(lookalike_labels(greek, alphabet))
    assert {"λ", "π", "ψ", "ξ"} <= set(foreign_labels(greek, alphabet))
    assert set(lookalike_labels(Alphabet("cyrillic", tuple("АЖОФ")), alphabet)) == {"А", "О"}


def test_the_published_likes_are_those_left_out() -> None:
    for alphabet in (DIGITS, LATIN_47, LATIN_62, ARABIC_28):
        likes = {character for found in lookalikes_of(alphabet).values() for character in found}
        assert all(looks_known(character, alphabet) for character in likes)
        assert all(alphabet.class_of(character) is None for character in likes)
        for other in (DIGITS, LATIN_62, ARABIC_28):
            assert set(lookalike_labels(other, alphabet)) <= likes


def test_known_foreign_and_alike_are_all_there_is() -> None:
    unipen = describe("unipen").alphabet
    foreign, alike = foreign_labels(unipen, DIGITS), lookalike_labels(unipen, DIGITS)
    assert sorted((*foreign, *alike, *DIGITS.labels)) == sorted(unipen.labels)
    assert lookalike_labels(DIGITS, DIGITS) == ()


def test_classes_that_a_training_has_learnt_to_reject_stay_the_same() -> None:
    # A seed draws other images from another list.
    assert "".join(foreign_labels(LATIN_47, DIGITS)) == "ACEFHJKMNPRUVWXadefhnrt"
    assert "".join(foreign_labels(ARABIC_28, LATIN_47)) == "بتثجخدذزشصضظغفقني"
    assert "".join(foreign_labels(DIGITS, ARABIC_28)) == "34578"
