from __future__ import annotations

import string
import unicodedata

import numpy as np

from kalamos.alphabets import CONFUSABLES, LATIN_26
from kalamos.evaluation.confusables import case_folding, confusable_groups, merging

EMNIST_47 = tuple("0123456789" + string.ascii_uppercase + "abdefghnqrt")
ARABIC = tuple("ابتثجحخدذرزسشصضطظعغفقكلمنهوي")


def test_the_groups_are_disjoint_and_composed() -> None:
    members = "".join(CONFUSABLES)
    assert len(set(members)) == len(members)
    assert unicodedata.normalize("NFC", members) == members


def test_digits_have_none() -> None:
    assert confusable_groups(tuple("0123456789")) == ()
    assert merging(tuple("0123456789")) is None


def test_emnist_keeps_l_under_its_capital() -> None:
    groups = confusable_groups(EMNIST_47, "latin-47")
    assert ("1", "I", "L") in groups
    assert ("9", "g", "q") in groups
    assert ("1", "I") in confusable_groups(EMNIST_47, "a folder whose L is L alone")
    assert confusable_groups(LATIN_26.labels, "latin-26") == (("I", "L"), ("G", "Q"))
    every = confusable_groups(tuple(string.digits + string.ascii_letters))
    assert ("1", "i", "l", "I") in every
    assert ("C",) not in groups
    assert ("c", "C") in every


def test_arabic_letters_of_one_skeleton_merge() -> None:
    groups = {"".join(group) for group in confusable_groups(ARABIC)}
    assert groups == {"بتثني", "جحخ", "دذ", "رز", "سش", "صض", "طظ", "عغ", "فق"}


def test_merged_labels_share_the_first_of_their_group() -> None:
    to = merging(ARABIC)
    assert to is not None
    assert {ARABIC[i] for i in to} == set("ابجدرسصطعفكلمهو")
    assert np.array_equal(to[to], to)


def test_a_label_of_several_characters_is_in_no_group() -> None:
    assert confusable_groups(("لا", "ا", "0O")) == ()
    assert confusable_groups(("0", "0O", "x")) == ()


def test_decomposed_labels_are_known() -> None:
    assert confusable_groups((unicodedata.normalize("NFD", "أ"), "ا")) != ()


def test_case_folding() -> None:
    to = case_folding(EMNIST_47)
    assert to is not None
    assert EMNIST_47[to[EMNIST_47.index("q")]] == "Q"
    assert case_folding(ARABIC) is None
    assert case_folding(tuple(string.ascii_lowercase)) is None


def test_a_single_label_is_confused_with_none() -> None:
    assert confusable_groups(("0",)) == ()
    assert merging(("0",)) is None
    assert case_folding(("a",)) is None
