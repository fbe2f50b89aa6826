"""An alphabet: the labels that a model answers with, in the order of its outputs."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from kalamos.errors import AlphabetError, suggest

__all__ = [
    "ARABIC_28",
    "CONTROL_CHARACTERS",
    "DIGITS",
    "LATIN_26",
    "LATIN_47",
    "LATIN_62",
    "Alphabet",
    "upper_code_point",
]

CONTROL_CHARACTERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What would break a line, a terminal or UTF-8: control characters (Unicode Cc), the line and
paragraph separators (Zl, Zp) and lone surrogates (Cs). Joiners (Cf) belong to Persian and Indic writing."""


def upper_code_point(label: str) -> int:
    """The code point of a label of one character, of its capital where that is one code point too.

    Composed first (NFC): "e" with a combining acute is one character. Raises `AlphabetError` for
    any other label.

    >>> chr(upper_code_point("a")), chr(upper_code_point("ß")), chr(upper_code_point("ب"))
    ('A', 'ß', 'ب')
    """
    composed = unicodedata.normalize("NFC", label)
    if len(composed) != 1:
        raise AlphabetError(
            f"label {label!r} has {len(composed)} code points, not one",
            remedy="choose an output format that writes labels",
        )
    upper = composed.upper()
    return ord(upper if len(upper) == 1 else composed)


@dataclass(frozen=True)
class Alphabet:
    """At least two distinct labels, in the model's output order.

    A label is any text that can be seen: a character, or several ("لا"). Raises `AlphabetError`
    for blank labels, control characters, and labels that are equal once composed (NFC).

    >>> letters = Alphabet("letters", ("A", "a", "ß"))
    >>> len(letters), letters.index("a")
    (3, 1)
    >>> Alphabet("ab", ("a", "b", "a"))
    Traceback (most recent call last):
    kalamos.errors.AlphabetError: alphabet 'ab' has label 'a' twice, at 0 and 2
    """

    name: str
    labels: tuple[str, ...]

    def __post_init__(self) -> None:
        if len(self.labels) < 2:
            raise AlphabetError(
                f"alphabet {self.name!r} has {len(self.labels)} labels", remedy="a model needs at least two"
            )
        seen: dict[str, int] = {}
        for position, label in enumerate(self.labels):
            if not label.strip():
                raise AlphabetError(f"alphabet {self.name!r} has a blank label at {position}: {label!r}")
            if CONTROL_CHARACTERS.search(label):
                raise AlphabetError(f"alphabet {self.name!r} has a control character in label {label!r}")
            first = seen.setdefault(unicodedata.normalize("NFC", label), position)
            if first != position:
                raise AlphabetError(
                    f"alphabet {self.name!r} has label {label!r} twice, at {first} and {position}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {unicodedata.normalize("NFC", label): position for position, label in enumerate(self.labels)}

    def index(self, label: str) -> int:
        """The output that stands for `label`, in [0, len). Raises `AlphabetError` for a stranger.

        >>> DIGITS.index("7")
        7
        """
        position = self._positions.get(unicodedata.normalize("NFC", label))
        if position is None:
            raise AlphabetError(
                f"alphabet {self.name!r} has no label {label!r}", remedy=suggest(label, self.labels)
            )
        return position

    def code_point(self, label: str) -> int:
        """`upper_code_point` of a label of this alphabet. Raises `AlphabetError` for a stranger.

        >>> hex(DIGITS.code_point("7"))
        '0x37'
        """
        return upper_code_point(self.labels[self.index(label)])

    def fold_case(self, label: str) -> str:
        """The capital of `label` where the alphabet has it, else `label`; for case-folded accuracy.

        >>> letters = Alphabet("letters", ("A", "a", "S", "ß"))
        >>> letters.fold_case("a"), letters.fold_case("ß")
        ('A', 'ß')
        """
        position = self._positions.get(unicodedata.normalize("NFC", label.upper()))
        return label if position is None else self.labels[position]


DIGITS: Final = Alphabet("digits", tuple("0123456789"))

LATIN_26: Final = Alphabet("latin-26", tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"))
"""Letters without their case: each stands for the capital and the small one."""

LATIN_47: Final = Alphabet("latin-47", tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt"))
"""Digits and letters; small ones only where they do not look like their capitals (Cohen et al. 2017)."""

LATIN_62: Final = Alphabet(
    "latin-62", tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
)

ARABIC_28: Final = Alphabet("arabic-28", tuple("ابتثجحخدذرزسشصضطظعغفقكلمنهوي"))
"""The letters from alef to yaa, in the order of the dictionary."""
