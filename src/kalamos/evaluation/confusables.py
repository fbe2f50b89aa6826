"""Labels that a single character, without its neighbours, does not always tell apart."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet

__all__ = ["case_folding", "confusable_groups", "merging"]

GROUPS: Final = (
    # One stroke order, another size or serif: what a reader tells apart by the word around it.
    "0Oo", "1Iil|", "2Zz", "5Ss", "6b", "8B", "9gq",
    # Capitals that are their small letters, larger: NIST Special Database 19 merges them (Grother 1995).
    "Cc", "Jj", "Kk", "Mm", "Pp", "Uu", "Vv", "Ww", "Xx", "Yy",
    # Arabic: one skeleton (rasm), told apart by dots, hamza or a stroke.
    "اأإآٱ", "بپتثنيىئی", "جحخچ", "دذ", "رزژ", "سش", "صض", "طظ", "عغ", "فق", "كکگ", "هةہ", "وؤ",
)  # fmt: skip
"""Disjoint. The letters of an alphabet that belong to one group count as one label when merged."""

MERGED_L: Final = ("L", "l")
"""EMNIST's ByMerge and Balanced keep `l` under `L`, whose capital shape is not confusable by itself."""


def confusable_groups(labels: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """The groups of which an alphabet has at least two labels, those labels in its own order.

    >>> confusable_groups(tuple("0123456789"))
    ()
    >>> confusable_groups(("0", "1", "I", "L", "O", "a"))
    (('0', 'O'), ('1', 'I', 'L'))
    """
    capital, small = MERGED_L
    stands_for_both = small not in labels and any(label.islower() for label in labels)
    found = []
    for group in GROUPS:
        members = set(group)
        if small in members and stands_for_both:
            members.add(capital)
        present = tuple(label for label in labels if unicodedata.normalize("NFC", label) in members)
        if len(present) > 1:
            found.append(present)
    return tuple(found)


def merging(labels: Sequence[str]) -> NDArray[np.int64] | None:
    """Each label's representative under the confusable groups, int64 [C]; None where nothing merges.

    >>> merging(("0", "a", "O")).tolist()
    [0, 1, 0]
    """
    groups = confusable_groups(labels)
    if not groups:
        return None
    to = np.arange(len(labels))
    for group in groups:
        members = [labels.index(label) for label in group]
        to[members] = members[0]
    return to


def case_folding(labels: Sequence[str]) -> NDArray[np.int64] | None:
    """Each label's capital where the alphabet has it, int64 [C]; None for an alphabet without such pairs.

    >>> case_folding(("A", "B", "a")).tolist(), case_folding(("A", "B"))
    ([0, 1, 0], None)
    """
    alphabet = Alphabet("labels", tuple(labels))
    to = np.array([alphabet.index(alphabet.fold_case(label)) for label in labels], np.int64)
    return None if np.array_equal(to, np.arange(len(labels))) else to
