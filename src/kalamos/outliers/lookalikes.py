"""Which characters of another alphabet nobody could reject, because they look like a known one."""

from __future__ import annotations

import unicodedata
from typing import Final

from kalamos.alphabets import CONFUSABLES, Alphabet

__all__ = ["LOOKALIKES", "characters_of", "foreign_labels", "looks_known"]

LOOKALIKES: Final = (
    # Digits and Latin letters, as people write them: beyond case and serif, which CONFUSABLES has.
    "0ODQ", "1IilL", "4Yy", "6G", "7T", "9y",
    # Arabic letters and digits: a stroke, a ring, a head with a tail, ح without its bow, a bar with a loop.
    "1Iil|اأإآر١()!", "0Ooهة٥۵.", "9gqوؤ٩،,", "2Zzح", "6bط", "5Ssىء؟",
    # Arabic letters and Latin ones.
    "JjLlل", "Ppم", "Eeع", "Wwس", "Kkك", "Vv٧", ")ر", "Cc(<",
)  # fmt: skip
"""Groups whose members look alike within or across scripts, by eye; they overlap, and are not transitive.

Dots tell ج and خ from 2, ن from U: such letters are not in the groups of their undotted shapes."""


def characters_of(alphabet: Alphabet, label: str) -> tuple[str, ...]:
    """What a label stands for: itself, and the small letter of a capital that stands for both cases.

    >>> from kalamos.alphabets import LATIN_47
    >>> characters_of(LATIN_47, "C"), characters_of(LATIN_47, "A")
    (('C', 'c'), ('A',))
    """
    composed = unicodedata.normalize("NFC", label)
    return (composed, composed.lower()) if label in alphabet.merged else (composed,)


def looks_known(character: str, alphabet: Alphabet) -> bool:
    """Whether a character is one of the alphabet's, or looks like one.

    >>> from kalamos.alphabets import ARABIC_28, DIGITS
    >>> [looks_known(letter, DIGITS) for letter in "OKاب"], looks_known("1", ARABIC_28)
    ([True, False, True, False], True)
    """
    if alphabet.class_of(character) is not None:
        return True
    known = {each for label in alphabet.labels for each in characters_of(alphabet, label)}
    return any(character in group and not known.isdisjoint(group) for group in (*CONFUSABLES, *LOOKALIKES))


def foreign_labels(other: Alphabet, known: Alphabet) -> tuple[str, ...]:
    """The labels of `other` that neither are nor look like any of `known`, in their order.

    >>> from kalamos.alphabets import ARABIC_28, DIGITS
    >>> "".join(foreign_labels(DIGITS, known=ARABIC_28)), foreign_labels(DIGITS, known=DIGITS)
    ('34578', ())
    """
    return tuple(
        label
        for label in other.labels
        if not any(looks_known(character, known) for character in characters_of(other, label))
    )
