from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kalamos.alphabets import ARABIC_28, DIGITS, LATIN_26, LATIN_47, LATIN_62, Alphabet
from kalamos.charset import GROUPS, restrict
from kalamos.errors import UsageError

FATHA = "\N{ARABIC FATHA}"
ALPHABETS = (DIGITS, LATIN_26, LATIN_47, LATIN_62, ARABIC_28)


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
        assert label == own or (own in alphabet.merged and label == own.lower())


@given(st.sampled_from(ALPHABETS), st.data())
def test_any_labels_of_an_alphabet_can_be_named_in_any_order(alphabet: Alphabet, data: st.DataObject) -> None:
    labels = data.draw(st.lists(st.sampled_from(alphabet.labels), min_size=1))
    assert set(restrict(alphabet, " ".join(labels)).labels) == set(labels)
