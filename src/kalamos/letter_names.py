"""What letters are called, for people who are learning them."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

__all__ = ["NAMES", "LetterName", "letter_name"]


class LetterName(NamedTuple):
    """A letter's name in Latin letters, and as its own readers write it."""

    latin: str
    native: str


NAMES: Final[Mapping[str, LetterName]] = MappingProxyType(
    {
        letter: LetterName(latin, native)
        for letter, latin, native in (
            ("ا", "alif", "ألف"), ("ب", "ba", "باء"), ("ت", "ta", "تاء"), ("ث", "tha", "ثاء"),
            ("ج", "jim", "جيم"), ("ح", "ḥa", "حاء"), ("خ", "kha", "خاء"), ("د", "dal", "دال"),
            ("ذ", "dhal", "ذال"), ("ر", "ra", "راء"), ("ز", "zay", "زاي"), ("س", "sin", "سين"),
            ("ش", "shin", "شين"), ("ص", "ṣad", "صاد"), ("ض", "ḍad", "ضاد"), ("ط", "ṭa", "طاء"),
            ("ظ", "ẓa", "ظاء"), ("ع", "ʿayn", "عين"), ("غ", "ghayn", "غين"), ("ف", "fa", "فاء"),
            ("ق", "qaf", "قاف"), ("ك", "kaf", "كاف"), ("ل", "lam", "لام"), ("م", "mim", "ميم"),
            ("ن", "nun", "نون"), ("ه", "ha", "هاء"), ("و", "waw", "واو"), ("ي", "ya", "ياء"),
            ("ء", "hamza", "همزة"), ("ئ", "hamza on ya", "همزة على نبرة"),
            ("ؤ", "hamza on waw", "همزة على واو"), ("أ", "hamza on alif", "همزة على ألف"),
            ("إ", "hamza under alif", "همزة تحت ألف"), ("آ", "alif madda", "ألف ممدودة"),
            ("ة", "ta marbuta", "تاء مربوطة"), ("ى", "alif maqsura", "ألف مقصورة"),
            ("لا", "lam alif", "لام ألف"),
        )
    }
)  # fmt: skip
"""Arabic letters, composed (NFC) -> their names; those of the DIN 31635 transliteration, simplified."""


def letter_name(label: str) -> LetterName | None:
    """What a label is called; None where it says its own name, as "7" and "A" do.

    Other Arabic letters (Persian, Urdu) go by their names in Unicode.

    >>> letter_name("ب")
    LetterName(latin='ba', native='باء')
    >>> letter_name("پ").latin, letter_name("A")
    ('peh', None)
    """
    composed = unicodedata.normalize("NFC", label)
    known = NAMES.get(composed)
    if known is None and len(composed) == 1:
        # Also the presentation forms: "ﺏ" is a ba in one place of a word.
        known = NAMES.get(unicodedata.normalize("NFKC", composed))
        name = unicodedata.name(composed, "")
        if known is None and name.startswith("ARABIC LETTER "):
            known = LetterName(name.removeprefix("ARABIC LETTER ").lower(), "")
    return known
