"""Alphabets: labels in output order, look-alikes, merged cases, and restriction to a charset.

An alphabet: the labels that a model answers with, in the order of its outputs.

Restricting an alphabet to the characters that can occur: `--charset digits`, `upper`, `"ABC123"`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cached_property, lru_cache
from types import MappingProxyType
from typing import Final

from kalamos.errors import AlphabetError, UsageError, suggest

__all__ = [
    "ARABIC_28",
    "ARABIC_DIGITS",
    "BASE_LABELS",
    "CONFUSABLES",
    "CONTROL_CHARACTERS",
    "DIGITS",
    "GROUPS",
    "LATIN_26",
    "LATIN_47",
    "LATIN_62",
    "Alphabet",
    "ClassMask",
    "restrict",
    "upper_code_point",
]

CONTROL_CHARACTERS: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What would break a line, a terminal or UTF-8: control characters (Unicode Cc), the line and
paragraph separators (Zl, Zp) and lone surrogates (Cs). Joiners (Cf) belong to Persian and Indic writing."""

BASE_LABELS: Final = ("any character", "no character")
"""The labels of a base model, which has no classes of its own: it is taught an alphabet."""

CONFUSABLES: Final = (
    # One stroke order, another size or serif: what a reader tells apart by the word around it.
    "0Oo", "1Iil|", "2Zz", "5Ss", "6b", "8B", "9gq",
    # Capitals that are their small letters, larger: NIST Special Database 19 merges them (Grother 1995).
    "Cc", "Jj", "Kk", "Mm", "Pp", "Uu", "Vv", "Ww", "Xx", "Yy",
    # Arabic: one skeleton (rasm), told apart by dots, hamza or a stroke.
    "اأإآٱ", "بپتثنيىئی", "جحخچ", "دذ", "رزژ", "سش", "صض", "طظ", "عغ", "فق", "كکگ", "هةہ", "وؤ",
)  # fmt: skip
"""Disjoint groups of characters that one alone, without its neighbours, does not always tell apart."""

_MERGED: Final = {
    # EMNIST's ByMerge and Balanced (Cohen et al. 2017), after NIST Special Database 19.
    "latin-47": frozenset("CIJKLMOPSUVWXYZ"),
    "latin-26": frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
}
"""Name of an alphabet -> its capitals that stand for their small letters too."""

_FURTHER_CHARACTERS: Final[Mapping[str, Mapping[str, str]]] = {
    # Persian and Urdu digits have code points of their own; only 4, 5 and 6 (in Urdu 7 too) look otherwise.
    "arabic-digits": dict(zip("۰۱۲۳۴۵۶۷۸۹", "٠١٢٣٤٥٦٧٨٩", strict=True)),
}
"""Name of an alphabet -> character -> the label that stands for it too, beyond case."""


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

    @cached_property
    def merged(self) -> frozenset[str]:
        """The labels that stand for a capital and its small letter, written alike.

        Known of `LATIN_47` and `LATIN_26`; whether a folder's "A" holds both, its name does not tell.

        >>> "".join(sorted(LATIN_47.merged)), Alphabet("my letters", ("A", "b")).merged
        ('CIJKLMOPSUVWXYZ', frozenset())
        """
        merged = _MERGED.get(self.name, frozenset())
        return frozenset(label for label in self.labels if label in merged and label.lower() not in self)

    @cached_property
    def _further(self) -> Mapping[str, str]:
        """`_FURTHER_CHARACTERS` whose label is here, without those that have a class of their own."""
        further = _FURTHER_CHARACTERS.get(self.name, {})
        return {
            character: label
            for character, label in further.items()
            if label in self and character not in self
        }

    def characters(self, label: str) -> tuple[str, ...]:
        """What a label stands for, composed: itself, the small letter of a merged one, other code points.

        >>> LATIN_47.characters("C"), LATIN_47.characters("A"), ARABIC_DIGITS.characters("٤")
        (('C', 'c'), ('A',), ('٤', '۴'))
        """
        composed = unicodedata.normalize("NFC", label)
        small = (composed.lower(),) if label in self.merged else ()
        return (composed, *small, *(each for each, known in self._further.items() if known == composed))

    def __contains__(self, label: object) -> bool:
        return isinstance(label, str) and unicodedata.normalize("NFC", label) in self._positions

    def class_of(self, character: str) -> int | None:
        """The output that stands for a character, in [0, len): its own, or the one that has it too.

        That is the capital of a merged letter, or the digit of another code point (`characters`).

        >>> LATIN_47.labels[LATIN_47.class_of("c")], LATIN_47.labels[LATIN_47.class_of("a")]
        ('C', 'a')
        >>> ARABIC_DIGITS.labels[ARABIC_DIGITS.class_of("۴")]
        '٤'
        >>> LATIN_47.class_of("ß") is None
        True
        """
        position = self._positions.get(unicodedata.normalize("NFC", character))
        upper = character.upper()
        # Both ways: "ı" has the capital I, but is not its small letter.
        if position is None and upper in self.merged and upper.lower() == character:
            position = self._positions[upper]
        if position is None and character in self._further:
            position = self._positions[self._further[character]]
        return position

    @cached_property
    def confusable_groups(self) -> tuple[tuple[str, ...], ...]:
        """The `CONFUSABLES` of which there are at least two labels, those labels in this alphabet's order.

        >>> DIGITS.confusable_groups
        ()
        >>> LATIN_47.confusable_groups[:2]
        (('0', 'O'), ('1', 'I', 'L'))
        """
        found = []
        for group in CONFUSABLES:
            members = frozenset(group)
            # A merged capital is its small letter as well: "L" looks like "1" because "l" does.
            present = tuple(
                label
                for label in self.labels
                if unicodedata.normalize("NFC", label) in members
                or (label in self.merged and label.lower() in members)
            )
            if len(present) > 1:
                found.append(present)
        return tuple(found)

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

ARABIC_DIGITS: Final = Alphabet("arabic-digits", tuple("٠١٢٣٤٥٦٧٨٩"))
"""The digits of Arabic writing, U+0660 to U+0669; each stands for the Persian and Urdu one too, U+06F0 to
U+06F9."""

GROUPS: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType(
    {"digits": str.isdecimal, "upper": str.isupper, "lower": str.islower, "letters": str.isalpha}
)
"""Name -> whether a label, composed and without marks, belongs to the group; of any writing."""

MAX_LISTED_LABELS, MAX_LISTED_MISSING, MAX_SHOWN_CHARACTERS = 60, 5, 40
"""Labels of the alphabet, missing characters, and characters of the charset that a message shows."""

# They are copied along with right-to-left text, steer how it is shown, and are no part of it.
_BIDI_MARKS: Final = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")


@dataclass(frozen=True)
class ClassMask:
    """The classes of an alphabet that may be answered, and what each is then called.

    Attributes:
        charset: what was asked for.
        indices: of the classes, rising; at least one.
        labels: theirs, in that order; the small letter where a class that stands for both cases was
            asked for by its small letter alone, and likewise the Persian digit.
        only_capitals: those that stand for both cases and were asked for by their capital alone.
    """

    charset: str
    indices: tuple[int, ...]
    labels: tuple[str, ...]
    only_capitals: frozenset[str] = frozenset()


def restrict(alphabet: Alphabet, charset: str) -> ClassMask:
    """The part of an alphabet that a charset names.

    Args:
        charset: words apart by white space. Each is a label of the alphabet, of however many characters
            ("لا"), or else one of `GROUPS`, or else characters one after the other, with the combining
            marks that follow them. Repetitions count once. Of a group that part is meant which the
            alphabet has; a character has to be there. "c" finds the class "C" where that stands for
            both cases, which is then called "c" unless "C" is asked for as well.

    Raises:
        UsageError: not text, a character that the alphabet lacks, what looks like a misspelt group, or
            nothing left.

    >>> from kalamos.alphabets import LATIN_47
    >>> restrict(LATIN_47, "cab").labels, restrict(LATIN_47, "cab upper 3").labels[:4]
    (('c', 'a', 'b'), ('3', 'A', 'B', 'C'))
    >>> "".join(restrict(LATIN_47, "digits lower").labels)
    '0123456789cijklmopsuvwxyzabdefghnqrt'
    >>> sorted(restrict(LATIN_47, "I A L l").only_capitals), restrict(LATIN_47, "letters").only_capitals
    (['I'], frozenset())
    >>> restrict(LATIN_47, "digit")
    Traceback (most recent call last):
    kalamos.errors.UsageError: unknown group of characters 'digit'; did you mean 'digits'? For these \
characters themselves, put a space between them
    """
    _check_text(charset)
    return _restrict(alphabet, charset)


def _check_text(charset: object) -> None:
    if not isinstance(charset, str):
        raise UsageError(
            f"a charset is text, not {type(charset).__name__}",
            remedy=f"give the characters, or some of {', '.join(GROUPS)}",
        )


# Asked for with every image that is predicted by itself.
@lru_cache(maxsize=64)
def _restrict(alphabet: Alphabet, charset: str) -> ClassMask:
    asked: dict[int, set[str]] = {}
    missing: dict[str, None] = {}
    for word in _BIDI_MARKS.sub("", unicodedata.normalize("NFC", charset)).split():
        for position, name in _named(alphabet, word):
            if position is None:
                missing[name] = None
            else:
                asked.setdefault(position, set()).add(name)
    if missing:
        raise _lacking(alphabet, charset, list(missing))
    if not asked:
        raise UsageError(
            f"charset {_shown(charset)} leaves nothing of alphabet {alphabet.name!r}",
            remedy=f"it has: {_listed(alphabet)}",
        )
    positions = tuple(sorted(asked))
    labels = [alphabet.labels[position] for position in positions]
    return ClassMask(
        charset,
        positions,
        tuple(
            label if _composed(label) in asked[position] else min(asked[position])
            for position, label in zip(positions, labels, strict=True)
        ),
        alphabet.merged.intersection(
            label for position, label in zip(positions, labels, strict=True) if asked[position] == {label}
        ),
    )


def _named(alphabet: Alphabet, word: str) -> Iterator[tuple[int | None, str]]:
    """The outputs that a word names, each by which name; None for a character that is not there."""
    if (position := alphabet.class_of(word)) is not None:
        yield position, word
    elif word in GROUPS:
        belongs = GROUPS[word]
        for position, label in enumerate(alphabet.labels):
            if belongs(_bare(label)):
                yield position, _composed(label)
            if label in alphabet.merged and belongs(label.lower()):
                yield position, label.lower()
    else:
        _refuse_misspelt_group(word)
        for character in _characters(word):
            yield alphabet.class_of(character), character


def _refuse_misspelt_group(word: str) -> None:
    """Else "digit" would be four of the letters that a Latin alphabet has."""
    if len(word) > MAX_SHOWN_CHARACTERS:
        return
    lower = word.lower()
    near = [name for name in GROUPS if lower.startswith(name)] or get_close_matches(lower, GROUPS, 1, 0.85)
    if near:
        raise UsageError(
            f"unknown group of characters {word!r}",
            remedy=f"did you mean {near[0]!r}? For these characters themselves, put a space between them",
        )


def _characters(word: str) -> Iterator[str]:
    """Each character with the combining marks that follow it."""
    start = 0
    for end in range(1, len(word) + 1):
        if end == len(word) or not unicodedata.category(word[end]).startswith("M"):
            yield word[start:end]
            start = end


def _lacking(alphabet: Alphabet, charset: str, missing: list[str]) -> UsageError:
    more = f" and {len(missing) - MAX_LISTED_MISSING:,} more" if len(missing) > MAX_LISTED_MISSING else ""
    near = next((f"did you mean {each!r}? " for each in _alike(missing[0]) if each in alphabet), "")
    return UsageError(
        f"alphabet {alphabet.name!r} lacks {', '.join(map(repr, missing[:MAX_LISTED_MISSING]))}{more}, "
        f"asked for by charset {_shown(charset)}",
        remedy=f"{near}{'I' if near else 'i'}t has: {_listed(alphabet)}",
    )


def _alike(character: str) -> Iterator[str]:
    """What may have been meant: another form of the character, its other case, one that looks like it."""
    compatible = unicodedata.normalize("NFKC", character)
    yield from (compatible, compatible.upper(), compatible.lower())
    if (digit := unicodedata.decimal(character, None) if len(character) == 1 else None) is not None:
        yield from (str(digit), ARABIC_DIGITS.labels[digit])
    yield from next((group for group in CONFUSABLES if character in group), "")


def _composed(label: str) -> str:
    return unicodedata.normalize("NFC", label)


def _bare(label: str) -> str:
    """Without marks, which are neither letters nor digits."""
    return "".join(c for c in _composed(label) if not unicodedata.category(c).startswith("M"))


def _listed(alphabet: Alphabet) -> str:
    more = f" and {len(alphabet) - MAX_LISTED_LABELS:,} more" if len(alphabet) > MAX_LISTED_LABELS else ""
    return " ".join(alphabet.labels[:MAX_LISTED_LABELS]) + more


def _shown(charset: str) -> str:
    return repr(charset if len(charset) <= MAX_SHOWN_CHARACTERS else f"{charset[:MAX_SHOWN_CHARACTERS]}…")
