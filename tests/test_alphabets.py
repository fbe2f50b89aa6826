from __future__ import annotations

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet, upper_code_point
from kalamos.errors import AlphabetError

ACUTE = "e\N{COMBINING ACUTE ACCENT}"


def test_digits() -> None:
    assert "".join(DIGITS.labels) == "0123456789"
    assert [DIGITS.code_point(label) for label in DIGITS.labels] == list(range(48, 58))


def test_latin_alphabets_contain_one_another() -> None:
    assert [len(alphabet) for alphabet in (LATIN_26, LATIN_47, LATIN_62)] == [26, 47, 62]
    assert LATIN_62.labels[:36] == LATIN_47.labels[:36] == DIGITS.labels + LATIN_26.labels
    assert set(LATIN_47.labels) < set(LATIN_62.labels)
    assert "".join(LATIN_47.labels[36:]) == "abdefghnqrt"  # where they differ from their capitals
    assert {LATIN_62.fold_case(label) for label in LATIN_62.labels} == {*DIGITS.labels, *LATIN_26.labels}


def test_arabic_letters_are_28_in_the_dictionary_s_order() -> None:
    names = [unicodedata.name(label).removeprefix("ARABIC LETTER ") for label in ARABIC_28.labels]
    assert names == [
        "ALEF", "BEH", "TEH", "THEH", "JEEM", "HAH", "KHAH", "DAL", "THAL", "REH", "ZAIN", "SEEN", "SHEEN",
        "SAD", "DAD", "TAH", "ZAH", "AIN", "GHAIN", "FEH", "QAF", "KAF", "LAM", "MEEM", "NOON", "HEH", "WAW",
        "YEH",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("labels", "problem"),
    [
        ((), "0 labels"),
        (("a",), "1 label"),
        (("a", ""), "blank label at 1"),
        (("a", " \N{NO-BREAK SPACE}"), "blank label at 1"),
        (("a", "b", "a"), "'a' twice, at 0 and 2"),
        (("é", ACUTE), "twice, at 0 and 1"),
        (("a", "b\n"), "control character"),
        (("a", "\x1b"), "control character"),
        (("a", "b\N{LINE SEPARATOR}c"), "control character"),
        (("a", "\ud800"), "control character"),
    ],
)
def test_labels_that_are_refused(labels: tuple[str, ...], problem: str) -> None:
    with pytest.raises(AlphabetError, match=problem):
        Alphabet("bad", labels)


def test_labels_of_any_writing_are_kept_as_given() -> None:
    labels = ("a", "A", "لا", "漢", "क्\N{ZERO WIDTH JOINER}ष", ACUTE)
    alphabet = Alphabet("mixed", labels)
    assert alphabet.labels == labels
    assert [alphabet.index(label) for label in labels] == list(range(len(labels)))


def test_composed_and_decomposed_are_one_label() -> None:
    alphabet = Alphabet("accents", ("a", ACUTE))
    assert alphabet.index("é") == alphabet.index(ACUTE) == 1
    assert alphabet.code_point("é") == ord("É")


def test_a_stranger_is_answered_with_the_nearest_label() -> None:
    alphabet = Alphabet("letters", ("alif", "baa"))
    with pytest.raises(AlphabetError, match=r"no label 'alef'; did you mean 'alif'\?"):
        alphabet.index("alef")
    with pytest.raises(AlphabetError, match="no label"):
        alphabet.code_point("x")


@pytest.mark.parametrize(
    ("label", "character"),
    [("a", "A"), ("A", "A"), ("7", "7"), ("ß", "ß"), ("ŉ", "ŉ"), ("ب", "ب"), ("σ", "Σ"), ("𐐨", "𐐀")],
)
def test_upper_code_point(label: str, character: str) -> None:
    assert upper_code_point(label) == ord(character)


@pytest.mark.parametrize("label", ["", "ch", "لا", "g\N{COMBINING ACUTE ACCENT}\N{COMBINING TILDE}"])
def test_a_label_without_one_code_point_is_refused(label: str) -> None:
    with pytest.raises(AlphabetError, match="code points, not one"):
        upper_code_point(label)


@given(st.characters(exclude_categories=["Cs"]))
def test_upper_code_point_refuses_or_is_idempotent(character: str) -> None:
    if len(unicodedata.normalize("NFC", character)) == 1:
        once = upper_code_point(character)
        assert upper_code_point(chr(once)) == once
    else:
        with pytest.raises(AlphabetError):
            upper_code_point(character)


@pytest.mark.parametrize(
    ("label", "folded"), [("a", "A"), ("A", "A"), ("b", "b"), ("ß", "ß"), ("é", "É"), ("7", "7")]
)
def test_fold_case_stays_within_the_alphabet(label: str, folded: str) -> None:
    alphabet = Alphabet("letters", ("A", "a", "b", "S", "ß", "É", "é", "7"))
    assert alphabet.fold_case(label) == folded


def test_alphabets_compare_hash_and_pickle() -> None:
    alphabet = Alphabet("ab", ("a", "b"))
    alphabet.index("a")
    assert pickle.loads(pickle.dumps(alphabet)) == alphabet == Alphabet("ab", ("a", "b"))  # noqa: S301
    assert hash(alphabet) == hash(Alphabet("ab", ("a", "b")))


def test_what_stands_for_both_cases_is_known_of_emnist_s_alphabets_alone() -> None:
    assert "".join(sorted(LATIN_47.merged)) == "CIJKLMOPSUVWXYZ"
    assert LATIN_26.merged == frozenset(LATIN_26.labels)
    for alphabet in (DIGITS, LATIN_62, ARABIC_28, Alphabet("mine", LATIN_47.labels)):
        assert alphabet.merged == frozenset()
    # Under the same name, but with a class of its own for the small letter.
    assert Alphabet("latin-47", ("C", "c", "O")).merged == {"O"}


@pytest.mark.parametrize(
    ("alphabet", "character", "label"),
    [
        (LATIN_47, "c", "C"),
        (LATIN_47, "C", "C"),
        (LATIN_47, "a", "a"),
        (LATIN_26, "a", "A"),
        (LATIN_62, "c", "c"),
        (ARABIC_28, "ب", "ب"),
        (DIGITS, "c", None),
        (LATIN_47, "ß", None),
        (LATIN_47, "ı", None),  # whose capital is I
        (LATIN_47, "", None),
        (Alphabet("mine", ("A", "B")), "a", None),
    ],
)
def test_the_class_that_stands_for_a_character(alphabet: Alphabet, character: str, label: str | None) -> None:
    position = alphabet.class_of(character)
    assert (None if position is None else alphabet.labels[position]) == label


def test_membership_is_that_of_the_composed_label() -> None:
    alphabet = Alphabet("two", ("é", "x"))
    assert ACUTE in alphabet
    assert "e" not in alphabet
    assert 3 not in alphabet
