"""Labels that a single character, without its neighbours, does not always tell apart, counted as one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from kalamos.alphabets import Alphabet

__all__ = ["case_folding", "confusable_groups", "merging"]


def confusable_groups(labels: Sequence[str], alphabet: str = "") -> tuple[tuple[str, ...], ...]:
    """The groups of which there are at least two labels, those labels in their own order.

    Args:
        labels: those of an alphabet, or some of them.
        alphabet: its name, which tells what is known of it: of "latin-47" that `L` is `l` too.

    >>> confusable_groups(tuple("0123456789"))
    ()
    >>> confusable_groups(("0", "1", "I", "L", "O", "a"), "latin-47")
    (('0', 'O'), ('1', 'I', 'L'))
    """
    # A charset may leave a single label, which is no alphabet.
    return Alphabet(alphabet, tuple(labels)).confusable_groups if len(labels) > 1 else ()


def merging(labels: Sequence[str], alphabet: str = "") -> NDArray[np.int64] | None:
    """Each label's representative under the confusable groups, int64 [C]; None where nothing merges.

    >>> merging(("0", "a", "O")).tolist()
    [0, 1, 0]
    """
    groups = confusable_groups(labels, alphabet)
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
    if len(labels) < 2:
        return None
    alphabet = Alphabet("labels", tuple(labels))
    to = np.array([alphabet.index(alphabet.fold_case(label)) for label in labels], np.int64)
    return None if np.array_equal(to, np.arange(len(labels))) else to
