"""Restricting an alphabet to the characters that can occur: `--charset digits`, `upper`, `"ABC123"`."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from types import MappingProxyType
from typing import Final

from kalamos.alphabets import CONFUSABLES, Alphabet
from kalamos.errors import UsageError

__all__ = ["GROUPS", "ClassMask", "restrict"]

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
            asked for by its small letter alone.
    """

    charset: str
    indices: tuple[int, ...]
    labels: tuple[str, ...]


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
    >>> restrict(LATIN_47, "digit")
    Traceback (most recent call last):
    kalamos.errors.UsageError: there is no group of characters 'digit'; did you mean 'digits'? For these \
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
            elif label in alphabet.merged and belongs(label.lower()):
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
            f"there is no group of characters {word!r}",
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
    yield str(unicodedata.decimal(character, "")) if len(character) == 1 else ""
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
