from __future__ import annotations

import pickle
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import (
    ARABIC_28,
    ARABIC_DIGITS,
    DIGITS,
    GROUPS,
    LATIN_26,
    LATIN_47,
    LATIN_62,
    Alphabet,
    restrict,
    upper_code_point,
)
from kalamos.errors import AlphabetError, UsageError

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


def test_arabic_digits_stand_for_the_persian_ones_of_the_same_value() -> None:
    assert [unicodedata.decimal(label) for label in ARABIC_DIGITS.labels] == list(range(10))
    persian = [chr(0x06F0 + value) for value in range(10)]
    assert [ARABIC_DIGITS.class_of(digit) for digit in persian] == list(range(10))
    assert [ARABIC_DIGITS.characters(label)[1:] for label in ARABIC_DIGITS.labels] == [
        (each,) for each in persian
    ]
    assert ARABIC_DIGITS.merged == frozenset()
    # Under the same name, but with a class of its own for the Persian 4, and without a 5.
    own = Alphabet("arabic-digits", ("٤", "۴"))
    assert (own.class_of("۴"), own.class_of("۵"), own.characters("٤")) == (1, None, ("٤",))


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
        (ARABIC_DIGITS, "٤", "٤"),
        (ARABIC_DIGITS, "۴", "٤"),
        (ARABIC_DIGITS, "4", None),
        (DIGITS, "۴", None),
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


FATHA = "\N{ARABIC FATHA}"
ALPHABETS = (DIGITS, LATIN_26, LATIN_47, LATIN_62, ARABIC_28, ARABIC_DIGITS)


def kept(alphabet: Alphabet, charset: str) -> str:
    return "".join(restrict(alphabet, charset).labels)


@pytest.mark.parametrize(
    ("alphabet", "charset", "labels"),
    [
        (DIGITS, "digits", "0123456789"),
        (DIGITS, "letters digits", "0123456789"),
        (DIGITS, "7117", "17"),
        (LATIN_62, "upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        (LATIN_62, "lower", "abcdefghijklmnopqrstuvwxyz"),
        (LATIN_62, "ABC123", "123ABC"),
        (LATIN_47, "upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        (LATIN_47, "letters", "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        (LATIN_47, "lower", "cijklmopsuvwxyzabdefghnqrt"),
        (LATIN_47, "lower upper", "ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"),
        (LATIN_26, "abc", "abc"),
        (LATIN_26, "abC", "abC"),
        (LATIN_26, "aA", "A"),
        (ARABIC_28, "letters", "ابتثجحخدذرزسشصضطظعغفقكلمنهوي"),
        (ARABIC_DIGITS, "digits", "٠١٢٣٤٥٦٧٨٩"),
        (ARABIC_DIGITS, "۶۴", "۴۶"),
        (ARABIC_DIGITS, "۴٤ ۶", "٤۶"),
        (ARABIC_28, "ب ت\nث", "بتث"),
        (ARABIC_28, "\N{RIGHT-TO-LEFT MARK}بت\N{LEFT-TO-RIGHT MARK}", "بت"),
    ],
)
def test_what_is_kept_comes_in_the_order_of_the_alphabet(
    alphabet: Alphabet, charset: str, labels: str
) -> None:
    assert kept(alphabet, charset) == labels


def test_positions_are_those_of_the_model_s_outputs() -> None:
    assert restrict(LATIN_47, "c3").indices == (3, 12)
    assert restrict(LATIN_47, "c3").labels == ("3", "c")


def test_a_word_may_be_a_label_of_several_characters() -> None:
    mixed = Alphabet("mixed", ("ل", "ا", "لا", "upper", "10", "1", "0"))
    assert restrict(mixed, "لا").labels == ("لا",)
    assert restrict(mixed, "ل ا").labels == ("ل", "ا")
    assert restrict(mixed, "ال").labels == ("ل", "ا")
    assert restrict(mixed, "upper").labels == ("upper",)
    assert restrict(mixed, "digits").labels == ("10", "1", "0")
    assert restrict(mixed, "01").labels == ("1", "0")


def test_marks_belong_to_the_character_before_them() -> None:
    marked = Alphabet("marked", ("ب", f"ب{FATHA}", "e", unicodedata.normalize("NFD", "é")))
    assert restrict(marked, f"ب{FATHA}e").labels == (f"ب{FATHA}", "e")
    assert restrict(marked, "é").indices == (3,)
    assert restrict(marked, "letters").indices == (0, 1, 2, 3)
    with pytest.raises(UsageError, match="lacks"):
        restrict(ARABIC_28, f"ب{FATHA}")
    with pytest.raises(UsageError, match="lacks"):
        restrict(ARABIC_28, FATHA)


@pytest.mark.parametrize(
    ("alphabet", "charset", "hint"),
    [
        (ARABIC_28, "أ", "did you mean 'ا'"),
        (ARABIC_28, "ا\N{ARABIC HAMZA ABOVE}", "lacks 'أ'.*did you mean 'ا'"),
        (ARABIC_28, "\N{ARABIC LETTER BEH ISOLATED FORM}", "did you mean 'ب'"),
        (DIGITS, "٣", "did you mean '3'"),
        (DIGITS, "۳", "did you mean '3'"),
        (ARABIC_DIGITS, "3", "did you mean '٣'"),
        (DIGITS, "O", "did you mean '0'"),
        (Alphabet("capitals", ("A", "B")), "a", "did you mean 'A'"),
        (DIGITS, "0x", r"lacks 'x', asked for by charset '0x'; it has: 0 1 2"),
        (DIGITS, "abc!?yz", r"lacks 'a', 'b', 'c', '!', '\?' and 2 more"),
        (DIGITS, "\udcff", "udcff"),
    ],
)
def test_what_the_model_lacks_is_refused_with_what_it_has(
    alphabet: Alphabet, charset: str, hint: str
) -> None:
    with pytest.raises(UsageError, match=hint) as caught:
        restrict(alphabet, charset)
    str(caught.value).encode()


@pytest.mark.parametrize("charset", ["", " \t\n", "\N{RIGHT-TO-LEFT MARK}"])
def test_an_empty_charset_is_refused(charset: str) -> None:
    with pytest.raises(UsageError, match="leaves nothing of alphabet 'digits'; it has: 0 1"):
        restrict(DIGITS, charset)


@pytest.mark.parametrize(
    ("alphabet", "charset"),
    [(DIGITS, "letters"), (ARABIC_28, "upper"), (ARABIC_28, "upper lower digits"), (LATIN_26, "digits")],
)
def test_groups_that_leave_nothing_are_refused(alphabet: Alphabet, charset: str) -> None:
    with pytest.raises(UsageError, match="leaves nothing"):
        restrict(alphabet, charset)


@pytest.mark.parametrize(
    ("charset", "group"),
    [
        ("digit", "digits"),
        ("DIGITS", "digits"),
        ("Upper", "upper"),
        ("uppercase", "upper"),
        ("leters", "letters"),
    ],
)
def test_a_misspelt_group_is_not_taken_for_characters(charset: str, group: str) -> None:
    with pytest.raises(UsageError, match=f"did you mean '{group}'"):
        restrict(LATIN_62, charset)
    assert set(kept(LATIN_62, " ".join(charset))) == set(charset)


@pytest.mark.parametrize("charset", [b"123", 123, ["1"], True])
def test_a_charset_is_text(charset: object) -> None:
    with pytest.raises(UsageError, match="a charset is text, not"):
        restrict(DIGITS, charset)  # type: ignore[arg-type]


def test_huge_charsets_end_soon() -> None:
    assert kept(DIGITS, "1" * 10**6) == "1"
    with pytest.raises(UsageError) as caught:
        restrict(DIGITS, "".join(map(chr, range(0x4E00, 0x9FFF))))
    assert len(str(caught.value)) < 300
    hanzi = Alphabet("hanzi", tuple(map(chr, range(0x4E00, 0x9FFF))))
    assert len(restrict(hanzi, "letters").labels) == len(hanzi)
    with pytest.raises(UsageError, match=r"more$") as caught:
        restrict(hanzi, "x")
    assert len(str(caught.value)) < 400


@given(
    st.sampled_from(ALPHABETS),
    st.text(max_size=12) | st.lists(st.sampled_from([*GROUPS, "a", "ب", "7 c"])).map(" ".join),
)
def test_any_text_is_understood_or_refused(alphabet: Alphabet, charset: str) -> None:
    try:
        found = restrict(alphabet, charset)
    except UsageError:
        return
    assert found.indices
    assert list(found.indices) == sorted(set(found.indices))
    assert len(set(found.labels)) == len(found.labels) == len(found.indices)
    for position, label in zip(found.indices, found.labels, strict=True):
        own = alphabet.labels[position]
        assert label in alphabet.characters(own)


@given(st.sampled_from(ALPHABETS), st.data())
def test_any_labels_of_an_alphabet_can_be_named_in_any_order(alphabet: Alphabet, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(alphabet.labels), min_size=1))
    assert set(restrict(alphabet, " ".join(labels)).labels) == set(labels)
