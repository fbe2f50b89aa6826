"""What looks like a character: letters and digits of other scripts that nobody could tell from a known one.

Nobody could reject an O where 0 is known, nor should a network learn to: such classes are no outliers,
neither for training nor for the figures, and are measured in rows of their own. docs/look-alikes.md is the
list.
"""

from __future__ import annotations

from typing import Final

from kalamos.alphabets import CONFUSABLES, Alphabet

__all__ = [
    "LOOKALIKES",
    "foreign_labels",
    "lookalike_labels",
    "lookalikes_of",
    "looks_known",
]

LOOKALIKES: Final = (
    # Digits and Latin letters, as people write them: beyond case and serif, which CONFUSABLES has.
    "0ODQ", "1IilL", "4Yy", "6G", "7T", "9y", "9Q",
    # Arabic letters and digits: a stroke, a ring, a head with a tail, ح without its bow, a bar with a loop.
    "1Iil|اأإآر١()!", "0Ooهة٥۵.٠", "9gqوؤ٩،,", "2Zzح", "6bط", "5Ssىء؟",
    # Arabic letters and Latin ones.
    "JjLlل", "Ppم", "Eeع٤", "Wwس", "Kkك", "Vv٧", ")ر", "Cc(<",
    # Eastern Arabic digits one by one, for what looks like the same digit need not be alike.
    "7٦", "AΛ٨", "٠.", "٠·", "٢C", "٢c", "٢r", "٢م", "٣r", "٣م", "٤E", "٤ع", "۴F", "۴f", "٥D", "٥Q", "۶S",
    "۶5", "٧U", "٧u", "٧Y", "٧y", "٨n", "٨^",
    # Letters of other scripts, Greek and Cyrillic first of all, with the shape of a digit or a Latin letter.
    "0OoΟοσΘθОоס", "1IilΙιІіון", "2ZzΖ", "3ЗзЭэ", "4Чч", "5SsЅѕ", "6б", "6bЬь", "7TΤТтד", "8BΒβВв",
    "AΑА", "aαа", "CcСс", "EeΕεЕе", "HΗНн", "JjЈј", "KkΚκКк", "MmΜМм", "NΝ", "nηп", "PpΡρРр", "rг", "tτ",
    "Uuυμ", "Vvν", "WwωШш", "XxΧχХх", "YyΥγУу",
)  # fmt: skip
"""Groups whose members look alike within or across scripts, by eye; they overlap, and are not transitive.

Dots tell ج and خ from 2, ن from U: such letters are not in the groups of their undotted shapes."""


def looks_known(character: str, alphabet: Alphabet) -> bool:
    """Say whether a character is one of the alphabet's, or looks like one.

    >>> from kalamos.alphabets import ARABIC_28, DIGITS
    >>> [looks_known(letter, DIGITS) for letter in "OKاب"], looks_known("1", ARABIC_28)
    ([True, False, True, False], True)
    """
    if alphabet.class_of(character) is not None:
        return True
    known = {each for label in alphabet.labels for each in alphabet.characters(label)}
    return any(character in group and not known.isdisjoint(group) for group in (*CONFUSABLES, *LOOKALIKES))


def foreign_labels(other: Alphabet, known: Alphabet) -> tuple[str, ...]:
    """Return the labels of `other` that neither are nor look like any of `known`, in their order.

    >>> from kalamos.alphabets import ARABIC_28, DIGITS
    >>> "".join(foreign_labels(DIGITS, known=ARABIC_28)), foreign_labels(DIGITS, known=DIGITS)
    ('34578', ())
    """
    return tuple(
        label
        for label in other.labels
        if not any(looks_known(character, known) for character in other.characters(label))
    )


def lookalike_labels(other: Alphabet, known: Alphabet) -> tuple[str, ...]:
    """Return the labels of `other` that are none of `known`, but look like one, in their order.

    >>> from kalamos.alphabets import DIGITS, LATIN_26
    >>> "".join(lookalike_labels(LATIN_26, known=DIGITS)), lookalike_labels(DIGITS, known=DIGITS)
    ('BDGILOQSTYZ', ())
    """
    foreign = set(foreign_labels(other, known))
    return tuple(
        label
        for label in other.labels
        if label not in foreign
        and all(known.class_of(character) is None for character in other.characters(label))
    )


def lookalikes_of(alphabet: Alphabet) -> dict[str, str]:
    """Map each label that something else looks like to those characters, none of them the alphabet's own.

    >>> from kalamos.alphabets import LATIN_26
    >>> lookalikes_of(LATIN_26)["X"]
    'ΧχХх'
    """
    found: dict[str, dict[str, None]] = {}
    for label in alphabet.labels:
        for character in alphabet.characters(label):
            for group in (*CONFUSABLES, *LOOKALIKES):
                if character in group:
                    found.setdefault(label, {}).update(dict.fromkeys(group))
    others = {
        label: "".join(each for each in like if alphabet.class_of(each) is None)
        for label, like in found.items()
    }
    return {label: like for label, like in others.items() if like}
